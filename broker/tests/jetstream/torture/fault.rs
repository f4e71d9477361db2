//! What goes wrong in a life, and how the life ends.

use fastrand::Rng;
use hitherto_platform::FaultyDisk;

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
        }
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
