//! The answer to a publish, written without a serializer: there is one per message.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use hitherto_jetstream::api::{ApiError, PubAck};

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
    pub(crate) fn write(&self, buf: &mut BytesMut, published: &Result<PubAck, ApiError>) {
        match published {
            Ok(ack) => self.write_ack(buf, ack),
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

    fn write_ack(&self, buf: &mut BytesMut, ack: &PubAck) {
        put(
            buf,
            format_args!("{{\"stream\":{},\"seq\":{}", self.stream, ack.seq),
        );
        if ack.duplicate {
            buf.put_slice(b",\"duplicate\":true");
        }
        if let Some(batch) = &ack.batch {
            let batch = serde_json::to_string(batch).expect("text is always JSON");
            put(buf, format_args!(",\"batch\":{batch}"));
        }
        if let Some(count) = ack.count {
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
    use super::*;

    fn written(published: &Result<PubAck, ApiError>) -> String {
        let mut buf = BytesMut::new();
        PubAckForm::new("ORDERS").write(&mut buf, published);
        String::from_utf8(buf.to_vec()).unwrap()
    }

    #[test]
    fn a_pub_ack_is_what_the_serializer_would_write() {
        let plain = PubAck {
            stream: "ORDERS".into(),
            seq: 42,
            ..PubAck::default()
        };
        let duplicate = PubAck {
            duplicate: true,
            ..plain.clone()
        };
        let batch = PubAck {
            batch: Some("a\"b".into()),
            count: Some(3),
            ..plain.clone()
        };
        for ack in [plain, duplicate, batch] {
            let expected = serde_json::to_string(&ack).unwrap();
            assert_eq!(written(&Ok(ack)), expected);
        }
    }

    #[test]
    fn an_error_names_the_stream_and_no_sequence() {
        assert_eq!(
            written(&Err(ApiError::not_available())),
            r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"},"stream":"ORDERS","seq":0}"#
        );
    }
}
