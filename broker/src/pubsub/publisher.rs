//! One source of messages: finds the receivers of each message and hands it over.

use std::fmt;
use std::sync::Arc;

use fastrand::Rng;
use hitherto_protocol::Subject;

use super::match_cache::MatchCache;
use super::matches::Matches;
use super::queue_group::offer_to_one;
use super::subscription::{Handover, Subscription, Target};
use super::{HeldAnswer, Message, Origin, Router};
use crate::connection::{Outbound, Pushed};

/// A source of messages: one per connection, local client and service thread.
///
/// Messages for connections are encoded straight into their buffers; the connections' writers are woken
/// by [`Publisher::flush`], once for all that was published since the last one. **Call it before
/// waiting for anything**; dropping the publisher does it too.
///
/// Messages of one publisher reach each subscription in the order they were published.
pub(crate) struct Publisher {
    router: Arc<Router>,
    cache: MatchCache,
    scratch: Matches,
    rng: Rng,
    round: Round,
}

/// How many receivers took a message: subscriptions of clients, local subscriptions and services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Delivered {
    /// Number of receivers; a queue group counts once.
    pub(crate) receivers: usize,
}

impl Delivered {
    /// Nobody took it: the publisher may be told that there are no responders.
    pub(crate) fn reached_nobody(self) -> bool {
        self.receivers == 0
    }
}

/// What delivering needs beside the matches.
struct Round {
    origin: Origin,
    /// Connections that got something since the last flush.
    to_wake: Vec<Arc<Outbound>>,
    /// A connection that is close to being a slow consumer; the last one seen.
    crowded: Option<Arc<Outbound>>,
    /// Subscriptions that got their last message and must leave the router.
    to_remove: Vec<Arc<Subscription>>,
    /// What waits for the message under way to be decided.
    held: Option<HeldAnswer>,
}

impl Publisher {
    pub(super) fn new(router: Arc<Router>, origin: Origin, seed: u64) -> Self {
        Self {
            router,
            cache: MatchCache::default(),
            scratch: Matches::default(),
            rng: Rng::with_seed(seed),
            round: Round {
                origin,
                to_wake: Vec::new(),
                crowded: None,
                to_remove: Vec::new(),
                held: None,
            },
        }
    }

    /// Changes who publishes from now on: a client may ask for or give up its echo.
    pub(crate) fn set_origin(&mut self, origin: Origin) {
        self.round.origin = origin;
    }

    /// Hands a message to everybody who wants its subject.
    pub(crate) fn publish(&mut self, message: &Message) -> Delivered {
        self.publish_to(&message.subject, message)
    }

    /// Hands a message to everybody who wants the subject `to`, while the message keeps the subject it
    /// was published to: so JetStream delivers a stored message to an inbox.
    pub(crate) fn publish_to(&mut self, to: &Subject, message: &Message) -> Delivered {
        // Read before the tree is: what is remembered can only be newer than its generation says.
        let generation = self.router.generation();
        let router = &self.router;
        let matches = self
            .cache
            .get(to, generation, &mut self.scratch, |matches| {
                router.collect_matches(to, matches);
            });
        let delivered = self.round.deliver(matches, &mut self.rng, message);
        // Not kept for later: an ended subscription should not live on here.
        self.scratch.clear();
        for ended in self.round.to_remove.drain(..) {
            self.router.remove(&ended);
            if let Target::Client { outbound, sid } = ended.target() {
                outbound.note_ended(sid.clone());
            }
        }
        delivered
    }

    /// Hands a message to everybody who wants its subject; those who decide later what becomes of it hold
    /// the answer until then.
    pub(crate) fn publish_held(&mut self, message: &Message, held: &HeldAnswer) -> Delivered {
        self.round.held = Some(held.clone());
        let delivered = self.publish(message);
        // Not the last share: the caller has one.
        self.round.held = None;
        delivered
    }

    /// Wakes the writers of all connections that got something since the last call.
    pub(crate) fn flush(&mut self) {
        for outbound in self.round.to_wake.drain(..) {
            outbound.wake_writer();
        }
    }

    /// How many connections wait for [`flush`](Self::flush).
    pub(crate) fn connections_waiting(&self) -> usize {
        self.round.to_wake.len()
    }

    /// The connection to [give way](Outbound::give_way) to before publishing on, if there is one. For
    /// clients; services of the broker must not wait for clients.
    pub(crate) fn take_crowded(&mut self) -> Option<Arc<Outbound>> {
        self.round.crowded.take()
    }

    /// The router it publishes to.
    pub(crate) fn router(&self) -> &Arc<Router> {
        &self.router
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("origin", &self.round.origin)
            .finish_non_exhaustive()
    }
}

impl Round {
    fn deliver(&mut self, matches: &Matches, rng: &mut Rng, message: &Message) -> Delivered {
        let mut receivers = 0;
        for subscription in matches.plain() {
            receivers += usize::from(self.hand_over(subscription, message));
        }
        for members in matches.groups() {
            let taken = offer_to_one(members, rng, |member| {
                self.hand_over(member, message).then_some(())
            });
            receivers += usize::from(taken.is_some());
        }
        Delivered { receivers }
    }

    fn hand_over(&mut self, subscription: &Arc<Subscription>, message: &Message) -> bool {
        let Handover::Taken { is_last, pushed } =
            subscription.hand_over(self.origin, message, self.held.as_ref())
        else {
            return false;
        };
        if is_last {
            self.to_remove.push(Arc::clone(subscription));
        }
        if let Target::Client { outbound, .. } = subscription.target() {
            match pushed {
                Pushed::WakeWriter => self.to_wake.push(Arc::clone(outbound)),
                Pushed::Crowded => self.crowded = Some(Arc::clone(outbound)),
                Pushed::Done | Pushed::Closed | Pushed::Denied => {}
            }
        }
        true
    }
}
