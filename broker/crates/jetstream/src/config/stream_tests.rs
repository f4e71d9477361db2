//! What nats-server 2.15 answers to the same configurations; asked on the running server.

use super::super::{ByStorage, ConsumerLimits, Storage};
use super::*;

fn named(name: &str) -> StreamConfig {
    StreamConfig {
        name: name.into(),
        ..StreamConfig::default()
    }
}

fn checked(json: &str) -> Result<StreamConfig, ApiError> {
    let config: StreamConfig = serde_json::from_str(json).unwrap();
    config.checked(&Limits::default())
}

fn refused(json: &str) -> String {
    checked(json).unwrap_err().to_string()
}

#[test]
fn the_default_configuration_reads_as_on_the_real_server() {
    let shown = checked(r#"{"name":"A"}"#).unwrap();
    assert_eq!(
        serde_json::to_string(&shown).unwrap(),
        concat!(
            r#"{"name":"A","subjects":["A"],"retention":"limits","max_consumers":-1,"#,
            r#""max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"#,
            r#""max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"#,
            r#""duplicate_window":120000000000,"compression":"none","allow_direct":false,"#,
            r#""mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"#,
            r#""allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false,"#,
            r#""metadata":{"_nats.req.level":"0"}}"#,
        )
    );
}

#[test]
fn a_full_configuration_reads_as_on_the_real_server() {
    let json = concat!(
        r#"{"name":"B","description":"d","subjects":["b.>"],"retention":"limits","#,
        r#""max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":1000000000,"#,
        r#""max_msgs_per_subject":1,"max_msg_size":-1,"discard":"new","storage":"memory","#,
        r#""num_replicas":1,"no_ack":true,"duplicate_window":1000000000,"#,
        r#""compression":"none","first_seq":5,"allow_direct":true,"mirror_direct":false,"#,
        r#""discard_new_per_subject":true,"sealed":false,"deny_delete":false,"deny_purge":false,"#,
        r#""allow_rollup_hdrs":false,"#,
        r#""consumer_limits":{"inactive_threshold":1000000000,"max_ack_pending":5},"#,
        r#""allow_msg_ttl":false,"allow_atomic":true,"#,
        r#""metadata":{"_nats.req.level":"2","k":"v"}}"#,
    );
    let config = checked(json).unwrap();
    assert_eq!(serde_json::to_string(&config).unwrap(), json);
    assert_eq!(config.storage, Storage::Memory);
    let limits = ConsumerLimits {
        inactive_threshold: Duration::from_secs(1),
        max_ack_pending: 5,
    };
    assert_eq!(config.consumer_limits, limits);
}

#[test]
fn a_reply_names_the_server_and_the_stored_form_does_not() {
    let config = checked(r#"{"name":"A","metadata":{"_nats.ver":"9","_nats.x":"y","a":"b"}}"#);
    let config = config.unwrap();
    let keys: Vec<&str> = config.metadata.keys().map(String::as_str).collect();
    assert_eq!(keys, ["_nats.req.level", "_nats.x", "a"]);
    let shown = config.for_reply();
    assert_eq!(shown.metadata["_nats.ver"], super::super::SERVER_VERSION);
    assert_eq!(shown.checked(&Limits::default()).unwrap(), config);
}

#[test]
fn zero_and_anything_below_minus_one_means_unlimited() {
    let config = checked(
        r#"{"name":"A","max_msgs":-7,"max_bytes":-9,"max_consumers":-3,
            "max_msgs_per_subject":0,"max_msg_size":0,"num_replicas":0,"subjects":[]}"#,
    );
    assert_eq!(
        config.unwrap(),
        named("A").checked(&Limits::default()).unwrap()
    );
}

#[test]
fn pedantic_mode_refuses_what_would_be_adjusted() {
    assert_eq!(
        refused(r#"{"name":"A","pedantic":true,"max_msgs":-7}"#),
        "pedantic mode: max_msgs must be set to -1 (10157)"
    );
    assert!(checked(r#"{"name":"A","pedantic":true,"max_msgs":0}"#).is_ok());
}

#[test]
fn checking_twice_changes_nothing() {
    let once = named("A").checked(&Limits::default()).unwrap();
    assert_eq!(once.clone().checked(&Limits::default()).unwrap(), once);
}

#[test]
fn wrong_values_are_refused_in_the_words_of_the_real_server() {
    let name = r"stream name is required and can not contain '.', '*', '>', '\', '/' (10052)";
    for (fields, text) in [
        (r#""name":"""#, name),
        (r#""name":"a.b""#, name),
        (
            r#""name":"A","subjects":["a..b"]"#,
            "invalid subject (10052)",
        ),
        (
            r#""name":"A","subjects":["a","a"]"#,
            r#"subject "a" overlaps with "a" (10052)"#,
        ),
        (
            r#""name":"A","subjects":["a.*","a.b"]"#,
            r#"subject "a.*" overlaps with "a.b" (10052)"#,
        ),
        (
            r#""name":"A","subjects":[">"]"#,
            "capturing all subjects requires no-ack to be true (10052)",
        ),
        (
            r#""name":"A","subjects":["$JS.API.>"]"#,
            "subjects that overlap with jetstream api require no-ack to be true (10052)",
        ),
        (
            r#""name":"A","subjects":["$SYS.x"]"#,
            "subjects that overlap with system api require no-ack to be true (10052)",
        ),
        (
            r#""name":"A","placement":{"preferred":"n"}"#,
            "preferred server not permitted in placement (10052)",
        ),
        (
            r#""name":"A","persist_mode":"async","allow_atomic":true"#,
            "async persist mode is not supported with atomic batch publish (10052)",
        ),
        (
            r#""name":"A","persist_mode":"async","storage":"memory""#,
            "async persist mode is only supported on file storage (10052)",
        ),
        (
            r#""name":"A","allow_rollup_hdrs":true,"deny_purge":true"#,
            "roll-ups require the purge permission (10052)",
        ),
        (
            r#""name":"A","subject_delete_marker_ttl":1"#,
            "subject delete marker TTL must be at least 1 second (10052)",
        ),
        (
            r#""name":"A","subject_delete_marker_ttl":1000000000,"pedantic":true"#,
            "subject delete marker cannot be set if message TTLs are disabled (10052)",
        ),
        (
            r#""name":"A","subject_delete_marker_ttl":1000000000,"pedantic":true,"allow_msg_ttl":true"#,
            "subject delete marker cannot be set if roll-ups are disabled (10052)",
        ),
        (
            r#""name":"A","subject_transform":{"src":"x.>","dest":"y"}"#,
            "stream transform: invalid subject (10156)",
        ),
        (
            r#""name":"A","subject_transform":{"src":"t..","dest":"y"}"#,
            "stream transform source: invalid subject t.. (10155)",
        ),
        (
            r#""name":"A","subjects":["x.>"],"republish":{"src":"x.a","dest":"x.b"}"#,
            "stream configuration for republish destination forms a cycle (10052)",
        ),
        (
            r#""name":"A","subjects":["x.>"],"republish":{"src":"x.*","dest":"x.$1"}"#,
            "stream configuration for republish destination forms a cycle (10052)",
        ),
        (
            r#""name":"A","subjects":["x.>"],"republish":{"src":"x.>","dest":"y"}"#,
            "stream configuration for republish with transform from 'x.>' to 'y' not valid (10052)",
        ),
        (
            r#""name":"A","max_age":5"#,
            "max age needs to be >= 100ms (10052)",
        ),
        (
            r#""name":"A","duplicate_window":5"#,
            "duplicates window needs to be >= 100ms (10052)",
        ),
        (
            r#""name":"A","duplicate_window":2000000000,"max_age":1000000000"#,
            "duplicates window can not be larger then max age (10052)",
        ),
        (
            r#""name":"A","discard_new_per_subject":true"#,
            "discard new per subject requires discard new policy to be set (10052)",
        ),
        (
            r#""name":"A","discard_new_per_subject":true,"discard":"new""#,
            "discard new per subject requires max msgs per subject > 0 (10052)",
        ),
        (
            r#""name":"A","mirror_direct":true"#,
            "stream has no mirror but does have mirror direct (10052)",
        ),
        (
            r#""name":"A","num_replicas":6"#,
            "maximum replicas is 5 (10052)",
        ),
        (
            r#""name":"A","num_replicas":3"#,
            "replicas > 1 not supported in non-clustered mode (10074)",
        ),
    ] {
        assert_eq!(refused(&format!("{{{fields}}}")), text, "{fields}");
    }
}

#[test]
fn reserved_subjects_are_free_without_acknowledgements_and_for_advisories() {
    assert!(checked(r#"{"name":"A","subjects":["$JS.>"],"no_ack":true}"#).is_ok());
    assert!(checked(r#"{"name":"A","subjects":[">"],"no_ack":true}"#).is_ok());
    assert!(checked(r#"{"name":"A","subjects":["$JS.EVENT.>"]}"#).is_ok());
}

#[test]
fn what_is_not_supported_is_refused_and_named() {
    for (fields, what) in [
        (r#""mirror":{"name":"Q"}"#, "a stream mirror"),
        (r#""sources":[{"name":"Q"}]"#, "a stream source"),
        (r#""allow_msg_counter":true"#, "a message counter"),
        (r#""allow_msg_schedules":true"#, "message scheduling"),
        (r#""allow_batched":true"#, "fast batch publish"),
    ] {
        let text = format!("{what} is not supported by this version of Hitherto (10052)");
        assert_eq!(refused(&format!(r#"{{"name":"A",{fields}}}"#)), text);
    }
}

#[test]
fn empty_forms_of_unsupported_fields_are_as_good_as_absent() {
    let config = checked(
        r#"{"name":"A","sources":[],"placement":{"cluster":"","tags":[]},"persist_mode":"default",
            "description":""}"#,
    );
    assert_eq!(
        config.unwrap(),
        named("A").checked(&Limits::default()).unwrap()
    );
}

#[test]
fn markers_bring_what_they_need() {
    let json = r#"{"name":"A","subject_delete_marker_ttl":1000000000,"deny_purge":true}"#;
    let config = checked(json).unwrap();
    assert!(config.allow_msg_ttl && config.allow_rollup_hdrs && !config.deny_purge);
    assert_eq!(config.metadata["_nats.req.level"], "1");
}

#[test]
fn an_account_may_ask_for_bounds() {
    let limits = Limits {
        stream: ByStorage {
            file: Some(100),
            memory: Some(50),
        },
        max_bytes_required: true,
        ..Limits::default()
    };
    let of = |max_bytes| StreamConfig {
        max_bytes,
        ..named("A")
    };
    assert!(of(100).checked(&limits).is_ok());
    assert_eq!(of(101).checked(&limits).unwrap_err().err_code, 10122);
    assert_eq!(of(-1).checked(&limits).unwrap_err().err_code, 10113);
    let in_memory = |max_bytes| StreamConfig {
        storage: Storage::Memory,
        ..of(max_bytes)
    };
    assert!(in_memory(50).checked(&limits).is_ok());
    assert_eq!(in_memory(51).checked(&limits).unwrap_err().err_code, 10122);
}

#[test]
fn an_update_keeps_name_and_storage_and_never_loosens_a_lock() {
    let locked = StreamConfig {
        deny_delete: true,
        deny_purge: true,
        ..named("A")
    };
    let memory = StreamConfig {
        storage: Storage::Memory,
        ..named("A")
    };
    let queue = StreamConfig {
        retention: Retention::WorkQueue,
        ..named("A")
    };
    let roomy = StreamConfig {
        max_msgs: 9,
        description: Some("x".into()),
        ..named("A")
    };
    assert!(named("A").can_update_to(&roomy).is_ok());
    assert!(named("A").can_update_to(&locked).is_ok());
    for (old, new, text) in [
        (&named("A"), &named("B"), "change name"),
        (&named("A"), &memory, "change storage type"),
        (&locked, &named("A"), "cancel deny message deletes"),
        (
            &named("A"),
            &queue,
            "change retention policy to/from workqueue",
        ),
    ] {
        let text = format!("stream configuration update can not {text} (10052)");
        assert_eq!(old.can_update_to(new).unwrap_err().to_string(), text);
    }
}

#[test]
fn a_dollar_in_a_republish_destination_is_not_always_a_token_of_the_source() {
    for dest in ["$KV.test.>", "other.>"] {
        let config = format!(
            r#"{{"name":"A","subjects":["a.>","b.>"],"republish":{{"src":"a.>","dest":"{dest}"}}}}"#
        );
        assert!(checked(&config).is_ok(), "{dest}");
    }
}

#[test]
fn sealing_locks_everything_for_good() {
    let sealed =
        checked(r#"{"name":"A","sealed":true,"max_age":1000000000,"allow_rollup_hdrs":true}"#)
            .unwrap();
    assert!(!sealed.allow_rollup_hdrs);
    assert!(sealed.deny_delete && sealed.deny_purge && sealed.max_age.is_zero());
    assert_eq!(sealed.discard, Discard::New);
    let open = StreamConfig {
        sealed: false,
        ..sealed.clone()
    };
    assert_eq!(
        sealed.can_update_to(&open).unwrap_err().to_string(),
        "stream configuration update can not unseal a sealed stream (10052)"
    );
}

#[test]
fn sequences_cannot_run_out() {
    let max = checked(r#"{"name":"A","first_seq":9223372036854775807}"#);
    assert_eq!(max.unwrap().first_seq, u64::MAX / 2);
    for first_seq in ["9223372036854775808", "18446744073709551615"] {
        let text = refused(&format!(r#"{{"name":"A","first_seq":{first_seq}}}"#));
        let expected = "first sequence is too high, maximum allowed is 9223372036854775807 (10052)";
        assert_eq!(text, expected);
    }
}

#[test]
fn the_node_bounds_the_duplicate_window() {
    let limits = Limits {
        duplicate_window_max: Some(Duration::from_secs(90)),
        ..Limits::default()
    };
    let window = |window, max_age| {
        let config = StreamConfig {
            duplicate_window: Duration::from_secs(window),
            max_age: Duration::from_secs(max_age),
            ..named("A")
        };
        let checked = config.checked(&limits);
        checked.map(|config| config.duplicate_window.as_secs())
    };
    assert_eq!(window(0, 0), Ok(90));
    assert_eq!(window(0, 7), Ok(7));
    assert_eq!(window(5, 0), Ok(5));
    assert_eq!(
        window(91, 0).unwrap_err().to_string(),
        "duplicates window can not be larger then server limit of 1m30s (10052)"
    );
}
