//! Publishes nobody waits for, when their stream refuses them: told by an advisory and in the log.
//!
//! Differs from nats-server, which drops them without a word. There is no such advisory there; it goes
//! out only when somebody listens on [`SUBJECT_PREFIX`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hitherto_jetstream::TypedEvent;
use hitherto_jetstream::api::ApiError;
use hitherto_protocol::{Subject, Timestamp};
use serde::Serialize;

use crate::pubsub::{Message, Origin, Router};

/// Behind it stands the name of the stream.
const SUBJECT_PREFIX: &str = "$JS.EVENT.ADVISORY.STREAM.PUBLISH_REFUSED.";

/// What is said about advisories themselves would have no end.
const ADVISORIES: &str = "$JS.EVENT.";

/// One line in the log for all refusals of a stream within this time: 1 s.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// The refusals of one stream.
#[derive(Default)]
pub(crate) struct Refusals {
    total: AtomicU64,
    /// Those the log has been told of.
    logged: AtomicU64,
    /// Before then nothing is logged again; nanoseconds since 1970.
    quiet_until: AtomicI64,
}

#[derive(Serialize)]
struct PublishRefused<'a> {
    stream: &'a str,
    subject: &'a str,
    error: &'a ApiError,
}

impl Refusals {
    /// Tells of a message that was published to `subject`.
    pub(crate) fn tell(
        &self,
        router: &Arc<Router>,
        now: Timestamp,
        (stream, subject): (&str, &Subject),
        error: &ApiError,
    ) {
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        self.log(now, stream, total, error);
        let Ok(to) = Subject::new(format!("{SUBJECT_PREFIX}{stream}")) else {
            return;
        };
        if subject.as_str().starts_with(ADVISORIES) || !router.has_interest(&to) {
            return;
        }
        let advisory = TypedEvent {
            kind: "io.hitherto.jetstream.advisory.v1.publish_refused",
            id: format!("PUBLISH_REFUSED.{stream}.{}.{total}", now.unix_nanos()),
            timestamp: now,
            fields: PublishRefused {
                stream,
                subject: subject.as_str(),
                error,
            },
        };
        // A publisher of its own: who tells may hold the lock of a shared one.
        router.publisher(Origin::Internal).publish(&Message {
            subject: to,
            reply: None,
            headers: None,
            payload: advisory.to_bytes(),
        });
    }

    fn log(&self, now: Timestamp, stream: &str, total: u64, error: &ApiError) {
        let quiet_until = self.quiet_until.load(Ordering::Relaxed);
        if now.unix_nanos() < quiet_until {
            return;
        }
        let next = now.saturating_add(LOG_PAUSE).unix_nanos();
        let is_ours = self.quiet_until.compare_exchange(
            quiet_until,
            next,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if is_ours.is_ok() {
            let refused = total.saturating_sub(self.logged.swap(total, Ordering::Relaxed));
            tracing::warn!(stream, refused, %error, "publishes without a reply were refused");
        }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals")
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}
