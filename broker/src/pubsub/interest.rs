//! Who is told when interest in a subject comes or goes.
//!
//! Interest here is a subscription to exactly this subject, in exactly this queue group or in none: what
//! nats-server 2.15 goes by for push consumers (`registerNotification` in `server/sublist.go`). A
//! subscription with wildcards gets the messages as well and keeps nothing alive.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytestring::ByteString;
use hitherto_protocol::Subject;

use super::{Router, Subscription};

/// The watches of one router, by subject.
#[derive(Default)]
pub(super) struct Watches {
    by_subject: RwLock<HashMap<ByteString, Vec<Arc<Watch>>>>,
    /// How many, so that the usual router without any needs no lock.
    count: AtomicUsize,
}

struct Watch {
    subject: Subject,
    group: Option<ByteString>,
    notify: Box<dyn Fn() + Send + Sync>,
    /// The watcher has been told since it last looked: it is not told twice.
    is_told: AtomicBool,
}

/// A watch on interest; dropping it ends it.
pub(crate) struct InterestWatch {
    router: Arc<Router>,
    watch: Arc<Watch>,
}

impl Router {
    /// Calls `notify` whenever a subscription to `subject` in `group` comes or goes, on the thread of who
    /// subscribes; it must not block. It is called once until [`InterestWatch::look`] is.
    pub(crate) fn watch_interest(
        self: &Arc<Self>,
        subject: &Subject,
        group: Option<String>,
        notify: impl Fn() + Send + Sync + 'static,
    ) -> InterestWatch {
        let watch = Arc::new(Watch {
            subject: subject.detached(),
            group: group.map(ByteString::from),
            notify: Box::new(notify),
            is_told: AtomicBool::new(false),
        });
        self.watches().add(Arc::clone(&watch));
        InterestWatch {
            router: Arc::clone(self),
            watch,
        }
    }
}

impl Watches {
    /// A subscription has come or gone. The caller has changed the tree and holds no lock of it.
    pub(super) fn tell(&self, subscription: &Subscription) {
        if self.count.load(Ordering::SeqCst) == 0 || !subscription.filter().is_literal() {
            return;
        }
        let watches = self.by_subject.read();
        let watches = watches.unwrap_or_else(PoisonError::into_inner);
        let on_subject = watches.get(subscription.filter().as_str());
        for watch in on_subject.into_iter().flatten() {
            let concerns = watch.group.as_ref() == subscription.queue();
            if concerns && !watch.is_told.swap(true, Ordering::SeqCst) {
                (watch.notify)();
            }
        }
    }

    fn add(&self, watch: Arc<Watch>) {
        let mut watches = self
            .by_subject
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let subject = ByteString::from(watch.subject.as_str());
        watches.entry(subject).or_default().push(watch);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn remove(&self, watch: &Arc<Watch>) {
        let mut watches = self
            .by_subject
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(others) = watches.get_mut(watch.subject.as_str()) {
            others.retain(|other| !Arc::ptr_eq(other, watch));
            if others.is_empty() {
                watches.remove(watch.subject.as_str());
            }
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl InterestWatch {
    /// Tells whether there is interest now; what changes from here on is told again.
    pub(crate) fn look(&self) -> bool {
        self.watch.is_told.store(false, Ordering::SeqCst);
        let group = self.watch.group.as_ref();
        self.router.has_subscription(&self.watch.subject, group)
    }
}

impl Drop for InterestWatch {
    fn drop(&mut self) {
        self.router.watches().remove(&self.watch);
    }
}

impl fmt::Debug for InterestWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterestWatch")
            .field("subject", &self.watch.subject)
            .field("group", &self.watch.group)
            .finish_non_exhaustive()
    }
}
