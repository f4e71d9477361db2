//! What is told unasked: advisories and metrics.
//!
//! All of them begin with the same three fields (`TypedEvent` in nats-server 2.15 `server/events.go`), and
//! go out only where somebody listens.

use bytes::Bytes;
use hitherto_protocol::Timestamp;
use serde::Serialize;

/// What has happened: of which kind, when, and what there is to say about that kind.
///
/// # Examples
///
/// ```
/// use hitherto_jetstream::TypedEvent;
/// use hitherto_protocol::Timestamp;
///
/// #[derive(serde::Serialize)]
/// struct Filled<'a> {
///     stream: &'a str,
/// }
///
/// let event = TypedEvent {
///     kind: "io.example.advisory.v1.filled",
///     id: "FILLED.ORDERS".into(),
///     timestamp: Timestamp::from_unix_nanos(0),
///     fields: Filled { stream: "ORDERS" },
/// };
/// assert_eq!(
///     event.to_bytes(),
///     concat!(
///         r#"{"type":"io.example.advisory.v1.filled","id":"FILLED.ORDERS","#,
///         r#""timestamp":"1970-01-01T00:00:00Z","stream":"ORDERS"}"#,
///     )
/// );
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct TypedEvent<'a, T> {
    /// Names the schema.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Unique among all events of its kind.
    pub id: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What the kind adds.
    #[serde(flatten)]
    pub fields: T,
}

impl<T: Serialize> TypedEvent<'_, T> {
    /// Its JSON.
    ///
    /// # Panics
    ///
    /// When `fields` is no struct with string keys, which those of every kind are.
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("plain fields always serialize")
            .into()
    }
}
