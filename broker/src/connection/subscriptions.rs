//! The subscriptions of one client by its names for them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use hitherto_protocol::SubjectFilter;

use super::Outbound;
use crate::pubsub::{Router, SubscriptionKey, Target};

/// The table behind SUB and UNSUB. Dropping it ends every subscription.
#[derive(Debug)]
pub(super) struct Subscriptions {
    router: Arc<Router>,
    outbound: Arc<Outbound>,
    /// At most `max` of them.
    by_sid: HashMap<Bytes, SubscriptionKey>,
    max: usize,
}

/// The client has as many subscriptions as allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManySubscriptions;

impl Subscriptions {
    pub(super) fn new(router: Arc<Router>, outbound: Arc<Outbound>, max: usize) -> Self {
        Self {
            router,
            outbound,
            by_sid: HashMap::new(),
            max,
        }
    }

    /// Subscribes. A `sid` that is in use keeps its first subscription, as in nats-server 2.15.
    pub(super) fn subscribe(
        &mut self,
        filter: SubjectFilter,
        queue: Option<ByteString>,
        sid: &[u8],
    ) -> Result<(), TooManySubscriptions> {
        self.forget_ended();
        if self.by_sid.get(sid).is_some_and(|key| !key.has_ended()) {
            return Ok(());
        }
        if self.by_sid.len() >= self.max {
            return Err(TooManySubscriptions);
        }
        // A copy: the sid's bytes belong to the read buffer.
        let sid = Bytes::copy_from_slice(sid);
        let target = Target::Client {
            outbound: Arc::clone(&self.outbound),
            sid: sid.clone(),
        };
        let key = self.router.subscribe(filter, queue, target);
        self.by_sid.insert(sid, key);
        Ok(())
    }

    /// Ends a subscription at once, or after `max` messages counted since SUB. An unknown `sid` is
    /// ignored.
    pub(super) fn unsubscribe(&mut self, sid: &[u8], max: Option<u64>) {
        self.forget_ended();
        let Some(key) = self.by_sid.get(sid) else {
            return;
        };
        if max.is_none_or(|max| key.end_after(max)) {
            self.router.unsubscribe(key);
            self.by_sid.remove(sid);
        }
    }

    /// How many there are; those that got their last message just now may still be counted.
    pub(super) fn len(&self) -> usize {
        self.by_sid.len()
    }

    /// Allows so many from now on; those there are stay.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Goes on in another account, without subscriptions.
    pub(super) fn move_to(&mut self, router: Arc<Router>) {
        self.clear();
        self.router = router;
    }

    /// Ends those that may not be any more, and says which they were, in the order of their names.
    pub(super) fn end_unless(
        &mut self,
        may_stay: impl Fn(&SubjectFilter, Option<&str>) -> bool,
    ) -> Vec<(SubjectFilter, Option<ByteString>, Bytes)> {
        self.forget_ended();
        let mut ended = Vec::new();
        let router = &self.router;
        self.by_sid.retain(|sid, key| {
            let (filter, queue) = (key.filter(), key.queue());
            let stays = may_stay(filter, queue.map(|queue| &**queue));
            if !stays {
                router.unsubscribe(key);
                ended.push((filter.clone(), queue.cloned(), sid.clone()));
            }
            stays
        });
        ended.sort_by(|one, other| one.2.cmp(&other.2));
        ended
    }

    /// Ends all of them.
    pub(super) fn clear(&mut self) {
        // In any order: ending one has no effect on another.
        let router = &self.router;
        self.by_sid
            .drain()
            .for_each(|(_, key)| router.unsubscribe(&key));
    }

    /// Drops the entries of subscriptions that got their last message.
    fn forget_ended(&mut self) {
        for sid in self.outbound.take_ended() {
            // The sid may stand for a newer subscription by now.
            if self
                .by_sid
                .get(&sid)
                .is_some_and(SubscriptionKey::has_ended)
            {
                self.by_sid.remove(&sid);
            }
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.clear();
    }
}
