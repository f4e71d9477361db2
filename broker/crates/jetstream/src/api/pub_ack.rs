//! The answer to a publish a stream has stored or refused.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ApiError;

/// Says under which sequence a message is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PubAck {
    /// The stream.
    pub stream: String,
    /// The sequence of the message; of the last one of a batch.
    pub seq: u64,
    /// The domain of the stream; `None` without domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// It was stored before, and `seq` is what it got then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// The id of the batch this commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// How many messages the batch has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

#[derive(Serialize)]
struct Refused<'a> {
    error: &'a ApiError,
    stream: &'a str,
    seq: u64,
}

/// The body of the answer; a refusal names the stream and sequence 0.
///
/// # Panics
///
/// Never: texts and numbers are always JSON.
#[allow(
    clippy::missing_panics_doc,
    reason = "texts and numbers are always JSON"
)]
pub fn pub_ack_reply(stream: &str, result: &Result<PubAck, ApiError>) -> Bytes {
    let body = match result {
        Ok(ack) => serde_json::to_vec(ack),
        Err(error) => serde_json::to_vec(&Refused {
            error,
            stream,
            seq: 0,
        }),
    };
    body.expect("texts and numbers are always JSON").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(result: &Result<PubAck, ApiError>) -> String {
        String::from_utf8(pub_ack_reply("S", result).to_vec()).unwrap()
    }

    #[test]
    fn answers_read_as_on_the_real_server() {
        let plain = PubAck {
            stream: "S".into(),
            seq: 7,
            ..PubAck::default()
        };
        let again = PubAck {
            duplicate: true,
            ..plain.clone()
        };
        let batch = PubAck {
            batch: Some("b".into()),
            count: Some(3),
            ..plain.clone()
        };
        assert_eq!(reply(&Ok(plain)), r#"{"stream":"S","seq":7}"#);
        assert_eq!(
            reply(&Ok(again)),
            r#"{"stream":"S","seq":7,"duplicate":true}"#
        );
        assert_eq!(
            reply(&Ok(batch)),
            r#"{"stream":"S","seq":7,"batch":"b","count":3}"#
        );
        assert_eq!(
            reply(&Err(ApiError::expected_stream_mismatch())),
            concat!(
                r#"{"error":{"code":400,"err_code":10060,"#,
                r#""description":"expected stream does not match"},"stream":"S","seq":0}"#
            )
        );
    }
}
