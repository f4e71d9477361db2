//! Nodes of one process, each with its log on a disk that fails on command, and what they were told.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use hitherto_cluster::{
    Commits, Committed, Encode, GroupStatus, Inbox, Leadership, LocalNetwork, Log, LogError,
    NodeId, RaftLog, RaftOptions, RaftParts, RaftSnapshot, RecoveredGroups, Refusal, SnapshotFile,
    Snapshots,
};
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::{FaultyDisk, SeededEntropy};
use hitherto_storage::{Wal, WalOptions};
use tokio::sync::Notify;

pub(crate) const GROUP: GroupId = GroupId(5);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A record is its number.
pub(crate) struct Number(pub(crate) u64);

impl Encode for Number {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_u64_le(self.0);
    }
}

pub(crate) fn numbers(body: &[u8]) -> Vec<u64> {
    let (numbers, rest) = body.as_chunks::<8>();
    assert!(rest.is_empty());
    numbers
        .iter()
        .map(|number| u64::from_le_bytes(*number))
        .collect()
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Proposed,
    Committed(LogIndex),
    /// Certainly not in the log.
    Refused,
    Unknown,
}

/// What all nodes were told.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) fates: BTreeMap<u64, Fate>,
    /// The entries of each node in its present life; a snapshot stands for those before.
    pub(crate) entries: BTreeMap<NodeId, BTreeMap<u64, Entry>>,
    pub(crate) leaders: BTreeMap<NodeId, Leadership>,
    /// Who led each term: never two.
    pub(crate) terms: BTreeMap<u64, NodeId>,
    /// Every entry any node was ever told of.
    pub(crate) known: BTreeMap<u64, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    pub(crate) body: Bytes,
}

impl History {
    pub(crate) fn fate(&mut self, number: u64, fate: Fate) {
        let before = self.fates.insert(number, fate);
        assert_eq!(
            before,
            Some(Fate::Proposed),
            "the receipt of {number} comes back once"
        );
    }

    fn entry(&mut self, node: NodeId, index: u64, entry: Entry) {
        let known = self.known.entry(index).or_insert_with(|| entry.clone());
        assert_eq!(*known, entry, "node {node} has another entry {index}");
        let entries = self.entries.entry(node).or_default();
        let last = entries.last_key_value().map(|(index, _)| *index);
        assert!(
            last.is_none_or(|last| last + 1 == index),
            "node {node}: {last:?}, {index}"
        );
        entries.insert(index, entry);
    }
}

#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) changed: Arc<Notify>,
}

impl Told {
    pub(crate) fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }
}

struct Teller {
    node: NodeId,
    told: Told,
}

impl Commits<u64> for Teller {
    fn committed(&mut self, entry: Committed<u64>) {
        if entry.group != GROUP {
            return;
        }
        let mut history = self.told.lock();
        if !entry.receipts.is_empty() {
            assert_eq!(numbers(&entry.body), entry.receipts);
        }
        for receipt in entry.receipts {
            history.fate(receipt, Fate::Committed(entry.index));
        }
        let told = Entry {
            term: entry.term,
            body: entry.body,
        };
        history.entry(self.node, entry.index.0, told);
    }

    fn failed(&mut self, group: GroupId, receipts: Vec<u64>, error: &LogError) {
        assert_eq!(group, GROUP);
        let fate = match error {
            LogError::NotLeader { .. } | LogError::GroupClosed => Fate::Refused,
            LogError::Undecided => Fate::Unknown,
            _ => panic!("{error}"),
        };
        for receipt in receipts {
            self.told.lock().fate(receipt, fate);
        }
        self.told.changed.notify_waiters();
    }

    fn leader_changed(&mut self, group: GroupId, leadership: Leadership) {
        assert_eq!(group, GROUP);
        let mut history = self.told.lock();
        let before = history.leaders.insert(self.node, leadership);
        assert!(before.is_none_or(|before| before.term <= leadership.term));
        if let Some(leader) = leadership.leader {
            let led = *history.terms.entry(leadership.term).or_insert(leader);
            assert_eq!(led, leader, "two leaders in term {}", leadership.term);
        }
        self.told.changed.notify_waiters();
    }

    fn round_complete(&mut self) {
        self.told.changed.notify_waiters();
    }
}

/// A state machine of all entries, one file of a snapshot per two hundred of them.
#[derive(Clone)]
pub(crate) struct Store {
    node: NodeId,
    told: Told,
    /// Files given and received, by name.
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub(crate) fetched: Arc<Mutex<u64>>,
    /// What is durable: the entries up to a checkpoint.
    saved: Arc<Mutex<BTreeMap<u64, Entry>>>,
}

impl Store {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap()
    }
}

impl Snapshots for Store {
    fn take(&self, _: GroupId) -> io::Result<RaftSnapshot> {
        let history = self.told.lock();
        let entries: Vec<_> = history.entries[&self.node].iter().collect();
        let last = entries.last().ok_or(io::ErrorKind::NotFound)?;
        let mut files = Vec::new();
        for chunk in entries.chunks(200) {
            let mut content = Vec::new();
            for (index, entry) in chunk {
                content.extend(index.to_le_bytes());
                content.extend(entry.term.to_le_bytes());
                content.extend((entry.body.len() as u64).to_le_bytes());
                content.extend(&entry.body);
            }
            let file = SnapshotFile {
                name: format!("{}-{}", chunk[0].0, chunk.len()),
                len: content.len() as u64,
                crc: crc32c::crc32c(&content),
            };
            self.files().insert(file.name.clone(), content);
            files.push(file);
        }
        *self.saved.lock().unwrap() = history.entries[&self.node].clone();
        Ok(RaftSnapshot {
            index: LogIndex(*last.0),
            state: Bytes::from_static(b"state"),
            files,
        })
    }

    fn read(&self, _: GroupId, file: &SnapshotFile, offset: u64, len: usize) -> io::Result<Bytes> {
        let files = self.files();
        let content = files.get(&file.name).ok_or(io::ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).unwrap();
        Ok(Bytes::copy_from_slice(&content[offset..offset + len]))
    }

    fn received(&self, _: GroupId, file: &SnapshotFile) -> io::Result<u64> {
        Ok(self
            .files()
            .get(&file.name)
            .map_or(0, |content| content.len() as u64))
    }

    fn receive(&self, _: GroupId, file: &SnapshotFile, offset: u64, part: &[u8]) -> io::Result<()> {
        let mut files = self.files();
        let content = files.entry(file.name.clone()).or_default();
        assert_eq!(content.len() as u64, offset);
        content.extend(part);
        *self.fetched.lock().unwrap() += part.len() as u64;
        Ok(())
    }

    fn install(&self, _: GroupId, snapshot: RaftSnapshot) -> io::Result<()> {
        assert_eq!(snapshot.state, "state");
        let files = self.files();
        let mut entries = BTreeMap::new();
        for file in &snapshot.files {
            let mut content = &files[&file.name][..];
            assert_eq!(crc32c::crc32c(content), file.crc);
            let number = |content: &mut &[u8]| {
                let (number, rest) = content.split_first_chunk::<8>().unwrap();
                *content = rest;
                u64::from_le_bytes(*number)
            };
            while !content.is_empty() {
                let (index, term) = (number(&mut content), number(&mut content));
                let len = usize::try_from(number(&mut content)).unwrap();
                let (body, rest) = content.split_at(len);
                let body = Bytes::copy_from_slice(body);
                entries.insert(index, Entry { term, body });
                content = rest;
            }
        }
        assert_eq!(entries.last_key_value().unwrap().0, &snapshot.index.0);
        *self.saved.lock().unwrap() = entries.clone();
        self.told.lock().entries.insert(self.node, entries);
        self.told.changed.notify_waiters();
        Ok(())
    }
}

pub(crate) struct Node {
    pub(crate) disk: FaultyDisk,
    pub(crate) log: Option<Arc<RaftLog<u64>>>,
    pub(crate) store: Store,
    lives: u64,
}

pub(crate) struct Cluster {
    pub(crate) network: LocalNetwork,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) told: Told,
    pub(crate) options: RaftOptions,
    first_voters: Vec<NodeId>,
    seed: u64,
    next: u64,
}

impl Cluster {
    /// Starts nodes 1 to `nodes`, which are the first voters.
    pub(crate) fn start(seed: u64, nodes: u128) -> Self {
        let options = RaftOptions {
            heartbeat: Duration::from_millis(60),
            election_timeout: Duration::from_millis(300),
            ..RaftOptions::default()
        };
        Self::start_with(seed, nodes, options)
    }

    pub(crate) fn start_with(seed: u64, nodes: u128, options: RaftOptions) -> Self {
        let mut cluster = Self {
            network: LocalNetwork::new(seed),
            nodes: BTreeMap::new(),
            told: Told::default(),
            options,
            first_voters: (1..=nodes).map(NodeId).collect(),
            seed,
            next: 0,
        };
        for node in 1..=nodes {
            cluster.add(NodeId(node));
        }
        cluster
    }

    /// Adds a node and starts it.
    pub(crate) fn add(&mut self, node: NodeId) {
        let store = Store {
            node,
            told: self.told.clone(),
            files: Arc::default(),
            fetched: Arc::default(),
            saved: Arc::default(),
        };
        let disk = FaultyDisk::new();
        let (log, lives) = (None, 0);
        self.nodes.insert(
            node,
            Node {
                disk,
                log,
                store,
                lives,
            },
        );
        self.begin_life(node);
    }

    pub(crate) fn begin_life(&mut self, node: NodeId) {
        let state = self.nodes.get_mut(&node).unwrap();
        state.lives += 1;
        let entropy = Arc::new(SeededEntropy::new(
            self.seed * 1000 + u64::try_from(node.0).unwrap() * 100 + state.lives,
        ));
        let options = WalOptions {
            file_bytes: 32 * 1024,
            grow_bytes: 4 * 1024,
            entropy: entropy.clone(),
            ..WalOptions::default()
        };
        let disk = Arc::new(state.disk.clone());
        let (wal, replay) = Wal::open(disk, Path::new("wal"), options).unwrap();
        let mut recovered = RecoveredGroups::default();
        for entry in replay {
            recovered.take(&entry.unwrap()).unwrap();
        }
        let teller = Teller {
            node,
            told: self.told.clone(),
        };
        let parts = RaftParts {
            here: node,
            links: Arc::new(self.network.links(node)),
            snapshots: Arc::new(state.store.clone()),
            entropy,
            runtime: tokio::runtime::Handle::current(),
            options: self.options,
        };
        let log = Arc::new(RaftLog::start(wal, recovered, teller, parts).unwrap());
        let inbox: Arc<dyn Inbox> = Arc::<RaftLog<u64>>::clone(&log);
        self.network.attach(node, &inbox);
        // What a snapshot was taken of or brought is durable in the state machine; the rest comes again.
        let saved = state.store.saved.lock().unwrap().clone();
        let applied = LogIndex(saved.last_key_value().map_or(0, |(index, _)| *index));
        self.told.lock().entries.insert(node, saved);
        let voters = match self.first_voters.contains(&node) {
            true => self.first_voters.clone(),
            false => Vec::new(),
        };
        log.open_replicated(GROUP, applied, voters).unwrap();
        state.log = Some(log);
    }

    pub(crate) fn log(&self, node: NodeId) -> &Arc<RaftLog<u64>> {
        self.nodes[&node].log.as_ref().unwrap()
    }

    pub(crate) fn status(&self, node: NodeId) -> Option<GroupStatus> {
        self.nodes[&node].log.as_ref()?.status(GROUP)
    }

    /// Cuts the power of a node: what it did not sync is lost, but for a random part.
    pub(crate) async fn cut_power(&mut self, node: NodeId) {
        let state = self.nodes.get_mut(&node).unwrap();
        state.disk.cut_power_after(0);
        self.network.detach(node);
        if let Some(log) = state.log.take() {
            log.shutdown().await;
        }
        state.disk.crash_torn(self.seed * 31 + state.lives);
        let mut history = self.told.lock();
        history.entries.remove(&node);
        history.leaders.remove(&node);
    }

    pub(crate) async fn shutdown(mut self) {
        for node in self.nodes.values_mut() {
            if let Some(log) = node.log.take() {
                log.shutdown().await;
            }
        }
    }

    /// Waits until something holds; tells what did not.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let changed = self.told.changed.notified();
            if let Some(found) = look(self) {
                return found;
            }
            if started.elapsed() > WAIT_MAX {
                let status: Vec<_> = self
                    .nodes
                    .keys()
                    .map(|node| (node, self.status(*node)))
                    .collect();
                panic!("seed {}: not seen: {what}; {status:#?}", self.seed);
            }
            // Some things nobody tells of are looked at now and then.
            drop(tokio::time::timeout(Duration::from_millis(20), changed).await);
        }
    }

    /// The node that leads in the highest term that a majority knows of.
    pub(crate) async fn leader(&self) -> NodeId {
        self.until("a leader", Self::current_leader).await
    }

    pub(crate) fn current_leader(&self) -> Option<NodeId> {
        let history = self.told.lock();
        let known = history
            .leaders
            .iter()
            .filter(|(node, _)| self.nodes[node].log.is_some());
        let (_, newest) = known
            .clone()
            .max_by_key(|(_, leadership)| leadership.term)?;
        let leader = newest.leader?;
        let leads = history.leaders.get(&leader)?;
        let agree = known
            .filter(|(_, leadership)| leadership.term == newest.term)
            .count();
        (leads.is_here && leads.term == newest.term && agree * 2 > self.first_voters.len())
            .then_some(leader)
    }

    /// Proposes a new record at a node; `false` when it is refused.
    pub(crate) fn propose_at(&mut self, node: NodeId) -> bool {
        self.next += 1;
        let number = self.next;
        self.told.lock().fates.insert(number, Fate::Proposed);
        match self.log(node).propose(GROUP, &Number(number), number) {
            Ok(()) => true,
            Err(refused) => {
                assert!(
                    matches!(refused.reason, Refusal::NotLeader { .. } | Refusal::Failed),
                    "{}",
                    refused.reason
                );
                self.told.lock().fate(refused.receipt, Fate::Refused);
                false
            }
        }
    }

    /// Proposes so many records at whoever leads.
    pub(crate) async fn propose(&mut self, count: u64) {
        for _ in 0..count {
            loop {
                let leader = self.leader().await;
                if self.propose_at(leader) {
                    break;
                }
            }
        }
    }

    /// Waits until the fate of every record is known.
    pub(crate) async fn settle(&self) {
        let look = |cluster: &Self| {
            let history = cluster.told.lock();
            let open = history.fates.values().any(|fate| *fate == Fate::Proposed);
            (!open).then_some(())
        };
        self.until("the fate of every record", look).await;
    }

    /// Ends the faults, waits until all nodes have the same, and checks what they have.
    pub(crate) async fn check(&mut self, at_least: usize) {
        self.network.heal();
        self.settle().await;
        // A leader may change once more; then the fate of what it took is another.
        loop {
            self.propose(1).await;
            self.settle().await;
            if matches!(self.told.lock().fates[&self.next], Fate::Committed(_)) {
                break;
            }
        }
        let equal = |cluster: &Self| {
            let history = cluster.told.lock();
            let last = *history.known.last_key_value()?.0;
            let mut nodes = cluster.nodes.iter().filter(|(_, node)| node.log.is_some());
            let has_all = |node: &NodeId| {
                let entries = history.entries.get(node);
                entries
                    .and_then(BTreeMap::last_key_value)
                    .map(|(index, _)| *index)
                    == Some(last)
            };
            nodes.all(|(node, _)| has_all(node)).then_some(())
        };
        self.until("all nodes have everything", equal).await;
        let history = self.told.lock();
        let seed = self.seed;
        let known: Vec<_> = history.known.keys().copied().collect();
        assert!(
            known.iter().copied().eq(1..=known.len() as u64),
            "seed {seed}: gaps"
        );
        let mut places = HashMap::new();
        let mut order = Vec::new();
        for (index, entry) in &history.known {
            for number in numbers(&entry.body) {
                let before = places.insert(number, LogIndex(*index));
                assert_eq!(before, None, "seed {seed}: {number} is there twice");
                order.push(number);
            }
        }
        let mut committed = 0;
        for (number, fate) in &history.fates {
            let place = places.get(number).copied();
            match fate {
                Fate::Committed(index) => {
                    committed += 1;
                    assert_eq!(
                        place,
                        Some(*index),
                        "seed {seed}: {number} was acknowledged"
                    );
                }
                Fate::Refused => assert_eq!(place, None, "seed {seed}: {number} was refused"),
                Fate::Unknown => {}
                Fate::Proposed => panic!("{number} is not settled"),
            }
        }
        println!(
            "seed {seed}: {committed} of {} records acknowledged, {} entries, term {}",
            history.fates.len(),
            history.known.len(),
            history.terms.len()
        );
        assert!(
            committed >= at_least,
            "seed {seed}: only {committed} were acknowledged"
        );
        let acked = order
            .iter()
            .filter(|number| matches!(history.fates[number], Fate::Committed(_)));
        assert!(acked.is_sorted(), "seed {seed}: acknowledged out of order");
        for (node, entries) in &history.entries {
            if self.nodes[node].log.is_some() {
                let last = history.known.last_key_value();
                assert_eq!(entries.last_key_value(), last, "seed {seed}, node {node}");
            }
        }
    }
}
