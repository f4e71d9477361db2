//! Where the bodies of each stream lie: one directory per group, named by its number.
//!
//! Numbers are never used twice, so a directory belongs to one stream for ever.

use std::io;
use std::path::{Path, PathBuf};

use hitherto_jetstream::GroupId;
use hitherto_platform::Disk;
use hitherto_storage::Error;

/// The directory of a group.
pub(crate) fn path(streams_dir: &Path, group: GroupId) -> PathBuf {
    streams_dir.join(group.to_string())
}

/// Removes the directory of a group whose deletion is committed; one that is not there is fine.
pub(crate) fn remove(disk: &dyn Disk, streams_dir: &Path, group: GroupId) -> Result<(), Error> {
    let dir = path(streams_dir, group);
    match disk.remove_dir_all(&dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io {
            action: "remove",
            file: dir,
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Tells whether there is anything in the directory of a group.
pub(crate) fn has_files(
    disk: &dyn Disk,
    streams_dir: &Path,
    group: GroupId,
) -> Result<bool, Error> {
    let dir = path(streams_dir, group);
    match disk.list(&dir) {
        Ok(entries) => Ok(!entries.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Io {
            action: "list",
            file: dir,
            source,
        }),
    }
}

/// The groups that have a directory.
pub(crate) fn list(disk: &dyn Disk, streams_dir: &Path) -> Result<Vec<GroupId>, Error> {
    let entries = match disk.list(streams_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(Error::Io {
                action: "list",
                file: streams_dir.to_owned(),
                source,
            });
        }
    };
    let groups = entries.iter().filter(|entry| entry.is_dir);
    let groups = groups.filter_map(|entry| entry.name.to_str()?.parse().ok());
    Ok(groups.map(GroupId).collect())
}
