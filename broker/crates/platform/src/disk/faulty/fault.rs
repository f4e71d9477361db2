//! A call of the disk that is to fail, and with which error.

use std::io;
use std::path::Path;

/// A call of a [`FaultyDisk`](super::FaultyDisk) that can be made to fail, see [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultOn {
    /// Opening a file to read it.
    OpenRead,
    /// Opening a file in any other mode.
    OpenWrite,
    /// Opening a directory to sync it, whether by `open_dir` or `sync_dir`.
    OpenDir,
    /// Making directories.
    MakeDir,
    /// Reading.
    Read,
    /// Writing. Unlike [`FaultyDisk::fail_write`](super::FaultyDisk::fail_write) the bytes are all there,
    /// though the caller is told that the write failed, and unsynced.
    Write,
    /// Renaming; `path` is the new name. The name is not changed.
    Rename,
    /// The sync of a directory that is open. Nothing is synced.
    SyncDir,
}

/// Calls that fail, for [`FaultyDisk::arm`](super::FaultyDisk::arm). Whoever calls gets the error and nothing
/// else is lost or changed.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which calls.
    pub on: FaultOn,
    /// Only those whose path, as it was opened, contains this.
    pub path: String,
    /// How many of them succeed first.
    pub after: u64,
    /// How many of them fail then.
    pub times: u64,
    /// The number of the operating system's error, such as 24 for "too many open files".
    pub errno: i32,
}

impl Fault {
    /// The operating system's error for too many open files: `EMFILE`.
    pub const TOO_MANY_OPEN_FILES: i32 = 24;
    /// The operating system's error for a failing device: `EIO`.
    pub const IO_ERROR: i32 = 5;
    /// The operating system's error for a full disk: `ENOSPC`.
    pub const NO_SPACE: i32 = 28;
    /// The operating system's error for a quota that is used up: `EDQUOT`.
    pub const QUOTA: i32 = 122;

    /// The next such call fails, once.
    pub fn once(on: FaultOn, path: &str, errno: i32) -> Self {
        Self::times(1, on, path, errno)
    }

    /// The next so many such calls fail.
    pub fn times(times: u64, on: FaultOn, path: &str, errno: i32) -> Self {
        Self {
            on,
            path: path.to_owned(),
            after: 0,
            times,
            errno,
        }
    }

    /// Counts a call; the error when it is to fail.
    fn strike(&mut self, on: FaultOn, path: &Path) -> io::Result<()> {
        if self.on != on || !path.to_string_lossy().contains(&self.path) {
            return Ok(());
        }
        if self.after > 0 {
            self.after -= 1;
            return Ok(());
        }
        self.times -= 1;
        Err(io::Error::from_raw_os_error(self.errno))
    }
}

/// The faults that are armed.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn arm(&mut self, fault: Fault) {
        if fault.times > 0 {
            self.0.push(fault);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn check(&mut self, on: FaultOn, path: &Path) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let struck = self
            .0
            .iter_mut()
            .try_for_each(|fault| fault.strike(on, path));
        self.0.retain(|fault| fault.times > 0);
        struck
    }
}
