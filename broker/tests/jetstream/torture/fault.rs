//! What goes wrong in a life, and how the life ends.

use fastrand::Rng;
use hitherto_platform::{Fault as DiskFault, FaultOn, FaultyDisk};

/// What goes wrong while the node works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// From some operation on nothing reaches the disk.
    PowerCut,
    /// One sync fails, and what it should have saved is lost.
    FailedSync,
    /// One write fails halfway.
    FailedWrite,
    /// There is room for little more.
    Full,
    /// The log is told that there is no room for some frames, of which all is there all the same.
    FullLog,
    /// Too many files are open for some time.
    NoDescriptors,
    /// Segments cannot be opened, or read, for some time.
    Reads,
}

impl Fault {
    pub(super) fn random(random: &mut Rng) -> Self {
        let faults = [
            Self::None,
            Self::PowerCut,
            Self::PowerCut,
            Self::FailedSync,
            Self::FailedWrite,
            Self::Full,
            Self::FullLog,
            Self::NoDescriptors,
            Self::Reads,
        ];
        faults[random.usize(..faults.len())]
    }

    pub(super) fn arm(self, disk: &FaultyDisk, random: &mut Rng) {
        match self {
            Self::None => {}
            Self::PowerCut => disk.cut_power_after(random.u64(..100)),
            Self::FailedSync => disk.fail_sync(random.u64(..50)),
            Self::FailedWrite => disk.fail_write(random.u64(..50)),
            Self::Full => {
                let room = random.u64(..256 * 1024);
                disk.set_capacity(Some(disk.used_bytes() + room));
            }
            Self::FullLog => {
                let errno = [DiskFault::NO_SPACE, DiskFault::QUOTA][random.usize(..2)];
                Self::some(disk, random, (FaultOn::Write, "/wal/", errno));
            }
            Self::NoDescriptors => {
                for on in [FaultOn::OpenRead, FaultOn::OpenWrite, FaultOn::OpenDir] {
                    Self::some(disk, random, (on, "", DiskFault::TOO_MANY_OPEN_FILES));
                }
            }
            Self::Reads => {
                Self::some(
                    disk,
                    random,
                    (FaultOn::OpenRead, "/seg-", DiskFault::TOO_MANY_OPEN_FILES),
                );
                Self::some(disk, random, (FaultOn::Read, "/seg-", DiskFault::IO_ERROR));
            }
        }
    }

    /// Some calls fail, after some that do not.
    fn some(disk: &FaultyDisk, random: &mut Rng, (on, path, errno): (FaultOn, &str, i32)) {
        disk.arm(DiskFault {
            after: random.u64(..30),
            ..DiskFault::times(random.u64(1..6), on, path, errno)
        });
    }
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In order, with a last checkpoint.
    Shutdown,
    /// The process is killed; what it wrote is there, synced or not.
    Killed,
    /// The power goes: what was not synced is lost.
    PowerCut,
    /// The power goes, and a random part of what was not synced is there all the same.
    Torn,
}

impl End {
    pub(super) fn random(random: &mut Rng) -> Self {
        let ends = [Self::Shutdown, Self::Killed, Self::PowerCut, Self::Torn];
        ends[random.usize(..ends.len())]
    }
}
