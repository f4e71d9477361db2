//! A disk in memory that loses, tears, fails and corrupts on demand.
//!
//! With nothing armed it is a plain in-memory disk, good for a broker without a folder. Memory is
//! one copy of each file plus the old content of sectors not yet synced.
//!
//! # Fault model
//! * **Crash** ([`FaultyDisk::crash`]): file content survives if `sync_data` covered it, a name if
//!   `sync_dir` of its directory covered it. Handles and locks from before the crash are dead.
//! * **Kill** ([`FaultyDisk::kill`]): the process dies and the machine goes on. Everything written
//!   reads back, synced or not; what was not synced still is lost in a later crash.
//! * **Torn crash** ([`FaultyDisk::crash_torn`]): of the unsynced sectors any subset survives, in
//!   no order (a drive writes its cache as it likes); of the unsynced name changes a prefix (a
//!   journaling file system keeps their order). A sector of 512 bytes is written whole or not.
//! * **Power cut at a point** ([`FaultyDisk::cut_power_after`]): after `n` more changing operations
//!   every call fails until `crash` or `crash_torn`.
//! * **Full** ([`FaultyDisk::set_capacity`]): a growing write keeps what fits, then `StorageFull`.
//! * **Failed sync** ([`FaultyDisk::fail_sync`]): one `sync_data` fails; what it should have synced
//!   reads back until the crash, or until somebody has the [cache forgotten](DiskFile::forget_cached), and is gone
//!   after it, even if later syncs of the file succeed.
//! * **Failed write** ([`FaultyDisk::fail_write`]): one write keeps a part and fails.
//! * **Any other error** ([`FaultyDisk::arm`]): chosen calls fail with an error of the operating system, such
//!   as "too many open files".
//! * **Bit rot** ([`FaultyDisk::flip_bit`]): a stored bit changes under everybody's feet.

mod fault;
mod inode;
mod names;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use self::fault::Faults;
use self::inode::Inode;
use self::names::{Change, InodeId, Names};
use super::{DirEntry, Disk, DiskDir, DiskFile, DiskLock, OpenMode};

pub use self::fault::{Fault, FaultOn};
pub use self::inode::SECTOR_BYTES;

/// An in-memory disk with faults; clones share it.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

/// What a [`FaultyDisk`] was asked to do since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Successful `write_at` calls.
    pub writes: u64,
    /// Bytes of those writes.
    pub bytes_written: u64,
    /// Successful `sync_data` calls.
    pub syncs: u64,
    /// Successful `sync_dir` calls.
    pub dir_syncs: u64,
    /// `read_at` calls.
    pub reads: u64,
    /// Bytes they returned.
    pub bytes_read: u64,
    /// Changing operations: writes, syncs, length and name changes, failed ones too. This is the
    /// unit of [`FaultyDisk::cut_power_after`].
    pub operations: u64,
}

#[derive(Debug, Clone, Default)]
struct State {
    names: Names,
    inodes: BTreeMap<InodeId, Inode>,
    next_inode: u64,
    locks: BTreeMap<PathBuf, u64>,
    next_lock: u64,
    /// Counts crashes; a handle of an earlier life is dead.
    life: u64,
    capacity_bytes: Option<u64>,
    power_cut_at: Option<u64>,
    writes_until_failure: Option<u64>,
    syncs_until_failure: Option<u64>,
    faults: Faults,
    counters: Counters,
}

impl FaultyDisk {
    /// Creates an empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses everything not synced and restarts the disk. Armed faults are cleared, the capacity
    /// stays.
    pub fn crash(&self) {
        self.state().restart(None);
    }

    /// Ends the process that uses the disk, and nothing else: handles and locks are dead, armed faults
    /// are cleared, and what was not synced is there to be read and not yet safe.
    pub fn kill(&self) {
        self.state().end_life();
    }

    /// As [`FaultyDisk::crash`], but a random part of what was not synced survives.
    pub fn crash_torn(&self, seed: u64) {
        self.state().restart(Some(&mut Rng::with_seed(seed)));
    }

    /// Lets `operations` more changing operations succeed; then every call fails until a crash.
    pub fn cut_power_after(&self, operations: u64) {
        let mut state = self.state();
        state.power_cut_at = Some(state.counters.operations.saturating_add(operations));
    }

    /// Limits the bytes all files may hold together; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// Returns the bytes all files hold together.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Lets `after` more file syncs succeed and fails the next one.
    pub fn fail_sync(&self, after: u64) {
        self.state().syncs_until_failure = Some(after);
    }

    /// Lets `after` more writes succeed and fails the next one, of which a part is kept.
    pub fn fail_write(&self, after: u64) {
        self.state().writes_until_failure = Some(after);
    }

    /// Makes chosen calls fail, besides those of faults armed before.
    pub fn arm(&self, fault: Fault) {
        self.state().faults.arm(fault);
    }

    /// Ends all faults that were [armed](FaultyDisk::arm).
    pub fn disarm(&self) {
        self.state().faults.clear();
    }

    /// Flips one bit (0 to 7) of a byte, durably.
    ///
    /// # Errors
    /// `NotFound` for a missing file, `UnexpectedEof` for an offset behind its end.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let mut state = self.state();
        let id = state.names.file(path).ok_or(io::ErrorKind::NotFound)?;
        state.inode_mut(id)?.flip_bit(offset, bit)
    }

    /// Returns another disk with the same content, synced or not, and no faults armed.
    pub fn snapshot(&self) -> Self {
        let mut copy = self.state().clone();
        copy.end_life();
        Self {
            state: Arc::new(Mutex::new(copy)),
        }
    }

    /// Returns what the disk was asked to do so far.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// The state, for a handle that was opened in that life.
    fn state_of(&self, life: u64) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        state.check_power()?;
        if state.life != life {
            return Err(io::Error::other("the handle is from before the crash"));
        }
        Ok(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn restart(&mut self, mut torn: Option<&mut Rng>) {
        self.names.crash(torn.as_deref_mut());
        let names = &self.names;
        self.inodes.retain(|id, _| names.is_linked(*id));
        for inode in self.inodes.values_mut() {
            inode.crash(torn.as_deref_mut());
        }
        self.end_life();
    }

    fn end_life(&mut self) {
        self.locks.clear();
        self.life += 1;
        self.power_cut_at = None;
        self.writes_until_failure = None;
        self.syncs_until_failure = None;
        self.faults.clear();
    }

    fn check_power(&self) -> io::Result<()> {
        match self.power_cut_at {
            Some(at) if self.counters.operations >= at => Err(io::Error::other("power is cut")),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a changing operation, or refuses it when the power is cut.
    fn begin_change(&mut self) -> io::Result<()> {
        self.check_power()?;
        self.counters.operations += 1;
        Ok(())
    }

    fn change_names(&mut self, change: Change) -> io::Result<()> {
        self.begin_change()?;
        self.names.change(change);
        Ok(())
    }

    fn create_file(&mut self, path: &Path) -> io::Result<InodeId> {
        if !self.names.is_dir(names::parent(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let id = InodeId(self.next_inode);
        self.change_names(Change::Link(path.to_owned(), id))?;
        self.next_inode += 1;
        self.inodes.insert(id, Inode::default());
        Ok(id)
    }

    fn used_bytes(&self) -> u64 {
        self.names
            .files()
            .filter_map(|id| self.inodes.get(&id))
            .map(Inode::len)
            .sum()
    }

    /// Returns how long a file that is `len` long and wants `wanted` bytes may become.
    fn len_allowed(&self, len: u64, wanted: u64) -> u64 {
        match self.capacity_bytes {
            Some(capacity) if wanted > len => {
                let free = capacity.saturating_sub(self.used_bytes());
                wanted.min(len.saturating_add(free))
            }
            Some(_) | None => wanted,
        }
    }

    fn inode_mut(&mut self, id: InodeId) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(&id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check_power()?;
        state.faults.check(FaultOn::MakeDir, path)?;
        for dir in state.names.missing_dirs(path)? {
            state.change_names(Change::MakeDir(dir))?;
        }
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.check_power()?;
        let on = match mode {
            OpenMode::Read => FaultOn::OpenRead,
            OpenMode::ReadWrite
            | OpenMode::Create
            | OpenMode::CreateNew
            | OpenMode::WriteDurably => FaultOn::OpenWrite,
        };
        state.faults.check(on, path)?;
        let inode = match (state.names.file(path), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(inode), _) => inode,
            (None, OpenMode::Create | OpenMode::CreateNew) => state.create_file(path)?,
            (None, OpenMode::Read | OpenMode::ReadWrite | OpenMode::WriteDurably) => {
                return Err(io::ErrorKind::NotFound.into());
            }
        };
        let writable = mode != OpenMode::Read;
        Ok(Box::new(FaultyFile {
            disk: self.clone(),
            path: path.to_owned(),
            inode,
            life: state.life,
            writable,
            durably: mode == OpenMode::WriteDurably,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.names.file(from).is_none() || !state.names.is_dir(names::parent(to)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.faults.check(FaultOn::Rename, to)?;
        state.change_names(Change::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.names.file(path).ok_or(io::ErrorKind::NotFound)?;
        state.change_names(Change::Unlink(path.to_owned()))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.is_dir(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        for change in state.names.removal_of(path) {
            state.change_names(change)?;
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state();
        state.check_power()?;
        state.names.list(path)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn DiskDir>> {
        let mut state = self.state();
        state.check_power()?;
        state.faults.check(FaultOn::OpenDir, path)?;
        if !state.names.is_dir(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(FaultyDir {
            disk: self.clone(),
            path: path.to_owned(),
            life: state.life,
        }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state();
        state.check_power()?;
        Ok(state.names.file(path).is_some() || state.names.is_dir(path))
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let state = self.state();
        state.check_power()?;
        let free = |capacity: u64| capacity.saturating_sub(state.used_bytes());
        Ok(state.capacity_bytes.map_or(u64::MAX, free))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.state();
        state.check_power()?;
        if state.locks.contains_key(path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if state.names.file(path).is_none() {
            state.create_file(path)?;
        }
        let id = state.next_lock;
        state.next_lock += 1;
        state.locks.insert(path.to_owned(), id);
        Ok(Box::new(FaultyLock {
            disk: self.clone(),
            path: path.to_owned(),
            id,
        }))
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    /// As it was opened.
    path: PathBuf,
    inode: InodeId,
    life: u64,
    writable: bool,
    /// Every write ends with a sync. Two operations, so that power can fail between them: then some of
    /// the sectors are on the drive.
    durably: bool,
}

impl FaultyFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        self.disk.state_of(self.life)
    }

    fn state_for_change(&self) -> io::Result<MutexGuard<'_, State>> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut state = self.state()?;
        state.begin_change()?;
        Ok(state)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state_for_change()?;
        if strikes(&mut state.writes_until_failure) {
            let part = bytes.len() / 2 / SECTOR_BYTES * SECTOR_BYTES;
            state.inode_mut(self.inode)?.write(&bytes[..part], offset);
            return Err(io::Error::other("write failed"));
        }
        let len = state.inode_mut(self.inode)?.len();
        let end = offset.saturating_add(bytes.len() as u64);
        let fits = state.len_allowed(len, end).saturating_sub(offset);
        let fits = usize::try_from(fits).unwrap_or(usize::MAX).min(bytes.len());
        state.inode_mut(self.inode)?.write(&bytes[..fits], offset);
        state.faults.check(FaultOn::Write, &self.path)?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.counters.writes += 1;
        state.counters.bytes_written += bytes.len() as u64;
        Ok(())
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(bytes, offset)?;
        if self.durably {
            self.sync_data()?;
        }
        Ok(())
    }

    fn write_later(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(bytes, offset)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        state.faults.check(FaultOn::Read, &self.path)?;
        let read = state.inode_mut(self.inode)?.read(buf, offset);
        state.counters.reads += 1;
        state.counters.bytes_read += read as u64;
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state_for_change()?;
        if strikes(&mut state.syncs_until_failure) {
            state.inode_mut(self.inode)?.fail_sync();
            return Err(io::Error::other("sync failed"));
        }
        state.inode_mut(self.inode)?.sync();
        state.counters.syncs += 1;
        Ok(())
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.state()?.inode_mut(self.inode)?.forget_cached();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.inode_mut(self.inode)?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state_for_change()?;
        let old = state.inode_mut(self.inode)?.len();
        if state.len_allowed(old, len) < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inode_mut(self.inode)?.set_len(len);
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyDir {
    disk: FaultyDisk,
    path: PathBuf,
    life: u64,
}

impl DiskDir for FaultyDir {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state_of(self.life)?;
        state.begin_change()?;
        state.faults.check(FaultOn::SyncDir, &self.path)?;
        state.names.sync_dir(&self.path);
        state.counters.dir_syncs += 1;
        Ok(())
    }
}

/// Counts down an armed one-time fault; true when it strikes now.
fn strikes(countdown: &mut Option<u64>) -> bool {
    match countdown {
        Some(0) => {
            *countdown = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

#[derive(Debug)]
struct FaultyLock {
    disk: FaultyDisk,
    path: PathBuf,
    id: u64,
}

impl DiskLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        // After a crash the lock may belong to somebody else already.
        if state.locks.get(&self.path) == Some(&self.id) {
            state.locks.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
