//! What an index needs to know of the messages of a block, without their bodies.
//!
//! It stands in front of the records it tells of and has a checksum of its own, so that a start reads
//! some 10 bytes a message and leaves the bodies alone. Per message:
//!
//! ```text
//! seq        above the one before (at first, above the block's first seq)
//! ts         nanoseconds above the one before (at first, above the block's first ts), zigzag
//! size       that counts against limits, above the one before (at first, above 0), zigzag
//! subject    bytes at its start and at its end that are those of the one before; length of the
//!            middle; the middle
//! headers    length; the header block, of a message that has a lifetime of its own only
//! ```
//! Numbers are LEB128: 7 bits a byte, the lowest first, the high bit set in all but the last.

use std::ops::Range;

use hitherto_jetstream::numbers::{Reader, put, put_signed};
use hitherto_jetstream::{Lifetime, MessageMeta, MetaPart, StoredMessage, StreamSeq};
use hitherto_protocol::Timestamp;

/// Appends the summary of `messages` to `buf`.
pub(super) fn encode<'a>(buf: &mut Vec<u8>, messages: impl Iterator<Item = &'a StoredMessage>) {
    let mut before: Option<(StreamSeq, i64, u64, &[u8])> = None;
    for message in messages {
        let at = message.at.unix_nanos();
        let subject = message.subject.as_bytes();
        let bytes = message.bytes();
        let (seq_before, at_before, bytes_before, subject_before) =
            before.unwrap_or((message.seq, at, 0, &[]));
        put(buf, message.seq.0 - seq_before.0);
        put_signed(buf, at.wrapping_sub(at_before));
        put_signed(buf, bytes.wrapping_sub(bytes_before).cast_signed());
        put_subject(buf, subject, subject_before);
        let headers = message
            .headers
            .as_ref()
            .filter(|_| message.lifetime().is_some());
        put_bytes(buf, headers.map_or(&[], |headers| headers.as_bytes()));
        before = Some((message.seq, at, bytes, subject));
    }
}

fn put_subject(buf: &mut Vec<u8>, subject: &[u8], before: &[u8]) {
    let start = common(subject.iter(), before.iter());
    let (rest, rest_before) = (&subject[start..], &before[start..]);
    let end = common(rest.iter().rev(), rest_before.iter().rev());
    put(buf, start as u64);
    put(buf, end as u64);
    put_bytes(buf, &rest[..rest.len() - end]);
}

fn common<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

fn put_bytes(buf: &mut Vec<u8>, bytes: &[u8]) {
    put(buf, bytes.len() as u64);
    buf.extend_from_slice(bytes);
}

/// Decodes the summary of a block with these firsts; `None` when it does not hold `count` messages
/// and nothing else.
pub(super) fn decode(
    summary: &[u8],
    first_seq: StreamSeq,
    first_at: Timestamp,
    count: u32,
) -> Option<Vec<MessageMeta>> {
    let mut rest = Reader(summary);
    let mut parts = Vec::with_capacity(room_for(count, summary));
    // The subjects lie in one buffer that all of them share.
    let mut text = Vec::with_capacity(summary.len() * 3);
    let (mut seq, mut at, mut bytes) = (first_seq.0, first_at.unix_nanos(), 0_u64);
    let mut subject = 0..0;
    for _ in 0..count {
        let entry = Entry::read(&mut rest)?;
        seq = seq.checked_add(entry.seq)?;
        at = at.wrapping_add(entry.at);
        bytes = bytes.wrapping_add(entry.bytes.cast_unsigned());
        subject = entry.put_subject(&mut text, &subject)?;
        let lifetime = match entry.headers {
            [] => None,
            headers => Lifetime::read(headers, Timestamp::from_unix_nanos(at)),
        };
        parts.push(MetaPart {
            seq,
            at,
            bytes,
            subject: subject.clone(),
            lifetime,
        });
    }
    if !rest.0.is_empty() {
        return None;
    }
    MessageMeta::join(text, parts)
}

/// Decodes only the sequences and the sizes that count against limits; `None` as [`decode`].
pub(super) fn sizes(summary: &[u8], first_seq: StreamSeq, count: u32) -> Option<Vec<(u64, u64)>> {
    let mut rest = Reader(summary);
    let mut sizes = Vec::with_capacity(room_for(count, summary));
    let (mut seq, mut bytes) = (first_seq.0, 0_u64);
    for _ in 0..count {
        let entry = Entry::read(&mut rest)?;
        seq = seq.checked_add(entry.seq)?;
        bytes = bytes.wrapping_add(entry.bytes.cast_unsigned());
        sizes.push((seq, bytes));
    }
    rest.0.is_empty().then_some(sizes)
}

/// A message takes 7 bytes at least, so a wrong count does not ask for much memory.
fn room_for(count: u32, summary: &[u8]) -> usize {
    (count as usize).min(summary.len() / 7)
}

/// What is said of one message, as distances from the one before.
struct Entry<'a> {
    seq: u64,
    at: i64,
    bytes: i64,
    subject_start: usize,
    subject_end: usize,
    subject_middle: &'a [u8],
    headers: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(rest: &mut Reader<'a>) -> Option<Self> {
        Some(Self {
            seq: rest.number()?,
            at: rest.signed()?,
            bytes: rest.signed()?,
            subject_start: rest.length()?,
            subject_end: rest.length()?,
            subject_middle: prefixed(rest)?,
            headers: prefixed(rest)?,
        })
    }

    /// Appends the subject to `text`; the one before is at `before` there.
    fn put_subject(&self, text: &mut Vec<u8>, before: &Range<usize>) -> Option<Range<usize>> {
        let (start, end) = (self.subject_start, self.subject_end);
        if start.checked_add(end)? > before.len() {
            return None;
        }
        let at = text.len();
        text.extend_from_within(before.start..before.start + start);
        text.extend_from_slice(self.subject_middle);
        text.extend_from_within(before.end - end..before.end);
        Some(at..text.len())
    }
}

/// Bytes that stand behind their length.
fn prefixed<'a>(rest: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = rest.length()?;
    rest.bytes(len)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hitherto_protocol::{Headers, Subject};
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = StoredMessage> {
        let headers = prop_oneof![
            3 => Just(None),
            1 => Just(Some("NATS/1.0\r\nNats-TTL: 7s\r\n\r\n")),
            1 => Just(Some("NATS/1.0\r\na: b\r\n\r\n")),
        ];
        let at = prop_oneof![4 => 0..3_000_000_000_i64, 1 => any::<i64>()];
        let gap = prop_oneof![4 => Just(1_u64), 1 => 1..1_u64 << 40];
        (
            gap,
            at,
            "[ab]{1,9}(\\.[abc]{1,3}){0,3}",
            headers,
            0..300_usize,
        )
            .prop_map(|(gap, at, subject, headers, len)| StoredMessage {
                seq: StreamSeq(gap),
                at: Timestamp::from_unix_nanos(at),
                subject: Subject::new(subject).unwrap(),
                headers: headers.map(|text| Headers::parse(Bytes::from(text)).unwrap()),
                payload: Bytes::from(vec![0; len]),
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_summary_tells_what_the_messages_do(
            mut messages in prop::collection::vec(message(), 1..60),
            flip in any::<prop::sample::Index>(),
            noise in any::<u8>(),
        ) {
            let mut seq = 0;
            for message in &mut messages {
                seq += message.seq.0;
                message.seq = StreamSeq(seq);
            }
            let mut bytes = Vec::new();
            encode(&mut bytes, messages.iter());
            let first = &messages[0];
            let count = u32::try_from(messages.len()).unwrap();
            let metas: Vec<_> = messages.iter().map(StoredMessage::meta).collect();
            let sizes = metas.iter().map(|meta| (meta.seq.0, meta.bytes)).collect();
            prop_assert_eq!(super::sizes(&bytes, first.seq, count), Some(sizes));
            prop_assert_eq!(super::sizes(&bytes, first.seq, count - 1), None);
            prop_assert_eq!(decode(&bytes, first.seq, first.at, count), Some(metas));
            prop_assert_eq!(decode(&bytes, first.seq, first.at, count + 1), None);
            prop_assert_eq!(decode(&bytes, first.seq, first.at, count - 1), None);
            prop_assert_eq!(decode(&bytes[1..], first.seq, first.at, u32::MAX), None);
            let at = flip.index(bytes.len());
            bytes[at] = noise;
            // The checksum finds it; here it must only not panic.
            drop(decode(&bytes, first.seq, first.at, count));
        }
    }

    #[test]
    fn neighbours_cost_little() {
        let message = |seq: u64| StoredMessage {
            seq: StreamSeq(seq),
            at: Timestamp::from_unix_nanos(seq.cast_signed() * 5_000),
            subject: Subject::new(format!("orders.order.{seq:08}.placed")).unwrap(),
            headers: None,
            payload: Bytes::from_static(&[0; 128]),
        };
        let messages: Vec<_> = (1..=400).map(message).collect();
        let mut bytes = Vec::new();
        encode(&mut bytes, messages.iter());
        assert!(bytes.len() < 400 * 10, "{} bytes", bytes.len());
    }
}
