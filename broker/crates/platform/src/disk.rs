//! The disk as a trait: positioned reads and writes, and syncs that are explicit.
//!
//! Contract of every implementation, which storage relies on:
//! * bytes written are durable after [`DiskFile::sync_data`] returned `Ok`, not before; those of a file
//!   opened to [write durably](OpenMode::WriteDurably) after [`DiskFile::write_at`] returned `Ok`, which says
//!   nothing about what [`DiskFile::write_later`] wrote before;
//! * a created, renamed or removed name is durable after [`Disk::sync_dir`] of its directory;
//! * after a failed `sync_data`, or durable write, nothing written since the last good one may be trusted, even if a
//!   later call succeeds (the kernel marks the pages clean).

mod durable_file;
mod faulty;
mod overlay;
mod page_cache;
mod real;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;

pub use faulty::{Counters, Fault, FaultOn, FaultyDisk, SECTOR_BYTES};
pub use overlay::OverlayDisk;
pub use real::RealDisk;

/// See [`OpenMode::WriteDurably`]: 512, the sector of most drives. Any other drive only loses speed.
pub const DURABLE_WRITE_ALIGN: usize = 512;

/// How [`Disk::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; the file must exist.
    Read,
    /// For reading and writing; the file must exist.
    ReadWrite,
    /// For reading and writing; made empty if it does not exist, kept as it is if it does.
    Create,
    /// For reading and writing; the file must not exist.
    CreateNew,
    /// For writing; the file must exist. What is written is durable when [`DiskFile::write_at`] returns.
    /// Fastest when offset, length and the address of the bytes are multiples of
    /// [`DURABLE_WRITE_ALIGN`].
    WriteDurably,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last part of the path.
    pub name: OsString,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system. All calls block.
///
/// Every method fails with the [`io::Error`] of the operating system; kinds that callers look at
/// are named at the method.
pub trait Disk: Send + Sync + Debug {
    /// Creates a directory and its missing parents. Syncs nothing.
    ///
    /// # Errors
    /// As the operating system.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound` or `AlreadyExists`, as the mode demands.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file, replacing `to` if it exists, atomically.
    ///
    /// # Errors
    /// `NotFound` when `from` does not exist.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Open handles stay usable.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with everything below it.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Lists a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Opens a directory, so that syncing it later needs no descriptor and cannot fail for want of one.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn DiskDir>>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the operating system.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.open_dir(path)?.sync()
    }

    /// Tells whether a file or directory exists.
    ///
    /// # Errors
    /// As the operating system.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Returns how many bytes may still be written to files below `path`, which must exist; `u64::MAX`
    /// where there is no limit. Others may take them in the meantime.
    ///
    /// # Errors
    /// As the operating system.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Takes the exclusive lock of a lock file, creating the file if needed. The lock is held until
    /// the returned value is dropped or the process ends. It is advisory: it stops a second
    /// process of ours, not somebody with an editor.
    ///
    /// # Errors
    /// `WouldBlock` when somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file.
pub trait DiskFile: Send + Sync + Debug {
    /// Writes all of `bytes` at `offset`, growing the file as needed; see [`OpenMode::WriteDurably`].
    ///
    /// # Errors
    /// `StorageFull` when the disk is full; part of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// As [`DiskFile::write_at`], and never durable before [`DiskFile::sync_data`]: so a file opened to
    /// [write durably](OpenMode::WriteDurably) takes what can wait.
    ///
    /// # Errors
    /// As [`DiskFile::write_at`].
    fn write_later(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }

    /// Reads up to `buf.len()` bytes at `offset`; `0` means the end of the file.
    ///
    /// # Errors
    /// As the operating system.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes everything written so far durable, with the metadata needed to read it back.
    ///
    /// # Errors
    /// After any error the unsynced bytes are lost, see the contract at the head of the module.
    fn sync_data(&self) -> io::Result<()>;

    /// Has later reads come from the drive. A sync that failed in an earlier life of the process leaves bytes in the
    /// machine's memory that read back, count as synced and are not on the drive. What was written and not synced yet
    /// still reads back.
    ///
    /// # Errors
    /// As the operating system.
    fn forget_cached(&self) -> io::Result<()>;

    /// Returns the length in bytes.
    ///
    /// # Errors
    /// As the operating system.
    fn len(&self) -> io::Result<u64>;

    /// Tells whether the length is 0.
    ///
    /// # Errors
    /// As the operating system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file or extends it with zeros.
    ///
    /// # Errors
    /// `StorageFull` when the disk is full.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends first.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            let read = self.read_at(buf, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buf = &mut buf[read..];
            offset += read as u64;
        }
        Ok(())
    }
}

/// An open directory.
pub trait DiskDir: Send + Sync + Debug {
    /// Makes the names in it durable.
    ///
    /// # Errors
    /// As the operating system.
    fn sync(&self) -> io::Result<()>;
}

/// A held lock; dropping it releases it.
pub trait DiskLock: Send + Sync + Debug {}
