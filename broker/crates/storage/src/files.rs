//! Small file-system steps that several parts of the store share.

use std::cmp::Ordering;
use std::io;
use std::path::Path;

use hitherto_platform::{Disk, DiskDir, DiskFile, DiskLock, OpenMode};

use crate::Error;

/// Creates a directory and its missing parents so that they survive a crash. The name of one that is there
/// already is synced too: whoever made it may have been killed before.
pub(crate) fn create_dir(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let mut names = Vec::new();
    for path in dir
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty())
    {
        names.push(path);
        let exists = disk.exists(path);
        if exists.map_err(|error| Error::io("look at", path, error))? {
            break;
        }
    }
    disk.create_dir_all(dir)
        .map_err(|error| Error::io("create", dir, error))?;
    for parent in names.into_iter().rev().filter_map(Path::parent) {
        sync_dir(disk, parent)?;
    }
    Ok(())
}

pub(crate) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    disk.sync_dir(dir)
        .map_err(|error| Error::io("sync", dir, error))
}

pub(crate) fn open_dir(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskDir>, Error> {
    disk.open_dir(dir)
        .map_err(|error| Error::io("open", dir, error))
}

pub(crate) fn open(
    disk: &dyn Disk,
    path: &Path,
    mode: OpenMode,
) -> Result<Box<dyn DiskFile>, Error> {
    disk.open(path, mode)
        .map_err(|error| Error::io("open", path, error))
}

/// Takes a lock file; the lock lasts as long as the returned value.
pub(crate) fn lock(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskLock>, Error> {
    disk.lock(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked {
            file: path.to_owned(),
        },
        _ => Error::io("lock", path, error),
    })
}

/// Lists the plain files of a directory whose names are UTF-8, as all of ours are.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, Error> {
    let entries = disk
        .list(dir)
        .map_err(|error| Error::io("list", dir, error))?;
    let files = entries.into_iter().filter(|entry| !entry.is_dir);
    Ok(files
        .filter_map(|entry| entry.name.into_string().ok())
        .collect())
}

/// Reads the number out of a name like `wal-0000000012.log`.
pub(crate) fn number_in(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?
        .strip_suffix(suffix)?
        .parse()
        .ok()
}

/// Refuses a format that is not the one this release writes.
pub(crate) fn check_format(file: &Path, found: u32, supported: u32) -> Result<(), Error> {
    let file = || file.to_owned();
    match found.cmp(&supported) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(Error::NewerFormat {
            file: file(),
            found,
            supported,
        }),
        Ordering::Less => Err(Error::OlderFormat {
            file: file(),
            found,
            supported,
        }),
    }
}

/// Reads a little-endian number at a fixed place of a header the caller has measured.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        bytes[at..at + 4]
            .try_into()
            .expect("the range is 4 bytes long"),
    )
}

/// Reads a little-endian number at a fixed place of a header the caller has measured.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("the range is 8 bytes long"),
    )
}
