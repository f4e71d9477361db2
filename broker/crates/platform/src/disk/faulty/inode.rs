//! The content of one file of the faulty disk, with what a crash would take back.

use std::collections::BTreeMap;
use std::io;

use fastrand::Rng;

/// The unit a drive writes whole or not at all: 512 bytes.
pub const SECTOR_BYTES: usize = 512;

type Sector = Box<[u8; SECTOR_BYTES]>;

/// One file: the content that reads see, and the durable content where it differs.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    content: Vec<u8>,
    durable_len: usize,
    /// Durable content of sectors changed since the last sync.
    unsynced: BTreeMap<usize, Sector>,
    /// Durable content of sectors whose sync failed: they read back, yet are not on the drive and
    /// will not be unless written again.
    lost: BTreeMap<usize, Sector>,
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.content.len() as u64
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let Some(rest) = usize::try_from(offset)
            .ok()
            .and_then(|at| self.content.get(at..))
        else {
            return 0;
        };
        let read = rest.len().min(buf.len());
        buf[..read].copy_from_slice(&rest[..read]);
        read
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let start = index(offset);
        let end = start + bytes.len();
        // The gap between the old end and the write reads as zeros and is written with it.
        self.save_sectors(start.min(self.content.len()), end);
        if end > self.content.len() {
            self.content.resize(end, 0);
        }
        self.content[start..end].copy_from_slice(bytes);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let len = index(len);
        let old = self.content.len();
        self.save_sectors(len.min(old), len.max(old));
        self.content.resize(len, 0);
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
        self.durable_len = self.content.len();
    }

    pub(super) fn fail_sync(&mut self) {
        self.lost.append(&mut self.unsynced);
    }

    /// Shows what is on the drive of the sectors whose sync failed. One that was written again since is not among
    /// them.
    pub(super) fn forget_cached(&mut self) {
        for (sector, durable) in std::mem::take(&mut self.lost) {
            let start = (sector * SECTOR_BYTES).min(self.content.len());
            let end = (start + SECTOR_BYTES).min(self.content.len());
            self.content[start..end].copy_from_slice(&durable[..end - start]);
        }
    }

    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) -> io::Result<()> {
        let at = index(offset);
        *self
            .content
            .get_mut(at)
            .ok_or(io::ErrorKind::UnexpectedEof)? ^= 1 << (bit % 8);
        for saved in [&mut self.unsynced, &mut self.lost] {
            if let Some(sector) = saved.get_mut(&(at / SECTOR_BYTES)) {
                sector[at % SECTOR_BYTES] ^= 1 << (bit % 8);
            }
        }
        Ok(())
    }

    /// Goes back to the durable content; with a random source, some unsynced sectors survive.
    pub(super) fn crash(&mut self, torn: Option<&mut Rng>) {
        let mut len = self.durable_len;
        let mut back = std::mem::take(&mut self.unsynced);
        if let Some(rng) = torn {
            back.retain(|_, _| rng.bool());
            // The new length reached the drive or not, whatever became of the sectors.
            if rng.bool() {
                len = self.content.len();
            }
        }
        back.append(&mut self.lost);
        // A cut that did not reach the drive gives its bytes back.
        self.content.resize(len.max(self.content.len()), 0);
        for (sector, old) in back {
            let start = (sector * SECTOR_BYTES).min(self.content.len());
            let end = (start + SECTOR_BYTES).min(self.content.len());
            self.content[start..end].copy_from_slice(&old[..end - start]);
        }
        self.content.resize(len, 0);
        self.durable_len = len;
    }

    /// Saves the durable content of the sectors that `start..end` touches.
    fn save_sectors(&mut self, start: usize, end: usize) {
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            if self.unsynced.contains_key(&sector) {
                continue;
            }
            let old = self
                .lost
                .remove(&sector)
                .unwrap_or_else(|| self.copy_sector(sector));
            self.unsynced.insert(sector, old);
        }
    }

    fn copy_sector(&self, sector: usize) -> Sector {
        let mut copy = Box::new([0; SECTOR_BYTES]);
        let start = (sector * SECTOR_BYTES).min(self.content.len());
        let end = (start + SECTOR_BYTES).min(self.content.len());
        copy[..end - start].copy_from_slice(&self.content[start..end]);
        copy
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("a file in memory has offsets that fit memory")
}
