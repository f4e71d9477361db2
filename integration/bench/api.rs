//! Requests to the JetStream API, one at a time.

use anyhow::{Context, Result, bail};
use hitherto_integration::raw::RawClient;
use serde_json::Value;

/// Calls `$JS.API.<operation>` and returns the answer.
///
/// # Errors
/// When the answer is an error.
pub(crate) fn call(client: &mut RawClient, operation: &str, body: &str) -> Result<Value> {
    let answer = client.request(&format!("$JS.API.{operation}"), body.as_bytes())?;
    let answer: Value = serde_json::from_slice(&answer)
        .with_context(|| format!("{operation}: {}", String::from_utf8_lossy(&answer)))?;
    if answer.get("error").is_some() {
        bail!("{operation}: {answer}");
    }
    Ok(answer)
}

/// How many messages a stream holds.
pub(crate) fn messages(client: &mut RawClient, stream: &str) -> Result<u64> {
    let info = call(client, &format!("STREAM.INFO.{stream}"), "")?;
    info["state"]["messages"]
        .as_u64()
        .with_context(|| format!("no count of messages in {info}"))
}
