//! The stored form of commands: records back to back, each delimiting itself.
//!
//! Record, little endian: `len u32` (bytes after this field), `version u8`, `kind u8`, body.
//! The frequent kinds have fixed layouts, the rare ones MessagePack with field names. A message
//! body is `at i64, subject_len u16, headers_len u32`, subject, headers, payload to the end.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hitherto_protocol::{Headers, Subject, Timestamp};

use super::{Append, Command, Delivered, Runs, Settled, Settlement};
use crate::ConsumerSeq;

/// Version of the record layout; a reader refuses any other.
const VERSION: u8 = 1;

const KIND_APPEND: u8 = 1;
const KIND_APPEND_BATCH: u8 = 2;
const KIND_CONTROL: u8 = 3;
const KIND_DELIVERED: u8 = 20;
const KIND_ACKED: u8 = 21;
const KIND_DROPPED: u8 = 22;
const KIND_EXHAUSTED: u8 = 23;

/// Bytes of a message body that have a fixed place.
const APPEND_FIXED_BYTES: usize = 8 + 2 + 4;

/// The fewest bytes a message takes in the log: 19, as one of a batch with a subject of one byte.
pub const APPEND_BYTES_MIN: usize = 4 + APPEND_FIXED_BYTES + 1;

/// Bytes that cannot be decoded into a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The record ends before its content.
    #[error("a stored command is cut short")]
    CutShort,
    /// The record was written by a later version.
    #[error("a stored command has record version {0}; this version reads {VERSION}: upgrade first")]
    Version(u8),
    /// No command has this number.
    #[error("a stored command has the unknown kind {0}")]
    Kind(u8),
    /// A part does not hold what it must.
    #[error("a stored command has an invalid {0}")]
    Invalid(&'static str),
}

impl Command {
    /// Appends the record of this command.
    ///
    /// # Panics
    /// If a subject is longer than 65,535 bytes or a message than 4 GiB; the protocol's limits are
    /// far below.
    pub fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::Append(append) => encode_append(
                buf,
                append.at,
                &append.subject,
                append.headers.as_ref().map(Headers::as_bytes),
                &append.payload,
            ),
            Self::AppendBatch(batch) => record(buf, KIND_APPEND_BATCH, |buf| {
                for append in batch {
                    sized(buf, |buf| put_append(buf, append));
                }
            }),
            Self::Control(control) => record(buf, KIND_CONTROL, |buf| {
                let bytes = rmp_serde::to_vec_named(control)
                    .expect("these types have only fields that MessagePack can hold");
                buf.put_slice(&bytes);
            }),
            Self::Delivered(delivered) => record(buf, KIND_DELIVERED, |buf| {
                put_consumer(
                    buf,
                    &delivered.consumer,
                    delivered.incarnation,
                    delivered.at,
                );
                buf.put_u64_le(delivered.first.0);
                delivered.messages.encode(buf);
            }),
            Self::Settled(settled) => {
                let kind = match settled.how {
                    Settlement::Acked => KIND_ACKED,
                    Settlement::Dropped => KIND_DROPPED,
                    Settlement::Exhausted => KIND_EXHAUSTED,
                };
                record(buf, kind, |buf| {
                    put_consumer(buf, &settled.consumer, settled.incarnation, settled.at);
                    settled.messages.encode(buf);
                });
            }
        }
    }
}

/// Appends the record of a [`Command::Append`] from its parts, so that the hot path builds none.
///
/// # Panics
/// As [`Command::encode`].
pub fn encode_append(
    buf: &mut BytesMut,
    at: Timestamp,
    subject: &Subject,
    headers: Option<&Bytes>,
    payload: &[u8],
) {
    record(buf, KIND_APPEND, |buf| {
        put_message(buf, at, subject, headers.map_or(&[][..], |h| h), payload);
    });
}

/// Decodes the records of an entry, in order. Ends after the first error.
pub fn decode_all(body: Bytes) -> Commands {
    Commands { rest: body }
}

/// The commands of an entry; they share its memory.
#[derive(Debug, Clone)]
pub struct Commands {
    rest: Bytes,
}

impl Commands {
    /// Bytes of the commands that are still to come.
    pub fn bytes_left(&self) -> usize {
        self.rest.len()
    }
}

impl Iterator for Commands {
    type Item = Result<Command, CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let command = take_sized(&mut self.rest).and_then(decode);
        if command.is_err() {
            self.rest.clear();
        }
        Some(command)
    }
}

fn record(buf: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    sized(buf, |buf| {
        buf.put_u8(VERSION);
        buf.put_u8(kind);
        body(buf);
    });
}

fn sized(buf: &mut BytesMut, content: impl FnOnce(&mut BytesMut)) {
    let start = buf.len();
    buf.put_u32_le(0);
    content(buf);
    let len =
        u32::try_from(buf.len() - start - 4).expect("payload limits keep records below 4 GiB");
    buf[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

fn put_append(buf: &mut BytesMut, append: &Append) {
    let headers = append.headers.as_ref().map_or(&[][..], |h| h.as_bytes());
    put_message(buf, append.at, &append.subject, headers, &append.payload);
}

fn put_message(
    buf: &mut BytesMut,
    at: Timestamp,
    subject: &Subject,
    headers: &[u8],
    payload: &[u8],
) {
    let subject = subject.as_str().as_bytes();
    buf.reserve(APPEND_FIXED_BYTES + subject.len() + headers.len() + payload.len());
    buf.put_i64_le(at.unix_nanos());
    buf.put_u16_le(u16::try_from(subject.len()).expect("control lines are shorter than 64 KiB"));
    buf.put_u32_le(u32::try_from(headers.len()).expect("payload limits are below 4 GiB"));
    buf.put_slice(subject);
    buf.put_slice(headers);
    buf.put_slice(payload);
}

fn take_sized(rest: &mut Bytes) -> Result<Bytes, CommandError> {
    if rest.len() < 4 {
        return Err(CommandError::CutShort);
    }
    let len = rest.get_u32_le() as usize;
    if rest.len() < len {
        return Err(CommandError::CutShort);
    }
    Ok(rest.split_to(len))
}

fn decode(mut record: Bytes) -> Result<Command, CommandError> {
    if record.len() < 2 {
        return Err(CommandError::CutShort);
    }
    let version = record.get_u8();
    if version != VERSION {
        return Err(CommandError::Version(version));
    }
    match record.get_u8() {
        KIND_APPEND => take_append(record).map(Command::Append),
        KIND_APPEND_BATCH => take_batch(record),
        KIND_CONTROL => rmp_serde::from_slice(&record)
            .map(Command::Control)
            .map_err(|_| CommandError::Invalid("control record")),
        KIND_DELIVERED => take_delivered(record),
        KIND_ACKED => take_settled(record, Settlement::Acked),
        KIND_DROPPED => take_settled(record, Settlement::Dropped),
        KIND_EXHAUSTED => take_settled(record, Settlement::Exhausted),
        kind => Err(CommandError::Kind(kind)),
    }
}

fn take_batch(mut record: Bytes) -> Result<Command, CommandError> {
    let mut batch = Vec::new();
    while !record.is_empty() {
        batch.push(take_append(take_sized(&mut record)?)?);
    }
    Ok(Command::AppendBatch(batch))
}

fn take_append(mut body: Bytes) -> Result<Append, CommandError> {
    if body.len() < APPEND_FIXED_BYTES {
        return Err(CommandError::CutShort);
    }
    let at = Timestamp::from_unix_nanos(body.get_i64_le());
    let subject_len = usize::from(body.get_u16_le());
    let headers_len = body.get_u32_le() as usize;
    if body.len() < subject_len.saturating_add(headers_len) {
        return Err(CommandError::CutShort);
    }
    let subject = Subject::from_bytes(body.split_to(subject_len))
        .map_err(|_| CommandError::Invalid("subject"))?;
    let headers = match headers_len {
        0 => None,
        len => Some(
            Headers::parse(body.split_to(len))
                .map_err(|_| CommandError::Invalid("header block"))?,
        ),
    };
    Ok(Append {
        at,
        subject,
        headers,
        payload: body,
    })
}

fn put_consumer(buf: &mut BytesMut, name: &str, incarnation: u64, at: Timestamp) {
    buf.put_u64_le(incarnation);
    buf.put_i64_le(at.unix_nanos());
    buf.put_u16_le(u16::try_from(name.len()).expect("names have at most 255 bytes"));
    buf.put_slice(name.as_bytes());
}

fn take_delivered(mut body: Bytes) -> Result<Command, CommandError> {
    let (consumer, incarnation, at) = take_consumer(&mut body)?;
    if body.len() < 8 {
        return Err(CommandError::CutShort);
    }
    Ok(Command::Delivered(Delivered {
        consumer,
        incarnation,
        first: ConsumerSeq(body.get_u64_le()),
        messages: Runs::decode(&body)?,
        at,
    }))
}

fn take_settled(mut body: Bytes, how: Settlement) -> Result<Command, CommandError> {
    let (consumer, incarnation, at) = take_consumer(&mut body)?;
    Ok(Command::Settled(Settled {
        consumer,
        incarnation,
        messages: Runs::decode(&body)?,
        how,
        at,
    }))
}

fn take_consumer(body: &mut Bytes) -> Result<(String, u64, Timestamp), CommandError> {
    if body.len() < 8 + 8 + 2 {
        return Err(CommandError::CutShort);
    }
    let incarnation = body.get_u64_le();
    let at = Timestamp::from_unix_nanos(body.get_i64_le());
    let name_len = usize::from(body.get_u16_le());
    if body.len() < name_len {
        return Err(CommandError::CutShort);
    }
    let name = std::str::from_utf8(&body.split_to(name_len))
        .map(str::to_owned)
        .map_err(|_| CommandError::Invalid("consumer name"))?;
    Ok((name, incarnation, at))
}

#[cfg(test)]
mod tests {
    use hitherto_protocol::HeadersBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::StreamSeq;
    use crate::command::{Control, Purge};

    fn append(payload: &'static str) -> Append {
        let mut headers = HeadersBuilder::new();
        headers.insert("Nats-Msg-Id", "7").unwrap();
        Append {
            at: Timestamp::from_unix_nanos(5),
            subject: Subject::new("orders.1.placed").unwrap(),
            headers: Some(headers.build()),
            payload: Bytes::from_static(payload.as_bytes()),
        }
    }

    fn runs(seqs: &[u64]) -> Runs {
        seqs.iter().copied().map(StreamSeq).collect()
    }

    fn settled(how: Settlement) -> Command {
        Command::Settled(Settled {
            consumer: "c".into(),
            incarnation: 3,
            messages: runs(&[9, 12]),
            how,
            at: Timestamp::from_unix_nanos(78),
        })
    }

    #[test]
    fn every_kind_survives_a_round_trip() {
        let commands = vec![
            Command::Append(append("one")),
            Command::AppendBatch(vec![append("two"), append("")]),
            Command::Control(Control::Purge(Purge {
                keep: Some(3),
                ..Purge::default()
            })),
            Command::Delivered(Delivered {
                consumer: "c".into(),
                incarnation: 3,
                first: ConsumerSeq(4),
                messages: runs(&[9, 10, 4]),
                at: Timestamp::from_unix_nanos(77),
            }),
            settled(Settlement::Acked),
            settled(Settlement::Dropped),
            settled(Settlement::Exhausted),
        ];
        let mut buf = BytesMut::new();
        for command in &commands {
            command.encode(&mut buf);
        }
        let decoded: Result<Vec<_>, _> = decode_all(buf.freeze()).collect();
        assert_eq!(decoded, Ok(commands));
    }

    #[test]
    fn a_later_version_is_refused() {
        let bytes = Bytes::from_static(&[2, 0, 0, 0, 9, KIND_APPEND]);
        assert_eq!(
            decode_all(bytes).next(),
            Some(Err(CommandError::Version(9)))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode_all(Bytes::from(bytes)).count() <= 51);
        }

        #[test]
        fn a_cut_record_is_an_error(cut in 1_usize..40) {
            let mut buf = BytesMut::new();
            Command::Append(append("some payload")).encode(&mut buf);
            let len = buf.len();
            let decoded = decode_all(buf.freeze().slice(..len - cut)).next();
            prop_assert!(matches!(decoded, Some(Err(_))));
        }
    }
}
