//! The body of a pull request, `CONSUMER.MSG.NEXT`: nothing, a number, or an object.
//!
//! Not strict, as on nats-server (`nextReqFromMsg`, `server/consumer.go`): unknown fields are
//! ignored, and text that is neither a number nor an object asks for one message.

use std::time::Duration;

use hitherto_protocol::Subject;
use serde::{Deserialize, Serialize};

use super::ApiError;
use super::requests::parse_request;
use crate::config::nanos;
use crate::consumer::PullRequest;

/// What a pull request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MsgNextRequest {
    /// How many messages; below 1 means 1.
    pub batch: i64,
    /// How many bytes at most; below 1 means any number.
    pub max_bytes: i64,
    /// Do not wait for messages that are not there yet.
    pub no_wait: bool,
    /// How long it waits; `None` means for ever.
    #[serde(with = "nanos::optional")]
    pub expires: Option<Duration>,
    /// How often it wants a sign of life; `None` means never.
    #[serde(with = "nanos::optional")]
    pub idle_heartbeat: Option<Duration>,
    /// Only when so many messages are pending; for priority groups, which do not exist here.
    pub min_pending: i64,
    /// Only when so many wait for their acknowledgement; likewise.
    pub min_ack_pending: i64,
    /// Which request is served first; likewise.
    pub priority: i64,
    /// Which client is pinned; likewise.
    pub id: String,
}

impl MsgNextRequest {
    /// The request as the consumer takes it, answered to `reply`.
    pub fn into_pull(self, reply: Subject) -> PullRequest {
        let priority_fault = if self.min_pending != 0 || self.min_ack_pending != 0 {
            Some("Not a Overflow Priority consumer")
        } else if !self.id.is_empty() {
            Some("Not a Pinned Client Priority consumer")
        } else if !(0..=9).contains(&self.priority) {
            Some("Priority must be between 0 and 9")
        } else {
            None
        };
        PullRequest {
            priority_fault,
            reply,
            batch: u64::try_from(self.batch).unwrap_or(0).max(1),
            max_bytes: u64::try_from(self.max_bytes)
                .ok()
                .filter(|bytes| *bytes > 0),
            expires: self.expires,
            no_wait: self.no_wait,
            idle_heartbeat: self.idle_heartbeat,
        }
    }
}

/// Reads the body of a pull request.
///
/// # Errors
///
/// 10025 when it opens an object and is none, or a field has the wrong type.
pub fn parse_next_request(body: &[u8]) -> Result<MsgNextRequest, ApiError> {
    let body = body.trim_ascii();
    if body.starts_with(b"{") {
        return parse_request(body);
    }
    let number = std::str::from_utf8(body)
        .ok()
        .and_then(|text| text.parse().ok());
    Ok(MsgNextRequest {
        batch: number.unwrap_or(1),
        ..MsgNextRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(body: &str) -> PullRequest {
        let reply = Subject::new("inbox").unwrap();
        parse_next_request(body.as_bytes())
            .unwrap()
            .into_pull(reply)
    }

    #[test]
    fn nothing_a_number_and_an_object_are_requests() {
        assert_eq!(pull("").batch, 1);
        assert_eq!(pull("25").batch, 25);
        assert_eq!(pull("-3").batch, 1);
        assert_eq!(pull("what").batch, 1);
        let full = pull(r#"{"batch":3,"max_bytes":10,"no_wait":true,"expires":5,"group":"x"}"#);
        assert_eq!((full.batch, full.max_bytes), (3, Some(10)));
        assert_eq!(full.expires, Some(Duration::from_nanos(5)));
        assert!(full.no_wait);
        assert_eq!(full.idle_heartbeat, None);
    }

    #[test]
    fn a_broken_object_is_refused() {
        assert!(parse_next_request(b"{").is_err());
        assert!(parse_next_request(br#"{"batch":"x"}"#).is_err());
    }
}
