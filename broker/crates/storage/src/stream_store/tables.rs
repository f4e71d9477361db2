//! The tables of a stream's index, as files beside its segments.
//!
//! A table is written once, under a number that was never used before, and named by the next checkpoint, which
//! syncs it first. What no checkpoint names is left over from a crash and goes with the sweep of the
//! segments. Tables are derived: one that is missing or damaged when the stream is opened costs the time to build the
//! index from the summaries of the segments, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hitherto_jetstream::{
    MergedTable, OpenTables, SavedTables, StreamSeq, TableBytes, TableCache, TableMerge,
    check_table,
};
use hitherto_platform::{Disk, DiskFile, OpenMode};
use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::verify::Finding;
use super::{StreamStore, WRITE_BYTES};
use crate::Error;
use crate::files;

/// One table, as a checkpoint names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableRecord {
    pub(super) number: u64,
    pub(super) len: u64,
}

/// What a checkpoint says of the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TablesRecord {
    /// In order of sequence.
    tables: Vec<TableRecord>,
    /// Subjects with messages in these tables and none in memory.
    only_cold: u64,
    /// The number of the next table.
    next: u64,
}

/// The table files of a store.
#[derive(Debug, Default)]
pub(super) struct Tables {
    files: BTreeMap<u64, Arc<TableFile>>,
    /// What the next checkpoint names.
    record: TablesRecord,
    /// The table a merge under way writes. No sweep may take it.
    merging: Option<u64>,
}

/// An open table.
#[derive(Debug)]
pub(super) struct TableFile {
    record: TableRecord,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    is_synced: AtomicBool,
}

/// A table to be made of several. Does not need its store.
#[derive(Debug)]
pub struct MergeTables {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    number: u64,
    merge: TableMerge,
}

/// A table that was merged and written, for [`StreamStore::take_merged`].
#[derive(Debug)]
pub struct MergedFile {
    file: TableFile,
    merged: MergedTable,
}

impl Tables {
    pub(super) fn new(record: TablesRecord) -> Self {
        Self {
            record,
            ..Self::default()
        }
    }

    pub(super) fn record(&self) -> TablesRecord {
        self.record.clone()
    }

    /// The files the next checkpoint names that are not durable yet.
    pub(super) fn unsynced(&self) -> Vec<Arc<TableFile>> {
        let named = self.record.tables.iter();
        let files = named.filter_map(|record| self.files.get(&record.number));
        let unsynced = files.filter(|file| !file.is_synced.load(Ordering::Acquire));
        unsynced.cloned().collect()
    }

    /// Tells whether a file may be needed, now or by a recovery from `manifest`.
    pub(super) fn needs(&self, number: u64, manifest: &Manifest) -> bool {
        let mut named = self.record.tables.iter().chain(&manifest.tables.tables);
        named.any(|record| record.number == number)
            || self.files.contains_key(&number)
            || self.merging == Some(number)
    }

    /// Tells whether `manifest` names tables that are not in use any more.
    pub(super) fn has_superfluous(&self, manifest: &Manifest) -> bool {
        let mut named = manifest.tables.tables.iter();
        named.any(|record| !self.files.contains_key(&record.number))
    }

    fn next_number(&mut self) -> u64 {
        self.record.next += 1;
        self.record.next
    }
}

impl StreamStore {
    /// Writes a table of the stream's index. It is durable after the next checkpoint that names it.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Io`]; nothing is left of it then.
    pub fn write_table(&mut self, bytes: &[u8]) -> Result<Arc<dyn TableBytes>, Error> {
        self.shared.check_poisoned()?;
        let number = self.tables.next_number();
        let path = table_path(&self.shared.dir, number);
        let mut draft = FileDraft::create(&*self.shared.disk, path)?;
        let file = match draft.write(bytes) {
            Ok(()) => draft.finish(number),
            Err(error) => {
                draft.discard(&*self.shared.disk);
                return Err(error);
            }
        };
        let file = file.inspect_err(|_| self.sweep = true)?;
        Ok(self.add_table(file))
    }

    fn add_table(&mut self, file: TableFile) -> Arc<dyn TableBytes> {
        let file = Arc::new(file);
        self.tables
            .files
            .insert(file.record.number, Arc::clone(&file));
        // Its name needs a sync of the directory.
        self.created += 1;
        file
    }

    /// Says which tables the index uses now, in order of sequence, and how many subjects have messages in them
    /// alone: the next checkpoint names them. The files of the others go after it.
    pub fn name_tables(&mut self, numbers: &[u64], only_cold: u64) {
        let known = self.tables.files.len();
        self.tables
            .files
            .retain(|number, _| numbers.contains(number));
        self.sweep |= self.tables.files.len() < known;
        let files = numbers.iter().map(|number| &self.tables.files[number]);
        self.tables.record.tables = files.map(|file| file.record).collect();
        self.tables.record.only_cold = only_cold;
    }

    /// Reads the tables the checkpoint names this store was opened with, and verifies them.
    ///
    /// # Errors
    /// When one of them is missing, damaged or of no use. They are forgotten then, and the index is to be
    /// built from [`StreamStore::metas`].
    pub fn open_tables(&mut self, cache: &TableCache) -> Result<OpenTables, Error> {
        let opened = self.read_tables(cache);
        if opened.is_err() {
            self.forget_tables();
        }
        opened
    }

    fn read_tables(&mut self, cache: &TableCache) -> Result<OpenTables, Error> {
        let mut tables: Vec<Arc<dyn TableBytes>> = Vec::new();
        for record in self.tables.record.tables.clone() {
            let path = table_path(&self.shared.dir, record.number);
            let file = Arc::new(TableFile::open(&*self.shared.disk, path, record)?);
            self.tables.files.insert(record.number, Arc::clone(&file));
            tables.push(file);
        }
        let floor = self.floor;
        let removed = self.deletes.iter().filter(|seq| *seq > floor.0);
        let saved = SavedTables {
            tables,
            only_cold: self.tables.record.only_cold,
            floor,
            removed: &mut removed.map(StreamSeq),
        };
        Ok(OpenTables::open(saved, cache)?)
    }

    /// Uses no table any more; their files go after the next checkpoint.
    pub fn forget_tables(&mut self) {
        self.name_tables(&[], 0);
        self.sweep = true;
    }

    /// Removes all tables, because one of them is damaged: the next start builds the index from the segments.
    pub fn remove_tables(&mut self) {
        for file in std::mem::take(&mut self.tables.files).into_values() {
            let path = &file.path;
            if let Err(error) = self.shared.disk.remove_file(path) {
                let path = path.display();
                tracing::error!(%path, %error, "cannot remove a table of a damaged index");
            }
        }
    }

    /// Where to write a table that others are merged into. It ends with [`StreamStore::take_merged`].
    pub fn begin_merge(&mut self, merge: TableMerge) -> MergeTables {
        let number = self.tables.next_number();
        self.tables.merging = Some(number);
        MergeTables {
            disk: Arc::clone(&self.shared.disk),
            path: table_path(&self.shared.dir, number),
            number,
            merge,
        }
    }

    /// Takes up a merged table, for the index to put in force. `None` when there is none: the merge failed.
    pub fn take_merged(
        &mut self,
        merged: Option<MergedFile>,
    ) -> Option<(MergedTable, Arc<dyn TableBytes>)> {
        self.tables.merging = None;
        // Whatever became of it, some files are superfluous.
        self.sweep = true;
        let MergedFile { file, merged } = merged?;
        Some((merged, self.add_table(file)))
    }
}

impl MergeTables {
    /// Writes the merged table and makes it durable. `pace` gets the number of bytes of each write, may wait, and ends the
    /// merge with `false`; then there is no result.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`], or [`Error::Table`] when one of the tables cannot be read.
    pub fn run(&self, pace: &mut dyn FnMut(u64) -> bool) -> Result<Option<MergedFile>, Error> {
        let mut draft = FileDraft::create(&*self.disk, self.path.clone())?;
        let mut is_stopped = false;
        let mut write = |bytes: &[u8]| {
            if !is_stopped {
                draft.write(bytes)?;
                is_stopped = !pace(bytes.len() as u64 * 2);
            }
            Ok(())
        };
        let merged = match self.merge.run(&mut write) {
            Ok(merged) if !is_stopped => merged,
            outcome => {
                draft.discard(&*self.disk);
                return outcome.map(|_| None);
            }
        };
        let file = draft.finish(self.number)?;
        file.sync()?;
        Ok(Some(MergedFile { file, merged }))
    }

    /// What is merged.
    pub fn merge(&self) -> &TableMerge {
        &self.merge
    }
}

impl TableFile {
    /// Opens a table a checkpoint names.
    pub(super) fn open(disk: &dyn Disk, path: PathBuf, record: TableRecord) -> Result<Self, Error> {
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::damaged(
                    &path,
                    0,
                    "the table of the index is missing",
                ));
            }
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        Ok(Self {
            record,
            path,
            file,
            is_synced: AtomicBool::new(true),
        })
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file
            .sync_data()
            .map_err(|error| Error::io("sync", &self.path, error))?;
        self.is_synced.store(true, Ordering::Release);
        Ok(())
    }
}

impl TableBytes for TableFile {
    fn number(&self) -> u64 {
        self.record.number
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn len(&self) -> u64 {
        self.record.len
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), String> {
        let mut done = 0;
        while done < buf.len() {
            let read = self.file.read_at(&mut buf[done..], offset + done as u64);
            match read.map_err(|error| error.to_string())? {
                0 => return Err("the file is shorter than it was".to_owned()),
                read => done += read,
            }
        }
        Ok(())
    }
}

/// A table file that is being written, in large pieces.
struct FileDraft {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    written: u64,
}

impl FileDraft {
    /// Begins a file; one left over from a crash goes.
    fn create(disk: &dyn Disk, path: PathBuf) -> Result<Self, Error> {
        match disk.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path, error));
            }
            Ok(()) | Err(_) => {}
        }
        Ok(Self {
            file: files::open(disk, &path, OpenMode::CreateNew)?,
            path,
            buffer: Vec::new(),
            written: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        match self.buffer.len() >= WRITE_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let written = self.file.write_at(&self.buffer, self.written);
        written.map_err(|error| Error::io("write", &self.path, error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, number: u64) -> Result<TableFile, Error> {
        self.flush()?;
        Ok(TableFile {
            record: TableRecord {
                number,
                len: self.written,
            },
            path: self.path,
            file: self.file,
            is_synced: AtomicBool::new(false),
        })
    }

    /// Nobody names it. If this fails the next sweep removes it.
    fn discard(self, disk: &dyn Disk) {
        if let Err(error) = disk.remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an unfinished table");
        }
    }
}

impl Manifest {
    /// Reads every table the manifest names, in the directory `dir`, and says what is damaged. No message is lost
    /// with one: a start builds the index from the segments.
    pub fn verify_tables(&self, disk: &dyn Disk, dir: &Path) -> Vec<Finding> {
        let findings = self.tables.tables.iter().filter_map(|record| {
            let path = table_path(dir, record.number);
            let verified = TableFile::open(disk, path.clone(), *record).and_then(|file| {
                check_table(&(Arc::new(file) as Arc<dyn TableBytes>)).map_err(Error::from)
            });
            verified.err().map(|error| Finding::new(&error, &path))
        });
        findings.collect()
    }

    /// How many tables of the index are named.
    pub fn tables(&self) -> usize {
        self.tables.tables.len()
    }

    /// Returns the bytes the named tables take on disk.
    pub fn table_bytes(&self) -> u64 {
        self.tables.tables.iter().map(|table| table.len).sum()
    }
}

fn table_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("idx-{number:010}.dat"))
}

/// The number of the table a file name stands for.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    files::number_in(name, "idx-", ".dat")
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
