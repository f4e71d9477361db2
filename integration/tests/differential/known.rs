//! The differences that are known, each with its line in the book's page of compatibility.

use serde_json::{Value, json};

use crate::normal;
use crate::op::Op;

/// Why the answers to `op` differ; `None` when they should not.
pub(crate) fn reason(op: &Op, ours: &Value, theirs: &Value) -> Option<&'static str> {
    match op {
        Op::Publish { .. } => of_a_publish(ours, theirs),
        Op::Api { call, .. } => of_a_call(call, ours, theirs),
        Op::Ack { .. } if status(theirs) == Some("503") => {
            Some("an ack nobody asked for is answered")
        }
        Op::Ack { .. } | Op::Direct { .. } | Op::Pull { .. } => None,
    }
}

/// Whether the answers differ in a known way after which both servers hold the same, so that a round
/// can go on.
pub(crate) fn leaves_both_alike(op: &Op, ours: &Value, theirs: &Value) -> bool {
    let refused = code(ours).is_some() && code(theirs).is_some();
    let is_ack = matches!(op, Op::Ack { .. });
    (refused || is_ack || op.only_reads()) && reason(op, ours, theirs).is_some()
}

fn of_a_publish(ours: &Value, theirs: &Value) -> Option<&'static str> {
    let refused = code(theirs).is_some();
    if refused && code(ours).is_some() {
        return Some("a publish that is wrong in two ways is refused for one of them");
    }
    if code(ours) == Some(10165) {
        return Some("a wrong lifetime is refused also where nobody keeps the message");
    }
    if refused && ours["duplicate"] == true {
        return Some("the duplicate window is asked before conditions");
    }
    None
}

fn of_a_call(call: &str, ours: &Value, theirs: &Value) -> Option<&'static str> {
    let text = ours["error"]["description"].as_str().unwrap_or_default();
    if code(ours).is_some() && text.ends_with("is not supported by this version of Hitherto") {
        return Some("the page lists what is not supported");
    }
    if code(ours).is_some() && code(theirs).is_some() {
        return Some("of several faults another one is named");
    }
    if code(ours).is_some() && theirs == "no answer" {
        return Some("every request is answered");
    }
    let empty = ours["state"]["messages"] == 0 && ours["state"]["last_seq"] == 0;
    if empty && theirs["state"]["deleted"] == json!([0]) {
        return Some("sequence 0 is not deleted in a stream that never had a message");
    }
    if call.starts_with("STREAM.PURGE") && code(ours) == Some(10003) {
        return Some("a purge with a filter that is no subject is refused");
    }
    let paths = normal::different_paths(ours, theirs);
    if call.starts_with("STREAM.INFO") && all_in(&paths, &["/limit", "/state/subjects"]) {
        return Some("a filter that matches no subject is answered with an empty page");
    }
    if ours["state"]["messages"] == 0 && all_in(&paths, &["/state/first_seq"]) {
        return Some("a stream that never had a message says 0 or 1 for its first");
    }
    if call.starts_with("STREAM.CREATE") && all_in(&paths, &["/did_create"]) {
        return Some("only the first of two equal requests has created the stream");
    }
    if call.starts_with("CONSUMER.")
        && all_in(&paths, &["/ack_floor/stream_seq", "/delivered/stream_seq"])
    {
        return Some("the floors do not move over messages that were removed");
    }
    None
}

fn all_in(paths: &[String], known: &[&str]) -> bool {
    paths.iter().all(|path| known.contains(&path.as_str()))
}

fn code(answer: &Value) -> Option<u64> {
    answer["error"]["err_code"].as_u64()
}

fn status(answer: &Value) -> Option<&str> {
    answer[0]["headers"]["status"].as_str()
}
