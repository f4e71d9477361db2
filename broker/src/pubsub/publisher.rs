//! One source of messages: finds the receivers of each message and hands it over.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;
use fastrand::Rng;
use hitherto_protocol::Subject;

use super::addressees::NodeRound;
use super::match_cache::MatchCache;
use super::matches::Matches;
use super::queue_group::{offer_to_one, offer_to_one_of_several};
use super::subscription::{Handover, Subscription, Target};
use super::{Addressees, HeldAnswer, Message, Origin, Router};
use crate::connection::{Outbound, Pushed};
use crate::route::LinkOutbound;

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

/// A receiver that is close to being too slow.
#[derive(Debug)]
pub(crate) enum Crowded {
    /// A connection.
    Client(Arc<Outbound>),
    /// Another node.
    Node(Arc<LinkOutbound>),
}

impl Crowded {
    /// Waits a moment for it to take what waits for it.
    pub(crate) async fn give_way(&self) {
        match self {
            Self::Client(outbound) => outbound.give_way().await,
            Self::Node(link) => link.give_way().await,
        }
    }
}

/// What delivering needs beside the matches.
struct Round {
    origin: Origin,
    /// Connections that got something since the last flush.
    to_wake: Vec<Arc<Outbound>>,
    /// Links to other nodes that did.
    links_to_wake: Vec<Arc<LinkOutbound>>,
    /// A receiver that is close to being too slow; the last one seen.
    crowded: Option<Crowded>,
    /// Other nodes that get the message under way.
    nodes: NodeRound,
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
                links_to_wake: Vec::new(),
                nodes: NodeRound::default(),
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
        let delivered = self.round.deliver(matches, &mut self.rng, to, message);
        self.end_round();
        delivered
    }

    /// Hands a message of a client of another node to those receivers of this node it is meant for. Nobody
    /// is told when there are none: they have gone meanwhile.
    pub(crate) fn publish_routed(
        &mut self,
        to: &Subject,
        message: &Message,
        addressees: Addressees<&[ByteString]>,
    ) {
        let generation = self.router.generation();
        let router = &self.router;
        let matches = self
            .cache
            .get(to, generation, &mut self.scratch, |matches| {
                router.collect_matches(to, matches);
            });
        self.round
            .deliver_here(matches, &mut self.rng, message, addressees);
        self.end_round();
    }

    fn end_round(&mut self) {
        // Not kept for later: an ended subscription should not live on here.
        self.scratch.clear();
        for ended in self.round.to_remove.drain(..) {
            self.router.remove(&ended);
            if let Target::Client { outbound, sid } = ended.target() {
                outbound.note_ended(sid.clone());
            }
        }
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
        for link in self.round.links_to_wake.drain(..) {
            link.wake_writer();
        }
    }

    /// How many connections wait for [`flush`](Self::flush).
    pub(crate) fn connections_waiting(&self) -> usize {
        self.round.to_wake.len() + self.round.links_to_wake.len()
    }

    /// The receiver to [give way](Crowded::give_way) to before publishing on, if there is one. For clients;
    /// services of the broker must not wait for clients.
    pub(crate) fn take_crowded(&mut self) -> Option<Crowded> {
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
    fn deliver(
        &mut self,
        matches: &Matches,
        rng: &mut Rng,
        to: &Subject,
        message: &Message,
    ) -> Delivered {
        let mut receivers = 0;
        for subscription in matches.plain() {
            receivers += usize::from(self.hand_over(subscription, message));
        }
        for node in matches.nodes() {
            self.nodes.add_plain(node);
        }
        for members in matches.groups() {
            let taken = if matches.has_remote_members() {
                let count = |member: &Arc<Subscription>| member.members();
                offer_to_one_of_several(members, rng, count, |member| {
                    self.offer(member, message).then_some(())
                })
            } else {
                offer_to_one(members, rng, |member| {
                    self.hand_over(member, message).then_some(())
                })
            };
            receivers += usize::from(taken.is_some());
        }
        if !self.nodes.is_empty() {
            receivers += self.send_to_nodes(to, message);
        }
        Delivered { receivers }
    }

    /// Offers a message to a member of a queue group, here or at another node.
    fn offer(&mut self, member: &Arc<Subscription>, message: &Message) -> bool {
        match (member.node(), member.queue()) {
            (Some(node), Some(queue)) => self.nodes.add_queue(node, queue),
            _ => self.hand_over(member, message),
        }
    }

    /// Sends a message once to each node that was added. A node that gets it for a queue group was counted
    /// with the group, so only those that get it for plain subscriptions are new receivers.
    fn send_to_nodes(&mut self, to: &Subject, message: &Message) -> usize {
        let mut receivers = 0;
        let (links_to_wake, crowded) = (&mut self.links_to_wake, &mut self.crowded);
        self.nodes.send(to, message, |node, plain, pushed| {
            receivers += usize::from(plain && !matches!(pushed, Pushed::Closed | Pushed::Denied));
            match pushed {
                Pushed::WakeWriter => links_to_wake.push(Arc::clone(node.outbound())),
                Pushed::Crowded => *crowded = Some(Crowded::Node(Arc::clone(node.outbound()))),
                Pushed::Done | Pushed::Closed | Pushed::Denied => {}
            }
        });
        receivers
    }

    /// Hands a message that came from another node to receivers of this one.
    fn deliver_here(
        &mut self,
        matches: &Matches,
        rng: &mut Rng,
        message: &Message,
        addressees: Addressees<&[ByteString]>,
    ) {
        if addressees.plain {
            for subscription in matches.plain() {
                self.hand_over(subscription, message);
            }
        }
        for members in matches.groups() {
            let queue = members.first().and_then(|member| member.queue());
            if queue.is_some_and(|queue| addressees.queues.contains(queue)) {
                // Those of other nodes are no candidates, so that each one here is as likely as any other.
                let count = |member: &Arc<Subscription>| u32::from(member.node().is_none());
                offer_to_one_of_several(members, rng, count, |member| {
                    self.hand_over(member, message).then_some(())
                });
            }
        }
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
                Pushed::Crowded => self.crowded = Some(Crowded::Client(Arc::clone(outbound))),
                Pushed::Done | Pushed::Closed | Pushed::Denied => {}
            }
        }
        true
    }
}
