//! Everything that can go wrong between the broker and its disk.

use std::io;
use std::path::{Path, PathBuf};

/// An operating error of the store. Bugs panic instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk, or the quota on it, has no room. Nothing of the refused call counts; the same call may succeed later.
    #[error("disk is full while writing {}; free some space and try again", file.display())]
    Full {
        /// The file that could not grow.
        file: PathBuf,
    },

    /// A write or sync failed earlier, so what the file holds is unknown. Only opening the store
    /// again, which reads the disk back, helps.
    #[error("{} may not be written after a failed write or sync; open the store again", file.display())]
    Poisoned {
        /// The file or directory that failed.
        file: PathBuf,
    },

    /// The log cannot make its next file, for example because too many files are open. Nothing of the
    /// refused call was written; the same call may succeed later.
    #[error("nothing was written: the log cannot make its next file {}", file.display())]
    NoNextFile {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: Box<Self>,
    },

    /// Stored bytes are not what was written. Nothing was cut or changed.
    #[error("{} is damaged at offset {offset}: {what}; restore it from a copy", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },

    /// There are files of a stream that neither the checkpoints nor the log know.
    #[error("nothing knows the stream whose files are in {}: state.redb and wal are missing or of another store; restore them, or move the folder away to start without its messages", dir.display())]
    UnknownStream {
        /// The directory of the stream.
        dir: PathBuf,
    },

    /// The operating system refused.
    #[error("cannot {action} {}", file.display())]
    Io {
        /// What was tried, as in "cannot read".
        action: &'static str,
        /// With which file or directory.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// Another process uses the store.
    #[error("{} is locked by another process; stop it or choose another folder", file.display())]
    Locked {
        /// The lock file.
        file: PathBuf,
    },

    /// The store was written by a newer release.
    #[error("{} has format {found}, this release reads up to {supported}; use a newer release", file.display())]
    NewerFormat {
        /// The file with the format number.
        file: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format known here.
        supported: u32,
    },

    /// The store was written by an earlier build, in a format that was never part of a release.
    #[error("{} has format {found}, this release reads {supported}; go on with the build that wrote it, or delete the stream and fill it again", file.display())]
    OlderFormat {
        /// The file or folder with the format number.
        file: PathBuf,
        /// The format found.
        found: u32,
        /// The oldest format known here.
        supported: u32,
    },

    /// A table of the index is damaged or cannot be read. It is derived from the segments.
    #[error(transparent)]
    Table(#[from] hitherto_jetstream::Unreadable),

    /// Something does not fit the format.
    #[error("{what} of {bytes} bytes exceeds the limit of {limit_bytes} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The largest size that fits.
        limit_bytes: u64,
    },

    /// The checkpoint database refused.
    #[error("cannot {action} the checkpoints in {}", file.display())]
    Checkpoints {
        /// What was tried.
        action: &'static str,
        /// The database file.
        file: PathBuf,
        /// Why not.
        source: Box<redb::Error>,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, file: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            return Self::Full {
                file: file.to_owned(),
            };
        }
        Self::Io {
            action,
            file: file.to_owned(),
            source,
        }
    }

    pub(crate) fn damaged(file: &Path, offset: u64, what: &'static str) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            offset,
            what,
        }
    }

    pub(crate) fn poisoned(file: &Path) -> Self {
        Self::Poisoned {
            file: file.to_owned(),
        }
    }
}

/// Tells whether a write was refused for want of room: on the disk, or in somebody's quota of it.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
