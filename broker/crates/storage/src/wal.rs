//! The write-ahead log: one per node, one writer, one write and one sync per append.
//!
//! Frames are written durably (see [`OpenMode::WriteDurably`]): one system call, past the page cache.
//!
//! The log is a row of files `wal-<number>.log`, each a header sector and then frames (see
//! `wal/frame.rs`). Files are filled with zeros ahead of the writer and recycled, because a sync
//! of bytes inside the file needs no journal write of the file system (measured 1.3 to 2 times the
//! throughput of a growing file). A new file is not filled at once but in steps of
//! [`WalOptions::grow_bytes`], riding on the write of the frame that crosses the step: an embedded
//! broker that keeps a hundred events must not write 64 MiB first. Frames of 128 KiB or more grow the
//! file without zeros: writing everything twice would cost them more than the journal does.
//!
//! Rules, which the tests assert:
//! * `append` returns `Ok` after the sync, never before. [`Wal::append_unsynced`] does not sync; what it wrote
//!   is durable with the next append, mark or [`Wal::sync`], and a frame says how many before it were not
//!   known to be durable. Of those any may be missing after a power cut, and then all behind it are cut.
//! * A failed write or sync poisons the log for good: the kernel may have dropped the pages and
//!   would let a second sync "succeed". A full disk does not: the frame does not count, the next
//!   append overwrites it. Nor does a next file that cannot be made, as when too many files are open:
//!   the active file was not touched. Once that file has its name, every failure poisons.
//! * Bad bytes behind the last good frame, with no later frame in the file that says they were durable, are
//!   a frame under way at the crash: cut. Anything else that is bad is [`Error::Damaged`] and nothing is cut.
//! * A recycled file gets a new random generation, so its old frames never count.
//!
//! A bad *last* frame cannot be told from one under way by looking at the log alone. Three things
//! narrow that down without costing the append path anything: opening and [`Wal::close`] append an
//! empty mark frame, so that everything before it has a later frame; [`WalOptions::checkpointed`]
//! names a position that was durable when a checkpoint was made; and each file starts with the
//! crc the file before must end with. What remains is damage of the very last frame after a crash.

mod file;
mod frame;
mod frame_buffer;
mod reader;
mod recovery;
mod replay;
mod verify;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hitherto_jetstream::{GroupId, LogIndex};
use hitherto_platform::{Disk, DiskDir, DiskLock, Entropy, OpenMode, SystemEntropy};
use serde::{Deserialize, Serialize};

use self::file::{FileHeader, spare_path, wal_path};
use self::frame::{Layout, Link};
use self::frame_buffer::FrameBuffer;
use self::recovery::Recovered;
use self::writer::{ActiveFile, Sync};
use crate::Error;
use crate::files;

pub use self::reader::{WalFileReader, WalReader};
pub use self::replay::{Entry, Replay};
pub use self::verify::{WalFileSummary, WalSummary};

/// Bytes of frames that may be written and not synced, see [`Wal::append_unsynced`]: 1 MiB.
pub const UNSYNCED_BYTES_MAX: u64 = 1024 * 1024;

/// A place in the log: where a frame starts. Ordered as the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WalPosition {
    /// The number of the file, from 1.
    pub file: u64,
    /// The offset in the file, in bytes.
    pub offset: u64,
}

impl fmt::Display for WalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// The part of the log that checkpoints know of, see [`WalOptions::checkpointed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalRange {
    /// The oldest position a checkpoint still needs.
    pub from: WalPosition,
    /// The newest position a checkpoint has seen, which therefore was durable.
    pub to: WalPosition,
}

impl WalRange {
    /// Returns the range that spans the positions of checkpoints; `None` for no positions.
    pub fn covering(positions: impl IntoIterator<Item = WalPosition>) -> Option<Self> {
        let widen = |range: Option<Self>, at: WalPosition| match range {
            Some(Self { from, to }) => Some(Self {
                from: from.min(at),
                to: to.max(at),
            }),
            None => Some(Self { from: at, to: at }),
        };
        positions.into_iter().fold(None, widen)
    }
}

/// How to keep the log.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// Size at which a file is complete; 64 MiB. A single larger frame gets a larger file.
    pub file_bytes: u64,
    /// How far a new file is filled with zeros ahead of the writer; 1 MiB.
    pub grow_bytes: u64,
    /// How many released files are kept for reuse; 2. More are removed.
    pub spare_files: usize,
    /// Where generations come from.
    pub entropy: Arc<dyn Entropy>,
    /// What the checkpoints know of the log, from [`WalRange::covering`] their positions. Opening
    /// a log that has less is an error instead of a silent loss. `None` checks nothing.
    pub checkpointed: Option<WalRange>,
    /// Where the replay begins: a [`Wal::replay_position`] that every group has a checkpoint of. Nobody needs what
    /// lies before, so damage there does not matter. `None` replays everything there is.
    pub replay_from: Option<WalPosition>,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            file_bytes: 64 * 1024 * 1024,
            grow_bytes: 1024 * 1024,
            spare_files: 2,
            entropy: Arc::new(SystemEntropy::new()),
            checkpointed: None,
            replay_from: None,
        }
    }
}

/// What sort of entry it is. The log keeps it and does not look at it; what the numbers mean is for those
/// who append.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EntryKind(pub u8);

/// One entry to append.
#[derive(Debug, Clone, Copy)]
pub struct WalEntry<'a> {
    /// The group the entry belongs to.
    pub group: GroupId,
    /// Its index in the group's log.
    pub index: LogIndex,
    /// The term it was proposed in; 0 where there are none. Kept, and not looked at.
    pub term: u64,
    /// What sort of entry it is.
    pub kind: EntryKind,
    /// Its content; the log does not look inside.
    pub body: &'a [u8],
}

impl<'a> WalEntry<'a> {
    /// An entry of kind 0 without a term.
    pub fn plain(group: GroupId, index: LogIndex, body: &'a [u8]) -> Self {
        Self {
            group,
            index,
            term: 0,
            kind: EntryKind::default(),
            body,
        }
    }
}

/// The write-ahead log of a node.
#[derive(Debug)]
pub struct Wal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The directory, open: its sync must not fail for want of a descriptor.
    names: Box<dyn DiskDir>,
    options: WalOptions,
    /// Complete files that may still be needed, oldest first.
    older: VecDeque<u64>,
    active: ActiveFile,
    /// What the next frame carries. Moves only after a frame is written.
    next: Link,
    /// Frames before the next one that are not synced. All of them lie in the active file.
    unsynced_frames: u16,
    /// Where the first of them starts, or else the next frame.
    durable_end: WalPosition,
    spares: Vec<PathBuf>,
    /// Reused by every append.
    buffer: FrameBuffer,
    /// Set by a failed write or sync, never cleared.
    poisoned: bool,
    /// The last frame is a mark, or the disk has no room for one.
    marked: bool,
    /// Where the last frame starts, when it is a mark.
    trailing_mark: Option<WalPosition>,
    _lock: Box<dyn DiskLock>,
}

impl Wal {
    /// Opens the log in `dir`, creating it if there is none, and returns it with its entries.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it open, [`Error::Damaged`] when something that
    /// was durable is missing or unreadable, [`Error::NewerFormat`], [`Error::Full`], and
    /// [`Error::Io`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: WalOptions,
    ) -> Result<(Self, Replay), Error> {
        files::create_dir(&*disk, dir)?;
        let lock = files::lock(&*disk, &dir.join("wal.lock"))?;
        let names = files::open_dir(&*disk, dir)?;
        let listing = recovery::list(&*disk, dir)?;
        let mut spares = Vec::new();
        for spare in listing.spares.iter().map(|number| spare_path(dir, *number)) {
            if spares.len() < options.spare_files {
                spares.push(spare);
            } else {
                disk.remove_file(&spare)
                    .map_err(|error| Error::io("remove", &spare, error))?;
            }
        }
        if listing.logs.is_empty() {
            if let Some(range) = options.checkpointed {
                let missing = wal_path(dir, range.from.file);
                return Err(Error::damaged(&missing, 0, "the log file is missing"));
            }
            return Self::create(
                Parts {
                    disk,
                    options,
                    lock,
                    names,
                    spares,
                },
                dir,
            );
        }
        let recovered = recovery::recover(&*disk, dir, &listing.logs, &options)?;
        Self::resume(
            Parts {
                disk,
                options,
                lock,
                names,
                spares,
            },
            dir,
            recovered,
        )
    }

    /// Appends entries as one frame and returns where it starts; they are durable then. No entries
    /// write nothing.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::NoNextFile`]: none of the entries counts, the log goes on.
    /// [`Error::TooLarge`]: more than 1 GiB. Anything else: whether the entries survive is unknown, and every later call
    /// fails with [`Error::Poisoned`].
    pub fn append(&mut self, entries: &[WalEntry<'_>]) -> Result<WalPosition, Error> {
        self.check_poisoned()?;
        if entries.is_empty() {
            return Ok(self.position());
        }
        let position = self.append_frame(entries)?;
        self.marked = false;
        self.trailing_mark = None;
        Ok(position)
    }

    /// Appends entries as [`Wal::append`] does, but for the sync: they survive the end of the process and
    /// not that of the machine, until something syncs. At most [`UNSYNCED_BYTES_MAX`] are left like that;
    /// what would be more is synced with all before it.
    ///
    /// # Errors
    /// As [`Wal::append`]. After [`Error::Full`] earlier entries still wait for their sync.
    pub fn append_unsynced(&mut self, entries: &[WalEntry<'_>]) -> Result<WalPosition, Error> {
        self.check_poisoned()?;
        if entries.is_empty() {
            return Ok(self.position());
        }
        let len = frame::measure(entries, self.active.layout)? as u64;
        let written = match self.unsynced_bytes().saturating_add(len) <= UNSYNCED_BYTES_MAX {
            true => self.write_frame(entries, Sync::Later)?,
            false => self.append_frame(entries)?,
        };
        self.marked = false;
        self.trailing_mark = None;
        Ok(written)
    }

    /// Makes everything appended durable. Nothing is done when it is.
    ///
    /// # Errors
    /// [`Error::Poisoned`], or [`Error::Io`], which poisons the log.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.check_poisoned()?;
        if self.unsynced_frames > 0 {
            self.sync_frames()?;
        }
        Ok(())
    }

    /// Bytes appended that are not durable yet.
    pub fn unsynced_bytes(&self) -> u64 {
        self.active.offset.saturating_sub(self.durable_end.offset)
    }

    /// Recycles the files that lie wholly before `before`. The active file always stays.
    ///
    /// # Errors
    /// [`Error::Poisoned`], or [`Error::Io`]; files not yet recycled stay for the next call.
    pub fn release(&mut self, before: WalPosition) -> Result<(), Error> {
        self.check_poisoned()?;
        while let Some(number) = self.older.pop_front_if(|number| *number < before.file) {
            if let Err(error) = self.recycle(number) {
                self.older.push_front(number);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Returns a reader of single frames, for any thread.
    pub fn reader(&self) -> WalReader {
        WalReader::new(Arc::clone(&self.disk), self.dir.clone())
    }

    /// Returns where the next frame starts, unless it needs a new file. Everything appended lies
    /// before it.
    pub fn position(&self) -> WalPosition {
        WalPosition {
            file: self.active.number,
            offset: self.active.offset,
        }
    }

    /// Returns where a replay may begin that needs nothing of what is durable so far: at the mark behind it
    /// when there is one. A frame there tells the next start how the log goes on, whatever became of those
    /// before it. What is not synced lies behind it.
    pub fn replay_position(&self) -> WalPosition {
        self.trailing_mark.unwrap_or(self.durable_end)
    }

    /// Writes a mark behind the last frame: an empty frame that says the one before it was durable, which it
    /// is from now on in any case.
    ///
    /// Without it damage of the last frame cannot be told from a write that was under way at a
    /// crash, which is cut. Call it when nothing has been appended for a while; nothing is written
    /// when the mark is there. Where one is refused, the log goes without until the next append.
    ///
    /// # Errors
    /// As [`Wal::append`], except [`Error::Full`] and [`Error::NoNextFile`].
    pub fn mark(&mut self) -> Result<(), Error> {
        self.sync()?;
        if std::mem::replace(&mut self.marked, true) {
            return Ok(());
        }
        match self.append_frame(&[]) {
            Ok(position) => {
                self.trailing_mark = Some(position);
                Ok(())
            }
            Err(Error::Full { .. } | Error::NoNextFile { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells whether [`Wal::mark`] has something to do.
    pub fn needs_mark(&self) -> bool {
        !self.marked
    }

    fn create(parts: Parts, dir: &Path) -> Result<(Self, Replay), Error> {
        let Parts {
            disk,
            options,
            lock,
            names,
            mut spares,
        } = parts;
        let first = Link {
            generation: options.entropy.u64(),
            number: 1,
            previous_crc: 0,
        };
        let header = FileHeader {
            number: 1,
            first,
            layout: Layout::Kinds,
        };
        let prepared = writer::prepare_file(&*disk, dir, &options, header, &mut spares)?;
        let active = prepared.put_in_place(&*disk, &*names, &mut spares)?;
        let replay = Replay::new(disk.clone(), dir.to_owned(), VecDeque::new(), None);
        let parts = Parts {
            disk,
            options,
            lock,
            names,
            spares,
        };
        Ok((
            Self::assemble(parts, dir, VecDeque::new(), (active, first)),
            replay,
        ))
    }

    fn resume(parts: Parts, dir: &Path, recovered: Recovered) -> Result<(Self, Replay), Error> {
        let Recovered {
            older,
            files,
            tail,
            doubtful,
        } = recovered;
        let from = parts.options.replay_from;
        let replay = Replay::new(parts.disk.clone(), dir.to_owned(), files, from);
        let next = tail.next_link();
        let active = ActiveFile {
            number: tail.header().number,
            path: tail.path().to_owned(),
            layout: tail.header().layout,
            offset: tail.offset(),
            len: tail.file_len(),
            file: files::open(&*parts.disk, tail.path(), OpenMode::WriteDurably)?,
        };
        let mut wal = Self::assemble(parts, dir, older, (active, next));
        if let Some(start) = doubtful {
            wal.renew_frames(start)?;
        }
        wal.names
            .sync()
            .map_err(|error| Error::io("sync", dir, error))?;
        // A full disk must not keep a broker from starting: it may be there to free room.
        wal.mark()?;
        Ok((wal, replay))
    }

    fn assemble(
        parts: Parts,
        dir: &Path,
        older: VecDeque<u64>,
        (active, next): (ActiveFile, Link),
    ) -> Self {
        Self {
            disk: parts.disk,
            dir: dir.to_owned(),
            names: parts.names,
            options: parts.options,
            older,
            durable_end: WalPosition {
                file: active.number,
                offset: active.offset,
            },
            active,
            next,
            unsynced_frames: 0,
            spares: parts.spares,
            buffer: FrameBuffer::default(),
            poisoned: false,
            marked: false,
            trailing_mark: None,
            _lock: parts.lock,
        }
    }
}

/// What `open` has gathered before it looked at the log itself.
struct Parts {
    disk: Arc<dyn Disk>,
    options: WalOptions,
    lock: Box<dyn DiskLock>,
    names: Box<dyn DiskDir>,
    spares: Vec<PathBuf>,
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unsynced_tests;
