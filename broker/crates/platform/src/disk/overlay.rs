//! A disk that shows what another one has and keeps every change to itself, in memory: for looking at a
//! store with the code that would also write it.
//!
//! A file that is opened for writing is copied into memory first, so memory grows with the files that are
//! written, not with the store. Nothing ever reaches the disk below but reads.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DirEntry, Disk, DiskDir, DiskFile, DiskLock, FaultyDisk, OpenMode};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1024 * 1024;

/// A view of another disk whose changes are lost when it is dropped; clones share it.
#[derive(Debug, Clone)]
pub struct OverlayDisk {
    below: Arc<dyn Disk>,
    changes: FaultyDisk,
    /// Paths of the disk below that count as removed, with everything under them.
    hidden: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl OverlayDisk {
    /// Creates a view without changes.
    pub fn new(below: Arc<dyn Disk>) -> Self {
        Self {
            below,
            changes: FaultyDisk::new(),
            hidden: Arc::default(),
        }
    }

    fn is_below(&self, path: &Path) -> io::Result<bool> {
        let hidden = self.hidden();
        let is_hidden = path.ancestors().any(|part| hidden.contains(part));
        Ok(!is_hidden && self.below.exists(path)?)
    }

    fn hide(&self, path: &Path) {
        self.hidden().insert(path.to_owned());
    }

    fn hidden(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.changes.create_dir_all(parent),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes a file of the disk below into memory, unless it is there.
    fn copy_up(&self, path: &Path) -> io::Result<()> {
        if self.changes.exists(path)? || !self.is_below(path)? {
            return Ok(());
        }
        let from = self.below.open(path, OpenMode::Read)?;
        self.make_parent(path)?;
        let to = self.changes.open(path, OpenMode::Create)?;
        let (mut buf, mut offset) = (vec![0; COPY_BYTES], 0);
        loop {
            let read = from.read_at(&mut buf, offset)?;
            if read == 0 {
                return to.sync_data();
            }
            to.write_at(&buf[..read], offset)?;
            offset += read as u64;
        }
    }
}

impl Disk for OverlayDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.changes.create_dir_all(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let is_new = !self.changes.exists(path)? && !self.is_below(path)?;
        match mode {
            OpenMode::Read if !self.changes.exists(path)? && !is_new => {
                self.below.open(path, OpenMode::Read)
            }
            OpenMode::CreateNew if !is_new => Err(io::ErrorKind::AlreadyExists.into()),
            OpenMode::Read | OpenMode::ReadWrite | OpenMode::WriteDurably if is_new => {
                Err(io::ErrorKind::NotFound.into())
            }
            mode => {
                self.copy_up(path)?;
                self.make_parent(path)?;
                self.changes.open(path, mode)
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy_up(from)?;
        self.make_parent(to)?;
        self.changes.rename(from, to)?;
        self.hide(from);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (is_changed, is_below) = (self.changes.exists(path)?, self.is_below(path)?);
        if !is_changed && !is_below {
            return Err(io::ErrorKind::NotFound.into());
        }
        if is_changed {
            self.changes.remove_file(path)?;
        }
        self.hide(path);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let (is_changed, is_below) = (self.changes.exists(path)?, self.is_below(path)?);
        if !is_changed && !is_below {
            return Err(io::ErrorKind::NotFound.into());
        }
        if is_changed {
            self.changes.remove_dir_all(path)?;
        }
        self.hide(path);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = BTreeSet::new();
        let is_changed = self.changes.exists(path)?;
        if is_changed {
            entries.extend(self.changes.list(path)?);
        }
        if self.is_below(path)? {
            let hidden = self.hidden();
            let shown = self.below.list(path)?.into_iter();
            entries.extend(shown.filter(|entry| !hidden.contains(&path.join(&entry.name))));
        } else if !is_changed {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(entries.into_iter().collect())
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn DiskDir>> {
        self.changes.create_dir_all(path)?;
        self.changes.open_dir(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.changes.exists(path)? || self.is_below(path)?)
    }

    /// Changes are kept in memory.
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.changes.free_bytes(path)
    }

    /// Takes a lock among the users of this view only.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.make_parent(path)?;
        self.changes.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(disk: &dyn Disk, path: &str, content: &[u8]) {
        let file = disk.open(Path::new(path), OpenMode::Create).unwrap();
        file.write_at(content, 0).unwrap();
        file.sync_data().unwrap();
    }

    fn read(disk: &dyn Disk, path: &str) -> io::Result<Vec<u8>> {
        let file = disk.open(Path::new(path), OpenMode::Read)?;
        let mut content = vec![0; usize::try_from(file.len()?).unwrap()];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    fn names(disk: &dyn Disk, path: &str) -> Vec<String> {
        let entries = disk.list(Path::new(path)).unwrap();
        let name = |entry: DirEntry| entry.name.into_string().unwrap();
        entries.into_iter().map(name).collect()
    }

    #[test]
    fn changes_are_seen_through_the_view_and_not_below() {
        let below = FaultyDisk::new();
        below.create_dir_all(Path::new("/store/sub")).unwrap();
        for name in ["/store/a", "/store/b", "/store/c", "/store/sub/d"] {
            write(&below, name, name.as_bytes());
        }
        let operations = below.counters().operations;
        let view = OverlayDisk::new(Arc::new(below.clone()));
        assert_eq!(read(&view, "/store/a").unwrap(), b"/store/a");
        write(&view, "/store/a", b"#");
        assert_eq!(read(&view, "/store/a").unwrap(), b"#store/a");
        view.rename(Path::new("/store/b"), Path::new("/store/e"))
            .unwrap();
        view.remove_file(Path::new("/store/c")).unwrap();
        view.remove_dir_all(Path::new("/store/sub")).unwrap();
        write(&view, "/store/new/f", b"f");
        view.sync_dir(Path::new("/store")).unwrap();
        assert_eq!(names(&view, "/store"), ["a", "e", "new"]);
        for gone in ["/store/b", "/store/c", "/store/sub/d"] {
            let error = read(&view, gone).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{gone}");
        }
        assert_eq!(read(&view, "/store/e").unwrap(), b"/store/b");
        let taken = view.open(Path::new("/store/a"), OpenMode::CreateNew);
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AlreadyExists);

        assert_eq!(names(&below, "/store"), ["a", "b", "c", "sub"]);
        assert_eq!(read(&below, "/store/a").unwrap(), b"/store/a");
        assert_eq!(
            below.counters().operations,
            operations,
            "nothing was changed"
        );
    }
}
