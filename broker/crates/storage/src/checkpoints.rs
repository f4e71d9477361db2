//! Checkpoints: how far each group's state machine had come, in redb.
//!
//! A message is never here, only what replaying the whole log would rebuild. Every commit is a
//! two-phase commit with quick repair: redb 4.6 without it trusts checksums alone to tell the
//! newer of two roots, and an unclean open would walk the whole file.
//!
//! After a write that failed redb does nothing any more. When all that failed was to find room the next write
//! opens the database anew; after a failed sync only the next start does, because the kernel may show pages
//! that never reached the drive.

mod backend;
mod record;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::{Disk, DiskLock, Entropy, OpenMode, OverlayDisk, SystemEntropy};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use self::backend::DiskBackend;
use self::record::Unreadable;
use crate::files;
use crate::{Error, Manifest, WalPosition};

/// The store's format; raised when an older release could not read what this one writes.
const FORMAT: u32 = 1;

/// Page cache of the database: 4 MiB.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

const CHECKPOINTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("checkpoints");
const STORE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("store");

/// The state of one group at one point of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last entry the state contains.
    pub applied: LogIndex,
    /// The log is replayed from here; may lie before `applied`, never after it.
    pub wal: WalPosition,
    /// The state machine's snapshot, opaque here.
    pub state: Vec<u8>,
    /// The bodies that belong to the state; `None` for a group without any.
    pub manifest: Option<Manifest>,
}

/// The identity of a store, drawn when it is created. Prints as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The checkpoints of all groups of a node.
#[derive(Debug)]
pub struct Checkpoints {
    /// `None` while a full disk keeps it from being opened anew.
    database: Option<Database>,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    id: StoreId,
    /// The last write found no room: the database is to be opened anew before the next.
    was_full: bool,
    /// A sync has failed since the start.
    sync_failed: Arc<AtomicBool>,
    _lock: Box<dyn DiskLock>,
}

impl Checkpoints {
    /// Opens the database file, creating it with a new identity if it does not exist.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it open, [`Error::NewerFormat`] when a newer
    /// release wrote it, [`Error::Damaged`], and what the disk says.
    pub fn open(disk: &Arc<dyn Disk>, path: &Path, entropy: &dyn Entropy) -> Result<Self, Error> {
        let dir = path.parent().unwrap_or(Path::new(""));
        files::create_dir(&**disk, dir)?;
        let lock = files::lock(&**disk, &path.with_extension("lock"))?;
        if !disk
            .exists(path)
            .map_err(|error| Error::io("look at", path, error))?
        {
            create(&**disk, path, entropy)?;
        }
        files::sync_dir(&**disk, dir)?;
        let sync_failed = Arc::default();
        let database = open_database(&**disk, path, OpenMode::ReadWrite, &sync_failed)?;
        let id = read_identity(&database, path)?;
        Ok(Self {
            database: Some(database),
            disk: Arc::clone(disk),
            path: path.to_owned(),
            id,
            was_full: false,
            sync_failed,
            _lock: lock,
        })
    }

    /// Reads the database file into memory, so that nothing on disk is changed, not even what
    /// redb repairs when it opens a file. Changes are lost when it is dropped.
    ///
    /// # Errors
    /// As [`Checkpoints::open`], but for [`Error::Locked`]: nobody must be writing it.
    pub fn read(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, Error> {
        let view: Arc<dyn Disk> = Arc::new(OverlayDisk::new(disk));
        if !view
            .exists(path)
            .map_err(|error| Error::io("look at", path, error))?
        {
            return Err(Error::damaged(
                path,
                0,
                "the checkpoint database is missing",
            ));
        }
        Self::open(&view, path, &SystemEntropy::new())
    }

    /// Returns the identity of the store.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// Replaces the checkpoint of a group; durable on return.
    ///
    /// # Errors
    /// As [`Checkpoints::save_all`].
    pub fn save(&mut self, group: GroupId, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.save_all(&[(group, checkpoint)])
    }

    /// Replaces the checkpoints of several groups in one transaction, all or none; durable on
    /// return.
    ///
    /// # Errors
    /// [`Error::Full`], after which it may be tried again; [`Error::Poisoned`] after any other
    /// failure; [`Error::Checkpoints`]. The
    /// earlier checkpoints are kept, or, if only the last sync failed, possibly the new ones.
    pub fn save_all(&mut self, checkpoints: &[(GroupId, &Checkpoint)]) -> Result<(), Error> {
        self.write("save", |transaction| {
            let mut table = transaction.open_table(CHECKPOINTS)?;
            for (group, checkpoint) in checkpoints {
                table.insert(group.0, record::encode(checkpoint).as_slice())?;
            }
            Ok(())
        })
    }

    /// Removes the checkpoint of a group, if there is one; durable on return.
    ///
    /// # Errors
    /// As [`Checkpoints::save_all`].
    pub fn remove(&mut self, group: GroupId) -> Result<(), Error> {
        self.write("remove from", |transaction| {
            transaction.open_table(CHECKPOINTS)?.remove(group.0)?;
            Ok(())
        })
    }

    /// Loads the checkpoints of all groups, ordered by group.
    ///
    /// # Errors
    /// [`Error::Damaged`] when one is unreadable, [`Error::NewerFormat`], [`Error::Checkpoints`].
    pub fn load_all(&self) -> Result<Vec<(GroupId, Checkpoint)>, Error> {
        let each = self.load_each()?.into_iter();
        each.map(|(group, checkpoint)| Ok((group, checkpoint?)))
            .collect()
    }

    /// Loads the checkpoints of all groups, ordered by group; one that is unreadable is an error
    /// in its place.
    ///
    /// # Errors
    /// [`Error::Checkpoints`] or [`Error::Damaged`] when the database does not read.
    #[allow(clippy::type_complexity, reason = "a list of results by group")]
    pub fn load_each(&self) -> Result<Vec<(GroupId, Result<Checkpoint, Error>)>, Error> {
        let database = self
            .database
            .as_ref()
            .ok_or_else(|| Error::poisoned(&self.path))?;
        let records = read_all(database).map_err(failed("load", &self.path))?;
        let decode = |(group, bytes): (GroupId, Vec<u8>)| {
            let checkpoint = record::decode(&bytes).map_err(|why| match why {
                Unreadable::Damaged(what) => Error::damaged(&self.path, 0, what),
                Unreadable::Newer(found) => self.newer(found),
            });
            (group, checkpoint)
        };
        Ok(records.into_iter().map(decode).collect())
    }

    fn write(
        &mut self,
        action: &'static str,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        if self.was_full {
            self.open_anew()?;
        }
        let Some(database) = &self.database else {
            return Err(Error::poisoned(&self.path));
        };
        let written = commit(database, change).map_err(failed(action, &self.path));
        let is_full = matches!(written, Err(Error::Full { .. }));
        self.was_full = is_full && !self.sync_failed.load(Ordering::Relaxed);
        written
    }

    fn open_anew(&mut self) -> Result<(), Error> {
        // The old one first: it must not write any more once the new one reads.
        self.database = None;
        let mode = OpenMode::ReadWrite;
        let database = open_database(&*self.disk, &self.path, mode, &self.sync_failed)?;
        self.database = Some(database);
        self.was_full = false;
        tracing::info!(file = %self.path.display(), "the checkpoint database is open again");
        Ok(())
    }

    fn newer(&self, found: u32) -> Error {
        Error::NewerFormat {
            file: self.path.clone(),
            found,
            supported: record::VERSION,
        }
    }
}

fn read_all(database: &Database) -> Result<Vec<(GroupId, Vec<u8>)>, redb::Error> {
    let table = database.begin_read()?.open_table(CHECKPOINTS)?;
    let mut records = Vec::new();
    for entry in table.iter()? {
        let (group, bytes) = entry?;
        records.push((GroupId(group.value()), bytes.value().to_vec()));
    }
    Ok(records)
}

/// Makes the database under another name first, so that a crash on the way leaves none rather
/// than half of one.
fn create(disk: &dyn Disk, path: &Path, entropy: &dyn Entropy) -> Result<(), Error> {
    let draft = path.with_extension("new");
    match disk.remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &draft, error));
        }
        Ok(()) | Err(_) => {}
    }
    let database = open_database(disk, &draft, OpenMode::CreateNew, &Arc::default())?;
    let mut id = [0; 16];
    entropy.fill(&mut id);
    let written = commit(&database, |transaction| {
        let mut store = transaction.open_table(STORE)?;
        store.insert("format", FORMAT.to_le_bytes().as_slice())?;
        store.insert("id", id.as_slice())?;
        transaction.open_table(CHECKPOINTS)?;
        Ok(())
    });
    written.map_err(failed("create", &draft))?;
    drop(database);
    disk.rename(&draft, path)
        .map_err(|error| Error::io("rename", &draft, error))
}

fn open_database(
    disk: &dyn Disk,
    path: &Path,
    mode: OpenMode,
    sync_failed: &Arc<AtomicBool>,
) -> Result<Database, Error> {
    let file = files::open(disk, path, mode)?;
    let len = file
        .len()
        .map_err(|error| Error::io("measure", path, error))?;
    if mode == OpenMode::ReadWrite && len == 0 {
        // redb would take an empty file for a new database.
        return Err(Error::damaged(path, 0, "the checkpoint database is empty"));
    }
    // What a sync that failed should have saved, in this life or an earlier one, reads back and is not on the drive.
    file.forget_cached()
        .map_err(|error| Error::io("read anew", path, error))?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    // A plain open trusts the file and may panic on damage. The file is small: megabytes.
    builder.set_check_integrity_on_open(true);
    let backend = DiskBackend::new(file, Arc::clone(sync_failed));
    let database = builder.create_with_backend(backend);
    database
        .map_err(redb::Error::from)
        .map_err(failed("open", path))
}

fn read_identity(database: &Database, path: &Path) -> Result<StoreId, Error> {
    let read = |key| -> Result<Option<Vec<u8>>, redb::Error> {
        let store = database.begin_read()?.open_table(STORE)?;
        Ok(store.get(key)?.map(|value| value.value().to_vec()))
    };
    let format = read("format").map_err(failed("open", path))?;
    let id = read("id").map_err(failed("open", path))?;
    let format = format.and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)));
    let id = id.and_then(|bytes| Some(StoreId(u128::from_le_bytes(bytes.try_into().ok()?))));
    match (format, id) {
        (Some(found), _) if found > FORMAT => Err(Error::NewerFormat {
            file: path.to_owned(),
            found,
            supported: FORMAT,
        }),
        (Some(_), Some(id)) => Ok(id),
        _ => Err(Error::damaged(
            path,
            0,
            "the checkpoint database has no format or identity",
        )),
    }
}

fn commit(
    database: &Database,
    change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    // Implies two-phase commit; both are said because both are meant.
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    change(&transaction)?;
    Ok(transaction.commit()?)
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(redb::Error) -> Error + 'a {
    move |error| match error {
        redb::Error::Io(source) => Error::io(action, path, source),
        redb::Error::PreviousIo => Error::poisoned(path),
        redb::Error::Corrupted(_) => {
            Error::damaged(path, 0, "the checkpoint database is corrupted")
        }
        error => Error::Checkpoints {
            action,
            file: path.to_owned(),
            source: Box::new(error),
        },
    }
}

#[cfg(test)]
mod tests;
