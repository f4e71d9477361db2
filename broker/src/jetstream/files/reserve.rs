//! Room kept back for a full disk: a file of zeros that is removed when a write finds no room, so that
//! purges, deletions, acknowledgements and checkpoints still go through and can free more.
//!
//! While it is gone publishers are refused, or they would take the room that is meant for the way out. It
//! is made again when there is twice as much room, so that the state does not flap.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hitherto_platform::{Disk, DiskFile, OpenMode};

/// Room kept back for a full disk: 32 MiB, about what a checkpoint may have to write. The file is made half a
/// minute after the start.
pub const RESERVE_BYTES: u64 = 32 * 1024 * 1024;

/// Bytes written at a time.
const STEP_BYTES: usize = 1024 * 1024;

/// The reserve of a node.
#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// 0 keeps nothing back.
    bytes: u64,
    /// A write has found the disk full, and room has not come back yet.
    is_full: AtomicBool,
    /// Held while the file is made or removed.
    file: Mutex<()>,
}

impl Reserve {
    /// The reserve in this file, which is not made yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf, bytes: u64) -> Self {
        Self {
            disk,
            path,
            bytes,
            is_full: AtomicBool::new(false),
            file: Mutex::new(()),
        }
    }

    /// Publishers are to be refused, because what room there is is needed to free more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// A write has found no room: the reserve is given up.
    pub(crate) fn give_up(&self) {
        if self.bytes == 0 || self.is_full.swap(true, Ordering::Relaxed) {
            return;
        }
        let _held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match self.disk.remove_file(&self.path) {
            Ok(()) => tracing::error!(
                bytes = self.bytes,
                "the disk is full: publishes are refused, and the reserve is given up for what frees room"
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!("the disk is full and nothing is kept back: publishes are refused");
            }
            Err(error) => {
                tracing::error!(%error, "the disk is full and the reserve cannot be given up")
            }
        }
    }

    /// Keeps the room back, again if need be. Publishers are let in again once that works.
    pub(crate) fn keep(&self) {
        if self.bytes == 0 {
            return;
        }
        let _held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match self.make() {
            Ok(()) => {
                if self.is_full.swap(false, Ordering::Relaxed) {
                    tracing::info!("there is room on the disk again: publishes are accepted");
                }
            }
            Err(error) => {
                // Half of it would only be in the way.
                self.disk.remove_file(&self.path).ok();
                if !self.is_full.load(Ordering::Relaxed) {
                    tracing::warn!(%error, "cannot keep room back for a full disk");
                }
            }
        }
    }

    fn make(&self) -> io::Result<()> {
        if self.disk.exists(&self.path)? {
            let file = self.disk.open(&self.path, OpenMode::Read)?;
            if file.len()? == self.bytes {
                return Ok(());
            }
        }
        // Asked and not tried: a file that fills the disk for a moment fails whoever writes just then.
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        if self.disk.free_bytes(dir)? < self.bytes * 2 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.disk.open(&self.path, OpenMode::Create)?;
        // An earlier one may have had another size.
        file.set_len(self.bytes)?;
        fill(&*file, self.bytes)
    }
}

fn fill(file: &dyn DiskFile, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; STEP_BYTES];
    let mut offset = 0;
    while offset < bytes {
        let rest = usize::try_from(bytes - offset).unwrap_or(usize::MAX);
        file.write_at(&zeros[..rest.min(STEP_BYTES)], offset)?;
        offset += STEP_BYTES as u64;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use hitherto_platform::FaultyDisk;

    use super::*;

    #[test]
    fn the_reserve_comes_back_only_with_twice_the_room() {
        let disk = FaultyDisk::new();
        let path = Path::new("/reserve");
        let reserve = Reserve::new(Arc::new(disk.clone()), path.to_owned(), 3_000_000);
        reserve.keep();
        assert_eq!(disk.used_bytes(), 3_000_000);
        reserve.keep();
        disk.set_capacity(Some(3_000_000));
        reserve.give_up();
        reserve.give_up();
        assert_eq!(disk.used_bytes(), 0);
        assert!(reserve.is_given_up());
        disk.set_capacity(Some(5_999_999));
        reserve.keep();
        assert!(reserve.is_given_up());
        assert_eq!(disk.used_bytes(), 0, "half of it is not left over");
        disk.set_capacity(Some(6_000_000));
        reserve.keep();
        assert!(!reserve.is_given_up());
        assert_eq!(disk.used_bytes(), 3_000_000);
    }

    #[test]
    fn without_bytes_nothing_is_kept_and_nobody_refused() {
        let disk = FaultyDisk::new();
        let reserve = Reserve::new(Arc::new(disk.clone()), PathBuf::from("/reserve"), 0);
        reserve.keep();
        reserve.give_up();
        assert!(!reserve.is_given_up());
        assert_eq!(disk.counters().operations, 0);
    }
}
