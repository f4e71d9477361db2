//! The right to answer: who gets a request may publish to its reply subject for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Rights to answer one connection holds at a time: 4,096. With more, those whose time is over are thrown
/// away; a request beyond that cannot be answered.
const GRANTS_MAX: usize = 4_096;

/// How often and how long a request may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseRule {
    /// Answers to one request; `None` for any number.
    pub messages_max: Option<u32>,
    /// Time for them; `None` for any time.
    pub expires: Option<Duration>,
}

/// Once, within 2 minutes: what `allow_responses: true` means in nats-server.
impl Default for ResponseRule {
    fn default() -> Self {
        Self {
            messages_max: Some(1),
            expires: Some(Duration::from_secs(2 * 60)),
        }
    }
}

/// The rights of one connection.
#[derive(Debug)]
pub(crate) struct ResponseGrants {
    rule: ResponseRule,
    /// At most [`GRANTS_MAX`], by reply subject.
    grants: Mutex<HashMap<String, Grant>>,
}

#[derive(Debug)]
struct Grant {
    given: Instant,
    used: u32,
}

impl ResponseGrants {
    pub(super) fn new(rule: ResponseRule) -> Self {
        Self {
            rule,
            grants: Mutex::default(),
        }
    }

    /// A request was delivered.
    pub(super) fn give(&self, reply: &str) {
        let now = Instant::now();
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        if grants.len() >= GRANTS_MAX {
            grants.retain(|_, grant| !self.is_over(grant, now));
        }
        if grants.len() < GRANTS_MAX {
            let grant = Grant {
                given: now,
                used: 0,
            };
            grants.insert(reply.to_owned(), grant);
        }
    }

    /// Uses a right to publish to `subject` once; `false` when there is none.
    pub(crate) fn take(&self, subject: &str) -> bool {
        let now = Instant::now();
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(grant) = grants.get_mut(subject) else {
            return false;
        };
        if self.is_over(grant, now) {
            grants.remove(subject);
            return false;
        }
        grant.used = grant.used.saturating_add(1);
        if self.rule.messages_max.is_some_and(|max| grant.used >= max) {
            grants.remove(subject);
        }
        true
    }

    fn is_over(&self, grant: &Grant, now: Instant) -> bool {
        let expires = self.rule.expires;
        expires.is_some_and(|expires| now.duration_since(grant.given) > expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_right_ends_by_use_and_by_time() {
        let rule = ResponseRule {
            messages_max: Some(2),
            expires: Some(Duration::from_secs(1)),
        };
        let grants = ResponseGrants::new(rule);
        grants.give("r");
        assert_eq!(
            [grants.take("r"), grants.take("r"), grants.take("r")],
            [true, true, false]
        );
        grants.give("r");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!grants.take("r"));
        assert!(!grants.take("never given"));
    }

    #[tokio::test(start_paused = true)]
    async fn rights_are_bounded_and_old_ones_make_room() {
        let grants = ResponseGrants::new(ResponseRule::default());
        for number in 0..GRANTS_MAX {
            grants.give(&number.to_string());
        }
        grants.give("one more");
        assert!(!grants.take("one more"));
        tokio::time::advance(Duration::from_secs(121)).await;
        grants.give("one more");
        assert!(grants.take("one more"));
    }
}
