//! Whether anybody listens on the deliver subjects of a stream's push consumers.

use std::collections::BTreeMap;
use std::sync::Arc;

use hitherto_jetstream::Watch;

use crate::jetstream::orders::Input;
use crate::jetstream::taking::StreamEntry;
use crate::pubsub::{InterestWatch, Router};

/// The deliver subjects that are watched, by consumer.
#[derive(Default)]
pub(super) struct DeliverInterest(BTreeMap<String, InterestWatch>);

impl DeliverInterest {
    /// Watches a deliver subject. When interest in it comes or goes the owner of the stream is told.
    pub(super) fn watch(&mut self, watch: Watch, entry: &Arc<StreamEntry>, router: &Arc<Router>) {
        let Watch {
            consumer,
            subject,
            group,
        } = watch;
        let (entry, name) = (Arc::clone(entry), consumer.clone());
        let notify = move || {
            let input = Input::Interest(entry.group, name.clone());
            entry.shard.push(input);
        };
        let watch = router.watch_interest(&subject, group, notify);
        self.0.insert(consumer, watch);
    }

    /// Watches for this consumer no more.
    pub(super) fn unwatch(&mut self, consumer: &str) {
        self.0.remove(consumer);
    }

    /// Watches for no consumer any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Tells whether anybody listens; `None` when it is not watched.
    pub(super) fn look(&self, consumer: &str) -> Option<bool> {
        self.0.get(consumer).map(InterestWatch::look)
    }
}
