//! Verifying every file of a store, and then whether a node could start on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hitherto_jetstream::GroupId;
use hitherto_storage::{Checkpoint, Finding, SegmentFile, WalRange, WalSummary};
use serde::Serialize;

use super::StoreAtRest;
use crate::Error;
use crate::jetstream::{Recovered, stream_names};

/// How far a check has come, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Read and verified.
    pub done: u64,
    /// All there is to read.
    pub total: u64,
}

/// What a check has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// The identity of the store; `None` when the checkpoints cannot be read.
    pub store_id: Option<String>,
    /// Files of the log.
    pub log_files: usize,
    /// Intact frames of the log, each written by one sync.
    pub log_frames: u64,
    /// Entries in them.
    pub log_entries: u64,
    /// The streams with files, by name.
    pub streams: Vec<StreamReport>,
    /// What is damaged.
    pub damage: Vec<DamagedPlace>,
    /// Streams a node would not serve.
    pub offline: Vec<OfflineReport>,
    /// Why a node would not start; `None` when it would.
    pub start_error: Option<String>,
}

/// What was verified of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamReport {
    /// Its name; its number when the list of streams cannot be read.
    pub name: String,
    /// Segments a checkpoint names.
    pub segments: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Messages in them, those deleted since included.
    pub messages: u64,
    /// Places in them that are damaged.
    pub damaged_places: usize,
}

/// One damaged place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DamagedPlace {
    /// The file.
    pub file: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub problem: String,
    /// The stream it belongs to, if only to one.
    pub stream: Option<String>,
    /// The first message that cannot be read because of it; `None` when none is lost.
    pub first_seq: Option<u64>,
    /// The last one.
    pub last_seq: Option<u64>,
}

/// A stream a node would not serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OfflineReport {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl CheckReport {
    /// Tells whether nothing is damaged.
    pub fn is_intact(&self) -> bool {
        self.damage.is_empty() && self.offline.is_empty() && self.start_error.is_none()
    }
}

impl StoreAtRest {
    /// Reads and verifies everything. Damage is in the report.
    ///
    /// # Errors
    /// When a directory cannot be listed.
    pub fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<CheckReport, Error> {
        let mut check = Check {
            store: self,
            report: CheckReport::default(),
            names: BTreeMap::new(),
            segments: BTreeMap::new(),
            tables: BTreeMap::new(),
            known_log: None,
        };
        check.read_checkpoints();
        let mut pace = check.pace(progress)?;
        check.read_log(&mut pace)?;
        check.read_segments(&mut pace);
        check.try_to_start();
        Ok(check.report)
    }
}

/// A check under way.
struct Check<'a> {
    store: &'a StoreAtRest,
    report: CheckReport,
    names: BTreeMap<GroupId, String>,
    segments: BTreeMap<GroupId, Vec<SegmentFile>>,
    /// What is damaged in the tables of the indexes.
    tables: BTreeMap<GroupId, Vec<Finding>>,
    /// The part of the log the checkpoints know.
    known_log: Option<WalRange>,
}

impl<'a> Check<'a> {
    fn read_checkpoints(&mut self) {
        let file = self.store.dir.join("state.redb");
        let read = self
            .store
            .checkpoints()
            .and_then(|checkpoints| Ok((checkpoints.id(), checkpoints.load_each()?)));
        let (id, records) = match read {
            Ok(read) => read,
            Err(error) => return self.add_error(&error, file, None),
        };
        self.report.store_id = Some(id.to_string());
        let mut intact = Vec::new();
        for (group, record) in records {
            match record {
                Ok(checkpoint) => intact.push((group, checkpoint)),
                Err(error) => {
                    let stream = (group != GroupId::META).then(|| group.to_string());
                    self.add_error(&error, file.clone(), stream);
                }
            }
        }
        self.known_log = WalRange::covering(intact.iter().map(|(_, checkpoint)| checkpoint.wal));
        for (group, checkpoint) in intact {
            self.take_checkpoint(group, &checkpoint, &file);
        }
    }

    fn take_checkpoint(&mut self, group: GroupId, checkpoint: &Checkpoint, file: &Path) {
        if group == GroupId::META {
            match stream_names(&checkpoint.state) {
                Ok(names) => self.names = names,
                Err(problem) => self.add(DamagedPlace::of_file(file.to_owned(), problem)),
            }
        } else if let Some(manifest) = &checkpoint.manifest {
            let dir = self.store.stream_dir(group);
            self.segments.insert(group, manifest.segment_files(&dir));
            let tables = manifest.verify_tables(&*self.store.disk, &dir);
            self.tables.insert(group, tables);
        } else {
            let problem = format!("the checkpoint of stream {group} has no list of segments");
            self.add(DamagedPlace::of_file(file.to_owned(), problem));
        }
    }

    /// Counts what there is to read, and returns who is told of every read.
    fn pace<'p>(
        &self,
        progress: &'p mut dyn FnMut(Progress),
    ) -> Result<impl FnMut(u64) -> bool + use<'p>, Error> {
        let segments = self.segments.values().flatten();
        let mut total: u64 = segments.map(SegmentFile::bytes).sum();
        let wal_dir = self.store.dir.join("wal");
        let (disk, failed) = (&*self.store.disk, |source| hitherto_storage::Error::Io {
            action: "list",
            file: wal_dir.clone(),
            source,
        });
        for entry in disk.list(&wal_dir).map_err(failed)? {
            let name = entry.name.to_string_lossy();
            if name.starts_with("wal-") {
                let path = wal_dir.join(&*name);
                let open = disk.open(&path, hitherto_platform::OpenMode::Read);
                total += open.and_then(|file| file.len()).unwrap_or(0);
            }
        }
        let mut done = 0;
        progress(Progress { done, total });
        Ok(move |bytes| {
            done += bytes;
            progress(Progress { done, total });
            true
        })
    }

    fn read_log(&mut self, pace: &mut dyn FnMut(u64) -> bool) -> Result<(), Error> {
        let (disk, dir) = (&*self.store.disk, self.store.dir.join("wal"));
        let log = WalSummary::read(disk, &dir, self.known_log, pace)?;
        self.report.log_files = log.files.len();
        self.report.log_frames = log.files.iter().map(|file| file.frames).sum();
        self.report.log_entries = log.files.iter().map(|file| file.entries).sum();
        for finding in log.findings {
            self.add(DamagedPlace::new(finding, None));
        }
        Ok(())
    }

    fn read_segments(&mut self, pace: &mut dyn FnMut(u64) -> bool) {
        for (group, files) in std::mem::take(&mut self.segments) {
            let name = self.names.get(&group);
            let name = name.cloned().unwrap_or_else(|| group.to_string());
            let mut stream = StreamReport {
                name: name.clone(),
                segments: files.len(),
                bytes: files.iter().map(SegmentFile::bytes).sum(),
                messages: files.iter().map(SegmentFile::messages).sum(),
                damaged_places: 0,
            };
            for file in files {
                for finding in file.verify(&*self.store.disk, pace) {
                    stream.damaged_places += 1;
                    self.add(DamagedPlace::new(finding, Some(name.clone())));
                }
            }
            for finding in self.tables.remove(&group).unwrap_or_default() {
                stream.damaged_places += 1;
                self.add(DamagedPlace::new(finding, Some(name.clone())));
            }
            self.report.streams.push(stream);
        }
        self.report.streams.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Does what a node does first: opens the streams and replays the log, which also compares the state
    /// of each stream with its messages.
    fn try_to_start(&mut self) {
        match self.store.recover() {
            Ok(Recovered { offline, .. }) => {
                for stream in offline.into_values() {
                    self.report.offline.push(OfflineReport {
                        name: stream.config.name,
                        reason: stream.reason,
                    });
                }
            }
            Err(error) => self.report.start_error = Some(error.to_string()),
        }
    }

    fn add_error(
        &mut self,
        error: &hitherto_storage::Error,
        file: PathBuf,
        stream: Option<String>,
    ) {
        let place = DamagedPlace::of_file(file, error.to_string());
        self.add(DamagedPlace { stream, ..place });
    }

    fn add(&mut self, place: DamagedPlace) {
        self.report.damage.push(place);
    }
}

impl DamagedPlace {
    fn new(finding: Finding, stream: Option<String>) -> Self {
        let sequences = finding.sequences;
        Self {
            file: finding.file,
            offset: finding.offset,
            problem: finding.problem,
            stream,
            first_seq: sequences.as_ref().map(|range| *range.start()),
            last_seq: sequences.as_ref().map(|range| *range.end()),
        }
    }

    fn of_file(file: PathBuf, problem: String) -> Self {
        Self {
            file,
            offset: 0,
            problem,
            stream: None,
            first_seq: None,
            last_seq: None,
        }
    }
}
