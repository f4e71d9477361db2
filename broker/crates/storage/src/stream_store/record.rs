//! The record: one message as it lies in a block, with a checksum of its own, so that it can be read alone.
//!
//! ```text
//! crc u32            of what follows; 0 in a compressed block, where no record is read alone
//! seq u64, ts i64    nanoseconds since 1970
//! subject length u32 the highest bit says that there are headers
//! payload length u32
//! headers length u32 only where there are headers
//! subject, headers, payload
//! ```
//! Little endian. A record is as long as its message counts with against limits, but for a fixed difference
//! (see [`len_of`]): so the sizes in a block's summary say where each record lies, and nothing else has to.

use bytes::Bytes;
use hitherto_jetstream::{Lifetime, MessageMeta, StoredMessage, StreamSeq, message_bytes};
use hitherto_protocol::{Headers, Subject, Timestamp};

use crate::files::{u32_at, u64_at};

/// Bytes in front of the subject of a message without headers.
pub(super) const FIXED_BYTES: usize = 28;

const CRC_BYTES: usize = 4;
const HEADERS_LEN_BYTES: usize = 4;
const HAS_HEADERS: u32 = 1 << 31;

/// Bytes a message takes in a block.
pub(super) fn len(message: &StoredMessage) -> usize {
    let headers = match headers_of(message) {
        [] => 0,
        headers => HEADERS_LEN_BYTES + headers.len(),
    };
    FIXED_BYTES + message.subject.as_bytes().len() + headers + message.payload.len()
}

/// Bytes the record of a message takes that counts with `message_bytes` against limits; `None` when no
/// message does.
pub(super) fn len_of(bytes: u64) -> Option<usize> {
    let variable = bytes.checked_sub(message_bytes(0, 0, 0))?;
    usize::try_from(variable).ok()?.checked_add(FIXED_BYTES)
}

/// Appends the record of a message. Without a checksum it cannot be read alone.
pub(super) fn encode(buf: &mut Vec<u8>, message: &StoredMessage, with_checksum: bool) {
    let start = buf.len();
    let (subject, headers) = (message.subject.as_bytes(), headers_of(message));
    let flag = if headers.is_empty() { 0 } else { HAS_HEADERS };
    buf.extend_from_slice(&[0; CRC_BYTES]);
    buf.extend_from_slice(&message.seq.0.to_le_bytes());
    buf.extend_from_slice(&message.at.unix_nanos().to_le_bytes());
    buf.extend_from_slice(&(fits(subject.len()) | flag).to_le_bytes());
    buf.extend_from_slice(&fits(message.payload.len()).to_le_bytes());
    if !headers.is_empty() {
        buf.extend_from_slice(&fits(headers.len()).to_le_bytes());
    }
    buf.extend_from_slice(subject);
    buf.extend_from_slice(headers);
    buf.extend_from_slice(&message.payload);
    if with_checksum {
        let crc = crc32c::crc32c(&buf[start + CRC_BYTES..]);
        buf[start..start + CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
    }
}

fn headers_of(message: &StoredMessage) -> &[u8] {
    let headers = message.headers.as_ref();
    headers.map_or(&[], |headers| headers.as_bytes())
}

fn fits(len: usize) -> u32 {
    let len = u32::try_from(len).ok().filter(|len| *len < HAS_HEADERS);
    len.expect("messages come through the log, whose frames end at 1 GiB")
}

/// A record in the memory of its block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) seq: StreamSeq,
    at: Timestamp,
    subject: &'a [u8],
    headers: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the record at the front of `bytes` without looking at its checksum; also returns its length.
    /// `None` when it does not fit.
    pub(super) fn split(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (fixed, mut rest) = bytes.split_at_checked(FIXED_BYTES)?;
        let subject_len = u32_at(fixed, 20);
        let headers_len = match subject_len & HAS_HEADERS {
            0 => 0,
            _ => {
                let (len, after) = rest.split_at_checked(HEADERS_LEN_BYTES)?;
                rest = after;
                u32_at(len, 0)
            }
        };
        let mut take = |len: u32| {
            let (part, after) = rest.split_at_checked(len as usize)?;
            rest = after;
            Some(part)
        };
        let record = Self {
            seq: StreamSeq(u64_at(fixed, 4)),
            at: timestamp_at(fixed, 12),
            subject: take(subject_len & !HAS_HEADERS)?,
            headers: take(headers_len)?,
            payload: take(u32_at(fixed, 24))?,
        };
        Some((record, bytes.len() - rest.len()))
    }

    /// Reads the record at the front of `bytes`; `None` unless it is what was written.
    pub(super) fn split_intact(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (record, len) = Self::split(bytes)?;
        let intact = crc32c::crc32c(&bytes[CRC_BYTES..len]) == u32_at(bytes, 0);
        intact.then_some((record, len))
    }

    /// The message; its parts share the memory of `owner`, in which the record lies.
    pub(super) fn message(&self, owner: &Bytes) -> Result<StoredMessage, &'static str> {
        let subject = Subject::from_bytes(owner.slice_ref(self.subject));
        let headers = match self.headers {
            [] => None,
            headers => {
                let headers = Headers::parse(owner.slice_ref(headers));
                Some(headers.map_err(|_| "a record holds malformed headers")?)
            }
        };
        Ok(StoredMessage {
            seq: self.seq,
            at: self.at,
            subject: subject.map_err(|_| "a record holds a malformed subject")?,
            headers,
            payload: owner.slice_ref(self.payload),
        })
    }

    /// What an index needs; the subject is a copy, so that the index does not keep the block in memory.
    pub(super) fn meta(&self) -> Result<MessageMeta, &'static str> {
        let subject = Subject::from_bytes(Bytes::copy_from_slice(self.subject));
        Ok(MessageMeta {
            seq: self.seq,
            at: self.at,
            subject: subject.map_err(|_| "a record holds a malformed subject")?,
            bytes: message_bytes(self.subject.len(), self.headers.len(), self.payload.len()),
            lifetime: Lifetime::read(self.headers, self.at),
        })
    }
}

/// The sequence of the record that begins at `at`.
pub(super) fn seq_at(bytes: &[u8], at: usize) -> u64 {
    u64_at(bytes, at + CRC_BYTES)
}

/// Reads a time at a fixed place of a header the caller has measured.
pub(super) fn timestamp_at(bytes: &[u8], at: usize) -> Timestamp {
    Timestamp::from_unix_nanos(u64_at(bytes, at).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = StoredMessage> {
        let headers = prop_oneof![Just(None), Just(Some("NATS/1.0\r\na: b\r\n\r\n"))];
        let payload = prop::collection::vec(any::<u8>(), 0..60);
        let subject = "[ab]{1,9}(\\.[abc]{1,3}){0,3}";
        (any::<u64>(), any::<i64>(), subject, headers, payload).prop_map(
            |(seq, at, subject, headers, payload)| StoredMessage {
                seq: StreamSeq(seq),
                at: Timestamp::from_unix_nanos(at),
                subject: Subject::new(subject).unwrap(),
                headers: headers.map(|text| Headers::parse(Bytes::from(text)).unwrap()),
                payload: Bytes::from(payload),
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_record_is_as_long_as_its_size_says_and_reads_back(message in message()) {
            let mut buf = Vec::new();
            encode(&mut buf, &message, true);
            prop_assert_eq!(buf.len(), len(&message));
            prop_assert_eq!(len_of(message.bytes()), Some(buf.len()));
            buf.extend_from_slice(b"what follows");
            let bytes = Bytes::from(buf);
            let (record, end) = Record::split_intact(&bytes).unwrap();
            prop_assert_eq!(end, len(&message));
            prop_assert_eq!(record.meta().unwrap(), message.meta());
            prop_assert_eq!(record.message(&bytes).unwrap(), message);
        }

        #[test]
        fn every_flipped_bit_is_noticed(message in message()) {
            let mut buf = Vec::new();
            encode(&mut buf, &message, true);
            for place in 0..buf.len() * 8 {
                buf[place / 8] ^= 1 << (place % 8);
                prop_assert!(Record::split_intact(&buf).is_none(), "bit {}", place);
                buf[place / 8] ^= 1 << (place % 8);
            }
        }
    }
}
