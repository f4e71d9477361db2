//! Random configurations of streams and consumers: a sound one, with a few fields changed to values
//! that are good, at a limit, or wrong.
//!
//! What this version refuses as a whole is left out: mirrors, sources, counters, schedules, fast
//! batches, priority groups.

use fastrand::Rng;
use serde_json::{Value, json};

/// A configuration of the stream `name`; `wild` ones may also be nonsense.
pub(crate) fn stream(random: &mut Rng, name: &str, wild: bool) -> Value {
    let mut config = json!({
        "name": name,
        "subjects": if name.ends_with('0') { json!(["@.a.>", "@.c"]) } else { json!(["@.b.*"]) },
        "retention": "limits",
        "storage": "file",
        "allow_direct": random.u32(0..3) > 0,
        "allow_atomic": random.bool(),
        "allow_rollup_hdrs": random.bool(),
        "allow_msg_ttl": random.bool(),
    });
    let bad_one_in = wild.then_some(3);
    vary(random, &mut config, &stream_fields(), bad_one_in);
    config
}

/// Changes up to three fields; to a bad value once in so many times, `None` means never.
fn vary(random: &mut Rng, config: &mut Value, fields: &[Field], bad_one_in: Option<u32>) {
    for _ in 0..random.u32(0..4) {
        let (field, good, bad) = &fields[random.usize(0..fields.len())];
        let is_bad = bad_one_in.is_some_and(|times| random.u32(0..times) == 0);
        let from = if is_bad && !bad.is_empty() { bad } else { good };
        if !from.is_empty() {
            config[*field] = from[random.usize(0..from.len())].clone();
        }
    }
}

type Field = (&'static str, Vec<Value>, Vec<Value>);

fn field(name: &'static str, good: Value, bad: Value) -> Field {
    let list = |value| match value {
        Value::Array(items) => items,
        other => vec![other],
    };
    (name, list(good), list(bad))
}

const HOUR: u64 = 3_600_000_000_000;

fn stream_fields() -> Vec<Field> {
    let flags = json!([true, false]);
    vec![
        field(
            "subjects",
            json!([["@.a.*", "@.b.>"], ["@.a.>"], ["@.c", "@.d"]]),
            json!([
                ["@.a.*", "@.a.>"],
                ["@.c", "@.c"],
                ["@..a"],
                ["@.>.b"],
                [],
                [""],
                ["@.>"],
                "@.c"
            ]),
        ),
        field(
            "description",
            json!(["a text"]),
            json!(["x".repeat(5000), 7]),
        ),
        field(
            "retention",
            json!(["interest", "workqueue"]),
            json!(["bogus", 1]),
        ),
        field("max_consumers", json!([-1, 0, 1, 2]), json!([-5, "many"])),
        field("max_msgs", json!([-1, 0, 1, 3, 5, 10]), json!([-7, 1.5])),
        field("max_bytes", json!([-1, 0, 100, 300, 1000]), json!([-7])),
        field("max_age", json!([0, HOUR]), json!([1_000_000, -1])),
        field("max_msgs_per_subject", json!([-1, 0, 1, 2, 5]), json!([-3])),
        field(
            "max_msg_size",
            json!([-1, 0, 50, 100_000]),
            json!([-9, 3_000_000_000_u64]),
        ),
        field("discard", json!(["old", "new"]), json!(["bogus"])),
        field("storage", json!(["file"]), json!(["bogus"])),
        field("num_replicas", json!([0, 1]), json!([3, 6, -1])),
        field("no_ack", flags.clone(), json!([])),
        field(
            "duplicate_window",
            json!([0, HOUR, 2 * HOUR]),
            json!([50_000_000, -1]),
        ),
        field("compression", json!(["none", "s2"]), json!(["bogus"])),
        field("first_seq", json!([0, 1, 4, 1000]), json!([-1])),
        field(
            "subject_transform",
            json!([{"src": "@.a.>", "dest": "@.t.>"}, {"src": "@.a.*", "dest": "@.a.{{wildcard(1)}}.x"}]),
            json!([{"src": "@.a.*", "dest": "@.t.{{wildcard(2)}}"}, {"src": "@..", "dest": "@.t"}, {"src": "@.a", "dest": ""}]),
        ),
        field(
            "republish",
            json!([{"src": "@.a.>", "dest": "@R.>"}, {"src": ">", "dest": "@R.>", "headers_only": true}]),
            json!([{"src": "@.a.>", "dest": "@.a.>"}, {"src": "@.zz.*", "dest": "@R.b"}]),
        ),
        field("allow_direct", flags.clone(), json!([])),
        field("mirror_direct", json!([false]), json!([true])),
        field("discard_new_per_subject", flags.clone(), json!([])),
        field("sealed", json!([false]), json!([true])),
        field("deny_delete", flags.clone(), json!([])),
        field("deny_purge", flags.clone(), json!([])),
        field("allow_rollup_hdrs", flags.clone(), json!([])),
        field("allow_msg_ttl", flags.clone(), json!([])),
        field(
            "subject_delete_marker_ttl",
            json!([0, HOUR]),
            json!([100_000_000, -1]),
        ),
        field("allow_atomic", flags, json!([])),
        field("persist_mode", json!(["default", ""]), json!(["bogus"])),
        field(
            "metadata",
            json!([{"a": "b"}, {}]),
            json!([{"_nats.x": "y"}, {"a": 1}]),
        ),
        field(
            "consumer_limits",
            json!([{}, {"max_ack_pending": 5}, {"inactive_threshold": HOUR}]),
            json!([{"max_ack_pending": -5}, {"inactive_threshold": -1}]),
        ),
        field("pedantic", json!([true]), json!(["yes"])),
        field("name", json!([]), json!(["@S7", "", "a b"])),
        field("bogus", json!([]), json!([1])),
    ]
}

/// A configuration of the consumer `name`.
pub(crate) fn consumer(random: &mut Rng, name: &str) -> Value {
    const ACKS: &[&str] = &["explicit", "explicit", "all", "none"];
    const STARTS: &[&str] = &[
        "all",
        "all",
        "last",
        "new",
        "last_per_subject",
        "by_start_sequence",
    ];
    let mut config = json!({
        "durable_name": name,
        "ack_policy": ACKS[random.usize(0..ACKS.len())],
        "deliver_policy": STARTS[random.usize(0..STARTS.len())],
    });
    match config["deliver_policy"].as_str() {
        Some("by_start_sequence") => config["opt_start_seq"] = json!(random.u32(1..6)),
        Some("last_per_subject") => config["filter_subject"] = json!("@.a.*"),
        _ => {}
    }
    vary(random, &mut config, &consumer_fields(), Some(4));
    config
}

fn consumer_fields() -> Vec<Field> {
    let flags = json!([true, false]);
    vec![
        field("name", json!([]), json!(["other", "a.b"])),
        field("durable_name", json!([]), json!(["other", "a b"])),
        field("description", json!(["a text"]), json!(["x".repeat(5000)])),
        field("deliver_policy", json!([]), json!(["bogus"])),
        field("opt_start_seq", json!([]), json!([3, -1])),
        field(
            "opt_start_time",
            json!([]),
            json!(["2020-01-01T00:00:00Z", "then"]),
        ),
        field("ack_policy", json!([]), json!(["bogus"])),
        field("ack_wait", json!([0, HOUR]), json!([-1])),
        field("max_deliver", json!([-1, 0, 1, 3]), json!([-5])),
        field(
            "backoff",
            json!([[HOUR], [HOUR, 2 * HOUR], []]),
            json!([[-1]]),
        ),
        field(
            "filter_subject",
            json!(["@.a.x", "@.a.*", "@.a.>", "@.zz", ""]),
            json!(["@..a", ">.a"]),
        ),
        field(
            "filter_subjects",
            json!([["@.a.x", "@.a.y"], ["@.a.*"], []]),
            json!([["@.a.x", "@.a.*"], ["@.a.x", "@.a.x"], [""]]),
        ),
        field(
            "replay_policy",
            json!(["instant", "original"]),
            json!(["bogus"]),
        ),
        field("sample_freq", json!(["50", "100%", ""]), json!(["abc"])),
        field("rate_limit_bps", json!([0]), json!([1000])),
        field("max_ack_pending", json!([-1, 0, 1, 3, 1000]), json!([-5])),
        field("max_waiting", json!([0, 1, 512]), json!([-5])),
        field("idle_heartbeat", json!([0]), json!([1_000_000_000_u64])),
        field("flow_control", json!([false]), json!([true])),
        field("headers_only", flags.clone(), json!([])),
        field("max_batch", json!([0, 2, 100]), json!([-2])),
        field("max_expires", json!([0, HOUR]), json!([-2])),
        field("max_bytes", json!([0, 200, 10_000]), json!([-2])),
        field("inactive_threshold", json!([0, HOUR]), json!([-1])),
        field("num_replicas", json!([0, 1]), json!([3, -1])),
        field("mem_storage", flags, json!([])),
        field("deliver_subject", json!(["@D.x"]), json!(["@D.*", "@.a.x"])),
        field("deliver_group", json!(["g"]), json!(["a b"])),
        field(
            "metadata",
            json!([{"a": "b"}, {}]),
            json!([{"_nats.x": "y"}]),
        ),
        field("bogus", json!([]), json!([1])),
    ]
}
