//! A stream that does not serve because its files are damaged.
//!
//! Its files stay as they are, and so does the part of the log it would replay, so that a repaired file
//! brings it back at the next start with everything. Deleting it works as ever. Whoever publishes to its
//! subjects with a reply gets an error in place of the PubAck.

use std::sync::Arc;

use hitherto_jetstream::api::ApiError;
use hitherto_jetstream::{GroupId, StreamConfig};
use hitherto_protocol::SubjectFilter;
use hitherto_storage::WalPosition;

use super::intake::Intake;
use crate::jetstream::telling::PubAckForm;
use crate::pubsub::{Handler, Message, Origin, SubscriptionKey, Target};

/// What recovery could not open.
#[derive(Debug, Clone)]
pub(crate) struct OfflineStream {
    pub(crate) group: GroupId,
    pub(crate) config: StreamConfig,
    /// Why, with the file and the place in it.
    pub(crate) reason: String,
    /// Where the log begins that it would replay. All of the log when that is unknown.
    pub(crate) needs: WalPosition,
}

impl OfflineStream {
    pub(crate) fn error(&self) -> ApiError {
        ApiError::stream_offline_reason(&self.reason)
    }
}

/// The subscriptions on an offline stream's subjects; dropping it ends them.
pub(crate) struct Refusing {
    intake: Arc<Intake>,
    keys: Vec<SubscriptionKey>,
}

struct Refuser {
    intake: Arc<Intake>,
    pub_ack: PubAckForm,
    error: ApiError,
}

impl Refusing {
    /// Answers publishes to the stream's subjects with why it is offline.
    pub(crate) fn start(stream: &OfflineStream, intake: &Arc<Intake>) -> Self {
        let refuser = Arc::new(Refuser {
            intake: Arc::clone(intake),
            pub_ack: PubAckForm::new(&stream.config.name),
            error: stream.error(),
        });
        let subscribe = |subject: &String| {
            let filter = SubjectFilter::new(subject.clone()).ok()?;
            let handler = Arc::<Refuser>::clone(&refuser);
            let router = &intake.router;
            Some(router.subscribe(filter, None, Target::Handler(handler)))
        };
        Self {
            keys: stream
                .config
                .subjects
                .iter()
                .filter_map(subscribe)
                .collect(),
            intake: Arc::clone(intake),
        }
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        for key in &self.keys {
            self.intake.router.unsubscribe(key);
        }
    }
}

impl Handler for Refuser {
    fn handle(&self, _: Origin, message: &Message) {
        let Some(reply) = &message.reply else {
            return;
        };
        let mut outlet = self.intake.outlet();
        outlet.reply_with(reply, |buf| self.pub_ack.write_error(buf, &self.error));
        outlet.flush();
    }
}
