//! Making a manifest true: the syncs, away from the thread that owns the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hitherto_platform::Disk;

use super::manifest::Manifest;
use super::segment::OpenSegment;
use super::tables::TableFile;
use crate::Error;
use crate::files;

/// A manifest whose segments are written but not yet synced. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "the manifest is true only after `sync`"]
pub struct PendingCheckpoint {
    pub(super) manifest: Manifest,
    /// Files to sync, each with the length to reach.
    pub(super) unsynced: Vec<(Arc<OpenSegment>, u64)>,
    /// Tables of the index to sync.
    pub(super) tables: Vec<Arc<TableFile>>,
    /// How many segments and tables had been created; their names need a directory sync.
    pub(super) created: u64,
    pub(super) shared: Arc<Shared>,
}

/// What the store and its checkpoints both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    /// Set by a failed sync, never cleared.
    pub(super) poisoned: AtomicBool,
    /// Of the segments and tables created so far, how many have a durable name.
    pub(super) names_synced: AtomicU64,
}

impl PendingCheckpoint {
    /// Syncs the segments and returns the manifest, which may be saved then. Blocks.
    ///
    /// # Errors
    /// What the disk says. A failed sync poisons the store: the log is still complete, so opening
    /// everything again loses nothing.
    pub fn sync(self) -> Result<Manifest, Error> {
        self.shared.check_poisoned()?;
        if let Err(error) = self.sync_all() {
            self.shared.poisoned.store(true, Ordering::Release);
            return Err(error);
        }
        Ok(self.manifest)
    }

    fn sync_all(&self) -> Result<(), Error> {
        for (file, len) in &self.unsynced {
            file.sync(*len)?;
        }
        for table in &self.tables {
            table.sync()?;
        }
        if self.shared.names_synced.load(Ordering::Acquire) < self.created {
            files::sync_dir(&*self.shared.disk, &self.shared.dir)?;
            self.shared
                .names_synced
                .fetch_max(self.created, Ordering::AcqRel);
        }
        Ok(())
    }
}

impl Shared {
    pub(super) fn check_poisoned(&self) -> Result<(), Error> {
        match self.poisoned.load(Ordering::Acquire) {
            true => Err(Error::poisoned(&self.dir)),
            false => Ok(()),
        }
    }
}
