//! What is wrong with the body of a request, in the words Go's `encoding/json` has for it.
//!
//! Clients and people compare these texts where they are simple: an unknown field, an unknown word,
//! a body that ends too early. Where Go names its own types, the words of serde stand instead.

use serde_json::error::Category;

/// The text after `invalid JSON: `.
pub(super) fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if error.classify() == Category::Eof {
        return "unexpected EOF".into();
    }
    if let Some(field) = quoted_after(&text, "unknown field `") {
        return format!("json: unknown field \"{field}\"");
    }
    if let Some(word) = quoted_after(&text, "unknown variant `") {
        return format!("can not unmarshal \"\\\"{word}\\\"\"");
    }
    text
}

fn quoted_after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let (word, _) = text.strip_prefix(start)?.split_once('`')?;
    Some(word)
}
