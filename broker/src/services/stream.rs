//! Requests to one stream, answered by its owner.

use hitherto_jetstream::api::{
    ApiError, ConsumerPauseRequest, ConsumerResetRequest, ConsumersRequest, Paged, PurgeRequest,
    ResponseKind, SUBJECTS_PAGE, StreamInfoPage, StreamInfoRequest, parse_request,
};
use hitherto_jetstream::command::{Control, Purge};
use hitherto_jetstream::{Command, StreamSeq};
use hitherto_protocol::{SubjectFilter, Timestamp};

use super::advisories::{StreamAction, tell_stream};
use super::call::StreamApi;
use super::request::Request;
use super::{changes, consumers, direct_get, messages};
use crate::jetstream::{ApiChange, Hands, Outlet, Receipt, Replica};

/// Bytes that the subjects of one page of stream info take at most: 768 KiB, so that it stays below the
/// default `max_payload`. Differs from nats-server, whose pages are bounded by their count alone.
const SUBJECTS_BYTES_MAX: usize = 768 * 1024;

/// A request to one stream on its way to the stream's owner.
pub(crate) struct StreamCall {
    pub(crate) api: StreamApi,
    pub(crate) request: Request,
}

impl StreamCall {
    /// What is wrong with its body, whatever the stream holds.
    fn fault(&self) -> Result<(), ApiError> {
        let request = &self.request;
        match &self.api {
            // What does not begin like an object is not looked at, as by nats-server.
            StreamApi::Info
            | StreamApi::Purge
            | StreamApi::ConsumerNames
            | StreamApi::ConsumerList
                if !request.payload.trim_ascii().starts_with(b"{") =>
            {
                Ok(())
            }
            StreamApi::Info => parse_request::<StreamInfoRequest>(&request.payload).map(drop),
            StreamApi::Purge => read_purge(request).map(drop),
            StreamApi::MessageGet => messages::read_get(request).map(drop),
            StreamApi::MessageDelete => messages::delete(request).map(drop),
            StreamApi::ConsumerNames | StreamApi::ConsumerList => {
                parse_request::<ConsumersRequest>(&request.payload).map(drop)
            }
            StreamApi::ConsumerInfo(_) | StreamApi::ConsumerDelete(_) => request.expect_empty(),
            StreamApi::ConsumerCreate(target) => {
                let stream = request.subject.tokens().nth(target.stream_token());
                let stream = stream.unwrap_or_default();
                consumers::read_create(stream, target.clone(), request).map(drop)
            }
            StreamApi::ConsumerPause(_) => {
                parse_request::<ConsumerPauseRequest>(&request.payload).map(drop)
            }
            StreamApi::ConsumerReset(_) => {
                parse_request::<ConsumerResetRequest>(&request.payload).map(drop)
            }
            StreamApi::Next(_) | StreamApi::DirectGet(_) => Ok(()),
        }
    }
}

/// Answers a request, or proposes what it asks for.
pub(crate) fn handle(replica: &mut Replica, call: &StreamCall, hands: &mut Hands<'_>) {
    let StreamCall { api, request } = call;
    match api {
        StreamApi::Next(consumer) => consumers::pull(replica, consumer, request, hands),
        StreamApi::DirectGet(subject) => {
            direct_get::answer(replica, subject.as_deref(), request, hands.outlet);
        }
        StreamApi::Info => {
            let info = info(replica, request, hands.now);
            hands
                .outlet
                .answer(ResponseKind::StreamInfo, &request.asker, info);
        }
        StreamApi::MessageGet => {
            let message = messages::get(replica, request);
            hands
                .outlet
                .answer(ResponseKind::MsgGet, &request.asker, message);
        }
        StreamApi::ConsumerNames => {
            let names = consumers::names(replica, request);
            hands
                .outlet
                .answer(ResponseKind::ConsumerNames, &request.asker, names);
        }
        StreamApi::ConsumerList => {
            let list = consumers::list(replica, request, hands.now);
            hands
                .outlet
                .answer(ResponseKind::ConsumerList, &request.asker, list);
        }
        StreamApi::ConsumerInfo(consumer) => {
            let info = consumers::info(replica, consumer, request, hands.now);
            hands
                .outlet
                .answer(ResponseKind::ConsumerInfo, &request.asker, info);
        }
        StreamApi::Purge => {
            let purge = purge(request);
            propose(replica, ApiChange::Purge, request, purge, hands);
        }
        StreamApi::MessageDelete => {
            let delete = messages::delete(request);
            propose(replica, ApiChange::MessageDelete, request, delete, hands);
        }
        StreamApi::ConsumerCreate(target) => {
            let create = consumers::create(replica, target.clone(), request, hands);
            propose(replica, ApiChange::ConsumerCreate, request, create, hands);
        }
        StreamApi::ConsumerDelete(consumer) => {
            let delete = consumers::delete(replica, consumer.clone(), request, hands.now);
            propose(replica, ApiChange::ConsumerDelete, request, delete, hands);
        }
        StreamApi::ConsumerPause(consumer) => {
            let pause = consumers::pause(replica, consumer.clone(), request, hands.now);
            propose(replica, ApiChange::ConsumerPause, request, pause, hands);
        }
        StreamApi::ConsumerReset(consumer) => {
            let reset = consumers::reset(replica, consumer.clone(), request, hands.now);
            propose(replica, ApiChange::ConsumerReset, request, reset, hands);
        }
    }
}

/// Answers a request to a stream that is not there or does not serve. A request that no stream could
/// answer is refused for what is wrong with it, as by nats-server.
pub(crate) fn stream_is_gone(call: &StreamCall, error: ApiError, outlet: &mut Outlet) {
    let error = call.fault().err().unwrap_or(error);
    let Request { subject, asker, .. } = &call.request;
    match call.api.response() {
        Some(kind) => changes::refuse_as(kind, asker, error, outlet),
        None => outlet.no_responders(&asker.reply, Some(subject)),
    }
    outlet.flush();
}

/// Lets go of a stream whose deletion is committed: nothing is taken in for it any more, and waiting
/// pulls are told.
pub(crate) fn delete(mut replica: Replica, hands: &mut Hands<'_>) {
    hands.log.close_group(replica.entry.group);
    if !replica.leads() {
        // Whoever does tells the clients.
        return;
    }
    replica.end_consumers(hands);
    let stream = &replica.entry.name;
    tell_stream(stream, StreamAction::Delete, hands.now, hands.outlet);
}

/// Proposes what was asked for, or answers why not. What no log need know of is done at once.
fn propose(
    replica: &mut Replica,
    change: ApiChange,
    request: &Request,
    command: Result<Control, ApiError>,
    hands: &mut Hands<'_>,
) {
    match command {
        Ok(control) => {
            let receipt = Receipt::api(&request.asker, change);
            match replica.stream.handle_control(control) {
                Ok(outcome) => replica.settle(receipt, outcome, hands),
                Err(control) => replica.propose(Command::Control(control), receipt, hands),
            }
        }
        Err(error) => changes::refuse_as(change.response(), &request.asker, error, hands.outlet),
    }
}

fn info(replica: &Replica, request: &Request, now: Timestamp) -> Result<StreamInfoPage, ApiError> {
    let StreamInfoRequest {
        offset,
        deleted_details,
        subjects_filter,
    } = parse_request(&request.payload)?;
    let stream = &replica.stream;
    let mut info = changes::stream_info(replica, now);
    if deleted_details {
        info.state.deleted = stream.deleted().map(|seq| seq.0).collect();
    }
    let mut page = Paged::default();
    if !subjects_filter.is_empty() {
        let filter = SubjectFilter::new(subjects_filter).map_err(|_| ApiError::bad_request())?;
        let (place, subjects) = Paged::cut(stream.subjects(&filter), offset, SUBJECTS_PAGE);
        let subjects = fitting(subjects);
        page = place;
        info.state.subjects = Some(subjects.into_iter().collect());
    }
    Ok(StreamInfoPage { page, info })
}

/// The first of these subjects, as many as one answer may hold; a client asks for the rest from there.
fn fitting(mut subjects: Vec<(String, u64)>) -> Vec<(String, u64)> {
    /// Quotes, colon, count and comma of an entry, at most.
    const ENTRY_BYTES: usize = 2 + 1 + 20 + 1;
    let mut bytes = 0;
    let fit = subjects.iter().take_while(|(subject, _)| {
        bytes += subject.len() + ENTRY_BYTES;
        bytes <= SUBJECTS_BYTES_MAX
    });
    let fit = fit.count().max(1);
    subjects.truncate(fit);
    subjects
}

fn read_purge(request: &Request) -> Result<PurgeRequest, ApiError> {
    let purge: PurgeRequest = parse_request(&request.payload)?;
    match purge.seq > 0 && purge.keep > 0 {
        true => Err(ApiError::bad_request()),
        false => Ok(purge),
    }
}

fn purge(request: &Request) -> Result<Control, ApiError> {
    let PurgeRequest { filter, seq, keep } = read_purge(request)?;
    if !filter.is_empty() && SubjectFilter::new(filter.as_str()).is_err() {
        return Err(ApiError::bad_request());
    }
    let is_all = filter.is_empty() || filter == ">";
    Ok(Control::Purge(Purge {
        filter: (!is_all).then_some(filter),
        before: (seq > 0).then_some(StreamSeq(seq)),
        keep: (keep > 0).then_some(keep),
    }))
}
