//! A Raft core that panics is begun anew, on the same log and where it was.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::{FaultyDisk, SeededEntropy};
use hitherto_storage::{Wal, WalOptions};
use openraft::raft::AppendEntriesRequest;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::types::Vote;
use super::*;
use crate::links::{Channel, LinkDown};
use crate::{Committed, Leadership, LogError};

const GROUP: GroupId = GroupId(1);
const WAIT_MAX: Duration = Duration::from_secs(30);

struct NoPeers;

#[async_trait]
impl Links for NoPeers {
    async fn send(&self, to: NodeId, _: Channel, _: Bytes) -> Result<(), LinkDown> {
        Err(LinkDown(to))
    }
}

impl Snapshots for NoPeers {
    fn take(&self, _: GroupId) -> io::Result<RaftSnapshot> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn read(&self, _: GroupId, _: &SnapshotFile, _: u64, _: usize) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn received(&self, _: GroupId, _: &SnapshotFile) -> io::Result<u64> {
        Ok(0)
    }

    fn receive(&self, _: GroupId, _: &SnapshotFile, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn install(&self, _: GroupId, _: RaftSnapshot) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Told {
    entries: BTreeMap<u64, Bytes>,
    back: Vec<u8>,
    leads: bool,
}

#[derive(Clone, Default)]
struct Teller(Arc<(Mutex<Told>, Notify)>);

impl Teller {
    async fn until(&self, look: impl Fn(&Told) -> bool) {
        let seen = async {
            loop {
                let changed = self.0.1.notified();
                if look(&self.told()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(WAIT_MAX, seen).await.unwrap();
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.0.lock().unwrap()
    }

    /// The index of the last entry; 0 when there is none.
    fn last(&self) -> u64 {
        let told = self.told();
        told.entries.last_key_value().map_or(0, |(index, _)| *index)
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.told());
        self.0.1.notify_one();
    }
}

impl Commits<u8> for Teller {
    fn committed(&mut self, entry: Committed<u8>) {
        self.tell(|told| {
            let before = told.entries.insert(entry.index.0, entry.body);
            assert_eq!(before, None, "entry {} comes once", entry.index);
            told.back.extend(entry.receipts);
        });
    }

    fn failed(&mut self, _: GroupId, receipts: Vec<u8>, error: &LogError) {
        assert!(
            matches!(error, LogError::Undecided | LogError::NotLeader { .. }),
            "{error}"
        );
        self.tell(|told| told.back.extend(receipts));
    }

    fn leader_changed(&mut self, _: GroupId, leadership: Leadership) {
        self.tell(|told| told.leads = leadership.is_here);
    }

    fn round_complete(&mut self) {}
}

struct Byte(u8);

impl Encode for Byte {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_u8(self.0);
    }
}

/// Applies nothing, ever.
#[derive(Clone, Default)]
struct Stuck(Arc<(Mutex<Vec<Committed<u8>>>, Notify)>);

impl Commits<u8> for Stuck {
    fn committed(&mut self, entry: Committed<u8>) {
        self.0.0.lock().unwrap().push(entry);
        self.0.1.notify_one();
    }

    fn failed(&mut self, _: GroupId, _: Vec<u8>, _: &LogError) {}

    fn round_complete(&mut self) {}
}

/// More than a disk has room for that is full.
struct Large;

impl Encode for Large {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_bytes(7, 4 * 1024 * 1024);
    }
}

fn start(disk: &FaultyDisk, teller: &Teller) -> RaftLog<u8> {
    start_with(
        disk,
        teller.clone(),
        RaftOptions::default().pending_bytes_max,
    )
}

/// With the group, of which the node is the first voter.
fn founded(disk: &FaultyDisk, teller: &Teller) -> RaftLog<u8> {
    let log = start(disk, teller);
    log.open_replicated(GROUP, LogIndex(0), [NodeId(1)])
        .unwrap();
    log
}

fn start_with(
    disk: &FaultyDisk,
    commits: impl Commits<u8>,
    pending_bytes_max: usize,
) -> RaftLog<u8> {
    let (wal, replay) = Wal::open(
        Arc::new(disk.clone()),
        Path::new("wal"),
        WalOptions::default(),
    )
    .unwrap();
    let mut recovered = RecoveredGroups::default();
    for entry in replay {
        recovered.take(&entry.unwrap()).unwrap();
    }
    let parts = RaftParts {
        here: NodeId(1),
        links: Arc::new(NoPeers),
        snapshots: Arc::new(NoPeers),
        entropy: Arc::new(SeededEntropy::new(1)),
        runtime: Handle::current(),
        options: RaftOptions {
            heartbeat: Duration::from_millis(20),
            election_timeout: Duration::from_millis(100),
            pending_bytes_max,
            ..RaftOptions::default()
        },
    };
    RaftLog::start(wal, recovered, commits, parts).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_panics_starts_again_and_every_receipt_comes_back() {
    let (disk, teller) = (FaultyDisk::new(), Teller::default());
    let log = founded(&disk, &teller);
    for round in 0..3 {
        teller.until(|told| told.leads).await;
        for byte in 0..10 {
            log.propose(GROUP, &Byte(byte), byte).unwrap();
        }
        let core = log.group(GROUP).unwrap().core().unwrap();
        let asked = core.external_request(|_| panic!("as openraft might")).await;
        drop(asked);
        teller.until(|told| !told.leads).await;
        teller
            .until(|told| told.back.len() == (round + 1) * 10)
            .await;
    }
    teller.until(|told| told.leads).await;
    log.propose(GROUP, &Byte(77), 77).unwrap();
    teller.until(|told| told.back.contains(&77)).await;
    log.shutdown().await;
    let told = teller.told();
    let indexes: Vec<_> = told.entries.keys().copied().collect();
    assert!(
        indexes.iter().copied().eq(1..=indexes.len() as u64),
        "{indexes:?}"
    );
    assert!(told.entries.values().any(|body| body.contains(&77)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_on_where_its_state_machine_is_and_not_behind_its_log() {
    let (disk, teller) = (FaultyDisk::new(), Teller::default());
    let log = founded(&disk, &teller);
    log.open_group(GroupId(9), LogIndex(0));
    teller.until(|told| told.leads).await;
    for byte in 0..10 {
        log.propose(GROUP, &Byte(byte), byte).unwrap();
    }
    teller.until(|told| told.back.len() == 10).await;
    log.shutdown().await;
    let last = teller.last();

    let again = Teller::default();
    let log = start(&disk, &again);
    let broken = log
        .open_replicated(GROUP, LogIndex(last + 5), [])
        .unwrap_err();
    assert!(matches!(broken, OpenError::Broken(broken) if broken.index.0 == last + 5));
    log.open_replicated(GROUP, LogIndex(last), []).unwrap();
    again.until(|told| told.leads).await;
    log.propose(GROUP, &Byte(1), 1).unwrap();
    again.until(|told| told.back == [1]).await;
    log.remove_replicated(GROUP).await.unwrap();
    log.shutdown().await;
    let first = *again.told().entries.first_key_value().unwrap().0;
    assert_eq!(
        first,
        last + 1,
        "what the state machine has is not handed on again"
    );

    let gone = Teller::default();
    let log = start(&disk, &gone);
    assert_eq!(log.unopened().len(), 0);
    assert!(log.open_replicated(GROUP, LogIndex(last), []).is_err());
    log.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_opened_again_once_it_is_closed_and_not_before() {
    let (disk, teller) = (FaultyDisk::new(), Teller::default());
    let log = start(&disk, &teller);
    for round in 1..5 {
        let last = teller.last();
        log.open_replicated(GROUP, LogIndex(last), [NodeId(1)])
            .unwrap();
        teller.until(|told| told.leads).await;
        log.propose(GROUP, &Byte(1), 1).unwrap();
        teller.until(|told| told.back.len() == round).await;
        log.close_group(GROUP);
        let refused = log.propose(GROUP, &Byte(2), 2).unwrap_err().reason;
        assert_eq!(refused, Refusal::NoGroup);
        let last = teller.last();
        match log.open_replicated(GROUP, LogIndex(last), []) {
            Err(error) => assert_eq!(error, OpenError::Closing(GROUP)),
            // It was closed by then, and is open again.
            Ok(()) => assert!(log.leadership(GROUP).is_some()),
        }
        log.close_replicated(GROUP).await;
        assert!(!teller.told().leads);
        assert_eq!(log.status(GROUP), None);
    }
    log.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_waits_for_its_state_machine_can_be_closed() {
    let (disk, teller) = (FaultyDisk::new(), Teller::default());
    let log = founded(&disk, &teller);
    teller.until(|told| told.leads).await;
    for byte in 0..10 {
        log.propose(GROUP, &Byte(byte), byte).unwrap();
        teller
            .until(|told| told.back.len() == usize::from(byte) + 1)
            .await;
    }
    log.shutdown().await;

    let stuck = Stuck::default();
    let log = start_with(&disk, stuck.clone(), 2);
    log.open_replicated(GROUP, LogIndex(0), []).unwrap();
    let bytes = |held: &[Committed<u8>]| held.iter().map(|entry| entry.body.len()).sum::<usize>();
    while bytes(&stuck.0.0.lock().unwrap()) < 2 {
        stuck.0.1.notified().await;
    }
    let closed = tokio::time::timeout(WAIT_MAX, log.shutdown()).await;
    closed.unwrap();
    assert_eq!(bytes(&stuck.0.0.lock().unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_is_full_can_be_shut_down() {
    let (disk, teller) = (FaultyDisk::new(), Teller::default());
    let log = founded(&disk, &teller);
    teller.until(|told| told.leads).await;
    let vote = log.group(GROUP).unwrap().log().vote();
    disk.set_capacity(Some(disk.used_bytes()));
    log.propose(GROUP, &Large, 1).unwrap();
    // The core waits in the middle of its work until its vote is written.
    let open = log.group(GROUP).unwrap();
    let (core, request) = (
        open.core().unwrap(),
        AppendEntriesRequest {
            vote: Vote::new_committed(1000, 2),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        },
    );
    let asked = tokio::spawn(async move { core.append_entries(request).await.is_ok() });
    let changed = async {
        while open.log().vote() == vote {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT_MAX, changed).await.unwrap();
    let closed = tokio::time::timeout(WAIT_MAX, log.shutdown()).await;
    closed.unwrap();
    assert!(!asked.await.unwrap(), "its vote was not written");
    teller.until(|told| told.back == [1]).await;
}
