//! The answer to a publish, written without a serializer: there is one per message.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use hitherto_jetstream::Stored;
use hitherto_jetstream::api::ApiError;
use hitherto_protocol::encode;

/// The part of every PubAck of one stream that does not change.
#[derive(Debug)]
pub(crate) struct PubAckForm {
    /// The name as a JSON string, quotes included.
    stream: String,
}

impl PubAckForm {
    pub(crate) fn new(stream: &str) -> Self {
        let stream = serde_json::to_string(stream).expect("text is always JSON");
        Self { stream }
    }

    /// Writes the PubAck of a publish, or its error.
    pub(crate) fn write(&self, buf: &mut BytesMut, published: &Result<Stored, ApiError>) {
        match published {
            Ok(stored) => self.write_ack(buf, stored),
            Err(error) => self.write_error(buf, error),
        }
    }

    /// Writes what nats-server answers to a publish that stored nothing.
    pub(crate) fn write_error(&self, buf: &mut BytesMut, error: &ApiError) {
        let error = serde_json::to_string(error).expect("an error has numbers and text");
        put(
            buf,
            format_args!("{{\"error\":{error},\"stream\":{},\"seq\":0}}", self.stream),
        );
    }

    fn write_ack(&self, buf: &mut BytesMut, stored: &Stored) {
        buf.put_slice(b"{\"stream\":");
        buf.put_slice(self.stream.as_bytes());
        buf.put_slice(b",\"seq\":");
        encode::integer(buf, stored.seq.0);
        if stored.duplicate {
            buf.put_slice(b",\"duplicate\":true");
        }
        if let Some(batch) = &stored.batch {
            let batch = serde_json::to_string(batch).expect("text is always JSON");
            put(buf, format_args!(",\"batch\":{batch}"));
        }
        if let Some(count) = stored.count {
            put(buf, format_args!(",\"count\":{count}"));
        }
        buf.put_u8(b'}');
    }
}

fn put(buf: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    buf.write_fmt(text).expect("a buffer grows");
}

#[cfg(test)]
mod tests {
    use hitherto_jetstream::StreamSeq;

    use super::*;

    fn written(published: &Result<Stored, ApiError>) -> String {
        let mut buf = BytesMut::new();
        PubAckForm::new("ORDERS").write(&mut buf, published);
        String::from_utf8(buf.to_vec()).unwrap()
    }

    /// A PubAck as the serializer writes it, with the fields and the order of nats-server.
    #[derive(serde::Serialize)]
    struct PubAck<'a> {
        stream: &'a str,
        seq: u64,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        batch: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    }

    #[test]
    fn a_pub_ack_is_what_the_serializer_would_write() {
        let plain = Stored::single(StreamSeq(42), false);
        let duplicate = Stored::single(StreamSeq(42), true);
        let batch = Stored {
            batch: Some("a\"b".into()),
            count: Some(3),
            ..plain
        };
        for stored in [plain, duplicate, batch] {
            let expected = PubAck {
                stream: "ORDERS",
                seq: stored.seq.0,
                duplicate: stored.duplicate,
                batch: stored.batch.as_deref(),
                count: stored.count,
            };
            let expected = serde_json::to_string(&expected).unwrap();
            assert_eq!(written(&Ok(stored)), expected);
        }
    }

    #[test]
    fn answers_read_as_on_the_real_server() {
        let plain = Stored::single(StreamSeq(7), false);
        let again = Stored::single(StreamSeq(7), true);
        let batch = Stored {
            batch: Some("b".into()),
            count: Some(3),
            ..plain
        };
        assert_eq!(written(&Ok(plain)), r#"{"stream":"ORDERS","seq":7}"#);
        assert_eq!(
            written(&Ok(again)),
            r#"{"stream":"ORDERS","seq":7,"duplicate":true}"#
        );
        assert_eq!(
            written(&Ok(batch)),
            r#"{"stream":"ORDERS","seq":7,"batch":"b","count":3}"#
        );
        assert_eq!(
            written(&Err(ApiError::expected_stream_mismatch())),
            concat!(
                r#"{"error":{"code":400,"err_code":10060,"#,
                r#""description":"expected stream does not match"},"stream":"ORDERS","seq":0}"#
            )
        );
    }

    #[test]
    fn an_error_names_the_stream_and_no_sequence() {
        assert_eq!(
            written(&Err(ApiError::not_available())),
            r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"},"stream":"ORDERS","seq":0}"#
        );
    }
}
