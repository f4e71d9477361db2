//! Direct get (ADR-31): stored messages as they are, with where they come from in front of their headers.
//!
//! What is wrong is said by a status in place of a message, with the texts of nats-server 2.15.

use hitherto_jetstream::api::{DirectGetRequest, is_empty_request, parse_request};
use hitherto_jetstream::{Selection, StoredMessage, Stream, StreamSeq};
use hitherto_protocol::{Headers, Subject, SubjectFilter};

use super::request::Request;
use super::selector::{Selector, Start, selection};
use crate::jetstream::{DirectOrigin, Outlet, Replica};

/// Subjects a request for last messages may match: 1,024, as in nats-server 2.15.
const MULTI_LAST_MAX: usize = 1_024;

/// Bytes of one answer to a batch request that sets no `max_bytes`: 8 MiB, an eighth of what may wait for
/// a client. What is left out can be asked for again, from `Nats-Last-Sequence` on.
const BATCH_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A status in place of a message.
struct Refusal(u16, &'static str);

const NOT_FOUND: Refusal = Refusal(404, "Message Not Found");
const NO_RESULTS: Refusal = Refusal(404, "No Results");
const EMPTY: Refusal = Refusal(408, "Empty Request");
const MALFORMED: Refusal = Refusal(408, "Malformed Request");
const BAD: Refusal = Refusal(408, "Bad Request");
const TOO_MANY: Refusal = Refusal(413, "Too Many Results");
const UNREADABLE: Refusal = Refusal(500, "Message Not Readable");

/// Answers a direct get. `last_by_subject` stands in the subject of the request, which then has no body.
pub(super) fn answer(
    replica: &Replica,
    last_by_subject: Option<&str>,
    request: &Request,
    outlet: &mut Outlet,
) {
    let answered = match last_by_subject {
        Some(subject) => answer_last(replica, subject, request, outlet),
        None => answer_body(replica, request, outlet),
    };
    if let Err(Refusal(code, description)) = answered {
        outlet.status(&request.asker.reply, code, description, &[]);
    }
}

fn answer_last(
    replica: &Replica,
    subject: &str,
    request: &Request,
    outlet: &mut Outlet,
) -> Result<(), Refusal> {
    if !request.payload.is_empty() {
        return Err(MALFORMED);
    }
    let filter = SubjectFilter::new(subject.to_owned()).map_err(|_| BAD)?;
    answer_one(
        replica,
        &Selector::Last(filter),
        false,
        &request.asker.reply,
        outlet,
    )
}

fn answer_body(replica: &Replica, request: &Request, outlet: &mut Outlet) -> Result<(), Refusal> {
    if is_empty_request(&request.payload) {
        return Err(EMPTY);
    }
    let get: DirectGetRequest = parse_request(&request.payload).map_err(|_| MALFORMED)?;
    if !get.multi_last.is_empty() {
        return answer_last_of_each(replica, &get, &request.asker.reply, outlet);
    }
    let names_nothing = get.seq == 0
        && get.start_time.is_none()
        && get.next_by_subj.is_empty()
        && get.last_by_subj.is_empty();
    if names_nothing {
        return Err(EMPTY);
    }
    if get.batch > 0 {
        return answer_batch(replica, &get, &request.asker.reply, outlet);
    }
    let selector = Selector::of_direct(&get).ok_or(BAD)?;
    answer_one(replica, &selector, get.no_hdr, &request.asker.reply, outlet)
}

fn answer_one(
    replica: &Replica,
    selector: &Selector,
    no_headers: bool,
    reply: &Subject,
    outlet: &mut Outlet,
) -> Result<(), Refusal> {
    let seq = selector.find(&replica.stream).ok_or(NOT_FOUND)?;
    let stored = replica
        .read(seq)
        .map_err(|_| UNREADABLE)?
        .ok_or(NOT_FOUND)?;
    if no_headers {
        outlet.reply(reply, stored.payload);
        return Ok(());
    }
    let origin = DirectOrigin {
        stream: &replica.entry.name,
        batch: None,
    };
    outlet.direct_message(reply, &stored, &origin);
    Ok(())
}

/// The next messages from a place on, each with how many follow, then an end mark.
fn answer_batch(
    replica: &Replica,
    get: &DirectGetRequest,
    reply: &Subject,
    outlet: &mut Outlet,
) -> Result<(), Refusal> {
    if !get.last_by_subj.is_empty() || (get.seq > 0 && get.start_time.is_some()) {
        return Err(BAD);
    }
    let stream = &replica.stream;
    let filter = match get.next_by_subj.as_str() {
        "" => None,
        filter => Some(SubjectFilter::new(filter.to_owned()).map_err(|_| BAD)?),
    };
    let start = get
        .start_time
        .map_or(Start::Seq(StreamSeq(get.seq)), Start::Time);
    let selection = selection(filter.as_ref());
    let from = start.seq(stream);
    let pending = stream.count_matches(from, &selection);
    let mut sequences = Next {
        stream,
        selection,
        from,
    };
    let mut batch = Batch::new(replica, get, pending);
    batch.send(&mut sequences, reply, outlet)?;
    batch.end(None, reply, outlet);
    Ok(())
}

/// The last message of each subject that matches one of several filters, of those up to a place.
///
/// A page that ends early, and every page when the request says `no_limit`, is gone on with by asking
/// for `seq` = `Nats-Last-Sequence` + 1 and `up_to_seq` = `Nats-UpTo-Sequence`: what comes meanwhile
/// changes nothing.
fn answer_last_of_each(
    replica: &Replica,
    get: &DirectGetRequest,
    reply: &Subject,
    outlet: &mut Outlet,
) -> Result<(), Refusal> {
    let names_something_else = !get.last_by_subj.is_empty() || !get.next_by_subj.is_empty();
    if names_something_else || (get.up_to_seq > 0 && get.up_to_time.is_some()) {
        return Err(BAD);
    }
    let filters: Result<Vec<_>, _> = get
        .multi_last
        .iter()
        .cloned()
        .map(SubjectFilter::new)
        .collect();
    // A filter that cannot be one matches nothing, as on nats-server.
    let selection = Selection::new(filters.map_err(|_| NO_RESULTS)?);
    let stream = &replica.stream;
    let up_to = up_to(stream, get).ok_or(NO_RESULTS)?;
    let mut sequences = stream.last_per_subject_upto(&selection, up_to);
    if sequences.is_empty() {
        return Err(NO_RESULTS);
    }
    if sequences.len() > MULTI_LAST_MAX && !get.no_limit {
        return Err(TOO_MANY);
    }
    sequences.retain(|seq| seq.0 >= get.seq);
    let mut batch = Batch::new(replica, get, sequences.len() as u64);
    if !sequences.is_empty() {
        batch.send(&mut sequences.into_iter(), reply, outlet)?;
    }
    batch.end(Some(up_to), reply, outlet);
    Ok(())
}

/// The last sequence a request for last messages looks at; `None` when it lies before the first or
/// behind the last one.
fn up_to(stream: &Stream, get: &DirectGetRequest) -> Option<StreamSeq> {
    let last = stream.last_seq();
    match (get.up_to_seq, get.up_to_time) {
        (0, None) => Some(last),
        (0, Some(time)) => Some(stream.seq_at_time(time).previous()).filter(|seq| seq.0 > 0),
        (seq, _) => Some(StreamSeq(seq)).filter(|seq| *seq <= last),
    }
}

/// The matching sequences of a stream, ascending.
struct Next<'a> {
    stream: &'a Stream,
    selection: Selection,
    from: StreamSeq,
}

impl Iterator for Next<'_> {
    type Item = StreamSeq;

    fn next(&mut self) -> Option<StreamSeq> {
        let seq = self.stream.next_match(self.from, &self.selection)?;
        self.from = seq.next();
        Some(seq)
    }
}

/// What `max_bytes` counts of a message, as nats-server does.
fn body_bytes(stored: &StoredMessage) -> u64 {
    let headers = stored.headers.as_ref().map_or(0, Headers::len);
    (stored.subject.as_str().len() + headers + stored.payload.len()) as u64
}

/// Several messages for one request.
struct Batch<'a> {
    replica: &'a Replica,
    messages_max: u64,
    bytes_max: u64,
    no_headers: bool,
    /// How many messages follow the last one sent.
    pending: u64,
    last_seq: StreamSeq,
}

impl<'a> Batch<'a> {
    fn new(replica: &'a Replica, get: &DirectGetRequest, pending: u64) -> Self {
        let wanted = |count: i64| u64::try_from(count).ok().filter(|count| *count > 0);
        Self {
            replica,
            messages_max: wanted(get.batch).unwrap_or(u64::MAX),
            bytes_max: wanted(get.max_bytes).unwrap_or(BATCH_BYTES_MAX),
            // As on nats-server: last messages of many subjects say what they are.
            no_headers: get.no_hdr && get.multi_last.is_empty(),
            pending,
            last_seq: StreamSeq(0),
        }
    }

    /// Sends messages until enough are sent; refuses when there is not even one.
    fn send(
        &mut self,
        sequences: &mut dyn Iterator<Item = StreamSeq>,
        reply: &Subject,
        outlet: &mut Outlet,
    ) -> Result<(), Refusal> {
        let (mut messages, mut bytes) = (0, 0);
        while messages < self.messages_max && bytes < self.bytes_max {
            let Some(seq) = sequences.next() else {
                break;
            };
            let read = self.replica.read(seq).map_err(|_| UNREADABLE)?;
            let stored = read.ok_or(UNREADABLE)?;
            self.pending = self.pending.saturating_sub(1);
            bytes += body_bytes(&stored);
            messages += 1;
            if self.no_headers {
                outlet.reply(reply, stored.payload);
            } else {
                let origin = DirectOrigin {
                    stream: &self.replica.entry.name,
                    batch: Some((self.pending, self.last_seq.0)),
                };
                outlet.direct_message(reply, &stored, &origin);
            }
            self.last_seq = seq;
        }
        if messages == 0 {
            return Err(NOT_FOUND);
        }
        Ok(())
    }

    fn end(&self, up_to: Option<StreamSeq>, reply: &Subject, outlet: &mut Outlet) {
        let mut headers = vec![
            ("Nats-Num-Pending", self.pending.to_string()),
            ("Nats-Last-Sequence", self.last_seq.to_string()),
        ];
        headers.extend(up_to.map(|seq| ("Nats-UpTo-Sequence", seq.to_string())));
        outlet.status(reply, 204, "EOB", &headers);
    }
}
