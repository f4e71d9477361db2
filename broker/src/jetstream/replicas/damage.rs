//! What is known to be damaged in the store: found when streams were opened, when messages were read, and by
//! the scrub. Others read it to say how healthy the node is.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Findings that are kept: 1,000. Beyond it the oldest are forgotten, and only counted.
pub const DAMAGE_KEPT_MAX: usize = 1_000;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The stream it belongs to.
    pub stream: String,
    /// The sequences that cannot be read; `None` when the whole stream is offline.
    pub sequences: Option<RangeInclusive<u64>>,
    /// What is wrong, with the file and the place in it.
    pub problem: String,
}

/// Everything known to be damaged on a node. Clones share it.
///
/// # Examples
/// ```
/// use hitherto_broker::{Node, NodeConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hitherto_broker::Error> {
/// let node = Node::start(NodeConfig::in_memory()).await?;
/// assert!(node.damage().is_healthy());
/// # node.shutdown().await
/// # }
/// ```
#[derive(Clone, Default)]
pub struct DamageReport {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    findings: VecDeque<Damage>,
    total: u64,
    /// Names of the streams that do not serve, with the reason.
    offline: BTreeMap<String, String>,
}

impl DamageReport {
    /// Tells whether nothing is known to be damaged.
    pub fn is_healthy(&self) -> bool {
        let state = self.lock();
        state.findings.is_empty() && state.offline.is_empty()
    }

    /// The findings since the start, oldest first, without those whose messages were purged or have
    /// expired since; at most [`DAMAGE_KEPT_MAX`].
    pub fn findings(&self) -> Vec<Damage> {
        self.lock().findings.iter().cloned().collect()
    }

    /// How many findings there were since the start.
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// The streams that do not serve because of damage, with the reason, by name.
    pub fn offline_streams(&self) -> BTreeMap<String, String> {
        self.lock().offline.clone()
    }

    pub(crate) fn add(&self, damage: Damage) {
        let mut state = self.lock();
        state.total += 1;
        if state.findings.len() == DAMAGE_KEPT_MAX {
            state.findings.pop_front();
        }
        state.findings.push_back(damage);
    }

    pub(crate) fn add_offline(&self, stream: &str, reason: &str) {
        self.lock()
            .offline
            .insert(stream.to_owned(), reason.to_owned());
        self.add(Damage {
            stream: stream.to_owned(),
            sequences: None,
            problem: reason.to_owned(),
        });
    }

    /// The messages of a stream before `seq` are gone, and so is what was damaged of them.
    pub(crate) fn forget_below(&self, stream: &str, seq: u64) {
        self.lock().findings.retain(|damage| {
            let is_gone = damage
                .sequences
                .as_ref()
                .is_some_and(|sequences| *sequences.end() < seq);
            damage.stream != stream || !is_gone
        });
    }

    /// The stream is deleted: what was damaged of it does not matter any more.
    pub(crate) fn forget(&self, stream: &str) {
        let mut state = self.lock();
        state.offline.remove(stream);
        state.findings.retain(|damage| damage.stream != stream);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DamageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("DamageReport")
            .field("total", &state.total)
            .field("offline", &state.offline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_bounded_and_counted() {
        let report = DamageReport::default();
        for number in 0..DAMAGE_KEPT_MAX as u64 + 5 {
            report.add(Damage {
                stream: "S".to_owned(),
                sequences: Some(number..=number),
                problem: String::new(),
            });
        }
        let findings = report.findings();
        assert_eq!(findings.len(), DAMAGE_KEPT_MAX);
        assert_eq!(findings[0].sequences, Some(5..=5));
        assert_eq!(report.total(), DAMAGE_KEPT_MAX as u64 + 5);
    }

    #[test]
    fn a_deleted_stream_is_healthy() {
        let report = DamageReport::default();
        report.add_offline("S", "no footer");
        assert!(!report.is_healthy());
        report.forget("S");
        assert!(report.is_healthy());
        assert_eq!(report.total(), 1);
    }
}
