//! One stored message, by its sequence.

use data_encoding::BASE64;
use hitherto_jetstream::StreamSeq;
use serde::Serialize;

use super::StoreAtRest;
use crate::Error;

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FoundMessage {
    /// Its stream.
    pub stream: String,
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    pub subject: String,
    /// When it was stored, in RFC 3339.
    pub time: String,
    /// Its header lines.
    pub headers: Vec<(String, String)>,
    /// Its payload when that is text.
    pub text: Option<String>,
    /// Its payload in base64.
    pub data: String,
}

impl StoreAtRest {
    /// Reads one message; `None` when there is no such stream, or no such message in it.
    ///
    /// # Errors
    /// When it, or the store, is damaged.
    pub fn message(&self, stream: &str, seq: u64) -> Result<Option<FoundMessage>, Error> {
        let recovered = self.recover()?;
        let is_asked_for = |name: &str| name == stream;
        let found = recovered
            .streams
            .values()
            .find(|recovered| is_asked_for(&recovered.stream.config().name));
        let Some(recovered) = found else {
            return Ok(None);
        };
        let Some(stored) = recovered.store.get(StreamSeq(seq))? else {
            return Ok(None);
        };
        let headers = stored.headers.iter().flat_map(|headers| headers.iter());
        Ok(Some(FoundMessage {
            stream: stream.to_owned(),
            seq,
            subject: stored.subject.as_str().to_owned(),
            time: stored.at.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            text: std::str::from_utf8(&stored.payload).ok().map(str::to_owned),
            data: BASE64.encode(&stored.payload),
        }))
    }
}
