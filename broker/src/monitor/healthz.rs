//! `/healthz`: whether the node can do its work.
//!
//! Three depths, chosen as in nats-server: `js-server-only` asks whether the server runs at all,
//! `js-enabled-only` whether JetStream serves, and without either also whether it takes messages and all of
//! its streams are whole. Texts and codes follow nats-server 2.15 (`server/monitor.go`); it has no words for
//! what only happens here.

use serde::{Deserialize, Serialize};

use super::Monitor;
use crate::account::Account;
use crate::jetstream::{Fault, JetStream};

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HealthzOptions {
    /// The older name of the next one.
    #[serde(rename = "js-enabled")]
    pub(crate) js_enabled: bool,
    /// Only whether JetStream serves.
    #[serde(rename = "js-enabled-only")]
    pub(crate) js_enabled_only: bool,
    /// Only whether the server and the threads of JetStream run.
    #[serde(rename = "js-server-only")]
    pub(crate) js_server_only: bool,
    /// Whether the meta group is there: with one node, the same as `js_enabled_only`.
    #[serde(rename = "js-meta-only")]
    pub(crate) js_meta_only: bool,
    /// Look at this account only; empty for all.
    pub(crate) account: String,
    /// Also whether this stream is there; needs `account`. Empty for none.
    pub(crate) stream: String,
    /// Also whether this consumer is there; needs `stream`. Empty for none.
    pub(crate) consumer: String,
    /// List every problem instead of the first.
    pub(crate) details: bool,
}

/// The document.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Healthz {
    status: &'static str,
    /// As in HTTP. Left out of pages, whose own status says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Problem {
    r#type: ProblemType,
    #[serde(skip_serializing_if = "String::is_empty")]
    account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stream: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    consumer: String,
    error: String,
    #[serde(skip)]
    code: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ProblemType {
    BadRequest,
    Jetstream,
    Account,
    Stream,
    Consumer,
}

impl Problem {
    fn bad_request(missing: &str, checked: &str) -> Self {
        let error = format!("{missing:?} must not be empty when checking {checked} health");
        Self::new(ProblemType::BadRequest, 400, error)
    }

    fn new(r#type: ProblemType, code: u16, error: String) -> Self {
        Self {
            r#type,
            account: String::new(),
            stream: String::new(),
            consumer: String::new(),
            error,
            code,
        }
    }

    fn not_found(r#type: ProblemType, error: String) -> Self {
        Self::new(r#type, 404, error)
    }

    fn fault(fault: Fault) -> Self {
        let error = format!("JetStream: {fault}");
        Self::new(ProblemType::Jetstream, 503, error)
    }
}

impl Healthz {
    /// The first problem decides the code. Without details it is the only one that is told.
    fn new(problems: Vec<Problem>, details: bool) -> Self {
        let Some(first) = problems.first().cloned() else {
            return Self {
                status: "ok",
                status_code: Some(200),
                error: None,
                errors: Vec::new(),
            };
        };
        let is_mistake = first.r#type == ProblemType::BadRequest;
        Self {
            status: if details || is_mistake {
                "error"
            } else {
                "unavailable"
            },
            status_code: Some(first.code),
            error: (!details).then_some(first.error),
            errors: if details { problems } else { Vec::new() },
        }
    }
}

impl Monitor {
    /// Makes the document; waits for the threads of JetStream, 2 s at most for each.
    pub(crate) async fn healthz(&self, options: &HealthzOptions) -> Healthz {
        let problems = self.problems(options).await;
        for problem in &problems {
            tracing::warn!("Healthcheck failed: {:?}", problem.error);
        }
        Healthz::new(problems, options.details)
    }

    async fn problems(&self, options: &HealthzOptions) -> Vec<Problem> {
        if options.account.is_empty() && !options.stream.is_empty() {
            return vec![Problem::bad_request("account", "stream")];
        }
        if options.stream.is_empty() && !options.consumer.is_empty() {
            return vec![Problem::bad_request("stream", "consumer")];
        }
        if !self.has_jetstream() {
            return Vec::new();
        }
        let Some(jetstream) = self.jetstream() else {
            let error = "JetStream not enabled".to_owned();
            return vec![Problem::new(ProblemType::Jetstream, 503, error)];
        };
        let failures = jetstream.failures().await;
        let mut problems: Vec<_> = failures.into_iter().map(Problem::fault).collect();
        let goes_deeper = !options.js_server_only
            && !options.js_enabled_only
            && !options.js_enabled
            && !options.js_meta_only;
        if goes_deeper {
            let refusals = jetstream.refusals();
            problems.extend(refusals.into_iter().map(Problem::fault));
            problems.extend(self.damaged(&jetstream, &options.stream));
            problems.extend(self.missing(&jetstream, options).await);
        }
        problems
    }

    /// What is damaged of a stream, or of all when it is empty.
    fn damaged(&self, jetstream: &JetStream, stream: &str) -> Vec<Problem> {
        let account = &self.accounts().get(Account::Ordinary).name;
        let report = jetstream.damage();
        let findings = report.findings().into_iter().filter_map(|damage| {
            let lost = damage.sequences?;
            let (first, last) = (lost.start(), lost.end());
            let error = format!(
                "JetStream stream '{account} > {}' has lost messages {first} to {last}: {}",
                damage.stream, damage.problem
            );
            Some((damage.stream, error))
        });
        let offline = report.offline_streams().into_iter().map(|(name, reason)| {
            let error =
                format!("JetStream stream '{account} > {name}' could not be recovered: {reason}");
            (name, error)
        });
        let wanted = |(name, _): &(String, String)| stream.is_empty() || name == stream;
        let damaged = offline.chain(findings).filter(wanted);
        let problem = |(name, error)| Problem {
            account: account.clone(),
            stream: name,
            ..Problem::new(ProblemType::Stream, 503, error)
        };
        damaged.map(problem).collect()
    }

    /// What was asked for by name and is not there.
    async fn missing(&self, jetstream: &JetStream, options: &HealthzOptions) -> Option<Problem> {
        if jetstream
            .damage()
            .offline_streams()
            .contains_key(&options.stream)
        {
            // It is there, and told of already.
            return None;
        }
        let HealthzOptions {
            account,
            stream,
            consumer,
            ..
        } = options;
        if account.is_empty() {
            return None;
        }
        let found = self
            .account(account)
            .filter(|found| *found == Account::Ordinary);
        let mut problem = if found.is_none() {
            let error = format!("JetStream account {account:?} not found");
            Problem::not_found(ProblemType::Account, error)
        } else if stream.is_empty() {
            return None;
        } else if let Some(entry) = jetstream.stream(stream) {
            if consumer.is_empty() {
                return None;
            }
            let reports = jetstream.describe(&[entry], true).await;
            let mut consumers = reports.iter().flat_map(|report| &report.consumers);
            if consumers.any(|info| info.name == *consumer) {
                return None;
            }
            let error = format!(
                "JetStream consumer {consumer:?} not found for stream {stream:?} on account {account:?}"
            );
            Problem {
                stream: stream.clone(),
                consumer: consumer.clone(),
                ..Problem::not_found(ProblemType::Consumer, error)
            }
        } else {
            let error = format!("JetStream stream {stream:?} not found on account {account:?}");
            Problem {
                stream: stream.clone(),
                ..Problem::not_found(ProblemType::Stream, error)
            }
        };
        problem.account.clone_from(account);
        Some(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(health: &Healthz) -> serde_json::Value {
        serde_json::to_value(health).unwrap()
    }

    #[test]
    fn the_first_problem_is_told_and_the_others_only_with_details() {
        let problems = || {
            vec![
                Problem::fault(Fault::CannotWrite),
                Problem::fault(Fault::IndexFull),
            ]
        };
        let brief = json(&Healthz::new(problems(), false));
        assert_eq!(brief["status"], "unavailable");
        assert_eq!(brief["status_code"], 503);
        assert!(brief["error"].as_str().unwrap().contains("to the disk"));
        assert_eq!(brief.get("errors"), None);
        let long = json(&Healthz::new(problems(), true));
        assert_eq!(long["status"], "error");
        assert_eq!(long["errors"].as_array().unwrap().len(), 2);
        assert_eq!(long["errors"][0]["type"], "JETSTREAM");
        assert_eq!(long.get("error"), None);
    }

    #[test]
    fn a_healthy_node_is_ok() {
        let health = Healthz::new(Vec::new(), true);
        assert_eq!(
            json(&health),
            serde_json::json!({"status": "ok", "status_code": 200})
        );
    }
}
