//! The frame: what one append writes and one crc32c covers.
//!
//! ```text
//! header (40 bytes)  magic u32, version u16, unsynced frames u16, generation u64, number u64,
//!                    payload length u32, entries u32, previous frame's crc u32, header crc u32
//! payload            per entry: group u32, index u64, term u64, kind u8, body length u32, body
//! crc u32            of header and payload
//! padding            zeros up to a multiple of 512 bytes
//! ```
//! All numbers are little endian. Frames start at multiples of 512 bytes, the unit a drive writes
//! whole, so a frame under way never shares a sector with one that was acknowledged.
//!
//! The unsynced frames are those directly before this one that were not known to be durable when it was
//! written: 0 but behind [`Wal::append_unsynced`](super::Wal::append_unsynced). Everything before them was.
//!
//! Frames of version 1 have entries without term and kind, see [`Layout`].

use hitherto_jetstream::{GroupId, LogIndex};

use super::{EntryKind, WalEntry};
use crate::Error;
use crate::files::{u32_at, u64_at};

/// Frames start at multiples of this.
pub(super) const ALIGN: usize = 512;

/// Bytes of a frame header.
pub(super) const HEADER_BYTES: usize = 40;

/// The largest frame: 1 GiB. A length beyond it cannot be ours.
const FRAME_BYTES_MAX: usize = 1 << 30;

const MAGIC: u32 = u32::from_le_bytes(*b"HWFR");
const CRC_BYTES: usize = 4;

/// How the entries of a frame are laid out. All frames of a file have one layout, the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Of files begun before entries had a term and a kind: all have term 0 and kind 0. Such a file is
    /// written on as it began.
    Plain,
    /// What new files have.
    Kinds,
}

impl Layout {
    /// The number that stands for it in the headers of files and frames.
    pub(super) fn version(self) -> u16 {
        match self {
            Self::Plain => 1,
            Self::Kinds => 2,
        }
    }

    fn of_version(version: u16) -> Option<Self> {
        [Self::Plain, Self::Kinds]
            .into_iter()
            .find(|layout| layout.version() == version)
    }

    fn entry_header_bytes(self) -> usize {
        match self {
            Self::Plain => 16,
            Self::Kinds => 25,
        }
    }

    /// Tells whether such a frame can hold the entries.
    pub(super) fn can_hold(self, entries: &[WalEntry<'_>]) -> bool {
        let is_plain = |entry: &WalEntry<'_>| entry.kind == EntryKind::default() && entry.term == 0;
        self == Self::Kinds || entries.iter().all(is_plain)
    }
}

/// What the next frame of a file must carry to be that frame, and not one left over from an
/// earlier use of the file or an earlier, cut tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Random per use of a file.
    pub(super) generation: u64,
    /// Counts the frames of the log, across files.
    pub(super) number: u64,
    /// The crc at the end of the frame before, also across files.
    pub(super) previous_crc: u32,
}

/// A header whose own crc is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHeader {
    pub(super) link: Link,
    pub(super) layout: Layout,
    /// Frames before this one that may be missing although it is there.
    pub(super) unsynced: u16,
    pub(super) entries: u32,
    payload_len: u32,
}

impl FrameHeader {
    /// Decodes a header; `None` when the bytes are not one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let layout = Layout::of_version(u16::from_le_bytes([bytes[4], bytes[5]]))?;
        let intact = u32_at(bytes, 0) == MAGIC && u32_at(bytes, 36) == crc32c::crc32c(&bytes[..36]);
        intact.then(|| Self {
            link: Link {
                generation: u64_at(bytes, 8),
                number: u64_at(bytes, 16),
                previous_crc: u32_at(bytes, 32),
            },
            layout,
            unsynced: u16::from_le_bytes([bytes[6], bytes[7]]),
            payload_len: u32_at(bytes, 24),
            entries: u32_at(bytes, 28),
        })
    }

    fn encode_into(&self, bytes: &mut [u8]) {
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.layout.version().to_le_bytes());
        bytes[6..8].copy_from_slice(&self.unsynced.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.link.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.link.number.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.entries.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.link.previous_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..36]);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
    }

    /// The number of the first frame that was not known to be durable when this one was written.
    pub(super) fn first_doubtful(&self) -> u64 {
        self.link.number.saturating_sub(u64::from(self.unsynced))
    }

    /// Bytes of the frame without its padding.
    pub(super) fn frame_len(&self) -> usize {
        HEADER_BYTES + self.payload_len as usize + CRC_BYTES
    }
}

/// Rounds a frame length up to the start of the next frame.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

/// Returns the padded length of the frame that holds `entries`.
///
/// # Errors
/// [`Error::TooLarge`] beyond [`FRAME_BYTES_MAX`].
pub(super) fn measure(entries: &[WalEntry<'_>], layout: Layout) -> Result<usize, Error> {
    let bodies = entries
        .iter()
        .map(|entry| layout.entry_header_bytes() + entry.body.len());
    let len = padded(bodies.sum::<usize>() + HEADER_BYTES + CRC_BYTES);
    if len > FRAME_BYTES_MAX {
        let (bytes, limit_bytes) = (len as u64, FRAME_BYTES_MAX as u64);
        return Err(Error::TooLarge {
            what: "log frame",
            bytes,
            limit_bytes,
        });
    }
    Ok(len)
}

/// Encodes a frame into `buf`, which is as long as [`measure`] says, behind so many frames that are not
/// synced, and returns the frame's crc.
pub(super) fn encode(
    buf: &mut [u8],
    link: Link,
    (layout, unsynced): (Layout, u16),
    entries: &[WalEntry<'_>],
) -> u32 {
    let mut end = HEADER_BYTES;
    let mut put = |bytes: &[u8]| {
        buf[end..end + bytes.len()].copy_from_slice(bytes);
        end += bytes.len();
    };
    for entry in entries {
        put(&entry.group.0.to_le_bytes());
        put(&entry.index.0.to_le_bytes());
        if layout == Layout::Kinds {
            put(&entry.term.to_le_bytes());
            put(&[entry.kind.0]);
        }
        put(&measured(entry.body.len()).to_le_bytes());
        put(entry.body);
    }
    let header = FrameHeader {
        link,
        layout,
        unsynced,
        entries: measured(entries.len()),
        payload_len: measured(end - HEADER_BYTES),
    };
    header.encode_into(&mut buf[..HEADER_BYTES]);
    let crc = crc32c::crc32c(&buf[..end]);
    buf[end..end + CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
    buf[end + CRC_BYTES..].fill(0);
    crc
}

fn measured(len: usize) -> u32 {
    u32::try_from(len).expect("`measure` has refused frames above 1 GiB")
}

/// Returns the crc of a whole frame, without padding, if its bytes are intact.
pub(super) fn verify(frame: &[u8]) -> Option<u32> {
    let (covered, stored) = frame.split_last_chunk::<CRC_BYTES>()?;
    let crc = crc32c::crc32c(covered);
    (crc == u32::from_le_bytes(*stored)).then_some(crc)
}

/// Takes the next entry off the front of a verified payload; `None` when it is malformed, which
/// the writer never makes.
pub(super) fn take_entry<'a>(payload: &mut &'a [u8], layout: Layout) -> Option<WalEntry<'a>> {
    let (head, rest) = payload.split_at_checked(layout.entry_header_bytes())?;
    let (term, kind, body_len) = match layout {
        Layout::Plain => (0, EntryKind::default(), u32_at(head, 12)),
        Layout::Kinds => (u64_at(head, 12), EntryKind(head[20]), u32_at(head, 21)),
    };
    let (body, rest) = rest.split_at_checked(body_len as usize)?;
    *payload = rest;
    Some(WalEntry {
        group: GroupId(u32_at(head, 0)),
        index: LogIndex(u64_at(head, 4)),
        term,
        kind,
        body,
    })
}

/// The payload of a verified frame.
pub(super) fn payload(frame: &[u8]) -> &[u8] {
    &frame[HEADER_BYTES..frame.len() - CRC_BYTES]
}
