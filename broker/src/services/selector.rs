//! Which message a request means: by sequence, by subject, by time.

use hitherto_jetstream::api::{DirectGetRequest, MsgGetRequest};
use hitherto_jetstream::{Selection, Stream, StreamSeq};
use hitherto_protocol::{SubjectFilter, Timestamp};

/// One way to name a message.
#[derive(Debug, Clone)]
pub(super) enum Selector {
    /// The message at this sequence.
    At(StreamSeq),
    /// The newest message whose subject matches.
    Last(SubjectFilter),
    /// The first message from a place on whose subject matches.
    Next {
        from: Start,
        filter: Option<SubjectFilter>,
    },
}

/// Where a search begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    Seq(StreamSeq),
    Time(Timestamp),
}

/// The fields by which both requests name a message.
struct Fields<'a> {
    seq: u64,
    last_by_subj: &'a str,
    next_by_subj: &'a str,
    start_time: Option<Timestamp>,
}

impl Selector {
    /// What `STREAM.MSG.GET` asks for; `None` when it names nothing, or contradicts itself.
    pub(super) fn of_get(request: &MsgGetRequest) -> Option<Self> {
        Self::of(&Fields {
            seq: request.seq,
            last_by_subj: &request.last_by_subj,
            next_by_subj: &request.next_by_subj,
            start_time: request.start_time,
        })
    }

    /// What a direct get for one message asks for; `None` as above.
    pub(super) fn of_direct(request: &DirectGetRequest) -> Option<Self> {
        Self::of(&Fields {
            seq: request.seq,
            last_by_subj: &request.last_by_subj,
            next_by_subj: &request.next_by_subj,
            start_time: request.start_time,
        })
    }

    fn of(fields: &Fields<'_>) -> Option<Self> {
        let has_next = !fields.next_by_subj.is_empty();
        if !fields.last_by_subj.is_empty() {
            let alone = fields.seq == 0 && !has_next && fields.start_time.is_none();
            let filter = SubjectFilter::new(fields.last_by_subj.to_owned()).ok()?;
            return alone.then_some(Self::Last(filter));
        }
        let filter = match fields.next_by_subj {
            "" => None,
            filter => Some(SubjectFilter::new(filter.to_owned()).ok()?),
        };
        match (fields.start_time, fields.seq) {
            (Some(_), 1..) => None,
            (Some(time), 0) => Some(Self::Next {
                from: Start::Time(time),
                filter,
            }),
            (None, seq) if has_next => Some(Self::Next {
                from: Start::Seq(StreamSeq(seq)),
                filter,
            }),
            (None, 0) => None,
            (None, seq) => Some(Self::At(StreamSeq(seq))),
        }
    }

    /// The sequence of the message; `None` when there is none.
    pub(super) fn find(&self, stream: &Stream) -> Option<StreamSeq> {
        match self {
            Self::At(seq) => stream.contains(*seq).then_some(*seq),
            Self::Last(filter) => stream.last_by_filter(filter),
            Self::Next { from, filter } => {
                stream.next_match(from.seq(stream), &selection(filter.as_ref()))
            }
        }
    }
}

impl Start {
    pub(super) fn seq(self, stream: &Stream) -> StreamSeq {
        match self {
            Self::Seq(seq) => seq,
            Self::Time(time) => stream.seq_at_time(time),
        }
    }
}

/// What a filter selects; `None` selects everything.
pub(super) fn selection(filter: Option<&SubjectFilter>) -> Selection {
    filter.map_or_else(Selection::all, |filter| {
        Selection::new(vec![filter.clone()])
    })
}
