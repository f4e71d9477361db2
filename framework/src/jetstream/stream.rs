//! One stream per context: made when missing, compared when there.
//!
//! `deny_delete` and `deny_purge` stay off: they can never be taken back, and erasing personal data
//! needs both.

use super::api::{Done, StreamConfig, StreamInfo};
use super::{JetStream, JetStreamError};
use crate::id::{InvalidId, check_token};

/// A stream that is there and usable.
#[derive(Debug, Clone)]
pub(crate) struct EnsuredStream {
    pub(crate) name: String,
    /// When it was made: a stream made anew is another one, however it is called.
    pub(crate) incarnation: String,
    /// Settings that are not ours but that one can live with, one sentence each.
    pub(crate) differences: Vec<String>,
}

/// A context has no usable stream.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("context {context:?} cannot name a stream")]
    Name {
        context: String,
        #[source]
        source: InvalidId,
    },
    #[error("cannot find or create stream {stream:?}")]
    Request {
        stream: String,
        #[source]
        source: JetStreamError,
    },
    #[error("stream {stream:?} cannot be used: {}; change its settings, they are not changed silently", .differences.join("; "))]
    Unusable {
        stream: String,
        differences: Vec<String>,
    },
}

impl JetStream {
    /// Finds or makes the stream of a context.
    pub(crate) async fn ensure_stream(&self, context: &str) -> Result<EnsuredStream, StreamError> {
        let named = check_token(context);
        named.map_err(|source| StreamError::Name {
            context: context.to_owned(),
            source,
        })?;
        let wanted = wanted(context);
        let failed = |source| StreamError::Request {
            stream: wanted.name.clone(),
            source,
        };
        let found = match self.stream_info(&wanted.name).await {
            Err(error) if error.is_not_found() => self.create_stream(&wanted).await,
            found => found,
        };
        let found = found.map_err(failed)?;
        let (unusable, differences) = compare(&wanted, &found.config);
        if !unusable.is_empty() {
            return Err(StreamError::Unusable {
                stream: wanted.name,
                differences: unusable,
            });
        }
        Ok(EnsuredStream {
            name: wanted.name,
            incarnation: found.created,
            differences,
        })
    }

    async fn stream_info(&self, stream: &str) -> Result<StreamInfo, JetStreamError> {
        self.api_empty(&format!("STREAM.INFO.{stream}")).await
    }

    async fn create_stream(&self, wanted: &StreamConfig) -> Result<StreamInfo, JetStreamError> {
        let Done {} = self
            .api(&format!("STREAM.CREATE.{}", wanted.name), wanted)
            .await?;
        self.stream_info(&wanted.name).await
    }
}

fn wanted(context: &str) -> StreamConfig {
    StreamConfig {
        name: context.to_uppercase(),
        subjects: Some(vec![format!("{context}.>")]),
        retention: "limits".to_owned(),
        max_msgs: -1,
        max_bytes: -1,
        max_msgs_per_subject: -1,
        max_age: 0,
        storage: "file".to_owned(),
        discard: "old".to_owned(),
        num_replicas: 1,
        allow_direct: true,
        allow_atomic: true,
    }
}

/// Returns what makes the stream unusable, and what merely differs.
fn compare(wanted: &StreamConfig, found: &StreamConfig) -> (Vec<String>, Vec<String>) {
    let mut unusable = Vec::new();
    let wanted_subject = wanted.subjects.iter().flatten().next();
    if !found
        .subjects
        .iter()
        .flatten()
        .any(|subject| Some(subject) == wanted_subject)
    {
        unusable.push(format!(
            "it must capture {:?}, it captures {:?}",
            wanted_subject.map_or("", String::as_str),
            found.subjects.as_deref().unwrap_or_default(),
        ));
    }
    for (name, on) in [
        ("allow_direct", found.allow_direct),
        ("allow_atomic", found.allow_atomic),
    ] {
        if !on {
            unusable.push(format!("it needs {name}"));
        }
    }
    if found.retention != wanted.retention {
        unusable.push(format!(
            "its retention is {:?}, which removes events that were handled",
            found.retention
        ));
    }
    (unusable, limits_that_lose_events(found))
}

fn limits_that_lose_events(found: &StreamConfig) -> Vec<String> {
    let limits = [
        ("max_msgs", found.max_msgs > 0),
        ("max_bytes", found.max_bytes > 0),
        ("max_msgs_per_subject", found.max_msgs_per_subject > 0),
        ("max_age", found.max_age > 0),
    ];
    let outcome = if found.discard == "new" {
        "refuses new events"
    } else {
        "loses old events"
    };
    let mut differences: Vec<_> = limits
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| format!("stream {:?} has {name} and {outcome} there", found.name))
        .collect();
    if found.storage == "memory" {
        differences.push(format!("stream {:?} is kept in memory only", found.name));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_settings_do_not_differ() {
        let wanted = wanted("orders");
        assert_eq!(wanted.name, "ORDERS");
        assert_eq!(compare(&wanted, &wanted), (vec![], vec![]));
    }

    #[test]
    fn what_breaks_us_is_unusable_and_what_loses_events_is_reported() {
        let wanted = wanted("orders");
        let mut found = wanted.clone();
        found.allow_direct = false;
        found.max_age = 5;
        found.subjects = Some(vec!["orders.*".to_owned()]);
        let (unusable, differences) = compare(&wanted, &found);
        assert_eq!(unusable.len(), 2, "{unusable:?}");
        assert_eq!(
            differences,
            ["stream \"ORDERS\" has max_age and loses old events there"]
        );
    }
}
