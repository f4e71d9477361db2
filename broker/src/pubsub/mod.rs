//! Core publish and subscribe: who wants which subject, and handing messages over.
//!
//! | file | noun |
//! |---|---|
//! | `message` | [`Message`], and the [`Handler`] trait of services inside the broker |
//! | `held_answer` | [`HeldAnswer`]: an answer that waits for what came of a message elsewhere |
//! | `router` | [`Router`]: the subscriptions of the node |
//! | `publisher` | [`Publisher`]: one source of messages, with its match cache and its wake-ups |
//! | `subscription` | [`Subscription`], its [`Target`], and how one message reaches it |
//! | `addressees` | [`Addressees`], and [`NodeRound`](addressees::NodeRound): which other nodes get a message, and for whom there |
//! | `matches`, `match_cache` | the subscriptions a subject leads to |
//! | `interest` | [`InterestWatch`]: who is told when interest comes or goes |
//! | `queue_group` | choosing one member of each queue group |
//!
//! A message goes one way: a connection, a local client or a service owns a [`Publisher`]; the publisher
//! finds the [`Matches`](matches::Matches) of the subject and gives the message to each target, on the
//! publisher's own thread. Streams are not known here: JetStream registers its capture and its services
//! as [`Handler`]s.
//!
//! Other nodes of a cluster are receivers like others: what they want are subscriptions whose [`Target`] is
//! the node. A message goes to each of them at most once, with the queue groups that were chosen to be
//! served there; what came from a node reaches local receivers only.

mod addressees;
mod held_answer;
mod interest;
mod match_cache;
mod matches;
mod message;
mod publisher;
mod queue_group;
mod router;
mod subscription;
#[cfg(test)]
mod tests;

pub(crate) use addressees::Addressees;
pub(crate) use held_answer::HeldAnswer;
pub(crate) use interest::InterestWatch;
pub(crate) use message::{Handler, Message, Reach};
pub(crate) use publisher::{Crowded, Delivered, Publisher};
pub(crate) use router::{Origin, Router, RouterFigures, SubscriberId, SubscriptionKey, Told};
pub(crate) use subscription::{Subscription, Target};
