//! What is in a store: streams, consumers, segments and the log.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hitherto_jetstream::GroupId;
use hitherto_jetstream::api::{ConsumerInfo, StreamInfo};
use hitherto_protocol::Timestamp;
use hitherto_storage::{Checkpoint, Manifest, SegmentFile, WalSummary};
use serde::Serialize;

use super::{OfflineReport, StoreAtRest};
use crate::Error;
use crate::jetstream::RecoveredStream;

/// What is in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The identity of the store.
    pub store_id: String,
    /// The files of the log, oldest first.
    pub log: Vec<LogFile>,
    /// The streams, by name.
    pub streams: Vec<StreamInspection>,
    /// Streams a node would not serve.
    pub offline: Vec<OfflineReport>,
}

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogFile {
    /// Its number, from 1.
    pub number: u64,
    /// Its length on disk.
    pub bytes: u64,
    /// How much of it is in use.
    pub used_bytes: u64,
    /// Frames, each written by one sync.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamInspection {
    /// The number of its group, and of its folder.
    pub group: u32,
    /// As the API shows it, without `lost`.
    #[serde(flatten)]
    pub info: StreamInfo,
    /// The last entry of its log.
    pub applied: u64,
    /// Where the log begins that its last checkpoint needs; `None` when it has none.
    pub checkpoint: Option<String>,
    /// The segments the last checkpoint names.
    pub segments: Vec<SegmentReport>,
    /// The tables of its index that the last checkpoint names.
    pub tables: usize,
    /// What they take on disk.
    pub table_bytes: u64,
    /// The consumers, by name.
    pub consumers: Vec<ConsumerInfo>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SegmentReport {
    /// Its file.
    pub file: PathBuf,
    /// The sequence of its first message.
    pub first_seq: u64,
    /// The sequence of its last message.
    pub last_seq: u64,
    /// Messages in it, those deleted since included.
    pub messages: u64,
    /// Its length on disk.
    pub bytes: u64,
    /// Whether it is complete.
    pub sealed: bool,
}

impl StoreAtRest {
    /// Describes the store as a node would find it. Reads the log and what the streams' indexes are made of.
    ///
    /// # Errors
    /// When the store is so damaged that no node would start on it.
    pub fn inspect(&self) -> Result<Inspection, Error> {
        let recovered = self.recover()?;
        let checkpoints = self.checkpoints()?;
        let records = checkpoints.load_each()?.into_iter();
        let records = records.filter_map(|(group, record)| Some((group, record.ok()?)));
        let records: BTreeMap<GroupId, Checkpoint> = records.collect();
        let log = WalSummary::read(&*self.disk, &self.dir.join("wal"), None, &mut |_| true)?;
        let mut streams: Vec<_> = recovered
            .streams
            .iter()
            .map(|(group, stream)| self.describe(*group, stream, records.get(group)))
            .collect();
        streams.sort_by(|a, b| a.info.config.name.cmp(&b.info.config.name));
        let offline = recovered.offline.into_values().map(|stream| OfflineReport {
            name: stream.config.name,
            reason: stream.reason,
        });
        Ok(Inspection {
            store_id: checkpoints.id().to_string(),
            log: log.files.iter().map(LogFile::new).collect(),
            streams,
            offline: offline.collect(),
        })
    }

    fn describe(
        &self,
        group: GroupId,
        recovered: &RecoveredStream,
        checkpoint: Option<&Checkpoint>,
    ) -> StreamInspection {
        let stream = &recovered.stream;
        let manifest = checkpoint.and_then(|checkpoint| checkpoint.manifest.as_ref());
        let segments = manifest.map(|manifest| manifest.segment_files(&self.stream_dir(group)));
        // No clock: nothing shown depends on when it is asked.
        let now = Timestamp::ZERO;
        let consumers = stream.consumers();
        StreamInspection {
            group: group.0,
            info: stream.info(now),
            applied: stream.applied().0,
            checkpoint: checkpoint.map(|checkpoint| checkpoint.wal.to_string()),
            segments: segments.iter().flatten().map(SegmentReport::new).collect(),
            tables: manifest.map_or(0, Manifest::tables),
            table_bytes: manifest.map_or(0, Manifest::table_bytes),
            consumers: consumers.map(|consumer| consumer.info(now)).collect(),
        }
    }
}

impl LogFile {
    fn new(file: &hitherto_storage::WalFileSummary) -> Self {
        Self {
            number: file.number,
            bytes: file.len,
            used_bytes: file.used_bytes,
            frames: file.frames,
            entries: file.entries,
        }
    }
}

impl SegmentReport {
    fn new(file: &SegmentFile) -> Self {
        let (first_seq, last_seq) = file.sequences().into_inner();
        Self {
            file: file.path(),
            first_seq,
            last_seq,
            messages: file.messages(),
            bytes: file.bytes(),
            sealed: file.is_sealed(),
        }
    }
}
