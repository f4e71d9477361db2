//! Reading whole segments to see whether they are what was written: for the scrub of a running node and for
//! checks of a store at rest.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use hitherto_jetstream::StreamSeq;
use hitherto_platform::Disk;

use super::StreamStore;
use super::block::Block;
use super::block_index::BlockRef;
use super::manifest::{Manifest, SegmentRecord};
use super::places::Lost;
use super::segment::Segment;
use super::segment_reader::SegmentReader;
use crate::Error;

/// One damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The damaged file.
    pub file: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub problem: String,
    /// The messages that cannot be read because of it; `None` when none are lost, or when nothing is known of
    /// them because the file could not be read, which may pass.
    pub sequences: Option<RangeInclusive<u64>>,
}

impl Finding {
    pub(crate) fn new(error: &Error, file: &Path) -> Self {
        let (file, offset, problem) = match error {
            Error::Damaged { file, offset, what } => (file.clone(), *offset, (*what).to_owned()),
            error => {
                let cause = std::error::Error::source(error);
                let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                (file.to_owned(), 0, format!("{error}{cause}"))
            }
        };
        Self {
            file,
            offset,
            problem,
            sequences: None,
        }
    }

    /// A finding that costs these messages, unless it is an error that may pass.
    fn lost(error: &Error, file: &Path, sequences: RangeInclusive<u64>) -> Self {
        Self {
            sequences: matches!(error, Error::Damaged { .. }).then_some(sequences),
            ..Self::new(error, file)
        }
    }
}

/// A segment that can be verified on another thread than that of its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    dir: PathBuf,
    record: SegmentRecord,
}

impl SegmentFile {
    /// The file.
    pub fn path(&self) -> PathBuf {
        self.record.path(&self.dir)
    }

    /// The sequences of its first and last message.
    pub fn sequences(&self) -> RangeInclusive<u64> {
        self.record.first_seq.0..=self.record.last_seq.0
    }

    /// How many messages it holds, those deleted since included.
    pub fn messages(&self) -> u64 {
        self.record.count
    }

    /// Its durable length in bytes.
    pub fn bytes(&self) -> u64 {
        self.record.len
    }

    /// Tells whether it is complete.
    pub fn is_sealed(&self) -> bool {
        self.record.sealed
    }

    /// Reads all of it and returns what is damaged. An error of the operating system, such as too many open
    /// files, is a finding without sequences. `pace` gets the number of bytes of each read once it
    /// is verified, may wait, and ends the walk with `false`.
    pub fn verify(&self, disk: &dyn Disk, pace: &mut dyn FnMut(u64) -> bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let path = self.path();
        let whole = |error: &Error| Finding::lost(error, &path, self.sequences());
        let segment = match Segment::open(disk, &self.dir, self.record) {
            Ok(segment) => segment,
            Err(error) => return vec![whole(&error)],
        };
        let reader = match segment.reader(disk) {
            Ok(reader) => reader,
            Err(error) => return vec![whole(&error)],
        };
        let ends = segment.verify_ends(&reader);
        findings.extend(ends.iter().map(|error| Finding::new(error, &path)));
        let index = match segment.index(disk) {
            Ok(index) => index,
            Err(error) => return vec![whole(&error)],
        };
        for (place, at) in index.iter().enumerate() {
            let next = index.get(place + 1).map(|next| next.first_seq);
            let end = next.unwrap_or(self.record.last_seq.next());
            findings.extend(verify_block(&reader, at, end, &path));
            if !pace(u64::from(at.len)) {
                break;
            }
        }
        findings
    }
}

impl Manifest {
    /// The segments it names, in order of sequence; `dir` is the directory of the store.
    pub fn segment_files(&self, dir: &Path) -> Vec<SegmentFile> {
        let file = |record: &SegmentRecord| SegmentFile {
            dir: dir.to_owned(),
            record: *record,
        };
        self.segments.iter().map(file).collect()
    }
}

impl StreamStore {
    /// The complete segments as they are now, in order of sequence.
    pub fn sealed_segments(&self) -> Vec<SegmentFile> {
        let sealed = self.segments.iter().filter(|segment| segment.record.sealed);
        let file = |segment: &Segment| SegmentFile {
            dir: self.shared.dir.clone(),
            record: segment.record,
        };
        sealed.map(file).collect()
    }

    /// Tells whether the segment still is part of the store, and not dropped or rewritten since.
    pub fn has_segment(&self, file: &SegmentFile) -> bool {
        self.segments
            .iter()
            .any(|segment| segment.record == file.record)
    }
}

/// Verifies a block and what the index says of it; `end` is the first sequence behind it.
fn verify_block(
    reader: &SegmentReader<'_>,
    at: &BlockRef,
    end: StreamSeq,
    path: &Path,
) -> Vec<Finding> {
    let lost_with = |sequences, error: &Error| Finding::lost(error, path, sequences);
    let all = at.first_seq.0..=end.0.saturating_sub(1).max(at.first_seq.0);
    let error = match reader.read_strictly(at) {
        Ok(block) => match check_block(&block, at, end) {
            Ok(()) if block.is_summed_up() => return Vec::new(),
            Ok(()) => {
                let what = "the summary of the block is unreadable";
                return vec![Finding::new(&reader.damaged(at.offset, what), path)];
            }
            Err(what) => return vec![lost_with(all, &reader.damaged(at.offset, what))],
        },
        Err(error) => error,
    };
    let lost = match reader.lost(at, end) {
        Ok(lost) => lost,
        Err(error) => return vec![lost_with(all, &error)],
    };
    if lost.is_empty() {
        return vec![Finding::new(&error, path)];
    }
    let finding = |lost: Lost| {
        // Of a block that is lost as a whole the error says why.
        let error = match lost.at {
            0 => &error,
            at_record => &reader.damaged(
                at.offset + u64::from(at_record),
                "a message fails its checksum",
            ),
        };
        lost_with(lost.sequences, error)
    };
    lost.into_iter().map(finding).collect()
}

fn check_block(block: &Block, at: &BlockRef, end: StreamSeq) -> Result<(), &'static str> {
    if block.len() != at.count as usize {
        return Err("the block holds another number of messages");
    }
    check_messages(block, at.first_seq, end)
}

fn check_messages(block: &Block, first: StreamSeq, end: StreamSeq) -> Result<(), &'static str> {
    let mut before = None;
    for record in 0..block.len() {
        let message = block.message(record)?;
        let follows = match before {
            None => message.seq == first,
            Some(before) => message.seq > before,
        };
        if !follows || message.seq >= end {
            return Err("the block's messages are out of order");
        }
        before = Some(message.seq);
    }
    Ok(())
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
