//! The errors of the JetStream API: one row per error, with the code, the number and the text of
//! nats-server (`server/errors.json`, version 2.15).
//!
//! Every error that goes over the wire is made here. A text that ends in free words takes them as
//! an argument; the numbers and fixed texts are part of the interface, clients compare them.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::StreamSeq;

/// An error as the JetStream API reports it.
///
/// # Examples
///
/// ```
/// use hitherto_jetstream::api::ApiError;
///
/// let error = ApiError::stream_not_found();
/// assert_eq!((error.code, error.err_code), (404, 10059));
/// assert_eq!(error.to_string(), "stream not found (10059)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// The sort of error, after the codes of HTTP.
    pub code: u16,
    /// The number of exactly this error.
    pub err_code: u16,
    /// The text for people, fixed for most errors.
    pub description: Cow<'static, str>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.description, self.err_code)
    }
}

impl std::error::Error for ApiError {}

/// What a reader needs to know of one row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRow {
    /// As [`ApiError::code`].
    pub code: u16,
    /// As [`ApiError::err_code`].
    pub err_code: u16,
    /// The text; words in braces are replaced.
    pub template: &'static str,
}

macro_rules! errors {
    ($($name:ident($($arg:ident: $type:ty)?), $code:literal, $err_code:literal, $text:literal;)+) => {
        impl ApiError {
            $(
                #[doc = concat!("Error ", $err_code, " (", $code, "): ", $text, ".")]
                #[must_use]
                pub fn $name($($arg: $type)?) -> Self {
                    Self {
                        code: $code,
                        err_code: $err_code,
                        description: errors!(@text $text $(, $arg)?),
                    }
                }
            )+

            /// Every error this crate can answer with, in the order of the numbers.
            pub const TABLE: &[ErrorRow] = &[
                $(ErrorRow { code: $code, err_code: $err_code, template: $text },)+
            ];
        }
    };
    (@text $text:literal) => { Cow::Borrowed($text) };
    (@text $text:literal, $arg:ident) => { Cow::Owned(format!($text)) };
}

errors! {
    account_resources_exceeded(), 400, 10002, "resource limits exceeded for account";
    bad_request(), 400, 10003, "bad request";
    no_suitable_peers(err: &str), 400, 10005, "{err}";
    not_available(), 503, 10008, "JetStream system temporarily unavailable";
    cluster_required(), 503, 10010, "JetStream clustering support required";
    consumer_invalid(err: &str), 500, 10012, "{err}";
    consumer_name_in_use(), 400, 10013, "consumer name already in use";
    consumer_not_found(), 404, 10014, "consumer not found";
    consumer_durable_not_match_subject(), 400, 10017, "consumer name in subject does not match durable name in request";
    consumer_durable_not_set(), 400, 10018, "consumer expected to be durable but a durable name was not set";
    consumer_ephemeral_with_durable_name(), 400, 10020, "consumer expected to be ephemeral but a durable name was set in request";
    insufficient_resources(), 503, 10023, "insufficient resources";
    invalid_json(err: &str), 400, 10025, "invalid JSON: {err}";
    maximum_consumers(), 400, 10026, "maximum consumers limit reached";
    maximum_streams(), 400, 10027, "maximum number of streams reached";
    memory_exceeded(), 500, 10028, "insufficient memory resources available";
    no_message_found(), 404, 10037, "no message found";
    not_empty_request(), 400, 10038, "expected an empty request payload";
    peer_not_member(), 400, 10040, "peer not a member";
    raft_general(err: &str), 500, 10041, "{err}";
    server_not_member(), 400, 10044, "server is not a member of the cluster";
    storage_exceeded(), 500, 10047, "insufficient storage resources available";
    stream_create_failed(err: &str), 500, 10049, "{err}";
    stream_general(err: &str), 500, 10051, "{err}";
    stream_invalid_config(err: &str), 500, 10052, "{err}";
    message_too_large(), 400, 10054, "message size exceeds maximum allowed";
    stream_name_mismatch(), 400, 10056, "stream name in subject does not match request";
    message_delete_failed(err: &str), 500, 10057, "{err}";
    stream_name_in_use(), 400, 10058, "stream name already in use with a different configuration";
    stream_not_found(), 404, 10059, "stream not found";
    expected_stream_mismatch(), 400, 10060, "expected stream does not match";
    stream_subjects_overlap(), 400, 10065, "subjects overlap with an existing stream";
    stream_update_failed(err: &str), 500, 10069, "{err}";
    wrong_last_msg_id(id: &str), 400, 10070, "wrong last msg ID: {id}";
    wrong_last_sequence(seq: StreamSeq), 400, 10071, "wrong last sequence: {seq}";
    replicas_not_supported(), 500, 10074, "replicas > 1 not supported in non-clustered mode";
    peer_remap_failed(), 503, 10075, "peer remap failed";
    store_failed(err: &str), 503, 10077, "{err}";
    consumer_deliver_to_wildcards(), 400, 10079, "consumer deliver subject has wildcards";
    consumer_push_with_max_waiting(), 400, 10080, "consumer in push mode can not set max waiting";
    consumer_deliver_cycle(), 400, 10081, "consumer deliver subject forms a cycle";
    consumer_max_pending_needs_ack_policy(), 400, 10082, "consumer requires ack policy for max ack pending";
    consumer_small_heartbeat(), 400, 10083, "consumer idle heartbeat needs to be >= 100ms";
    consumer_pull_requires_ack(), 400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream";
    consumer_rate_limit_needs_push(), 400, 10086, "consumer in pull mode can not have rate limit set";
    consumer_heartbeat_needs_push(), 400, 10088, "consumer idle heartbeat requires a push based consumer";
    consumer_flow_control_needs_push(), 400, 10089, "consumer flow control requires a push based consumer";
    consumer_direct_needs_push(), 400, 10090, "consumer direct requires a push based consumer";
    consumer_invalid_policy(err: &str), 400, 10094, "{err}";
    consumer_invalid_sampling(err: &str), 400, 10095, "failed to parse consumer sampling configuration: {err}";
    headers_too_large(), 400, 10097, "header size exceeds maximum allowed of 64k";
    consumer_queue_requires_explicit_ack(), 400, 10098, "workqueue stream requires explicit ack";
    consumer_queue_not_filtered(), 400, 10099, "multiple non-filtered consumers not allowed on workqueue stream";
    consumer_queue_not_unique(), 400, 10100, "filtered consumer not unique on workqueue stream";
    consumer_queue_not_deliver_all(), 400, 10101, "consumer must be deliver all on workqueue stream";
    consumer_name_too_long(max: usize), 400, 10102, "consumer name is too long, maximum allowed is {max}";
    consumer_description_too_long(max: usize), 400, 10107, "consumer description is too long, maximum allowed is {max}";
    consumer_with_flow_control_needs_heartbeats(), 400, 10108, "consumer with flow control also needs heartbeats";
    stream_sealed(), 400, 10109, "invalid operation on sealed stream";
    purge_failed(err: &str), 500, 10110, "{err}";
    rollup_failed(err: &str), 500, 10111, "{err}";
    consumer_invalid_deliver_subject(), 400, 10112, "invalid push consumer deliver subject";
    max_bytes_required(), 400, 10113, "account requires a stream config to have max bytes set";
    consumer_max_expires_too_small(), 400, 10115, "consumer max request expires needs to be >= 1ms";
    consumer_max_deliver_backoff(), 400, 10116, "max deliver is required to be > length of backoff values";
    stream_offline(), 500, 10118, "stream is offline";
    consumer_max_ack_pending_excess(limit: i64), 400, 10121, "consumer max ack pending exceeds system limit of {limit}";
    stream_max_bytes_exceeded(), 400, 10122, "stream max bytes exceeds account limit max stream bytes";
    move_and_scale(), 400, 10123, "can not move and scale a stream in a single update";
    consumer_max_request_batch_exceeded(limit: i64), 400, 10125, "consumer max request batch exceeds server limit of {limit}";
    consumer_replicas_exceed_stream(), 400, 10126, "consumer config replica count exceeds parent stream";
    consumer_name_with_path_separator(), 400, 10127, "Consumer name can not contain path separators";
    consumer_filter_mismatch(), 400, 10131, "Consumer create request did not match filtered subject from create subject";
    consumer_durable_and_name_mismatch(), 400, 10132, "Consumer Durable and Name have to be equal if both are provided";
    replicas_negative(), 400, 10133, "replicas count cannot be negative";
    consumer_replicas_should_match_stream(), 400, 10134, "consumer config replicas must match interest retention stream's replicas";
    consumer_metadata_too_long(limit: &str), 400, 10135, "consumer metadata exceeds maximum size of {limit}";
    consumer_duplicate_filters(), 400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified";
    consumer_multiple_filters_not_allowed(), 400, 10137, "consumer with multiple subject filters cannot use subject based API";
    consumer_overlapping_filters(), 400, 10138, "consumer subject filters cannot overlap";
    consumer_empty_filter(), 400, 10139, "consumer filter in FilterSubjects cannot be empty";
    consumer_already_exists(), 400, 10148, "consumer already exists";
    consumer_does_not_exist(), 400, 10149, "consumer does not exist";
    consumer_inactive_threshold_excess(limit: &str), 400, 10153, "consumer inactive threshold exceeds system limit of {limit}";
    stream_transform_source(err: &str), 400, 10155, "stream transform source: {err}";
    stream_transform(err: &str), 400, 10156, "stream transform: {err}";
    pedantic(err: &str), 400, 10157, "pedantic mode: {err}";
    wrong_last_sequence_in_process(), 400, 10164, "wrong last sequence";
    message_ttl_invalid(), 400, 10165, "invalid per-message TTL";
    message_ttl_disabled(), 400, 10166, "per-message TTL is disabled";
    too_many_requests(), 429, 10167, "too many requests";
    message_counter_disabled(), 400, 10168, "message counters is disabled";
    atomic_publish_disabled(), 400, 10174, "atomic publish is disabled";
    atomic_publish_missing_seq(), 400, 10175, "atomic publish sequence is missing";
    atomic_publish_incomplete(), 400, 10176, "atomic publish batch is incomplete";
    atomic_publish_unsupported_header(header: &str), 400, 10177, "atomic publish unsupported header used: {header}";
    atomic_publish_invalid_id(), 400, 10179, "atomic publish batch ID is invalid";
    consumer_backoff_negative(), 400, 10184, "consumer backoff needs to be positive";
    required_api_level(), 412, 10185, "JetStream minimum api level required";
    message_schedules_disabled(), 400, 10188, "message schedules is disabled";
    expected_subject_sequence_missing(), 400, 10193, "missing sequence for expected last sequence per subject";
    stream_offline_reason(err: &str), 500, 10194, "stream is offline: {err}";
    atomic_publish_too_large(size: u64), 400, 10199, "atomic publish batch is too large: {size}";
    atomic_publish_invalid_commit(), 400, 10200, "atomic publish batch commit is invalid";
    atomic_publish_duplicate_id(), 400, 10201, "atomic publish batch contains duplicate message id";
    consumer_invalid_reset(err: &str), 400, 10204, "invalid reset: {err}";
    atomic_publish_too_many_inflight(), 429, 10210, "atomic publish too many inflight";
    reconfigure_in_progress(), 400, 10226, "stream reconfiguration already in progress";
}

/// The texts of errors whose number leaves them free, where clients read them.
impl ApiError {
    /// Error 10077: the stream holds `max_msgs` messages and discards new ones.
    #[must_use]
    pub fn maximum_messages_exceeded() -> Self {
        Self::store_failed("maximum messages exceeded")
    }

    /// Error 10077: the stream holds `max_bytes` bytes and discards new messages.
    #[must_use]
    pub fn maximum_bytes_exceeded() -> Self {
        Self::store_failed("maximum bytes exceeded")
    }

    /// Error 10077: the subject holds `max_msgs_per_subject` messages and discards new ones.
    #[must_use]
    pub fn maximum_messages_per_subject_exceeded() -> Self {
        Self::store_failed("maximum messages per subject exceeded")
    }

    /// Error 10057: there is no message at that sequence.
    #[must_use]
    pub fn no_message_to_delete() -> Self {
        Self::message_delete_failed("no message found")
    }

    /// Error 10057: the stream has not come to that sequence.
    #[must_use]
    pub fn delete_past_the_end() -> Self {
        Self::message_delete_failed("stream store EOF")
    }

    /// Error 10057: the stream has `deny_delete`.
    #[must_use]
    pub fn delete_not_permitted() -> Self {
        Self::message_delete_failed("message delete not permitted")
    }

    /// Error 10110: the stream has `deny_purge`.
    #[must_use]
    pub fn purge_not_permitted() -> Self {
        Self::purge_failed("stream purge not permitted")
    }

    /// Error 10111: the stream lacks `allow_rollup_hdrs`.
    #[must_use]
    pub fn rollup_not_permitted() -> Self {
        Self::rollup_failed("rollup not permitted")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    #[test]
    fn numbers_ascend_and_each_stands_once() {
        let numbers: Vec<u16> = ApiError::TABLE.iter().map(|row| row.err_code).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }

    #[test]
    fn json_is_that_of_the_real_server() {
        let text = serde_json::to_string(&ApiError::wrong_last_sequence(StreamSeq(7))).unwrap();
        assert_eq!(
            text,
            r#"{"code":400,"err_code":10071,"description":"wrong last sequence: 7"}"#
        );
        assert_eq!(
            serde_json::from_str::<ApiError>(&text).unwrap(),
            ApiError::wrong_last_sequence(StreamSeq(7))
        );
    }

    #[derive(Deserialize)]
    struct Known {
        code: u16,
        error_code: u16,
        description: String,
    }

    /// The table of nats-server is not part of this repository; the variable names a folder with
    /// its `errors.json`.
    #[test]
    fn the_table_agrees_with_the_one_of_nats_server() {
        let Some(folder) = std::env::var_os("HITHERTO_JETSTREAM_SCHEMAS") else {
            eprintln_loudly("SKIPPED: set HITHERTO_JETSTREAM_SCHEMAS to compare the error table");
            return;
        };
        let text = std::fs::read(Path::new(&folder).join("errors.json")).unwrap();
        let known: Vec<Known> = serde_json::from_slice(&text).unwrap();
        let known: BTreeMap<u16, Known> = known.into_iter().map(|k| (k.error_code, k)).collect();
        for row in ApiError::TABLE {
            let theirs = &known[&row.err_code];
            assert_eq!(row.code, theirs.code, "code of {}", row.err_code);
            assert_eq!(row.template, theirs.description, "text of {}", row.err_code);
        }
    }

    #[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
    fn eprintln_loudly(text: &str) {
        eprintln!("{text}");
    }
}
