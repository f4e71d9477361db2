//! The subscriptions of the node, shared by everything that publishes.
//!
//! The router only finds; delivering is the [`Publisher`]'s work. It knows neither sockets nor streams.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytestring::ByteString;
use hitherto_platform::Entropy;
use hitherto_protocol::link::SpaceId;
use hitherto_protocol::{Subject, SubjectFilter, SubjectTree};

use super::Reach;
use super::interest::Watches;
use super::matches::Matches;
use super::publisher::Publisher;
use super::subscription::{Subscription, Target};
use crate::route::LocalInterest;

/// All subscriptions of a node, by subject filter. Shared by reference; every method may be called from
/// any thread.
///
/// Threads that publish much keep a [`Publisher`] and do not come here for subjects they know.
pub(crate) struct Router {
    tree: RwLock<SubjectTree<Arc<Subscription>>>,
    /// Counts changes of `tree`, so that publishers know when what they remember is out of date.
    generation: AtomicU64,
    next_subscriber: AtomicU64,
    entropy: Arc<dyn Entropy>,
    figures: Figures,
    watches: Watches,
    /// Hears what local clients want; `None` on a node of its own.
    told: Option<Told>,
}

/// Where a router tells what its clients want, and as which account's.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) interest: Arc<LocalInterest>,
    pub(crate) space: SpaceId,
}

#[derive(Debug, Default)]
struct Figures {
    inserts: AtomicU64,
    removes: AtomicU64,
    matches: AtomicU64,
}

/// Numbers about a router since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RouterFigures {
    /// Subscriptions now.
    pub(crate) subscriptions: u64,
    /// Subscriptions that came.
    pub(crate) inserts: u64,
    /// Subscriptions that went.
    pub(crate) removes: u64,
    /// Subjects that were looked up; publishers remember those they look up often.
    pub(crate) matches: u64,
}

/// Names a subscriber: a connection (then it is the `client_id` of INFO) or a local client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SubscriberId(pub(crate) u64);

/// Who publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A service of the broker itself.
    Internal,
    /// A client that also gets its own messages.
    Client(SubscriberId),
    /// A client that asked not to get its own messages (`echo:false`).
    ClientWithoutEcho(SubscriberId),
    /// A client of another node.
    Node,
}

/// What [`Router::subscribe`] gives and [`Router::unsubscribe`] takes.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionKey(pub(super) Arc<Subscription>);

impl SubscriptionKey {
    /// Tells whether nothing will be delivered any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// The subjects it asks for.
    pub(crate) fn filter(&self) -> &SubjectFilter {
        self.0.filter()
    }

    /// Its queue group; `None` for a plain subscription.
    pub(crate) fn queue(&self) -> Option<&ByteString> {
        self.0.queue()
    }

    /// Sets how many members of the queue group it stands for.
    pub(crate) fn set_members(&self, members: u32) {
        self.0.set_members(members);
    }

    /// Lets the subscription end after `max` messages counted since it began. Says `true` when so many
    /// have been delivered already: then the caller ends it.
    pub(crate) fn end_after(&self, max: u64) -> bool {
        self.0.end_after(max)
    }
}

impl Router {
    /// A router without subscriptions. The entropy chooses members of queue groups; a node of a cluster
    /// tells the others what its clients want.
    pub(crate) fn new(entropy: Arc<dyn Entropy>, told: Option<Told>) -> Arc<Self> {
        Arc::new(Self {
            told,
            tree: RwLock::new(SubjectTree::new()),
            generation: AtomicU64::new(1),
            next_subscriber: AtomicU64::new(1),
            entropy,
            figures: Figures::default(),
            watches: Watches::default(),
        })
    }

    /// Gives out the next subscriber id, starting with 1.
    pub(crate) fn next_subscriber_id(&self) -> SubscriberId {
        SubscriberId(self.next_subscriber.fetch_add(1, Ordering::Relaxed))
    }

    /// A source of messages for one thread or task; see [`Publisher`].
    pub(crate) fn publisher(self: &Arc<Self>, origin: Origin) -> Publisher {
        Publisher::new(Arc::clone(self), origin, self.entropy.u64())
    }

    /// Adds a subscription; from now on every publish sees it.
    ///
    /// With `queue`, each message goes to one subscription of all with the same queue name that match.
    pub(crate) fn subscribe(
        &self,
        filter: SubjectFilter,
        queue: Option<ByteString>,
        target: Target,
    ) -> SubscriptionKey {
        self.subscribe_for(filter, queue, target, 1)
    }

    /// The same for so many members of a queue group at once.
    pub(crate) fn subscribe_for(
        &self,
        filter: SubjectFilter,
        queue: Option<ByteString>,
        target: Target,
        members: u32,
    ) -> SubscriptionKey {
        let subscription = Arc::new(Subscription::new(filter, queue, target, members));
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        tree.insert(subscription.filter(), Arc::clone(&subscription));
        self.figures.inserts.fetch_add(1, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
        drop(tree);
        self.watches.tell(&subscription);
        if let Some(Told { interest, space }) = self.told_of(&subscription) {
            interest.add(*space, subscription.filter(), subscription.queue());
        }
        SubscriptionKey(subscription)
    }

    /// Ends a subscription; no message published after this returns is delivered to it. A second call does
    /// nothing.
    pub(crate) fn unsubscribe(&self, key: &SubscriptionKey) {
        self.remove(&key.0);
    }

    /// Tells whether a message with this subject would reach anybody.
    pub(crate) fn has_interest(&self, subject: &Subject) -> bool {
        self.tree
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .has_match(subject.as_str())
    }

    /// Tells whether there is a subscription to exactly this subject, in exactly this queue group.
    pub(super) fn has_subscription(&self, subject: &Subject, group: Option<&ByteString>) -> bool {
        let mut found = false;
        self.tree
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .for_each_match(subject.as_str(), |subscription| {
                found |= subscription.queue() == group
                    && subscription.filter().as_str() == subject.as_str()
                    && !subscription.has_ended();
            });
        found
    }

    pub(super) fn watches(&self) -> &Watches {
        &self.watches
    }

    /// How many subscriptions there are.
    pub(crate) fn subscriptions(&self) -> usize {
        self.tree
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// A client that gets messages with this subject, if there is one.
    pub(crate) fn first_subscriber(&self, subject: &Subject) -> Option<SubscriberId> {
        let mut first = None;
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        tree.for_each_match(subject.as_str(), |subscription| {
            first = first.or_else(|| subscription.subscriber());
        });
        first
    }

    /// How it is doing.
    pub(crate) fn figures(&self) -> RouterFigures {
        let Figures {
            inserts,
            removes,
            matches,
        } = &self.figures;
        RouterFigures {
            subscriptions: self.subscriptions() as u64,
            inserts: inserts.load(Ordering::Relaxed),
            removes: removes.load(Ordering::Relaxed),
            matches: matches.load(Ordering::Relaxed),
        }
    }

    /// The subscriptions that `is_wanted` accepts, sorted by filter. Nobody subscribes meanwhile.
    pub(crate) fn list(&self, is_wanted: impl Fn(&Subscription) -> bool) -> Vec<Arc<Subscription>> {
        let mut list = Vec::new();
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        tree.for_each(|subscription| {
            if is_wanted(subscription) {
                list.push(Arc::clone(subscription));
            }
        });
        drop(tree);
        let filter = |subscription: &Arc<Subscription>| subscription.filter().as_str().to_owned();
        list.sort_by_cached_key(|subscription| (filter(subscription), subscription.subscriber()));
        list
    }

    /// Ends every subscription. Breaks the circle of services that hold the router and are held by it.
    pub(crate) fn clear(&self) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        let ended = std::mem::replace(&mut *tree, SubjectTree::new());
        self.generation.fetch_add(1, Ordering::Release);
        drop(tree);
        // Dropped without the lock: a handler may do anything when it goes.
        drop(ended);
    }

    /// The plain subscription of this very subscriber that matches; the no-responders status goes there.
    pub(crate) fn own_subscription(
        &self,
        subject: &Subject,
        subscriber: SubscriberId,
    ) -> Option<Arc<Subscription>> {
        let mut own = None;
        self.tree
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .for_each_match(subject.as_str(), |subscription| {
                if own.is_none()
                    && subscription.queue().is_none()
                    && subscription.subscriber() == Some(subscriber)
                {
                    own = Some(Arc::clone(subscription));
                }
            });
        own
    }

    /// Counts the subscriptions that come and go: while it stays, so does all interest.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn collect_matches(&self, subject: &Subject, matches: &mut Matches) {
        matches.clear();
        self.figures.matches.fetch_add(1, Ordering::Relaxed);
        self.tree
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .for_each_match(subject.as_str(), |subscription| {
                matches.add(Arc::clone(subscription));
            });
        matches.sort_groups();
    }

    pub(super) fn remove(&self, subscription: &Arc<Subscription>) {
        subscription.end();
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        let removed = tree.remove(subscription.filter(), |other| {
            Arc::ptr_eq(other, subscription)
        });
        if removed.is_some() {
            self.figures.removes.fetch_add(1, Ordering::Relaxed);
            self.generation.fetch_add(1, Ordering::Release);
        }
        drop(tree);
        if removed.is_some() {
            self.watches.tell(subscription);
            if let Some(Told { interest, space }) = self.told_of(subscription) {
                interest.remove(*space, subscription.filter(), subscription.queue());
            }
        }
        drop(removed);
    }

    /// Where the coming and going of a subscription is told; `None` when nobody is to hear of it.
    fn told_of(&self, subscription: &Subscription) -> Option<&Told> {
        let told = self.told.as_ref()?;
        (subscription.reach() == Reach::Cluster).then_some(told)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("subscriptions", &self.subscriptions())
            .finish_non_exhaustive()
    }
}
