//! The directories of the faulty disk: names as seen now, and as a crash would leave them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::DirEntry;

/// The identity of a file apart from its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeId(pub(super) u64);

/// One change of names, atomic with respect to a crash.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Link(PathBuf, InodeId),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
    MakeDir(PathBuf),
    RemoveDir(PathBuf),
}

/// The names of the disk. The root and the working directory always exist.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    now: Tree,
    durable: Tree,
    /// Changes that are in `now` but not in `durable`, oldest first.
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone, Default)]
struct Tree {
    files: BTreeMap<PathBuf, InodeId>,
    dirs: BTreeSet<PathBuf>,
}

impl Names {
    pub(super) fn file(&self, path: &Path) -> Option<InodeId> {
        self.now.files.get(path).copied()
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        self.now.is_dir(path)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = InodeId> {
        self.now.files.values().copied()
    }

    pub(super) fn is_linked(&self, inode: InodeId) -> bool {
        self.files().any(|id| id == inode)
    }

    pub(super) fn change(&mut self, change: Change) {
        self.now.apply(&change);
        self.unsynced.push(change);
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let durable = &mut self.durable;
        self.unsynced.retain(|change| {
            let synced = change.touches(dir);
            if synced {
                durable.apply(change);
            }
            !synced
        });
    }

    /// Forgets the unsynced changes; with a random source, the oldest of them survive.
    pub(super) fn crash(&mut self, torn: Option<&mut Rng>) {
        let survive = torn.map_or(0, |rng| rng.usize(0..=self.unsynced.len()));
        for change in self.unsynced.drain(..).take(survive) {
            self.durable.apply(&change);
        }
        self.durable.drop_orphans();
        self.now = self.durable.clone();
    }

    /// Lists the directories `create_dir_all` must make, outermost first.
    pub(super) fn missing_dirs(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut missing = Vec::new();
        for dir in path.ancestors() {
            if self.file(dir).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if self.is_dir(dir) {
                break;
            }
            missing.push(dir.to_owned());
        }
        missing.reverse();
        Ok(missing)
    }

    /// Lists the changes that remove a directory with everything below it, innermost first.
    pub(super) fn removal_of(&self, path: &Path) -> Vec<Change> {
        let below = |other: &&PathBuf| other.starts_with(path);
        let files = self
            .now
            .files
            .keys()
            .filter(below)
            .cloned()
            .map(Change::Unlink);
        let dirs = self
            .now
            .dirs
            .iter()
            .rev()
            .filter(below)
            .cloned()
            .map(Change::RemoveDir);
        files.chain(dirs).collect()
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        if !self.is_dir(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let child = |other: &Path, is_dir| {
            let name = other.file_name().filter(|_| parent(other) == path)?;
            Some(DirEntry {
                name: name.to_owned(),
                is_dir,
            })
        };
        let files = self.now.files.keys().filter_map(|file| child(file, false));
        let dirs = self.now.dirs.iter().filter_map(|dir| child(dir, true));
        let mut entries: Vec<_> = files.chain(dirs).collect();
        entries.sort();
        Ok(entries)
    }
}

impl Tree {
    fn is_dir(&self, path: &Path) -> bool {
        path.parent().is_none() || path.as_os_str().is_empty() || self.dirs.contains(path)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Link(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            Change::Unlink(path) => {
                self.files.remove(path);
            }
            Change::Rename(from, to) => {
                if let Some(inode) = self.files.remove(from) {
                    self.files.insert(to.clone(), inode);
                }
            }
            Change::MakeDir(path) => {
                self.dirs.insert(path.clone());
            }
            Change::RemoveDir(path) => {
                self.dirs.remove(path);
            }
        }
    }

    /// A durable name in a directory that is not durable cannot be reached.
    fn drop_orphans(&mut self) {
        let all = self.clone();
        let reachable = |path: &Path| path.ancestors().skip(1).all(|dir| all.is_dir(dir));
        self.dirs.retain(|dir| reachable(dir));
        self.files.retain(|file, _| reachable(file));
    }
}

impl Change {
    fn touches(&self, dir: &Path) -> bool {
        match self {
            Self::Link(path, _)
            | Self::Unlink(path)
            | Self::MakeDir(path)
            | Self::RemoveDir(path) => parent(path) == dir,
            Self::Rename(from, to) => parent(from) == dir || parent(to) == dir,
        }
    }
}

/// The directory a name is in; the root is its own.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
