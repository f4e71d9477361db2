//! The wire form of an event: subject, headers, payload.
//!
//! Few headers: `Nats-Msg-Id` and `Content-Type` always, `Hitherto-Command` on what commands caused,
//! the others when they say something.

use crate::broker::transport::{Headers, Outgoing};
use crate::cause::Cause;
use crate::event::{CodecError, Encoding, Envelope, Event, EventType, Recorded};
use crate::id::{AggregateId, CommandId, EventId, Position};
use crate::jetstream::StoredMessage;

const EVENT_ID: &str = "Nats-Msg-Id";
const CONTENT_TYPE: &str = "Content-Type";
const COMMAND: &str = "Hitherto-Command";
const CORRELATION: &str = "Hitherto-Correlation";
const VERSION: &str = "Hitherto-Version";
const TRACEPARENT: &str = "traceparent";

/// Returns the filter of one aggregate's events.
pub(crate) fn aggregate_filter<E: Event>(id: &E::Id) -> String {
    format!("{}.{}.{}.>", E::CONTEXT, E::AGGREGATE, id.as_token())
}

/// Returns the filter of all events of a type: by name when there is only one.
pub(crate) fn event_filter<E: Event>() -> String {
    match E::TYPES {
        [only] => format!("{}.{}.*.{}", E::CONTEXT, E::AGGREGATE, only.name),
        _ => format!("{}.{}.>", E::CONTEXT, E::AGGREGATE),
    }
}

/// Writes an event.
pub(crate) fn encode<E: Event>(
    id: &E::Id,
    event: &E,
    cause: &Cause,
) -> Result<Outgoing, CodecError> {
    let EventType { name, version } = event.event_type();
    let mut headers = Headers::default();
    headers.insert(EVENT_ID, EventId::random().as_str());
    headers.insert(CONTENT_TYPE, E::ENCODING.content_type());
    headers.insert(COMMAND, cause.command_id.as_str());
    if let Some(correlation) = &cause.correlation_id
        && correlation != cause.command_id.as_str()
    {
        headers.insert(CORRELATION, correlation.as_str());
    }
    if version > 1 {
        headers.insert(VERSION, version.to_string());
    }
    if let Some(traceparent) = &cause.traceparent {
        headers.insert(TRACEPARENT, traceparent.as_str());
    }
    let subject = format!("{}.{}.{}.{name}", E::CONTEXT, E::AGGREGATE, id.as_token());
    Ok(Outgoing::new(subject, event.encode(E::ENCODING)?).with_headers(headers))
}

/// Reads an event.
pub(crate) fn decode<E: Event>(message: &StoredMessage) -> Result<Recorded<E>, CodecError> {
    let (id, name) = parse_subject::<E>(&message.subject)?;
    let headers = &message.headers;
    let encoding = match headers.get(CONTENT_TYPE) {
        None => Encoding::default(),
        Some(text) => Encoding::from_content_type(text)
            .ok_or_else(|| foreign(format!("content type {text:?}")))?,
    };
    let version = match headers.get(VERSION) {
        None => 1,
        Some(text) => text
            .parse()
            .map_err(|_| foreign(format!("version {text:?}")))?,
    };
    let event = E::decode(EventType { name, version }, encoding, &message.payload)?;
    Ok(Recorded {
        event,
        id,
        envelope: envelope(message, version),
    })
}

fn envelope(message: &StoredMessage, version: u32) -> Envelope {
    let headers = &message.headers;
    Envelope {
        position: Position(message.seq),
        recorded_at: message.stored_at,
        event_id: headers.get(EVENT_ID).map_or_else(
            // Written by another program without an id: its place names it.
            || EventId::from_stored(&format!("{}@{}", message.subject, message.seq)),
            EventId::from_stored,
        ),
        command_id: command_id(message),
        correlation_id: headers.get(CORRELATION).map(str::to_owned),
        traceparent: headers.get(TRACEPARENT).map(str::to_owned),
        version,
    }
}

/// Reads the id of the command that caused a stored event.
pub(crate) fn command_id(message: &StoredMessage) -> Option<CommandId> {
    message.headers.get(COMMAND).map(CommandId::from_stored)
}

fn parse_subject<E: Event>(subject: &str) -> Result<(E::Id, &str), CodecError> {
    let mut tokens = subject.split('.');
    let mut next = || tokens.next().unwrap_or_default();
    let (context, aggregate, id, name) = (next(), next(), next(), next());
    if context != E::CONTEXT || aggregate != E::AGGREGATE || name.is_empty() || !next().is_empty() {
        let form = format!("{}.{}.<id>.<event>", E::CONTEXT, E::AGGREGATE);
        return Err(foreign(format!("subject {subject:?} is not {form:?}")));
    }
    let id = E::Id::from_token(id).map_err(|error| foreign(error.to_string()))?;
    Ok((id, name))
}

fn foreign(reason: String) -> CodecError {
    CodecError::Foreign { reason }
}
