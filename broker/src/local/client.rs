//! The in-process client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use hitherto_platform::Entropy;
use hitherto_protocol::{Headers, Subject, SubjectFilter};
use tokio::time::timeout;

use super::reply_mux::ReplyMux;
use super::{LocalMessage, LocalQueue, LocalSubscription};
use crate::Error;
use crate::id;
use crate::pubsub::{
    Crowded, Delivered, Message, Origin, Publisher, Router, SubscriberId, SubscriptionKey, Target,
};
use crate::room::Room;
use crate::stop::StopSignal;

/// A client inside the process: what a NATS client does, without a socket.
///
/// It sees the same messages as clients on sockets, including those of its own subscriptions, and the
/// JetStream API answers it. Cloning is cheap; clones share the inbox. Messages of one clone keep their
/// order. When the node has stopped every call fails with [`Error::Stopped`].
#[derive(Debug)]
pub struct LocalClient {
    shared: Arc<Shared>,
    /// Locked for the time of one publish, never across an await.
    publisher: Mutex<Publisher>,
}

/// What a client needs from its node.
#[derive(Debug)]
pub(crate) struct LocalClientParts {
    pub(crate) router: Arc<Router>,
    pub(crate) id: SubscriberId,
    pub(crate) room: Room,
    pub(crate) stop: StopSignal,
    pub(crate) payload_bytes_max: usize,
    pub(crate) pending_bytes_max: usize,
}

#[derive(Debug)]
struct Shared {
    parts: LocalClientParts,
    id: SubscriberId,
    inbox_prefix: String,
    next_inbox: AtomicU64,
    mux: Arc<ReplyMux>,
    mux_key: SubscriptionKey,
}

impl LocalClient {
    pub(crate) fn new(parts: LocalClientParts, entropy: &dyn Entropy) -> Self {
        let inbox_prefix = id::inbox_prefix(entropy);
        // One token longer than the inboxes of `new_inbox`, so that they are not mistaken for each other.
        let mux = ReplyMux::new(format!("{inbox_prefix}.r"));
        let handler = Arc::<ReplyMux>::clone(&mux);
        let mux_key = parts
            .router
            .subscribe(mux.filter(), None, Target::Handler(handler));
        let id = parts.id;
        let publisher = Mutex::new(parts.router.publisher(Origin::Client(id)));
        let shared = Arc::new(Shared {
            parts,
            id,
            inbox_prefix,
            next_inbox: AtomicU64::new(1),
            mux,
            mux_key,
        });
        Self { shared, publisher }
    }

    /// Publishes a message. Waits while the log has no room for more; otherwise returns once every
    /// subscription has the message in its queue. It does not say whether a stream stored it: for that
    /// use [`LocalClient::request`] and read the PubAck.
    ///
    /// # Errors
    /// [`Error::PayloadTooLarge`]; [`Error::Stopped`].
    pub async fn publish(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        headers: Option<Headers>,
        payload: Bytes,
    ) -> Result<(), Error> {
        let message = Message {
            subject,
            reply,
            headers: headers.map(|headers| headers.as_bytes().clone()),
            payload,
        };
        self.send(&message).await.map(drop)
    }

    /// Publishes a message and waits for the first answer to it.
    ///
    /// The answer must come on the reply subject: a pull request, which is answered with messages that
    /// keep their own subjects, takes [`LocalClient::new_inbox`] and [`LocalClient::subscribe`] instead.
    ///
    /// # Errors
    /// [`Error::NoResponders`] when nobody listens; [`Error::Timeout`], after which it is unknown whether
    /// the request was acted on; [`Error::PayloadTooLarge`]; [`Error::TooManyRequests`];
    /// [`Error::Stopped`].
    pub async fn request(
        &self,
        subject: Subject,
        headers: Option<Headers>,
        payload: Bytes,
        wait_max: Duration,
    ) -> Result<LocalMessage, Error> {
        let (reply, mut pending) = self.shared.mux.expect_reply()?;
        let message = Message {
            subject,
            reply: Some(reply),
            headers: headers.map(|headers| headers.as_bytes().clone()),
            payload,
        };
        let exchange = async {
            if self.send(&message).await?.reached_nobody() {
                return Err(no_responders(&message));
            }
            let mut stop = self.shared.parts.stop.clone();
            // Both arms lose nothing when dropped: the request ends either way.
            tokio::select! {
                answer = pending.answer() => answer.ok_or(Error::Stopped),
                () = stop.stopped() => Err(Error::Stopped),
            }
        };
        let answer = timeout(wait_max, exchange)
            .await
            .map_err(|_| Error::Timeout {
                subject: message.subject.clone(),
                after: wait_max,
            })??;
        let status = answer.headers.as_ref().and_then(Headers::status);
        if answer.payload.is_empty() && status.is_some_and(|(code, _)| code == 503) {
            return Err(no_responders(&message));
        }
        Ok(answer)
    }

    /// Subscribes. With `queue`, each message goes to one member of the queue group only.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn subscribe(
        &self,
        filter: SubjectFilter,
        queue: Option<&str>,
    ) -> Result<LocalSubscription, Error> {
        let parts = &self.shared.parts;
        if parts.stop.is_stopped() {
            return Err(Error::Stopped);
        }
        let local = Arc::new(LocalQueue::new(self.shared.id, parts.pending_bytes_max));
        let target = Target::Local(Arc::clone(&local));
        let key = parts
            .router
            .subscribe(filter, queue.map(ByteString::from), target);
        let router = Arc::clone(&parts.router);
        Ok(LocalSubscription::new(
            router,
            key,
            local,
            parts.stop.clone(),
        ))
    }

    /// A subject nobody else uses, for answers.
    ///
    /// # Panics
    /// Never: a prefix and a number are always a subject.
    pub fn new_inbox(&self) -> Subject {
        let number = self.shared.next_inbox.fetch_add(1, Ordering::Relaxed);
        Subject::new(format!("{}.{number}", self.shared.inbox_prefix))
            .expect("a prefix and a number are a subject")
    }

    async fn send(&self, message: &Message) -> Result<Delivered, Error> {
        let parts = &self.shared.parts;
        if message.body_bytes() > parts.payload_bytes_max {
            return Err(Error::PayloadTooLarge {
                subject: message.subject.clone(),
                bytes: message.body_bytes(),
                max: parts.payload_bytes_max,
            });
        }
        if !parts.room.is_there() {
            let mut stop = parts.stop.clone();
            // Both only wait.
            tokio::select! {
                () = parts.room.wait() => {}
                () = stop.stopped() => {}
            }
        }
        if parts.stop.is_stopped() {
            return Err(Error::Stopped);
        }
        let (delivered, crowded) = self.send_now(message);
        if let Some(crowded) = crowded {
            crowded.give_way().await;
        }
        Ok(delivered)
    }

    fn send_now(&self, message: &Message) -> (Delivered, Option<Crowded>) {
        let mut publisher = self
            .publisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let delivered = publisher.publish(message);
        publisher.flush();
        (delivered, publisher.take_crowded())
    }
}

impl Clone for LocalClient {
    fn clone(&self) -> Self {
        let router = &self.shared.parts.router;
        Self {
            shared: Arc::clone(&self.shared),
            publisher: Mutex::new(router.publisher(Origin::Client(self.shared.id))),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.parts.router.unsubscribe(&self.mux_key);
    }
}

fn no_responders(message: &Message) -> Error {
    Error::NoResponders {
        subject: message.subject.clone(),
    }
}
