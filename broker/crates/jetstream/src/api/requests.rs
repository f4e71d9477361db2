//! The bodies of the requests of the JetStream API.
//!
//! Unknown fields are refused as by nats-server since 2.12, except in direct requests and pulls.
//! An absent field, `null` and the zero of its type mean the same everywhere.

use hitherto_protocol::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiError, json_fault};
use crate::config::{ConsumerConfig, StreamConfig};

/// Reads a request; an empty body is one without any field.
///
/// # Errors
///
/// 10025 for what is not JSON or not this request, unknown fields included.
///
/// # Examples
///
/// ```
/// use hitherto_jetstream::api::{PurgeRequest, parse_request};
///
/// let request: PurgeRequest = parse_request(br#"{"keep":3}"#).unwrap();
/// assert_eq!(request.keep, 3);
/// let error = parse_request::<PurgeRequest>(br#"{"x":1}"#).unwrap_err();
/// assert_eq!(error.description, r#"invalid JSON: json: unknown field "x""#);
/// ```
pub fn parse_request<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    read(body).map_err(|error| ApiError::invalid_json(&json_fault::describe(&error)))
}

/// Reads the configuration of a stream; numbers that cannot be negative have errors of their own, as on
/// nats-server 2.15.
///
/// # Errors
///
/// As [`parse_request`], 10052 and 10133 for negative numbers.
pub fn parse_stream_config(body: &[u8]) -> Result<StreamConfig, ApiError> {
    parse_request(body).map_err(|error| negative_fault(body).unwrap_or(error))
}

fn negative_fault(body: &[u8]) -> Option<ApiError> {
    const DURATIONS: [(&str, &str); 3] = [
        ("max_age", "max age can not be negative"),
        ("duplicate_window", "duplicates window can not be negative"),
        (
            "subject_delete_marker_ttl",
            "subject delete marker TTL must not be negative",
        ),
    ];
    let mut config: Value = serde_json::from_slice(body).ok()?;
    let mut take_negative = |field: &str| {
        let value = config.get_mut(field)?;
        let is_negative = value.as_i64().is_some_and(|number| number < 0);
        is_negative.then(|| *value = Value::Null)
    };
    let replicas = take_negative("num_replicas").map(|()| ApiError::replicas_negative());
    let durations = DURATIONS.into_iter().filter_map(|(field, text)| {
        take_negative(field).map(|()| ApiError::stream_invalid_config(text))
    });
    let faults: Vec<_> = replicas.into_iter().chain(durations).collect();
    // What cannot be read for another reason is no configuration at all.
    let rest = serde_json::to_vec(&config).ok()?;
    let config = parse_request::<StreamConfig>(&rest).ok()?;
    // The name comes before all of them.
    config.check_name().err().or(faults.into_iter().next())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let body = body.trim_ascii();
    if body.is_empty() || body == b"null" {
        return serde_json::from_slice(b"{}");
    }
    let mut value: Value = serde_json::from_slice(body)?;
    drop_nulls(&mut value);
    serde_json::from_value(value)
}

/// Go leaves a field alone whose value is `null`.
fn drop_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(drop_nulls);
    }
}

/// Tells whether a body says nothing: white space or an object without fields.
pub fn is_empty_request(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    body.is_empty()
        || serde_json::from_slice::<serde_json::Map<String, Value>>(body)
            .is_ok_and(|fields| fields.is_empty())
}

/// `STREAM.NAMES` and `STREAM.LIST`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamsRequest {
    /// How many entries to leave out first; negative means 0.
    pub offset: i64,
    /// Only streams whose subjects overlap this filter; empty means all.
    pub subject: String,
}

/// `STREAM.INFO.<stream>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamInfoRequest {
    /// How many subjects to leave out first; negative means 0.
    pub offset: i64,
    /// List the deleted sequences.
    pub deleted_details: bool,
    /// List the subjects that match, with their number of messages; empty means none.
    pub subjects_filter: String,
}

/// `STREAM.PURGE.<stream>`; `seq` and `keep` exclude each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PurgeRequest {
    /// Only messages whose subject matches; empty means all.
    pub filter: String,
    /// Only messages before this sequence; 0 means all.
    pub seq: u64,
    /// All but this many of the newest; 0 means none is kept.
    pub keep: u64,
}

/// `STREAM.MSG.GET.<stream>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MsgGetRequest {
    /// The message at this sequence, or with `next_by_subj` the first from it on.
    pub seq: u64,
    /// The last message whose subject matches; empty when not used.
    pub last_by_subj: String,
    /// The first message whose subject matches; empty when not used.
    pub next_by_subj: String,
    /// The first message from this time on.
    pub start_time: Option<Timestamp>,
    /// Leave the headers out.
    pub no_hdr: bool,
    /// Direct requests only; anything but 0 is a bad request here.
    pub batch: i64,
    /// Direct requests only; anything but 0 is a bad request here.
    pub max_bytes: i64,
}

/// `DIRECT.GET.<stream>`; unknown fields are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DirectGetRequest {
    /// The message at this sequence, or the first from it on.
    pub seq: u64,
    /// The last message whose subject matches; empty when not used.
    pub last_by_subj: String,
    /// The first message whose subject matches; empty when not used.
    pub next_by_subj: String,
    /// The first message from this time on.
    pub start_time: Option<Timestamp>,
    /// How many messages; 0 means one, answered without an end mark.
    pub batch: i64,
    /// How many bytes at most; 0 means any.
    pub max_bytes: i64,
    /// The last messages of all these filters.
    pub multi_last: Vec<String>,
    /// Of those up to this sequence; 0 means all.
    pub up_to_seq: u64,
    /// Of those before this time.
    pub up_to_time: Option<Timestamp>,
    /// With `multi_last`: any number of subjects, in pages. Not in nats-server, which ignores it.
    pub no_limit: bool,
    /// Payloads only, without any header; not with `multi_last`.
    pub no_hdr: bool,
}

/// `STREAM.MSG.DELETE.<stream>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MsgDeleteRequest {
    /// The message.
    pub seq: u64,
    /// Its bytes need not be overwritten.
    pub no_erase: bool,
}

/// `CONSUMER.CREATE` in its forms and `CONSUMER.DURABLE.CREATE`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerCreateRequest {
    /// The stream, equal to the one in the subject.
    pub stream_name: String,
    /// What to create.
    pub config: ConsumerConfig,
    /// Whether it may exist.
    pub action: ConsumerAction,
    /// Adjusted values are errors. Nothing is adjusted that nats-server refuses here.
    pub pedantic: bool,
}

/// `CONSUMER.PAUSE.<stream>.<consumer>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerPauseRequest {
    /// Until when; `None`, the zero time and the past let it go on.
    pub pause_until: Option<Timestamp>,
}

/// `CONSUMER.RESET.<stream>.<consumer>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerResetRequest {
    /// Where it begins again; 0 means behind the ack floor.
    pub seq: u64,
}

/// Whether a consumer may or must exist when it is created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsumerAction {
    /// Either.
    #[default]
    #[serde(rename = "")]
    CreateOrUpdate,
    /// It must not, or be equal.
    #[serde(rename = "create")]
    Create,
    /// It must.
    #[serde(rename = "update")]
    Update,
}

/// `CONSUMER.NAMES.<stream>` and `CONSUMER.LIST.<stream>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumersRequest {
    /// How many entries to leave out first; negative means 0.
    pub offset: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AckPolicy;

    fn fault(body: &str) -> String {
        parse_request::<StreamConfig>(body.as_bytes())
            .unwrap_err()
            .description
            .into_owned()
    }

    #[test]
    fn faults_read_as_on_the_real_server() {
        assert_eq!(
            fault(r#"{"name":"A","foo":1}"#),
            r#"invalid JSON: json: unknown field "foo""#
        );
        assert_eq!(
            fault(r#"{"consumer_limits":{"x":1}}"#),
            r#"invalid JSON: json: unknown field "x""#
        );
        assert_eq!(
            fault(r#"{"retention":"x"}"#),
            r#"invalid JSON: can not unmarshal "\"x\"""#
        );
        assert_eq!(fault("{"), "invalid JSON: unexpected EOF");
        assert!(fault(r#"{"name":"S","max_age":-5}"#).ends_with("a duration of -5 ns is negative"));
        assert!(fault(r#"{"name":"A"} x"#).starts_with("invalid JSON: "));
    }

    #[test]
    fn negative_numbers_read_as_on_the_real_server() {
        for (body, text) in [
            (
                r#"{"name":"S","max_age":-5}"#,
                "max age can not be negative (10052)",
            ),
            (
                r#"{"name":"S","duplicate_window":-5}"#,
                "duplicates window can not be negative (10052)",
            ),
            (
                r#"{"name":"S","subject_delete_marker_ttl":-5}"#,
                "subject delete marker TTL must not be negative (10052)",
            ),
            (
                r#"{"name":"S","num_replicas":-1}"#,
                "replicas count cannot be negative (10133)",
            ),
            (
                r#"{"name":"a b","num_replicas":-1}"#,
                r"stream name is required and can not contain '.', '*', '>', '\', '/' (10052)",
            ),
            (
                r#"{"max_age":"x","num_replicas":1}"#,
                r#"invalid JSON: invalid type: string "x", expected i64 (10025)"#,
            ),
        ] {
            let error = parse_stream_config(body.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), text, "{body}");
        }
        assert!(parse_stream_config(br#"{"name":"S","max_msgs":-5}"#).is_ok());
    }

    #[test]
    fn an_empty_body_and_null_are_a_request_without_fields() {
        for body in [
            "",
            " \n",
            "{}",
            "null",
            r#"{"name":null,"consumer_limits":null}"#,
        ] {
            let config: StreamConfig = parse_request(body.as_bytes()).unwrap();
            assert_eq!(config, StreamConfig::default(), "{body}");
        }
    }

    #[test]
    fn a_consumer_request_nests_its_configuration() {
        let body = r#"{"stream_name":"S","config":{"durable_name":"d","ack_policy":"all"},
            "action":"create"}"#;
        let request: ConsumerCreateRequest = parse_request(body.as_bytes()).unwrap();
        assert_eq!(request.action, ConsumerAction::Create);
        assert_eq!(request.config.ack_policy, AckPolicy::All);
    }

    #[test]
    fn an_empty_request_may_have_braces() {
        assert!(is_empty_request(b"") && is_empty_request(b" {} "));
        assert!(!is_empty_request(b"x") && !is_empty_request(b"{\"a\":1}"));
    }

    #[test]
    fn a_direct_request_ignores_what_it_does_not_know() {
        let request: DirectGetRequest = parse_request(br#"{"seq":4,"x":1}"#).unwrap();
        assert_eq!(request.seq, 4);
        assert!(parse_request::<DirectGetRequest>(br#"{"seq":"x"}"#).is_err());
    }
}
