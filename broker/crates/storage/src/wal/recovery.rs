//! Opening the log: which files belong to it, where its tail is, and whether that tail may be
//! trusted.

use std::collections::VecDeque;
use std::path::Path;

use hitherto_platform::Disk;

use super::file::{FRAMES_START, FileHeader, FrameReader, wal_path};
use super::replay::{self, ReplayFile};
use super::{WalOptions, WalPosition, WalRange};
use crate::Error;
use crate::files;

/// The names found in the log's directory, sorted.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) logs: Vec<u64>,
    pub(super) spares: Vec<u64>,
}

/// The log as it stands on disk.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Every file before the last one.
    pub(super) older: VecDeque<u64>,
    /// The files to replay, in order; the last one is the one to append to.
    pub(super) files: VecDeque<ReplayFile>,
    /// Reader of the last file, standing behind its last intact frame.
    pub(super) tail: FrameReader,
    /// Where the first frame starts of which no later one says that it was durable; `None` when the last
    /// file has no frame.
    pub(super) doubtful: Option<u64>,
}

pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    for name in files::list(disk, dir)? {
        listing.logs.extend(files::number_in(&name, "wal-", ".log"));
        listing
            .spares
            .extend(files::number_in(&name, "spare-", ".log"));
    }
    listing.logs.sort_unstable();
    listing.spares.sort_unstable();
    Ok(listing)
}

/// Reads the headers of all files from `from` on, and the frames of the last one.
pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    numbers: &[u64],
    options: &WalOptions,
) -> Result<Recovered, Error> {
    let (last, older) = numbers
        .split_last()
        .expect("the caller has seen at least one file");
    let WalOptions {
        checkpointed,
        replay_from: from,
        ..
    } = *options;
    check_files(dir, numbers, checkpointed)?;
    let mut files = VecDeque::with_capacity(numbers.len());
    let needed = older
        .iter()
        .filter(|number| from.is_none_or(|from| **number >= from.file));
    for number in needed {
        // The end of a file is the beginning of the next, filled in by the next round.
        push_file(
            &mut files,
            dir,
            FrameReader::open(disk, dir, *number)?.header(),
        )?;
    }
    if from.is_some_and(|from| from.file > *last) {
        let what = "the log ends before a position that a checkpoint knows to be durable";
        return Err(Error::damaged(&wal_path(dir, *last), 0, what));
    }
    let mut tail = replay::open_at(disk, dir, *last, from)?;
    push_file(&mut files, dir, tail.header())?;
    let doubtful = find_tail(&mut tail)?;
    if let Some(file) = files.back_mut() {
        file.end = tail.next_link();
    }
    let end = WalPosition {
        file: *last,
        offset: tail.offset(),
    };
    if checkpointed.is_some_and(|range| range.to > end) {
        let what = "the log ends before a position that a checkpoint knows to be durable";
        return Err(Error::damaged(tail.path(), end.offset, what));
    }
    Ok(Recovered {
        older: older.iter().copied().collect(),
        files,
        tail,
        doubtful,
    })
}

fn push_file(
    files: &mut VecDeque<ReplayFile>,
    dir: &Path,
    header: FileHeader,
) -> Result<(), Error> {
    if let Some(before) = files.back_mut() {
        if header.first.number < before.end.number {
            let what = "the file's frames do not follow those of the file before";
            return Err(Error::damaged(&wal_path(dir, header.number), 0, what));
        }
        before.end = header.first;
    }
    files.push_back(ReplayFile {
        number: header.number,
        end: header.first,
    });
    Ok(())
}

pub(super) fn check_files(
    dir: &Path,
    numbers: &[u64],
    checkpointed: Option<WalRange>,
) -> Result<(), Error> {
    let missing = |number| Error::damaged(&wal_path(dir, number), 0, "the log file is missing");
    if let Some(pair) = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        return Err(missing(pair[0] + 1));
    }
    let needed = checkpointed.map(|range| range.from.file);
    match (needed, numbers.first()) {
        (Some(needed), Some(first)) if needed < *first => Err(missing(needed)),
        _ => Ok(()),
    }
}

/// Reads to the last intact frame and returns where the first one starts that may not be durable: it, or
/// one of the unsynced before it.
///
/// What follows it is either a frame that was under way at the crash, which nobody was promised
/// and which the next append overwrites; or damage. A later frame tells: it was written only
/// after the unreadable one was durable.
fn find_tail(tail: &mut FrameReader) -> Result<Option<u64>, Error> {
    let mut doubtful = VecDeque::new();
    while let Some(frame) = tail.next_frame()? {
        while doubtful
            .pop_front_if(|(number, _)| *number < frame.first_doubtful)
            .is_some()
        {}
        doubtful.push_back((frame.number, frame.offset));
    }
    debug_assert!(
        tail.offset() >= FRAMES_START,
        "frames start behind the header"
    );
    if tail.later_frame_exists()? {
        let what = "a frame is unreadable although later frames are there";
        return Err(Error::damaged(tail.path(), tail.offset(), what));
    }
    if tail.is_begun()? {
        let (file, offset) = (tail.path().display(), tail.offset());
        tracing::warn!(
            %file, offset,
            "the last frame of the log is unreadable and is cut: a write that was under way when the node ended, \
             or damage of it"
        );
    }
    Ok(doubtful.front().map(|(_, offset)| *offset))
}
