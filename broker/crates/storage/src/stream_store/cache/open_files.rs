//! The files of segments that are read lately, open: opening one costs more than reading a record.

use std::sync::Arc;

use hitherto_platform::DiskFile;

/// Files that are kept open to be read from: 32, which is 512 MiB of segments.
const OPEN_FILES_MAX: usize = 32;

/// Which file: store, first sequence of the segment.
type FileKey = (u64, u64);

/// The open files, the least recently used first.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    files: Vec<(FileKey, Arc<dyn DiskFile>)>,
}

impl OpenFiles {
    pub(super) fn get(&mut self, key: FileKey) -> Option<Arc<dyn DiskFile>> {
        let place = self.files.iter().rposition(|(other, _)| *other == key)?;
        self.files[place..].rotate_left(1);
        self.files.last().map(|(_, file)| Arc::clone(file))
    }

    pub(super) fn insert(&mut self, key: FileKey, file: Arc<dyn DiskFile>) {
        self.files.retain(|(other, _)| *other != key);
        if self.files.len() == OPEN_FILES_MAX {
            self.files.remove(0);
        }
        self.files.push((key, file));
    }

    pub(super) fn close(&mut self, store: u64) {
        self.files.retain(|(key, _)| key.0 != store);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hitherto_platform::{Disk as _, FaultyDisk, OpenMode};

    use super::*;

    #[test]
    fn files_are_bounded_and_the_one_used_last_stays() {
        let disk = FaultyDisk::new();
        let open = || {
            disk.open(Path::new("/file"), OpenMode::Create)
                .unwrap()
                .into()
        };
        let mut files = OpenFiles::default();
        for number in 0..OPEN_FILES_MAX as u64 {
            files.insert((1, number), open());
        }
        assert!(files.get((1, 0)).is_some());
        files.insert((2, 7), open());
        assert_eq!(files.files.len(), OPEN_FILES_MAX);
        assert!(files.get((1, 0)).is_some() && files.get((1, 1)).is_none());
        files.close(1);
        assert!(files.get((2, 7)).is_some() && files.get((1, 0)).is_none());
    }
}
