//! How fast messages may go: `rate_limit_bps`, and `replay_policy` `original`.

use std::time::Duration;

use hitherto_protocol::Timestamp;

use super::deliver::Candidate;

/// When the next message may go.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the rate allows the next one.
    rate_at: Timestamp,
    /// When the last first delivery was stored, and when it was sent.
    last: Option<(Timestamp, Timestamp)>,
    /// The candidate looked at last has to wait until then.
    waits_until: Option<Timestamp>,
}

/// Gaps up to this long are not kept: 1 ms, as in nats-server.
const GAP_MIN: Duration = Duration::from_millis(1);

/// What the rate may be exceeded by in a burst: 10 ms' worth, so that a high rate needs no timer per
/// message.
const BURST: Duration = Duration::from_millis(10);

impl Pace {
    /// Tells whether the candidate may go now; if not, [`Pace::waits_until`] says when. `replayed_to` is
    /// the time up to which stored messages keep their gaps; `None` for none.
    pub(super) fn allows(
        &mut self,
        now: Timestamp,
        candidate: &Candidate,
        replayed_to: Option<Timestamp>,
    ) -> bool {
        let by_rate = self.rate_at.saturating_sub(BURST);
        let by_replay = match (self.last, replayed_to) {
            (Some((stored_at, sent_at)), Some(end)) if candidate.stored_at < end => {
                let gap = candidate.stored_at.saturating_duration_since(stored_at);
                if gap > GAP_MIN {
                    sent_at.saturating_add(gap)
                } else {
                    Timestamp::ZERO
                }
            }
            _ => Timestamp::ZERO,
        };
        let at = by_rate.max(by_replay);
        self.waits_until = (at > now).then_some(at);
        self.waits_until.is_none()
    }

    /// The candidate goes.
    pub(super) fn count(&mut self, now: Timestamp, candidate: &Candidate, rate_bps: u64) {
        if candidate.deliveries == 1 {
            self.last = Some((candidate.stored_at, now));
        }
        if rate_bps > 0 {
            let bits = u128::from(candidate.bytes) * 8 * 1_000_000_000;
            let nanos = u64::try_from(bits / u128::from(rate_bps)).unwrap_or(u64::MAX);
            self.rate_at = now
                .max(self.rate_at)
                .saturating_add(Duration::from_nanos(nanos));
        }
    }

    /// When to look again; `None` when nothing waits.
    pub(super) fn waits_until(&self) -> Option<Timestamp> {
        self.waits_until
    }

    /// Forgets that something waits.
    pub(super) fn stop_waiting(&mut self) {
        self.waits_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StreamSeq;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_nanos(millis * 1_000_000)
    }

    fn stored(millis: i64) -> Candidate {
        Candidate {
            seq: StreamSeq(1),
            deliveries: 1,
            stored_at: at(millis),
            bytes: 125,
        }
    }

    #[test]
    fn a_rate_spreads_messages_but_for_a_short_burst() {
        let mut pace = Pace::default();
        let mut sent = 0;
        for now in 1_000..2_000 {
            while pace.allows(at(now), &stored(0), None) {
                pace.count(at(now), &stored(0), 100_000);
                sent += 1;
            }
        }
        // 1,000 bits each: 100 in a second, and one or two ahead.
        assert!((100..=102).contains(&sent), "{sent}");
        assert!(pace.waits_until() > Some(at(1_999)));
    }

    #[test]
    fn stored_messages_keep_their_gaps_up_to_a_time() {
        let mut pace = Pace::default();
        assert!(pace.allows(at(5_000), &stored(100), Some(at(1_000))));
        pace.count(at(5_000), &stored(100), 0);
        assert!(!pace.allows(at(5_249), &stored(350), Some(at(1_000))));
        assert_eq!(pace.waits_until(), Some(at(5_250)));
        assert!(pace.allows(at(5_250), &stored(350), Some(at(1_000))));
        pace.count(at(5_250), &stored(350), 0);
        assert!(pace.allows(at(5_250), &stored(1_200), Some(at(1_000))));
    }
}
