//! redb on top of a [`DiskFile`], so that its faults are testable like everybody's.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hitherto_platform::DiskFile;
use redb::StorageBackend;

/// The database's view of its file. Locking is done once, by a lock file beside it.
#[derive(Debug)]
pub(super) struct DiskBackend {
    file: Box<dyn DiskFile>,
    /// Set for good by a sync that fails, also for want of room: what it should have saved is unknown.
    sync_failed: Arc<AtomicBool>,
}

impl DiskBackend {
    pub(super) fn new(file: Box<dyn DiskFile>, sync_failed: Arc<AtomicBool>) -> Self {
        Self { file, sync_failed }
    }
}

impl StorageBackend for DiskBackend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.file.sync_data();
        if synced.is_err() {
            self.sync_failed.store(true, Ordering::Relaxed);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(data, offset)
    }
}
