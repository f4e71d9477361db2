//! What nodes say to each other about their groups, as bytes.
//!
//! ```text
//! frame     version u8, then messages
//! message   length u32, kind u8, group u32, call u64, and what the kind says
//! ```
//! A request names a call, and its response names the same one. Numbers are little endian. A frame of
//! another version is not understood: nodes speak the oldest version that a node of the cluster may have.

use bytes::{BufMut, Bytes, BytesMut};
use hitherto_jetstream::GroupId;
use hitherto_storage::EntryKind;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};

use super::codec::{self, Malformed, Reader};
use super::snapshot::{RaftSnapshot, SnapshotFile};
use super::types::{SnapshotMeta, TypeConfig, Vote, term_of};
use super::wal_item::Content;
use crate::links::Channel;

/// The version spoken.
pub(crate) const VERSION: u8 = 1;

/// Entries in one request at most.
pub(crate) const ENTRIES_MAX: u32 = 4096;

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) group: GroupId,
    /// Names the request among those of the node that sent it.
    pub(crate) call: u64,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Request(Request),
    Response(Response),
}

#[derive(Debug)]
pub(crate) enum Request {
    /// Entries, or a heartbeat without. Those of one session are one stream and taken in their order; a
    /// request of another session ends the one before it. Session 0 is no stream.
    Append {
        session: u64,
        request: AppendEntriesRequest<TypeConfig>,
    },
    PreVote(VoteRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    /// There is a snapshot to be fetched; answered when it is installed.
    Offer(Box<Offer>),
    /// A part of a file of the snapshot that was offered.
    Fetch(Fetch),
}

#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    pub(crate) snapshot: RaftSnapshot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetch {
    /// The snapshot, by its index.
    pub(crate) snapshot: u64,
    /// The file, by its place in the list.
    pub(crate) file: u32,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

#[derive(Debug)]
pub(crate) enum Response {
    Append(StreamAppendResult<TypeConfig>),
    /// To a pre-vote as well.
    Vote(VoteResponse<TypeConfig>),
    /// Whether it was taken.
    TransferLeader(bool),
    /// The vote of the node when the snapshot was installed, or was not for a higher one.
    Installed(Vote),
    /// A part and its crc32c.
    Part(Bytes, u32),
    /// The node cannot: it has not the group, or not now.
    Refused,
    /// Never sent: the request did not leave this node.
    Lost,
}

impl Message {
    pub(crate) fn encode(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(128);
        buf.put_u32_le(0);
        buf.put_u8(self.body.kind());
        buf.put_u32_le(self.group.0);
        buf.put_u64_le(self.call);
        match &self.body {
            Body::Request(request) => request.encode(&mut buf),
            Body::Response(response) => response.encode(&mut buf),
        }
        let len = u32::try_from(buf.len() - 4).expect("a message is below 4 GiB");
        buf[..4].copy_from_slice(&len.to_le_bytes());
        buf.freeze()
    }

    /// Takes the messages of a frame apart.
    pub(crate) fn decode_frame(frame: Bytes) -> Result<Vec<Self>, Malformed> {
        let mut frame = Reader(frame);
        if frame.u8()? != VERSION {
            return Err(Malformed);
        }
        let frame_bytes = frame.0.len();
        let mut messages = Vec::new();
        while !frame.0.is_empty() {
            messages.push(Self::decode(Reader(frame.bytes()?), frame_bytes)?);
        }
        Ok(messages)
    }

    fn decode(mut bytes: Reader, frame_bytes: usize) -> Result<Self, Malformed> {
        let kind = bytes.u8()?;
        let group = GroupId(bytes.u32()?);
        let call = bytes.u64()?;
        let body = match kind {
            0..16 => Body::Request(Request::decode(kind, &mut bytes, frame_bytes)?),
            _ => Body::Response(Response::decode(kind, &mut bytes)?),
        };
        bytes.end()?;
        Ok(Self { group, call, body })
    }
}

impl Body {
    /// Requests are below 16.
    fn kind(&self) -> u8 {
        match self {
            Self::Request(Request::Append { .. }) => 1,
            Self::Request(Request::PreVote(_)) => 2,
            Self::Request(Request::Vote(_)) => 3,
            Self::Request(Request::TransferLeader(_)) => 4,
            Self::Request(Request::Offer(_)) => 5,
            Self::Request(Request::Fetch(_)) => 6,
            Self::Response(Response::Append(_)) => 16,
            Self::Response(Response::Vote(_)) => 17,
            Self::Response(Response::TransferLeader(_)) => 18,
            Self::Response(Response::Installed(_)) => 19,
            Self::Response(Response::Part(..)) => 20,
            Self::Response(Response::Refused | Response::Lost) => 21,
        }
    }
}

impl Request {
    /// The channel the response is sent on.
    pub(crate) fn answered_on(&self) -> Channel {
        match self {
            Self::Append { session: 0, .. }
            | Self::PreVote(_)
            | Self::Vote(_)
            | Self::TransferLeader(_) => Channel::Control,
            Self::Append { .. } => Channel::Append,
            Self::Offer(_) | Self::Fetch(_) => Channel::Bulk,
        }
    }

    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::Append { session, request } => {
                buf.put_u64_le(*session);
                encode_append(request, buf);
            }
            Self::PreVote(request) | Self::Vote(request) => {
                codec::put_vote(buf, &request.vote);
                codec::put_option(buf, request.last_log_id.as_ref(), codec::put_log_id);
                buf.put_u8(u8::from(request.leadership_transfer));
            }
            Self::TransferLeader(request) => {
                codec::put_vote(buf, request.from_leader());
                buf.put_u128_le(*request.to_node_id());
                codec::put_option(buf, request.last_log_id(), codec::put_log_id);
            }
            Self::Offer(offer) => {
                codec::put_vote(buf, &offer.vote);
                codec::put_option(buf, offer.meta.last_log_id.as_ref(), codec::put_log_id);
                codec::put_stored_membership(buf, &offer.meta.last_membership);
                encode_snapshot(&offer.snapshot, buf);
            }
            Self::Fetch(fetch) => {
                buf.put_u64_le(fetch.snapshot);
                buf.put_u32_le(fetch.file);
                buf.put_u64_le(fetch.offset);
                buf.put_u32_le(fetch.len);
            }
        }
    }

    fn decode(kind: u8, bytes: &mut Reader, frame_bytes: usize) -> Result<Self, Malformed> {
        Ok(match kind {
            1 => Self::Append {
                session: bytes.u64()?,
                request: decode_append(bytes, frame_bytes)?,
            },
            2 => Self::PreVote(decode_vote(bytes)?),
            3 => Self::Vote(decode_vote(bytes)?),
            4 => {
                let (from, to) = (bytes.vote()?, bytes.u128()?);
                let last = bytes.option(Reader::log_id)?;
                Self::TransferLeader(TransferLeaderRequest::new(from, to, last))
            }
            5 => Self::Offer(Box::new(decode_offer(bytes)?)),
            6 => Self::Fetch(Fetch {
                snapshot: bytes.u64()?,
                file: bytes.u32()?,
                offset: bytes.u64()?,
                len: bytes.u32()?,
            }),
            _ => return Err(Malformed),
        })
    }
}

impl Response {
    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::Append(Ok(matching)) => {
                buf.put_u8(0);
                codec::put_option(buf, matching.as_ref(), codec::put_log_id);
            }
            Self::Append(Err(StreamAppendError::Conflict(at))) => {
                buf.put_u8(1);
                codec::put_log_id(buf, at);
            }
            Self::Append(Err(StreamAppendError::HigherVote(vote))) => {
                buf.put_u8(2);
                codec::put_vote(buf, vote);
            }
            Self::Vote(response) => {
                codec::put_vote(buf, &response.vote);
                buf.put_u8(u8::from(response.vote_granted));
                codec::put_option(buf, response.last_log_id.as_ref(), codec::put_log_id);
            }
            Self::TransferLeader(is_taken) => buf.put_u8(u8::from(*is_taken)),
            Self::Installed(vote) => codec::put_vote(buf, vote),
            Self::Part(part, crc) => {
                buf.put_u32_le(*crc);
                codec::put_bytes(buf, part);
            }
            Self::Refused | Self::Lost => {}
        }
    }

    fn decode(kind: u8, bytes: &mut Reader) -> Result<Self, Malformed> {
        Ok(match kind {
            16 => Self::Append(match bytes.u8()? {
                0 => Ok(bytes.option(Reader::log_id)?),
                1 => Err(StreamAppendError::Conflict(bytes.log_id()?)),
                2 => Err(StreamAppendError::HigherVote(bytes.vote()?)),
                _ => return Err(Malformed),
            }),
            17 => {
                let (vote, is_granted) = (bytes.vote()?, bytes.flag()?);
                let last = bytes.option(Reader::log_id)?;
                Self::Vote(VoteResponse::new(vote, last, is_granted))
            }
            18 => Self::TransferLeader(bytes.flag()?),
            19 => Self::Installed(bytes.vote()?),
            20 => {
                let crc = bytes.u32()?;
                Self::Part(bytes.bytes()?, crc)
            }
            21 => Self::Refused,
            _ => return Err(Malformed),
        })
    }
}

fn encode_append(request: &AppendEntriesRequest<TypeConfig>, buf: &mut BytesMut) {
    codec::put_vote(buf, &request.vote);
    codec::put_option(buf, request.prev_log_id.as_ref(), codec::put_log_id);
    codec::put_option(buf, request.leader_commit.as_ref(), codec::put_log_id);
    buf.put_u32_le(u32::try_from(request.entries.len()).expect("openraft sends few at once"));
    for entry in &request.entries {
        let content = Content::of(&entry.payload);
        buf.put_u64_le(term_of(&entry.log_id));
        buf.put_u64_le(entry.log_id.index);
        buf.put_u8(content.kind.0);
        codec::put_bytes(buf, &content.body);
    }
}

fn decode_append(
    bytes: &mut Reader,
    frame_bytes: usize,
) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    let vote = bytes.vote()?;
    let prev_log_id = bytes.option(Reader::log_id)?;
    let leader_commit = bytes.option(Reader::log_id)?;
    let count = bytes.u32()?;
    if count > ENTRIES_MAX {
        return Err(Malformed);
    }
    let mut before = prev_log_id;
    let entry = |_| {
        let id = bytes.log_id()?;
        // openraft takes for granted that they follow each other: a gap would become a gap in the log.
        let next = before.map_or(0, |before| before.index + 1);
        let is_newer = before.is_none_or(|before| term_of(&before) <= term_of(&id));
        if id.index != next || !is_newer || term_of(&id) > vote.leader_id.term {
            return Err(Malformed);
        }
        before = Some(id);
        let content = Content {
            kind: EntryKind(bytes.u8()?),
            body: on_its_own(bytes.bytes()?, frame_bytes),
        };
        content.to_entry(term_of(&id), id.index)
    };
    let entries: Result<_, Malformed> = (0..count).map(entry).collect();
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        entries: entries?,
        leader_commit,
    })
}

/// Copies a body out of a frame that is much larger: it is kept for long, and would keep all of the frame.
fn on_its_own(body: Bytes, frame_bytes: usize) -> Bytes {
    match body.len() < frame_bytes / 2 {
        true => Bytes::copy_from_slice(&body),
        false => body,
    }
}

fn decode_vote(bytes: &mut Reader) -> Result<VoteRequest<TypeConfig>, Malformed> {
    let vote = bytes.vote()?;
    let last = bytes.option(Reader::log_id)?;
    let mut request = VoteRequest::new(vote, last);
    request.leadership_transfer = bytes.flag()?;
    Ok(request)
}

fn decode_offer(bytes: &mut Reader) -> Result<Offer, Malformed> {
    let offer = Offer {
        vote: bytes.vote()?,
        meta: SnapshotMeta {
            last_log_id: bytes.option(Reader::log_id)?,
            last_membership: bytes.stored_membership()?,
        },
        snapshot: decode_snapshot(bytes)?,
    };
    // Raft goes on behind the one, the state machine behind the other.
    let last = offer.meta.last_log_id.map(|last| last.index);
    match last == Some(offer.snapshot.index.0) {
        true => Ok(offer),
        false => Err(Malformed),
    }
}

fn encode_snapshot(snapshot: &RaftSnapshot, buf: &mut BytesMut) {
    buf.put_u64_le(snapshot.index.0);
    codec::put_bytes(buf, &snapshot.state);
    buf.put_u32_le(u32::try_from(snapshot.files.len()).expect("a snapshot has few files"));
    for file in &snapshot.files {
        codec::put_bytes(buf, file.name.as_bytes());
        buf.put_u64_le(file.len);
        buf.put_u32_le(file.crc);
    }
}

fn decode_snapshot(bytes: &mut Reader) -> Result<RaftSnapshot, Malformed> {
    let index = hitherto_jetstream::LogIndex(bytes.u64()?);
    let state = bytes.bytes()?;
    let count = bytes.u32()?;
    let mut files = Vec::new();
    for _ in 0..count {
        let name = String::from_utf8(bytes.bytes()?.to_vec()).map_err(|_| Malformed)?;
        files.push(SnapshotFile {
            name,
            len: bytes.u64()?,
            crc: bytes.u32()?,
        });
    }
    Ok(RaftSnapshot {
        index,
        state,
        files,
    })
}

#[cfg(test)]
mod tests {
    use hitherto_jetstream::LogIndex;
    use openraft::EntryPayload;

    use super::super::types::{Entry, Membership, Records, StoredMembership, log_id};
    use super::*;

    fn bodies() -> Vec<Body> {
        let (vote, id) = (Vote::new_committed(7, 3), log_id(6, 41));
        let membership = Membership::new_with_defaults(vec![[1, 2, 3].into_iter().collect()], [9]);
        let entry = |index, payload| Entry {
            log_id: log_id(7, index),
            payload,
        };
        let records = Records(Bytes::from_static(b"some records"));
        let append = AppendEntriesRequest {
            vote,
            prev_log_id: Some(id),
            entries: vec![
                entry(42, EntryPayload::Blank),
                entry(43, EntryPayload::Normal(records)),
                entry(44, EntryPayload::Membership(membership.clone())),
            ],
            leader_commit: None,
        };
        let mut ask = VoteRequest::new(Vote::new(8, 2), Some(id));
        ask.leadership_transfer = true;
        let file = SnapshotFile {
            name: "segment-1".to_owned(),
            len: 1 << 40,
            crc: 5,
        };
        let offer = Offer {
            vote,
            meta: SnapshotMeta {
                last_log_id: Some(id),
                last_membership: StoredMembership::new(None, membership),
            },
            snapshot: RaftSnapshot {
                index: LogIndex(41),
                state: Bytes::from_static(b"state"),
                files: vec![file.clone(), file],
            },
        };
        let fetch = Fetch {
            snapshot: 41,
            file: 1,
            offset: 1 << 33,
            len: 9,
        };
        let requests = [
            Request::Append {
                session: 5,
                request: append,
            },
            Request::PreVote(VoteRequest::new(Vote::new(8, 2), None)),
            Request::Vote(ask),
            Request::TransferLeader(TransferLeaderRequest::new(vote, 2, Some(id))),
            Request::Offer(Box::new(offer)),
            Request::Fetch(fetch),
        ];
        let responses = [
            Response::Append(Ok(Some(id))),
            Response::Append(Ok(None)),
            Response::Append(Err(StreamAppendError::Conflict(id))),
            Response::Append(Err(StreamAppendError::HigherVote(vote))),
            Response::Vote(VoteResponse::new(vote, Some(id), true)),
            Response::TransferLeader(true),
            Response::Installed(vote),
            Response::Part(Bytes::from_static(b"part"), 77),
            Response::Refused,
        ];
        let requests = requests.into_iter().map(Body::Request);
        requests
            .chain(responses.into_iter().map(Body::Response))
            .collect()
    }

    #[test]
    fn a_snapshot_of_another_entry_than_it_is_offered_for_is_malformed() {
        for (index, is_read) in [(40, false), (41, true), (42, false)] {
            let offer = Offer {
                vote: Vote::new_committed(7, 3),
                meta: SnapshotMeta {
                    last_log_id: Some(log_id(6, 41)),
                    last_membership: StoredMembership::default(),
                },
                snapshot: RaftSnapshot {
                    index: LogIndex(index),
                    state: Bytes::new(),
                    files: Vec::new(),
                },
            };
            let mut buf = BytesMut::new();
            Request::Offer(Box::new(offer)).encode(&mut buf);
            let read = decode_offer(&mut Reader(buf.freeze()));
            assert_eq!(read.is_ok(), is_read, "{index}");
        }
    }

    #[test]
    fn entries_keep_little_more_memory_than_they_need() {
        let sizes = [10_usize, 3_000, 100_000, 10];
        let entries = (0..).zip(sizes).map(|(index, len)| Entry {
            log_id: log_id(1, index),
            payload: EntryPayload::Normal(Records(vec![7; len].into())),
        });
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: entries.collect(),
            leader_commit: None,
        };
        let message = Message {
            group: GroupId(1),
            call: 1,
            body: Body::Request(Request::Append {
                session: 1,
                request,
            }),
        };
        let frame = [&[VERSION][..], &message.encode()].concat();
        let mut messages = Message::decode_frame(frame.into()).unwrap();
        let Some(Message {
            body: Body::Request(Request::Append { request, .. }),
            ..
        }) = messages.pop()
        else {
            panic!("{messages:?}");
        };
        for (entry, len) in request.entries.into_iter().zip(sizes) {
            let EntryPayload::Normal(Records(body)) = entry.payload else {
                panic!("{entry:?}");
            };
            assert_eq!(body, vec![7; len]);
            let memory = body.try_into_mut().map(|body| body.capacity()).unwrap();
            assert!(memory <= 2 * len, "{memory} for {len}");
        }
    }

    #[test]
    fn entries_that_do_not_follow_each_other_are_malformed() {
        let read = |prev_log_id, ids: &[(u64, u64)]| {
            let entries = ids.iter().map(|(term, index)| Entry {
                log_id: log_id(*term, *index),
                payload: EntryPayload::Blank,
            });
            let request = AppendEntriesRequest {
                vote: Vote::new_committed(7, 3),
                prev_log_id,
                entries: entries.collect(),
                leader_commit: None,
            };
            let mut buf = BytesMut::new();
            encode_append(&request, &mut buf);
            decode_append(&mut Reader(buf.freeze()), 0).is_ok()
        };
        let before = Some(log_id(5, 41));
        assert!(read(before, &[]));
        assert!(read(before, &[(5, 42), (7, 43)]));
        assert!(read(None, &[(0, 0), (1, 1)]));
        assert!(!read(None, &[(1, 1)]), "the first is missing");
        assert!(!read(before, &[(5, 43)]));
        assert!(!read(before, &[(5, 41)]));
        assert!(!read(before, &[(5, 42), (5, 44)]));
        assert!(!read(before, &[(7, 42), (6, 43)]), "terms never go back");
        assert!(!read(before, &[(4, 42)]));
        assert!(!read(before, &[(8, 42)]), "of a later term than its leader");
    }

    #[test]
    fn every_message_is_read_as_it_was_written_and_nothing_else_is() {
        let messages: Vec<_> = (0..)
            .zip(bodies())
            .map(|(number, body)| Message {
                group: GroupId(number),
                call: u64::from(number) << 40,
                body,
            })
            .collect();
        let mut frame = BytesMut::from(&[VERSION][..]);
        for message in &messages {
            frame.extend_from_slice(&message.encode());
        }
        let frame = frame.freeze();
        let read = Message::decode_frame(frame.clone()).unwrap();
        let written: Vec<_> = messages
            .iter()
            .map(|message| format!("{message:?}"))
            .collect();
        let read_again: Vec<_> = read.iter().map(|message| format!("{message:?}")).collect();
        assert_eq!(read_again, written);
        for (message, body) in messages.iter().zip(bodies()) {
            let alone = [&[VERSION][..], &message.encode()].concat();
            for cut in 1..alone.len() - 1 {
                // Cut short, and with a length that says so.
                let mut short = alone[..cut + 1].to_vec();
                let read = Message::decode_frame(short.clone().into());
                assert!(read.is_err(), "{body:?} {cut}");
                if cut >= 5 {
                    let len = u32::try_from(cut - 4).unwrap();
                    short[1..5].copy_from_slice(&len.to_le_bytes());
                    assert!(
                        Message::decode_frame(short.into()).is_err(),
                        "{body:?} {cut}"
                    );
                }
            }
        }
        let mut newer = frame.to_vec();
        newer[0] = VERSION + 1;
        assert!(Message::decode_frame(newer.into()).is_err());
    }
}
