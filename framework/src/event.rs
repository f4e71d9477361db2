//! Events: what happened, under a stable name, with a self-describing payload.
//!
//! [`Event`] is what `#[event]` and `#[derive(Event)]` expand to; it can be written by hand.
//! The subject of an event is `<context>.<aggregate>.<id>.<event>`.

use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::id::{AggregateId, CommandId, EventId, Position};

/// The events of one kind of aggregate, or a single type of them.
pub trait Event: Clone + Send + Sync + Sized + 'static {
    /// The bounded context: one stream, its name in upper case; first token of the subject.
    const CONTEXT: &'static str;
    /// The kind of aggregate: second token of the subject.
    const AGGREGATE: &'static str;
    /// How new events are written. Stored events are read by their own `Content-Type`.
    const ENCODING: Encoding = Encoding::MessagePack;
    /// Every event type this Rust type can hold. One entry: readers see only events of that name.
    const TYPES: &'static [EventType];

    /// The aggregate's id type.
    type Id: AggregateId;

    /// Returns the stable name and schema version of this value.
    fn event_type(&self) -> EventType;

    /// Encodes the payload (use [`Encoding::to_vec`]).
    ///
    /// # Errors
    /// [`CodecError`] when serde refuses the value.
    fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, CodecError>;

    /// Decodes the payload of a stored event (use [`Encoding::from_slice`]).
    ///
    /// # Errors
    /// [`CodecError::Unknown`] for a name or version not in [`TYPES`](Self::TYPES),
    /// [`CodecError::Decode`] when the bytes do not fit.
    fn decode(
        stored: EventType<&str>,
        encoding: Encoding,
        payload: &[u8],
    ) -> Result<Self, CodecError>;
}

/// The stable name and schema version of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventType<Name = &'static str> {
    /// Last token of the subject, snake case.
    pub name: Name,
    /// Schema version, counted from 1.
    pub version: u32,
}

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// MessagePack with field names: unknown fields are ignored, missing ones may default.
    #[default]
    MessagePack,
    /// JSON.
    Json,
}

impl Encoding {
    /// Returns the value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::MessagePack => "application/msgpack",
            Self::Json => "application/json",
        }
    }

    /// Finds the encoding of a stored message; `None` for a content type we cannot read.
    #[must_use]
    pub fn from_content_type(text: &str) -> Option<Self> {
        [Self::MessagePack, Self::Json]
            .into_iter()
            .find(|encoding| encoding.content_type() == text)
    }

    /// Encodes a value.
    ///
    /// # Errors
    /// [`CodecError::Encode`] when serde refuses the value.
    pub fn to_vec<T: Serialize>(self, value: &T) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::MessagePack => {
                rmp_serde::to_vec_named(value).map_err(|error| CodecError::Encode {
                    reason: error.to_string(),
                })
            }
            Self::Json => serde_json::to_vec(value).map_err(|error| CodecError::Encode {
                reason: error.to_string(),
            }),
        }
    }

    /// Decodes a value.
    ///
    /// # Errors
    /// [`CodecError::Decode`] when the bytes do not fit the type.
    pub fn from_slice<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, CodecError> {
        match self {
            Self::MessagePack => rmp_serde::from_slice(bytes).map_err(|error| CodecError::Decode {
                reason: error.to_string(),
            }),
            Self::Json => serde_json::from_slice(bytes).map_err(|error| CodecError::Decode {
                reason: error.to_string(),
            }),
        }
    }
}

/// A value could not be written, or stored bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Serde refused to write the value.
    #[error("cannot encode: {reason}")]
    Encode {
        /// What serde said.
        reason: String,
    },
    /// The bytes do not fit the type.
    #[error("cannot decode: {reason}")]
    Decode {
        /// What serde said.
        reason: String,
    },
    /// This program has no type for the stored event.
    #[error("no event type for {name:?} version {version}")]
    Unknown {
        /// Name found in the subject.
        name: String,
        /// Version found in the headers.
        version: u32,
    },
    /// The message is not an event of ours.
    #[error("not an event: {reason}")]
    Foreign {
        /// What is missing or wrong.
        reason: String,
    },
}

impl CodecError {
    /// Makes [`CodecError::Unknown`] for a stored type.
    #[must_use]
    pub fn unknown(stored: EventType<&str>) -> Self {
        Self::Unknown {
            name: stored.name.to_owned(),
            version: stored.version,
        }
    }
}

/// An event as it stands in the log: the payload and its envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded<E: Event> {
    /// What happened.
    pub event: E,
    /// The aggregate it happened to.
    pub id: E::Id,
    /// Where, when and why.
    pub envelope: Envelope,
}

impl<E: Event> Recorded<E> {
    /// Returns the id of the aggregate.
    #[must_use]
    pub const fn id(&self) -> &E::Id {
        &self.id
    }

    /// Returns the place in the stream.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.envelope.position
    }
}

/// What is known about a stored event besides its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Stream sequence.
    pub position: Position,
    /// When the broker stored it.
    pub recorded_at: SystemTime,
    /// Names the event (`Nats-Msg-Id`).
    pub event_id: EventId,
    /// The command (or handled event) that caused it (`Hitherto-Command`). `None` for events
    /// written by other programs.
    pub command_id: Option<CommandId>,
    /// Groups everything one request caused (`Hitherto-Correlation`). `None`: the command itself.
    pub correlation_id: Option<String>,
    /// W3C trace context, passed through verbatim.
    pub traceparent: Option<String>,
    /// Schema version it was stored with (`Hitherto-Version`).
    pub version: u32,
}
