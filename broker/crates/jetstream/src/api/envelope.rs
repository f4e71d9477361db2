//! A reply of the JetStream API: its type, then the body or the error.
//!
//! An error in reply to a paged request or a purge still carries the numbers of an empty reply, as
//! the clients of nats-server expect.

use bytes::Bytes;
use hitherto_protocol::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::ApiError;

/// A reply with its type.
///
/// # Examples
///
/// ```
/// use hitherto_jetstream::api::{ApiError, Purged, Response, ResponseKind};
///
/// let reply = Response::<Purged>::new(ResponseKind::StreamPurge, Err(ApiError::stream_not_found()));
/// assert_eq!(
///     reply.to_bytes(),
///     concat!(
///         r#"{"type":"io.nats.jetstream.api.v1.stream_purge_response","error":{"code":404,"#,
///         r#""err_code":10059,"description":"stream not found"},"purged":0}"#,
///     )
/// );
/// ```
#[derive(Debug, Clone)]
pub struct Response<T> {
    kind: ResponseKind,
    result: Result<T, ApiError>,
}

impl<T> Response<T> {
    /// The reply to one request.
    pub fn new(kind: ResponseKind, result: Result<T, ApiError>) -> Self {
        Self { kind, result }
    }
}

impl<T: Serialize> Response<T> {
    /// Its JSON.
    ///
    /// # Panics
    ///
    /// Panics if the body is not an object, which every body of this module is.
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("the bodies of replies are objects")
            .into()
    }
}

impl<T: Serialize> Serialize for Response<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Answer<'a, T> {
            #[serde(rename = "type")]
            kind: ResponseKind,
            #[serde(flatten)]
            body: &'a T,
        }
        let kind = self.kind;
        match &self.result {
            Ok(body) => Answer { kind, body }.serialize(serializer),
            Err(error) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("type", &kind)?;
                map.serialize_entry("error", error)?;
                kind.write_empty_body(&mut map)?;
                map.end()
            }
        }
    }
}

macro_rules! kinds {
    ($($kind:ident = $name:literal,)+) => {
        /// The types of replies.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub enum ResponseKind {
            $(
                #[doc = concat!("`", $name, "`")]
                #[serde(rename = $name)]
                $kind,
            )+
        }
    };
}

kinds! {
    AccountInfo = "io.nats.jetstream.api.v1.account_info_response",
    StreamCreate = "io.nats.jetstream.api.v1.stream_create_response",
    StreamUpdate = "io.nats.jetstream.api.v1.stream_update_response",
    StreamInfo = "io.nats.jetstream.api.v1.stream_info_response",
    StreamNames = "io.nats.jetstream.api.v1.stream_names_response",
    StreamList = "io.nats.jetstream.api.v1.stream_list_response",
    StreamDelete = "io.nats.jetstream.api.v1.stream_delete_response",
    StreamPurge = "io.nats.jetstream.api.v1.stream_purge_response",
    MsgGet = "io.nats.jetstream.api.v1.stream_msg_get_response",
    MsgDelete = "io.nats.jetstream.api.v1.stream_msg_delete_response",
    ConsumerCreate = "io.nats.jetstream.api.v1.consumer_create_response",
    ConsumerInfo = "io.nats.jetstream.api.v1.consumer_info_response",
    ConsumerNames = "io.nats.jetstream.api.v1.consumer_names_response",
    ConsumerList = "io.nats.jetstream.api.v1.consumer_list_response",
    ConsumerDelete = "io.nats.jetstream.api.v1.consumer_delete_response",
    ConsumerPause = "io.nats.jetstream.api.v1.consumer_pause_response",
    ConsumerReset = "io.nats.jetstream.api.v1.consumer_reset_response",
}

impl ResponseKind {
    /// What stands behind an error, asked on nats-server 2.15.
    fn write_empty_body<M: SerializeMap>(self, map: &mut M) -> Result<(), M::Error> {
        let is_paged = matches!(
            self,
            Self::StreamInfo
                | Self::StreamNames
                | Self::StreamList
                | Self::ConsumerNames
                | Self::ConsumerList
        );
        if is_paged {
            for number in ["total", "offset", "limit"] {
                map.serialize_entry(number, &0)?;
            }
        }
        match self {
            Self::StreamNames => map.serialize_entry("streams", &()),
            Self::StreamList => map.serialize_entry::<_, [(); 0]>("streams", &[]),
            Self::ConsumerNames | Self::ConsumerList => {
                map.serialize_entry::<_, [(); 0]>("consumers", &[])
            }
            Self::StreamPurge => map.serialize_entry("purged", &0),
            Self::ConsumerPause => {
                map.serialize_entry("paused", &false)?;
                map.serialize_entry("pause_until", &Timestamp::ZERO)
            }
            Self::ConsumerReset => map.serialize_entry("reset_seq", &0),
            Self::AccountInfo
            | Self::StreamCreate
            | Self::StreamUpdate
            | Self::StreamInfo
            | Self::StreamDelete
            | Self::MsgGet
            | Self::MsgDelete
            | Self::ConsumerCreate
            | Self::ConsumerInfo
            | Self::ConsumerDelete => Ok(()),
        }
    }
}
