//! A file whose writes are durable when they return (Linux: `O_DSYNC`), past the page cache where drive
//! and file system allow it (`O_DIRECT`).
//!
//! Measured on a virtio drive, 4 KiB into a file written before: 72 us at the median, 83 us for a write
//! into the page cache and an fdatasync. It also leaves no page behind that a failed sync marked clean.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;

use super::{DURABLE_WRITE_ALIGN, DiskFile, page_cache};

#[derive(Debug)]
pub(super) struct DurableFile {
    /// Goes through the page cache, for what does not fit the other.
    cached: File,
    /// `None` where the file system knows no direct writes.
    direct: Option<File>,
    /// Goes into the page cache and stays there until a sync.
    later: File,
    /// The drive wants a larger alignment than ours.
    refuses_direct: AtomicBool,
}

impl DurableFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let direct = match open(path, OFlags::DSYNC | OFlags::DIRECT) {
            Ok(file) => Some(file),
            // The answer of open(2) where there is no `O_DIRECT`.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            cached: open(path, OFlags::DSYNC)?,
            later: open(path, OFlags::empty())?,
            direct,
            refuses_direct: AtomicBool::new(false),
        })
    }

    /// Writes directly; `false` when that is not possible, and then nothing is written.
    fn write_directly(&self, bytes: &[u8], offset: u64) -> io::Result<bool> {
        let align = DURABLE_WRITE_ALIGN;
        let fits = bytes.as_ptr().align_offset(align) == 0
            && bytes.len().is_multiple_of(align)
            && offset.is_multiple_of(align as u64);
        let Some(direct) = self.direct.as_ref().filter(|_| fits) else {
            return Ok(false);
        };
        if self.refuses_direct.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match direct.write_all_at(bytes, offset) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.refuses_direct.store(true, Ordering::Relaxed);
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

impl DiskFile for DurableFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.write_directly(bytes, offset)? {
            return Ok(());
        }
        self.cached.write_all_at(bytes, offset)
    }

    fn write_later(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.later.write_all_at(bytes, offset)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.cached.read_at(buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.later.sync_data()
    }

    fn forget_cached(&self) -> io::Result<()> {
        page_cache::forget(&self.cached)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.cached.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.cached.set_len(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes at an address direct writes take, behind some that are at none.
    fn aligned(bytes: &[u8]) -> (Vec<u8>, usize) {
        let mut room = vec![0; bytes.len() + DURABLE_WRITE_ALIGN];
        let start = room.as_ptr().align_offset(DURABLE_WRITE_ALIGN);
        room[start..start + bytes.len()].copy_from_slice(bytes);
        (room, start)
    }

    #[test]
    fn bytes_of_any_address_length_and_offset_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(
            DurableFile::open(&path).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        File::create(&path).unwrap();
        let file = DurableFile::open(&path).unwrap();
        let (room, start) = aligned(&[7; 1024]);
        file.write_at(&room[start..start + 1024], 512).unwrap();
        file.write_at(&room[start..start + 512], 100).unwrap();
        file.write_at(&room[start + 1..start + 11], 1536).unwrap();
        let mut expected = vec![0; 100];
        expected.extend([7; 1436 + 10]);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(file.len().unwrap(), 1546);
    }

    /// Both ways in turn, within one page of the cache.
    #[test]
    fn writes_for_later_and_durable_ones_do_not_undo_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [0; 4096]).unwrap();
        let file = DurableFile::open(&path).unwrap();
        let mut expected = Vec::new();
        for sector in 0..8_u8 {
            let (room, start) = aligned(&[sector + 1; 512]);
            let bytes = &room[start..start + 512];
            let offset = u64::from(sector) * 512;
            match sector % 2 {
                0 => file.write_later(bytes, offset).unwrap(),
                _ => file.write_at(bytes, offset).unwrap(),
            }
            expected.extend_from_slice(bytes);
            let mut read = vec![0; expected.len()];
            file.read_exact_at(&mut read, 0).unwrap();
            assert_eq!(read, expected);
        }
        file.sync_data().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }

    #[test]
    fn a_direct_write_is_seen_by_who_reads_through_the_page_cache() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [1; 4096]).unwrap();
        let file = DurableFile::open(&path).unwrap();
        let mut buf = [0; 512];
        file.read_at(&mut buf, 1024).unwrap();
        assert_eq!(buf, [1; 512]);
        let (room, start) = aligned(&[2; 512]);
        file.write_at(&room[start..start + 512], 1024).unwrap();
        file.read_at(&mut buf, 1024).unwrap();
        assert_eq!(buf, [2; 512]);
    }
}
