//! Answers without what must differ between two servers and two moments.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Moments, places and names that are a server's own.
const OWN: &[&str] = &[
    "created",
    "ts",
    "time",
    "first_ts",
    "last_ts",
    "last_active",
    "pause_remaining",
    "server",
    "cluster",
    "_nats.ver",
    "_nats.level",
    "Nats-Time-Stamp",
    // Figures of the whole server, which also counts the other rounds.
    "api",
    "limits",
    "inflight",
];

/// `answer` without them, and with lists without an order in one order.
pub(crate) fn answer(mut answer: Value) -> Value {
    clean(&mut answer);
    answer
}

fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // What is wrong with a request's JSON is said in the words of each one's decoder.
            if fields.get("err_code") == Some(&Value::from(10025)) {
                fields.insert("description".into(), "invalid JSON".into());
            }
            fields.retain(|name, _| !OWN.contains(&name.as_str()));
            for (name, field) in fields.iter_mut() {
                clean(field);
                if (name == "streams" || name == "consumers")
                    && let Value::Array(items) = field
                {
                    items.sort_by_key(name_of);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        // As above, in a status.
        Value::String(text) if is_json_fault(text) => {
            *text = "400 Bad Request - invalid JSON".into();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What an item of a list is called.
fn name_of(item: &Value) -> String {
    let name = item["config"]["name"].as_str();
    name.map_or_else(|| item.to_string(), str::to_owned)
}

fn is_json_fault(text: &str) -> bool {
    let fault = text.strip_prefix("400 Bad Request - ");
    fault.is_some_and(|fault| fault.starts_with("json: ") || fault.starts_with("invalid JSON"))
}

/// The path of the first value that differs; errors are told apart by their codes.
pub(crate) fn first_difference(ours: &Value, theirs: &Value) -> String {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let name = a
                .keys()
                .chain(b.keys())
                .find(|name| a.get(*name) != b.get(*name));
            let Some(name) = name else {
                return String::new();
            };
            let codes = |fields: &Map<String, Value>| {
                fields
                    .get("error")
                    .map_or(Value::Null, |error| error["err_code"].clone())
            };
            if name == "error" || a.contains_key("error") != b.contains_key("error") {
                return format!("/error {} {}", codes(a), codes(b));
            }
            match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) => format!("/{name}{}", first_difference(a, b)),
                (ours, _) => format!(
                    "/{name} only {}",
                    if ours.is_some() { "ours" } else { "theirs" }
                ),
            }
        }
        (Value::Array(a), Value::Array(b)) => match a.iter().zip(b).find(|(a, b)| a != b) {
            Some((a, b)) => format!("/n{}", first_difference(a, b)),
            None => format!(
                "/length {}",
                if a.len() > b.len() { "more" } else { "fewer" }
            ),
        },
        _ => String::new(),
    }
}

/// The path of every value that differs.
pub(crate) fn different_paths(ours: &Value, theirs: &Value) -> Vec<String> {
    let mut found = Vec::new();
    differences("", ours, theirs, &mut |path, _, _| {
        found.push(path.to_owned())
    });
    found
}

/// Calls `on_difference` for every value that differs, with its path.
pub(crate) fn differences(
    path: &str,
    ours: &Value,
    theirs: &Value,
    on_difference: &mut impl FnMut(&str, &Value, &Value),
) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let [a, b] = [a, b].map(|fields| fields.get(name).unwrap_or(&Value::Null));
                differences(&format!("{path}/{name}"), a, b, on_difference);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{index}"), a, b, on_difference);
            }
        }
        _ if ours == theirs => {}
        _ => on_difference(path, ours, theirs),
    }
}
