//! One operation of a round, as a client would send it.
//!
//! An operation has one line of text, which [`Op::parse`] reads again: a round that was found to
//! differ can be kept as a story, see `stories`.
//!
//! ```text
//! $JS.API.STREAM.CREATE.@S0 {"name":"@S0","subjects":["@.a.>"]}
//! publish @.a.x {"Nats-Msg-Id":"m1"} 5
//! pull @S0 C0 {"batch":2,"no_wait":true}
//! ack 0 +ACK
//! ```

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Stands for the round in names, subjects and bodies, so that rounds do not meet.
pub(crate) const ROUND: &str = "@";

/// Where reads past the API go.
pub(crate) const DIRECT_PREFIX: &str = "$JS.API.DIRECT.GET.";

const API_PREFIX: &str = "$JS.API.";

/// One operation. `@` in its texts stands for the round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// A call of the JetStream API: `$JS.API.` and `call`.
    Api { call: String, body: String },
    /// A publish into a stream that asks for its ack.
    Publish {
        subject: String,
        headers: BTreeMap<String, String>,
        /// How many bytes its payload has.
        len: usize,
    },
    /// A read past the API: [`DIRECT_PREFIX`] and `call`.
    Direct { call: String, body: Value },
    /// A pull that ends soon, as it does not wait or not for long.
    Pull {
        stream: String,
        consumer: String,
        body: String,
    },
    /// An ack of one of the round's deliveries, answered by the server.
    Ack { delivery: usize, kind: String },
}

impl Op {
    /// Reads the text of an operation.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let read = || format!("no operation: {line}");
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(call) = word.strip_prefix(DIRECT_PREFIX) {
            let body = match rest {
                "" => Value::Null,
                body => serde_json::from_str(body).with_context(read)?,
            };
            let call = call.to_owned();
            return Ok(Self::Direct { call, body });
        }
        if let Some(call) = word.strip_prefix(API_PREFIX) {
            let (call, body) = (call.to_owned(), rest.to_owned());
            return Ok(Self::Api { call, body });
        }
        match word {
            "publish" => {
                let (subject, rest) = rest.split_once(' ').with_context(read)?;
                let (headers, len) = rest.rsplit_once(' ').with_context(read)?;
                Ok(Self::Publish {
                    subject: subject.to_owned(),
                    headers: serde_json::from_str(headers).with_context(read)?,
                    len: len.parse().with_context(read)?,
                })
            }
            "pull" => {
                let mut words = rest.splitn(3, ' ').map(str::to_owned);
                Ok(Self::Pull {
                    stream: words.next().with_context(read)?,
                    consumer: words.next().with_context(read)?,
                    body: words.next().unwrap_or_default(),
                })
            }
            "ack" => {
                let (delivery, kind) = rest.split_once(' ').unwrap_or((rest, ""));
                Ok(Self::Ack {
                    delivery: delivery.parse().with_context(read)?,
                    kind: kind.to_owned(),
                })
            }
            _ => bail!(read()),
        }
    }

    /// Whether it may be repeated without changing anything.
    pub(crate) fn only_reads(&self) -> bool {
        match self {
            Self::Direct { .. } => true,
            Self::Api { call, .. } => {
                let reads = ["INFO", "NAMES", "LIST", "GET"];
                call.split('.').take(3).any(|token| reads.contains(&token))
            }
            Self::Publish { .. } | Self::Pull { .. } | Self::Ack { .. } => false,
        }
    }

    /// Its first words, by which operations of one kind are known.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Api { call, .. } => {
                let words = call.split('.').filter(|word| !word.contains(ROUND));
                words.take(2).collect::<Vec<_>>().join(".")
            }
            Self::Publish { .. } => "publish".into(),
            Self::Direct { .. } => "DIRECT.GET".into(),
            Self::Pull { .. } => "pull".into(),
            Self::Ack { kind, .. } => format!("ack {kind}"),
        }
    }
}

/// How many messages a pull with this body asks for.
pub(crate) fn pull_batch(body: &str) -> usize {
    let batch = match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(fields)) => fields.get("batch").and_then(Value::as_i64),
        Ok(Value::Number(number)) => number.as_i64(),
        _ => None,
    };
    usize::try_from(batch.unwrap_or(1)).unwrap_or(1).max(1)
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Api { call, body } => format!("{API_PREFIX}{call} {body}"),
            Self::Publish {
                subject,
                headers,
                len,
            } => format!("publish {subject} {} {len}", json!(headers)),
            Self::Direct {
                call,
                body: Value::Null,
            } => format!("{DIRECT_PREFIX}{call}"),
            Self::Direct { call, body } => format!("{DIRECT_PREFIX}{call} {body}"),
            Self::Pull {
                stream,
                consumer,
                body,
            } => format!("pull {stream} {consumer} {body}"),
            Self::Ack { delivery, kind } => format!("ack {delivery} {kind}"),
        };
        f.write_str(text.trim_end())
    }
}

#[test]
fn the_text_of_an_operation_is_read_again() -> Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    for op in (0..50).flat_map(|_| crate::generate::round(&mut random, 40)) {
        assert_eq!(Op::parse(&op.to_string())?, op);
    }
    Ok(())
}
