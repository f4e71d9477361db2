//! The log against a list, under any order of appends, releases, faults, crashes and restarts.
//!
//! What was acknowledged is there, in order and once, but for the files that were released; behind it
//! comes the batch that was under way when a fault struck, whole, or nothing. What a start hands out
//! stays, whatever happens next.

use hitherto_platform::{FaultyDisk, SeededEntropy};
use proptest::prelude::*;
use proptest::sample;

use super::tests::wal_entries;
use super::*;

const DIR: &str = "/store/wal";

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<usize>),
    /// Everything before this entry is not needed any more.
    Release(sample::Index),
    /// A checkpoint that needs the log from this entry on, and has seen all of it.
    Checkpoint(sample::Index),
    Mark,
    Restart(End),
    /// So many more operations succeed before the power is cut.
    CutPower(u64),
    FailSync(u64),
    FailWrite(u64),
    Capacity(Option<u64>),
}

/// How a life of the process ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Orderly,
    /// Nothing is lost, and what was not synced is not yet safe.
    Killed,
    Crash,
    CrashTorn(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        Just(End::Orderly),
        Just(End::Killed),
        Just(End::Crash),
        any::<u64>().prop_map(End::CrashTorn),
    ];
    prop_oneof![
        24 => prop::collection::vec(0..3_000_usize, 1..4).prop_map(Step::Append),
        3 => any::<sample::Index>().prop_map(Step::Release),
        2 => any::<sample::Index>().prop_map(Step::Checkpoint),
        2 => Just(Step::Mark),
        4 => end.prop_map(Step::Restart),
        2 => (0..25_u64).prop_map(Step::CutPower),
        1 => (0..4_u64).prop_map(Step::FailSync),
        1 => (0..4_u64).prop_map(Step::FailWrite),
        1 => prop::option::of(4_096..80_000_u64).prop_map(Step::Capacity),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Kept {
    group: u32,
    index: u64,
    body: Vec<u8>,
    position: WalPosition,
}

struct World {
    disk: FaultyDisk,
    /// `None` between two lives.
    wal: Option<Wal>,
    spare_files: usize,
    lives: u64,
    appended: u64,
    acked: Vec<Kept>,
    /// The batch of which nobody knows whether it is there.
    under_way: Vec<(u32, u64, Vec<u8>)>,
    /// The log has failed: nothing may be acknowledged before the next life.
    is_dead: bool,
    /// Files below may be gone.
    released: u64,
    checkpointed: Option<WalRange>,
}

impl World {
    fn new(spare_files: usize) -> Self {
        let mut world = Self {
            disk: FaultyDisk::new(),
            wal: None,
            spare_files,
            lives: 0,
            appended: 0,
            acked: Vec::new(),
            under_way: Vec::new(),
            is_dead: false,
            released: 0,
            checkpointed: None,
        };
        world.begin_life();
        world
    }

    fn wal(&mut self) -> &mut Wal {
        self.wal.as_mut().unwrap()
    }

    fn append(&mut self, sizes: &[usize]) {
        let mut entries = Vec::new();
        for size in sizes {
            self.appended += 1;
            let byte = self.appended.to_le_bytes()[0];
            let group = u32::from(byte % 3);
            entries.push((group, self.appended, vec![byte; *size]));
        }
        match self.wal().append(&wal_entries(&entries)) {
            Ok(position) => {
                assert!(!self.is_dead, "a log that failed acknowledges nothing");
                let kept = entries.into_iter().map(|(group, index, body)| Kept {
                    group,
                    index,
                    body,
                    position,
                });
                self.acked.extend(kept);
            }
            // Nothing was written.
            Err(Error::Full { .. } | Error::NoNextFile { .. }) => {}
            Err(_) if self.is_dead => {}
            Err(_) => {
                self.is_dead = true;
                self.under_way = entries;
            }
        }
    }

    fn release(&mut self, entry: sample::Index) {
        if self.acked.is_empty() {
            return;
        }
        let at = self.acked[entry.index(self.acked.len())].position;
        // A release that fails may have let go of some of the files.
        self.released = self.released.max(at.file);
        if let Some(range) = &mut self.checkpointed {
            range.from = range.from.max(at);
            range.to = range.to.max(range.from);
        }
        self.wal().release(at).ok();
    }

    fn checkpoint(&mut self, entry: sample::Index) {
        let needed = self.acked.iter().map(|kept| kept.position);
        let needed: Vec<_> = needed.filter(|at| at.file >= self.released).collect();
        if self.is_dead || needed.is_empty() {
            return;
        }
        let from = needed[entry.index(needed.len())];
        let to = self.wal().position();
        self.checkpointed = WalRange::covering([from, to]);
    }

    fn restart(&mut self, end: End) {
        match end {
            End::Orderly => self.wal = None,
            End::Killed => self.disk.kill(),
            End::Crash => self.disk.crash(),
            End::CrashTorn(seed) => self.disk.crash_torn(seed),
        }
        self.wal = None;
        self.begin_life();
    }

    fn begin_life(&mut self) {
        // A fault may strike while the log is opened; the next start must find everything again.
        if self.try_open().is_err() {
            self.disk.crash();
            self.try_open().expect("nothing is armed any more");
        }
        self.is_dead = false;
        self.under_way.clear();
    }

    fn try_open(&mut self) -> Result<(), Error> {
        self.lives += 1;
        let options = WalOptions {
            file_bytes: 16 * 1024,
            grow_bytes: 2048,
            spare_files: self.spare_files,
            entropy: Arc::new(SeededEntropy::new(self.lives)),
            checkpointed: self.checkpointed,
            replay_from: None,
        };
        let disk = Arc::new(self.disk.clone());
        let (wal, replay) = Wal::open(disk, Path::new(DIR), options)?;
        let entries: Vec<Entry> = replay.collect::<Result<_, _>>()?;
        let entries = entries.into_iter().map(|entry| Kept {
            group: entry.group.0,
            index: entry.index.0,
            body: entry.body.to_vec(),
            position: entry.position,
        });
        self.take_over(entries.collect());
        self.wal = Some(wal);
        Ok(())
    }

    fn take_over(&mut self, found: Vec<Kept>) {
        let released = |kept: &Kept| kept.position.file < self.released;
        let may_be_gone = self.acked.iter().take_while(|kept| released(kept)).count();
        let rest = (0..=may_be_gone).find_map(|gone| found.strip_prefix(&self.acked[gone..]));
        let rest = rest.unwrap_or_else(|| {
            panic!("acknowledged {:#?}, found {found:#?}", self.acked);
        });
        let rest = rest.iter().map(|kept| (kept.group, kept.index, &kept.body));
        let under_way = self.under_way.iter();
        let under_way = under_way.map(|(group, index, body)| (*group, *index, body));
        assert!(
            rest.len() == 0 || rest.eq(under_way),
            "what nobody appended last came back"
        );
        self.acked = found;
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append(sizes) => self.append(&sizes),
            Step::Release(entry) => self.release(entry),
            Step::Checkpoint(entry) => self.checkpoint(entry),
            Step::Mark => self.is_dead |= self.wal().mark().is_err(),
            Step::Restart(end) => self.restart(end),
            Step::CutPower(operations) => self.disk.cut_power_after(operations),
            Step::FailSync(after) => self.disk.fail_sync(after),
            Step::FailWrite(after) => self.disk.fail_write(after),
            Step::Capacity(bytes) => self.disk.set_capacity(bytes),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_happens_the_log_is_the_list_of_what_it_acknowledged(
        spare_files in 0..3_usize,
        steps in prop::collection::vec(step(), 1..90),
    ) {
        let mut world = World::new(spare_files);
        for step in steps {
            world.run(step);
        }
        world.disk.set_capacity(None);
        world.restart(End::Crash);
        world.append(&[10]);
        world.restart(End::Crash);
    }
}
