//! The bodies of the replies of the JetStream API, where they are more than an info.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use hitherto_protocol::Timestamp;
use serde::{Serialize, Serializer};

use super::info::{ConsumerInfo, StreamInfo};

/// How many names a page has at most.
pub const NAMES_PAGE: usize = 1024;

/// How many infos a page has at most.
pub const LIST_PAGE: usize = 256;

/// How many subjects a page of `STREAM.INFO` has at most.
pub const SUBJECTS_PAGE: usize = 100_000;

/// Where a page lies in the whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Paged {
    /// How many entries there are in all.
    pub total: usize,
    /// How many stand before this page.
    pub offset: usize,
    /// How many a page has at most.
    pub limit: usize,
}

impl Paged {
    /// The page of `entries` that starts at `offset`. An offset before the first entry means the
    /// first, one behind the last an empty page.
    pub fn cut<T>(mut entries: Vec<T>, offset: i64, limit: usize) -> (Self, Vec<T>) {
        let total = entries.len();
        let offset = usize::try_from(offset.max(0)).unwrap_or(total).min(total);
        let mut page = entries.split_off(offset);
        page.truncate(limit);
        let place = Self {
            total,
            offset,
            limit,
        };
        (place, page)
    }
}

/// `STREAM.NAMES`: a page without streams says `null`, as nats-server does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamNames {
    #[serde(flatten)]
    page: Paged,
    streams: Option<Vec<String>>,
}

impl StreamNames {
    /// The page of these names, which are sorted, that starts at `offset`.
    pub fn new(names: Vec<String>, offset: i64) -> Self {
        let (page, streams) = Paged::cut(names, offset, NAMES_PAGE);
        let streams = Some(streams).filter(|streams| !streams.is_empty());
        Self { page, streams }
    }
}

/// `STREAM.LIST`: make the page with [`Paged::cut`] and [`LIST_PAGE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamList {
    /// Where the page lies.
    #[serde(flatten)]
    pub page: Paged,
    /// Its streams, sorted by name.
    pub streams: Vec<StreamInfo>,
    /// Streams that do not serve, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub offline: BTreeMap<String, String>,
}

/// `STREAM.INFO`: [`Paged`] counts the subjects when they are asked for and is zero otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamInfoPage {
    /// Where the page of subjects lies.
    #[serde(flatten)]
    pub page: Paged,
    /// The stream.
    #[serde(flatten)]
    pub info: StreamInfo,
}

/// `CONSUMER.NAMES`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsumerNames {
    #[serde(flatten)]
    page: Paged,
    consumers: Vec<String>,
}

impl ConsumerNames {
    /// The page of these names, which are sorted, that starts at `offset`.
    pub fn new(names: Vec<String>, offset: i64) -> Self {
        let (page, consumers) = Paged::cut(names, offset, NAMES_PAGE);
        Self { page, consumers }
    }
}

/// `CONSUMER.LIST`: make the page with [`Paged::cut`] and [`LIST_PAGE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsumerList {
    /// Where the page lies.
    #[serde(flatten)]
    pub page: Paged,
    /// Its consumers, sorted by name.
    pub consumers: Vec<ConsumerInfo>,
}

/// A deletion that took place: `{"success":true}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Success {
    success: bool,
}

impl Success {
    /// The only value there is.
    pub const DONE: Self = Self { success: true };
}

/// `STREAM.PURGE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Purged {
    success: bool,
    purged: u64,
}

impl Purged {
    /// So many messages are gone.
    pub fn new(purged: u64) -> Self {
        Self {
            success: true,
            purged,
        }
    }
}

/// `STREAM.MSG.GET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MsgGet {
    /// The message.
    pub message: StoredMsg,
}

/// A message inside a reply; bytes are written in base 64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredMsg {
    /// What it was published to.
    pub subject: String,
    /// Its sequence.
    pub seq: u64,
    /// The whole header block; empty leaves it out.
    #[serde(serialize_with = "base64", skip_serializing_if = "<[u8]>::is_empty")]
    pub hdrs: bytes::Bytes,
    /// The payload; empty leaves it out.
    #[serde(serialize_with = "base64", skip_serializing_if = "<[u8]>::is_empty")]
    pub data: bytes::Bytes,
    /// When it was stored.
    pub time: Timestamp,
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

/// `INFO`: what the account uses and may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AccountInfo {
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes on disk.
    pub storage: u64,
    /// Bytes in memory streams have set aside.
    pub reserved_memory: u64,
    /// Bytes on disk streams have set aside with `max_bytes`.
    pub reserved_storage: u64,
    /// How many streams.
    pub streams: u64,
    /// How many consumers.
    pub consumers: u64,
    /// What it may use.
    pub limits: AccountLimits,
    /// What it asked of the API.
    pub api: AccountApi,
}

/// What an account may use; -1 means unlimited, as in the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountLimits {
    /// Bytes in memory.
    pub max_memory: i64,
    /// Bytes on disk.
    pub max_storage: i64,
    /// Streams.
    pub max_streams: i64,
    /// Consumers of one stream.
    pub max_consumers: i64,
    /// `max_ack_pending` of one consumer.
    pub max_ack_pending: i64,
    /// `max_bytes` of one memory stream.
    pub memory_max_stream_bytes: i64,
    /// `max_bytes` of one stream.
    pub storage_max_stream_bytes: i64,
    /// Every stream has to set `max_bytes`.
    pub max_bytes_required: bool,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self {
            max_memory: -1,
            max_storage: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            storage_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}

/// What an account asked of the API since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AccountApi {
    /// See [`crate::API_LEVEL`].
    pub level: u32,
    /// How many requests.
    pub total: u64,
    /// How many were answered with an error.
    pub errors: u64,
}

#[cfg(test)]
mod tests {
    use super::super::{ApiError, Response, ResponseKind};
    use super::*;

    fn json<T: Serialize>(kind: ResponseKind, body: T) -> String {
        String::from_utf8(Response::new(kind, Ok(body)).to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn empty_pages_differ_as_on_the_real_server() {
        let page = r#""total":0,"offset":0,"limit":"#;
        let kind = |name: &str| format!(r#"{{"type":"io.nats.jetstream.api.v1.{name}_response","#);
        assert_eq!(
            json(ResponseKind::StreamNames, StreamNames::new(Vec::new(), 0)),
            format!(r#"{}{page}1024,"streams":null}}"#, kind("stream_names"))
        );
        assert_eq!(
            json(
                ResponseKind::ConsumerNames,
                ConsumerNames::new(Vec::new(), 0)
            ),
            format!(r#"{}{page}1024,"consumers":[]}}"#, kind("consumer_names"))
        );
        let (page_of_list, streams) = Paged::cut(Vec::new(), 0, LIST_PAGE);
        let list = StreamList {
            page: page_of_list,
            streams,
            offline: BTreeMap::new(),
        };
        assert_eq!(
            json(ResponseKind::StreamList, list),
            format!(r#"{}{page}256,"streams":[]}}"#, kind("stream_list"))
        );
    }

    #[test]
    fn errors_keep_the_numbers_of_an_empty_page() {
        let error = Err(ApiError::stream_not_found());
        let reply = Response::<StreamNames>::new(ResponseKind::StreamNames, error).to_bytes();
        assert_eq!(
            reply,
            concat!(
                r#"{"type":"io.nats.jetstream.api.v1.stream_names_response","error":{"code":404,"#,
                r#""err_code":10059,"description":"stream not found"},"total":0,"offset":0,"#,
                r#""limit":0,"streams":null}"#
            )
        );
    }

    #[test]
    fn a_page_starts_within_its_entries() {
        let entries = || vec!['a', 'b', 'c'];
        let place = |offset| Paged {
            total: 3,
            offset,
            limit: 2,
        };
        assert_eq!(Paged::cut(entries(), -4, 2), (place(0), vec!['a', 'b']));
        assert_eq!(Paged::cut(entries(), 2, 2), (place(2), vec!['c']));
        assert_eq!(Paged::cut(entries(), 9, 2), (place(3), vec![]));
    }

    #[test]
    fn a_message_is_written_in_base_64() {
        let message = StoredMsg {
            subject: "A".into(),
            seq: 1,
            hdrs: bytes::Bytes::new(),
            data: "hi".into(),
            time: Timestamp::from_unix_nanos(0),
        };
        assert_eq!(
            json(ResponseKind::MsgGet, MsgGet { message }),
            concat!(
                r#"{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":"#,
                r#"{"subject":"A","seq":1,"data":"aGk=","time":"1970-01-01T00:00:00Z"}}"#
            )
        );
    }

    #[test]
    fn the_account_reads_as_on_the_real_server() {
        let api = AccountApi {
            level: 5,
            ..AccountApi::default()
        };
        assert_eq!(
            json(
                ResponseKind::AccountInfo,
                AccountInfo {
                    api,
                    ..AccountInfo::default()
                }
            ),
            concat!(
                r#"{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0,"#,
                r#""storage":0,"reserved_memory":0,"reserved_storage":0,"streams":0,"#,
                r#""consumers":0,"limits":{"max_memory":-1,"max_storage":-1,"max_streams":-1,"#,
                r#""max_consumers":-1,"max_ack_pending":-1,"memory_max_stream_bytes":-1,"#,
                r#""storage_max_stream_bytes":-1,"max_bytes_required":false},"#,
                r#""api":{"level":5,"total":0,"errors":0}}"#
            )
        );
    }
}
