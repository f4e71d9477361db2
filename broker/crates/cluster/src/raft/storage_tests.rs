//! What the log of a Raft group is after a crash at every write and every sync: what it was after some change
//! not before the last one that was said to be durable.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::{FaultyDisk, SeededEntropy};
use hitherto_storage::{Wal, WalOptions};
use openraft::{EntryPayload, RaftLogReader as _};

use super::group_log::{Entries, Flushed, GroupLog};
use super::log_store::{LogStore, until_flushed};
use super::recovered::RecoveredGroups;
use super::tail::Tail;
use super::types::{Entry, Membership, Records, StoredMembership, Vote, log_id};
use crate::{Commits, Committed, Encode, Log as _, LogError, SoloLog, SoloOptions};

const WAIT_MAX: Duration = Duration::from_secs(10);
/// As long as nobody has told anything a change may go on: the lane tries again after 100 ms.
const SILENCE: Duration = Duration::from_millis(500);
const GROUPS: [GroupId; 2] = [GroupId(3), GroupId(4)];

struct Nobody;

impl Commits<()> for Nobody {
    fn committed(&mut self, _: Committed<()>) {}

    fn failed(&mut self, _: GroupId, _: Vec<()>, _: &LogError) {}

    fn round_complete(&mut self) {}
}

/// A change of a group's log.
#[derive(Debug, Clone)]
enum Change {
    Vote(u64),
    /// So many entries of a term.
    Append(u64, u64),
    /// Keeps so many entries less.
    Truncate(u64),
    /// Up to so many entries before the last.
    Purge(u64),
}

/// A group's log as it must be.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    vote: Option<Vote>,
    purged: Option<(u64, u64)>,
    entries: Vec<Entry>,
}

impl Model {
    fn next(&self) -> u64 {
        let purged = self.purged.map_or(0, |(_, index)| index + 1);
        self.entries
            .last()
            .map_or(purged, |entry| entry.log_id.index + 1)
    }

    fn entry(&self, term: u64, index: u64) -> Entry {
        let payload = match index % 5 {
            0 => EntryPayload::Membership(Membership::new_with_defaults(
                vec![[1, 2, u128::from(index)].into_iter().collect()],
                [],
            )),
            1 => EntryPayload::Blank,
            _ => {
                let len = usize::try_from(index * 991 % 3000).unwrap();
                let byte = u8::try_from((term * 31 + index) % 251).unwrap();
                EntryPayload::Normal(Records(Bytes::from(vec![byte; len])))
            }
        };
        Entry {
            log_id: log_id(term, index),
            payload,
        }
    }

    /// Makes a change here and in the log.
    fn change(&mut self, change: &Change, log: &GroupLog, flushed: Flushed) {
        match *change {
            Change::Vote(term) => {
                let vote = Vote::new(term, u128::from(term % 3));
                self.vote = Some(vote);
                log.save_vote(vote, flushed);
            }
            Change::Append(term, count) => {
                let first = self.next();
                let appended: Vec<_> = (first..first + count)
                    .map(|index| self.entry(term, index))
                    .collect();
                self.entries.extend(appended.clone());
                log.append(appended, flushed).unwrap();
            }
            Change::Truncate(count) => {
                let keep = self
                    .entries
                    .len()
                    .saturating_sub(usize::try_from(count).unwrap());
                self.entries.truncate(keep);
                let last = self.entries.last().map(|entry| entry.log_id);
                let purged = self.purged.map(|(term, index)| log_id(term, index));
                log.truncate_after(last.or(purged), flushed);
            }
            Change::Purge(before_last) => {
                let count = u64::try_from(self.entries.len()).unwrap();
                if count > before_last {
                    let count = usize::try_from(count - before_last).unwrap();
                    let upto = self.entries[count - 1].log_id;
                    self.entries.drain(..count);
                    self.purged = Some((super::types::term_of(&upto), upto.index));
                    log.purge(upto, flushed).unwrap();
                } else {
                    log.save_vote(self.vote.unwrap_or(Vote::new(0, 0)), flushed);
                    self.vote.get_or_insert(Vote::new(0, 0));
                }
            }
        }
    }
}

struct Life {
    solo: SoloLog<()>,
    logs: Vec<Arc<GroupLog>>,
}

/// Opens the log; the disk may fail meanwhile.
fn begin(disk: &FaultyDisk, seed: u64) -> Result<Life, hitherto_storage::Error> {
    let options = WalOptions {
        file_bytes: 32 * 1024,
        grow_bytes: 4096,
        spare_files: 1,
        entropy: Arc::new(SeededEntropy::new(seed)),
        ..WalOptions::default()
    };
    let (wal, replay) = Wal::open(Arc::new(disk.clone()), Path::new("wal"), options)?;
    let mut recovered = RecoveredGroups::default();
    for entry in replay {
        assert!(recovered.take(&entry?).unwrap());
    }
    recovered.check().unwrap();
    let reader = wal.reader();
    let solo = SoloLog::start(wal, Nobody, SoloOptions::default()).unwrap();
    let tail = Arc::new(Tail::new(10_000));
    let log = |group: &GroupId| {
        let entries: Entries = recovered.groups.remove(group).unwrap_or_default();
        let parts = (solo.lane(), reader.clone(), Arc::clone(&tail));
        GroupLog::new(*group, entries, parts)
    };
    let logs = GROUPS.iter().map(log).collect();
    Ok(Life { solo, logs })
}

fn found(log: &GroupLog) -> Model {
    let entries = log.read(log.look_up(0..u64::MAX, usize::MAX)).unwrap();
    Model {
        vote: log.vote(),
        purged: log
            .purged()
            .map(|id| (super::types::term_of(&id), id.index)),
        entries,
    }
}

/// Every state a log was in, and how many of the changes were said to be durable.
struct History {
    states: Vec<Model>,
    told: Receiver<Result<(), LogError>>,
    durable: usize,
    /// How many are known to have failed; all of them are later ones.
    failed: usize,
    /// Nothing was told for long: a disk that is dead and was not written to yet is waited for, as a full one.
    is_silent: bool,
}

impl History {
    /// Takes what was told; with `all` waits for everything.
    fn listen(&mut self, all: bool) {
        while self.durable + self.failed + 1 < self.states.len() {
            let told = match all && !self.is_silent {
                true => self.told.recv_timeout(SILENCE).ok(),
                false => self.told.try_recv().ok(),
            };
            match told {
                Some(Ok(())) => {
                    assert_eq!(self.failed, 0, "nothing is durable behind what failed");
                    self.durable += 1;
                }
                Some(Err(_)) => self.failed += 1,
                None => return self.is_silent |= all,
            }
        }
    }
}

fn changes(rng: &mut fastrand::Rng) -> Vec<Change> {
    let mut term = 1;
    let change = |_| {
        Some(match rng.u8(..12) {
            0 | 1 => {
                term += 1;
                Change::Vote(term)
            }
            2 => {
                // What replaces entries is of another term.
                term += 1;
                Change::Truncate(rng.u64(0..4))
            }
            3 => Change::Purge(rng.u64(0..3)),
            _ => Change::Append(term, rng.u64(1..4)),
        })
    };
    (0..45).filter_map(change).collect()
}

/// Runs the changes until the disk fails, ends the life so, and looks at what is there in the next.
fn run(seed: u64, arm: impl Fn(&FaultyDisk), end: impl Fn(&FaultyDisk)) -> bool {
    let mut rng = fastrand::Rng::with_seed(seed);
    let disk = FaultyDisk::new();
    let life = begin(&disk, seed).unwrap();
    arm(&disk);
    let mut histories = Vec::new();
    let mut senders = Vec::new();
    for _ in GROUPS {
        let (sender, told) = sync_channel(1000);
        senders.push(sender);
        histories.push(History {
            states: vec![Model::default()],
            told,
            durable: 0,
            failed: 0,
            is_silent: false,
        });
    }
    for changes in changes(&mut rng).chunks(3) {
        for (number, change) in changes.iter().enumerate() {
            let of = number % GROUPS.len();
            let history = &mut histories[of];
            let mut state = history.states.last().unwrap().clone();
            let sender = senders[of].clone();
            let flushed = Box::new(move |written| sender.send(written).unwrap());
            state.change(change, &life.logs[of], flushed);
            history.states.push(state);
            // Some wait, as a vote does, and others go on, as appends do.
            history.listen(rng.bool());
        }
    }
    let is_through = histories.iter_mut().all(|history| {
        history.listen(true);
        history.durable + 1 == history.states.len()
    });
    end(&disk);
    drop(life);
    let life = match begin(&disk, seed + 1) {
        Ok(life) => life,
        // What is armed may strike only now.
        Err(_) => {
            disk.crash();
            begin(&disk, seed + 2).unwrap()
        }
    };
    for (log, history) in life.logs.iter().zip(&histories) {
        let found = found(log);
        let possible = &history.states[history.durable..];
        assert!(
            possible.contains(&found),
            "seed {seed}: {} changes were durable; found {found:?}, last {:?}",
            history.durable,
            history.states.last()
        );
    }
    // It goes on from there.
    let (sender, told) = sync_channel(1);
    let mut state = found(&life.logs[0]);
    let flushed = Box::new(move |written| sender.send(written).unwrap());
    state.change(&Change::Append(1000, 2), &life.logs[0], flushed);
    told.recv_timeout(WAIT_MAX).unwrap().unwrap();
    life.solo.shutdown();
    disk.crash();
    drop(life);
    let life = begin(&disk, seed + 3).unwrap();
    assert_eq!(found(&life.logs[0]), state, "seed {seed}");
    is_through
}

#[test]
fn a_power_cut_at_any_point_loses_nothing_durable_and_brings_nothing_back() {
    for seed in 0..2 {
        for operations in 0.. {
            let arm = |disk: &FaultyDisk| disk.cut_power_after(operations);
            let is_through = run(seed, arm, |disk| match operations % 2 {
                0 => disk.crash(),
                _ => disk.crash_torn(operations),
            });
            if is_through {
                break;
            }
        }
    }
}

#[test]
fn a_failed_sync_or_write_is_told_and_loses_nothing_durable() {
    for seed in 10..12 {
        for after in 0.. {
            let is_through = run(seed, |disk| disk.fail_sync(after), FaultyDisk::crash);
            let write = |disk: &FaultyDisk| disk.fail_write(after);
            if run(seed, write, |disk| disk.crash_torn(after)) && is_through {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_makes_items_wait_and_refuses_none() {
    let disk = FaultyDisk::new();
    let life = begin(&disk, 1).unwrap();
    let mut state = Model::default();
    let (sender, told) = sync_channel(100);
    let flushed = || -> Flushed {
        let sender = sender.clone();
        Box::new(move |written| sender.send(written).unwrap())
    };
    state.change(&Change::Append(1, 20), &life.logs[0], flushed());
    told.recv_timeout(WAIT_MAX).unwrap().unwrap();
    disk.set_capacity(Some(disk.used_bytes()));
    for _ in 0..20 {
        state.change(&Change::Append(1, 20), &life.logs[0], flushed());
    }
    let told_so_far = told.try_iter().map(Result::unwrap).count();
    assert!(told_so_far < 20, "there is no room for all of them");
    disk.set_capacity(None);
    for _ in told_so_far..20 {
        told.recv_timeout(WAIT_MAX).unwrap().unwrap();
    }
    drop(life);
    disk.crash();
    let life = begin(&disk, 2).unwrap();
    assert_eq!(found(&life.logs[0]), state);
}

#[test]
fn the_log_is_released_up_to_what_a_group_needs_and_its_state_moves_forward() {
    let disk = FaultyDisk::new();
    let life = begin(&disk, 1).unwrap();
    let log = &life.logs[0];
    let mut state = Model::default();
    let mut change = |change: Change| {
        let (sender, told) = sync_channel(1);
        state.change(
            &change,
            log,
            Box::new(move |written| sender.send(written).unwrap()),
        );
        told.recv_timeout(WAIT_MAX).unwrap().unwrap();
        state.clone()
    };
    assert_eq!(log.needed_from(), None, "an empty group needs nothing");
    change(Change::Vote(4));
    let vote = log.needed_from().unwrap();
    for _ in 0..40 {
        change(Change::Append(4, 3));
    }
    assert_eq!(log.needed_from(), Some(vote));
    let purged = change(Change::Purge(1));
    let needed = log.needed_from().unwrap();
    assert!(
        needed > vote,
        "the entries before are gone, and the vote lies behind"
    );
    change(Change::Append(4, 60));
    assert_eq!(log.needed_from(), Some(needed));
    let here = log.position_of(purged.next() + 59);
    log.move_state_forward(here);
    change(Change::Purge(0));
    let forward = log.needed_from().unwrap();
    assert!(forward >= here, "{forward} {here}");
    let known = change(Change::Append(5, 1));
    crate::Log::release(&life.solo, forward);
    life.solo.shutdown();
    drop(life);
    let names = hitherto_platform::Disk::list(&disk, Path::new("wal")).unwrap();
    assert!(!names.iter().any(|entry| entry.name == "wal-0000000001.log"));
    let life = begin(&disk, 2).unwrap();
    assert_eq!(found(&life.logs[0]), known);
    drop(life);
}

/// Makes the disk full with an entry in front of the lane that has no room; what comes behind it waits.
fn fill_up(disk: &FaultyDisk, log: &GroupLog, index: u64) {
    disk.set_capacity(Some(disk.used_bytes()));
    let payload = EntryPayload::Normal(Records(Bytes::from(vec![7; 3 * 1024 * 1024])));
    let log_id = log_id(1000, index);
    let entry = Entry { log_id, payload };
    log.append([entry], Box::new(drop)).unwrap();
}

#[test]
fn nothing_is_released_before_that_it_is_not_needed_is_durable() {
    for is_removed in [false, true] {
        let disk = FaultyDisk::new();
        let life = begin(&disk, 1).unwrap();
        let log = &life.logs[0];
        let mut state = Model::default();
        let (sender, told) = sync_channel(1);
        for change in [
            Change::Append(1, 60),
            Change::Vote(2),
            Change::Append(2, 60),
        ] {
            let sender = sender.clone();
            let flushed = Box::new(move |written| sender.send(written).unwrap());
            state.change(&change, log, flushed);
            told.recv_timeout(WAIT_MAX).unwrap().unwrap();
        }
        let needed = log.needed_from();
        fill_up(&disk, &life.logs[1], 0);
        match is_removed {
            true => log.remove(Box::new(drop)),
            false => log.purge(log_id(2, 100), Box::new(drop)).unwrap(),
        }
        assert_eq!(log.needed_from(), needed, "removed: {is_removed}");
        crate::Log::release(&life.solo, log.needed_from().unwrap());
        life.solo.shutdown();
        drop(life);
        disk.set_capacity(None);
        disk.crash();
        let life = begin(&disk, 2).unwrap();
        let log = &life.logs[0];
        assert_eq!(found(log), state, "removed: {is_removed}");
        let (sender, told) = sync_channel(1);
        let flushed = Box::new(move |written| sender.send(written).unwrap());
        match is_removed {
            true => log.remove(flushed),
            false => log.purge(log_id(2, 100), flushed).unwrap(),
        }
        told.recv_timeout(WAIT_MAX).unwrap().unwrap();
        assert!(log.needed_from() != needed, "removed: {is_removed}");
    }
}

#[tokio::test]
async fn what_waits_for_room_is_waited_for_before_a_core_begins() {
    let disk = FaultyDisk::new();
    let life = begin(&disk, 1).unwrap();
    let log = &life.logs[0];
    until_flushed(|flushed| log.sync(flushed)).await.unwrap();
    fill_up(&disk, log, 0);
    let mut synced = Box::pin(until_flushed(|flushed| log.sync(flushed)));
    assert!(futures_util::poll!(&mut synced).is_pending());
    let held = until_flushed(|flushed| life.logs[1].save_vote(Vote::new(1, 1), flushed));
    let mut held = Box::pin(held);
    assert!(futures_util::poll!(&mut held).is_pending());
    disk.set_capacity(None);
    synced.await.unwrap();
    held.await.unwrap();
    assert!(log.needed_from().is_some());
}

#[test]
fn a_log_that_ends_on_a_full_disk_has_nothing_behind_what_was_not_written() {
    let disk = FaultyDisk::new();
    let life = begin(&disk, 1).unwrap();
    let log = &life.logs[0];
    let mut state = Model::default();
    let (sender, told) = sync_channel(10);
    let flushed = || -> Flushed {
        let sender = sender.clone();
        Box::new(move |written| sender.send(written).unwrap())
    };
    state.change(&Change::Append(1, 4), log, flushed());
    told.recv_timeout(WAIT_MAX).unwrap().unwrap();
    fill_up(&disk, log, 4);
    // There is room for these.
    let blank = Entry {
        log_id: log_id(1000, 5),
        payload: EntryPayload::Blank,
    };
    log.append([blank], flushed()).unwrap();
    log.save_vote(Vote::new(1001, 1), flushed());
    life.solo.shutdown();
    for _ in 0..2 {
        told.recv_timeout(WAIT_MAX).unwrap().unwrap_err();
    }
    drop(life);
    disk.set_capacity(None);
    let life = begin(&disk, 2).unwrap();
    assert_eq!(found(&life.logs[0]), state);
}

#[test]
fn a_log_begins_behind_a_snapshot_the_state_machine_has_taken_over() {
    let membership = Membership::new_with_defaults(vec![[1, 2, 9].into_iter().collect()], []);
    let stored = StoredMembership::new(Some(log_id(5, 30)), membership);
    // The log ends before the snapshot, or has other entries there, or the same.
    for (term, count, kept) in [(4, 10, 0), (4, 60, 0), (5, 60, 19)] {
        let disk = FaultyDisk::new();
        let life = begin(&disk, 1).unwrap();
        let mut state = Model::default();
        let (sender, told) = sync_channel(1);
        let flushed = || -> Flushed {
            let sender = sender.clone();
            Box::new(move |written| sender.send(written).unwrap())
        };
        state.change(&Change::Append(term, count), &life.logs[0], flushed());
        told.recv_timeout(WAIT_MAX).unwrap().unwrap();
        life.logs[0].begin_install(log_id(5, 40), stored.clone(), flushed());
        told.recv_timeout(WAIT_MAX).unwrap().unwrap();
        disk.crash();
        drop(life);

        let life = begin(&disk, 2).unwrap();
        let log = &life.logs[0];
        assert_eq!(log.begin_behind(count + 100), None, "it has not that entry");
        assert_eq!(log.begin_behind(40), Some(log_id(5, 40)));
        let followers = log.look_up(41..u64::MAX, usize::MAX).len();
        assert_eq!(followers, kept, "term {term}");
        if kept == 0 {
            assert_eq!(log.purged(), Some(log_id(5, 40)));
            assert_eq!(log.membership_at(40).unwrap(), stored);
        }
        log.save_vote(Vote::new(6, 1), flushed());
        told.recv_timeout(WAIT_MAX).unwrap().unwrap();
        let before = found(log);
        disk.crash();
        drop(life);
        let life = begin(&disk, 3).unwrap();
        assert_eq!(found(&life.logs[0]), before, "term {term}");
        assert_eq!(life.logs[0].begin_behind(40), Some(log_id(5, 40)));
    }
}

/// Holds the lane up until the test has heard of the entry.
struct Held(SyncSender<()>);

impl Commits<()> for Held {
    fn committed(&mut self, _: Committed<()>) {
        self.0.send(()).ok();
    }

    fn failed(&mut self, _: GroupId, _: Vec<()>, error: &LogError) {
        panic!("{error}");
    }

    fn round_complete(&mut self) {}
}

struct Text(&'static str);

impl Encode for Text {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_slice(self.0.as_bytes());
    }
}

#[test]
fn groups_of_both_sorts_share_one_write_and_one_sync() {
    const ALONE: GroupId = GroupId(1);
    let disk = FaultyDisk::new();
    let (wal, _) = Wal::open(
        Arc::new(disk.clone()),
        Path::new("wal"),
        WalOptions::default(),
    )
    .unwrap();
    let reader = wal.reader();
    let (held, told) = sync_channel(0);
    let solo = SoloLog::start(wal, Held(held), SoloOptions::default()).unwrap();
    solo.open_group(ALONE, LogIndex(0));
    let tail = Arc::new(Tail::new(0));
    let logs = GROUPS.map(|group| {
        let parts = (solo.lane(), reader.clone(), Arc::clone(&tail));
        GroupLog::new(group, Entries::default(), parts)
    });
    let before = disk.counters();
    solo.propose(ALONE, &Text("first"), ()).unwrap();
    // The lane has written it, and waits until somebody hears of it.
    let written = |counters: hitherto_platform::Counters| (counters.writes, counters.syncs);
    while written(disk.counters()) == written(before) {
        std::thread::yield_now();
    }
    let before = disk.counters();
    let (flushed, durable) = sync_channel(10);
    for (log, model) in logs.iter().zip([Model::default(), Model::default()]) {
        let flushed = || -> Flushed {
            let flushed = flushed.clone();
            Box::new(move |written| flushed.send(written).unwrap())
        };
        log.save_vote(Vote::new(3, 1), flushed());
        log.append([model.entry(3, 0), model.entry(3, 1)], flushed())
            .unwrap();
        log.truncate_after(Some(log_id(3, 0)), flushed());
    }
    solo.propose(ALONE, &Text("second"), ()).unwrap();
    for _ in 0..2 {
        told.recv_timeout(WAIT_MAX).unwrap();
    }
    for _ in 0..6 {
        durable.recv_timeout(WAIT_MAX).unwrap().unwrap();
    }
    let after = written(disk.counters());
    assert_eq!(after, (before.writes + 1, before.syncs + 1));
    solo.shutdown();
}

#[test]
fn a_gap_is_refused_and_changes_nothing() {
    let disk = FaultyDisk::new();
    let life = begin(&disk, 1).unwrap();
    let model = Model::default();
    let entry = |index| model.entry(1, index);
    let append = |entries: Vec<Entry>| life.logs[0].append(entries, Box::new(|_| ()));
    append(vec![entry(0), entry(1)]).unwrap();
    append(vec![entry(2), entry(4)]).unwrap_err();
    append(vec![entry(1)]).unwrap_err();
    assert_eq!(life.logs[0].last(), Some(log_id(1, 1)));
    append(vec![entry(2)]).unwrap();
}

#[test]
fn a_log_goes_on_behind_what_is_purged() {
    let disk = FaultyDisk::new();
    let life = begin(&disk, 1).unwrap();
    let model = Model::default();
    let log = &life.logs[0];
    let append = |index| log.append([model.entry(1, index)], Box::new(|_| ()));
    append(0).unwrap();
    append(1).unwrap();
    log.purge(log_id(1, 9), Box::new(drop)).unwrap();
    append(2).unwrap_err();
    append(11).unwrap_err();
    append(10).unwrap();
    assert_eq!(log.last(), Some(log_id(1, 10)));
}

#[test]
fn entries_behind_a_gap_are_not_read() {
    let disk = FaultyDisk::new();
    let life = begin(&disk, 1).unwrap();
    let mut state = Model::default();
    state.change(&Change::Append(1, 20), &life.logs[0], Box::new(drop));
    life.logs[0].purge(log_id(1, 9), Box::new(drop)).unwrap();
    let mut store = LogStore(Arc::clone(&life.logs[0]));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let indexes = |read: Vec<Entry>| -> Vec<u64> {
            read.iter().map(|entry| entry.log_id.index).collect()
        };
        let kept: Vec<_> = (10..20).collect();
        let some = store.limited_get_log_entries(10, 20).await.unwrap();
        assert_eq!(indexes(some), kept);
        let behind = store.limited_get_log_entries(5, 20).await.unwrap();
        assert!(behind.is_empty(), "they would be taken for those asked for");
    });
}

#[test]
fn a_removed_group_does_not_come_back() {
    let disk = FaultyDisk::new();
    let life = begin(&disk, 1).unwrap();
    let mut state = Model::default();
    let (sender, told) = sync_channel(3);
    for change in [Change::Vote(1), Change::Append(1, 9)] {
        let sender = sender.clone();
        let flushed = Box::new(move |written| sender.send(written).unwrap());
        state.change(&change, &life.logs[0], flushed);
    }
    life.logs[0].remove(Box::new(move |written| sender.send(written).unwrap()));
    for _ in 0..3 {
        told.recv_timeout(WAIT_MAX).unwrap().unwrap();
    }
    assert_eq!(life.logs[0].needed_from(), None);
    disk.crash();
    drop(life);
    let life = begin(&disk, 2).unwrap();
    assert_eq!(found(&life.logs[0]), Model::default());
}
