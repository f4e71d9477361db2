//! Who asked what of the JetStream API, and what the answer was: told on
//! `$JS.EVENT.ADVISORY.API` while somebody listens there.
//!
//! Requests for messages are not told of, as on nats-server 2.15: pulls and direct gets are the traffic
//! itself. Neither is a request without a reply subject, which is not carried out here.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use bytestring::ByteString;
use hitherto_jetstream::TypedEvent;
use hitherto_platform::{Clock, Entropy};
use hitherto_protocol::{Subject, Timestamp};
use serde::Serialize;

use crate::connection::{ClientMark, Clients};
use crate::id;
use crate::jetstream::Outlet;
use crate::pubsub::{Message, Origin, Router, SubscriberId};

/// Where it is told.
fn subject() -> Subject {
    Subject::new(ByteString::from_static("$JS.EVENT.ADVISORY.API")).expect("a fixed subject")
}

/// What the audit knows of its node.
pub(crate) struct Auditor {
    pub(crate) router: Arc<Router>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) server_name: String,
    pub(crate) account: String,
    pub(crate) interest: Interest,
}

/// Whether anybody listens, as it was found when the subscriptions last changed.
#[derive(Debug, Default)]
pub(crate) struct Interest(AtomicU64);

/// A request whose answer will be told.
pub(crate) struct Audited {
    auditor: Arc<Auditor>,
    client: ClientMark,
    subject: Subject,
    request: Bytes,
}

/// `JSAPIAudit` in nats-server 2.15 `server/jetstream_events.go`.
#[derive(Serialize)]
struct ApiAudit<'a> {
    server: &'a str,
    client: &'a ClientMark,
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request: Cow<'a, str>,
    response: Cow<'a, str>,
}

impl Auditor {
    /// Looks who asks; `None` when nobody wants to know.
    pub(super) fn look_at(
        self: &Arc<Self>,
        origin: Origin,
        message: &Message,
    ) -> Option<Arc<Audited>> {
        let is_wanted = self.interest.is_there(&self.router);
        is_wanted.then(|| {
            Arc::new(Audited {
                client: self.client(origin),
                auditor: Arc::clone(self),
                subject: message.subject.detached(),
                request: Bytes::copy_from_slice(&message.payload),
            })
        })
    }

    fn client(&self, origin: Origin) -> ClientMark {
        let id = match origin {
            Origin::Client(id) | Origin::ClientWithoutEcho(id) => id,
            Origin::Internal | Origin::Node => SubscriberId(0),
        };
        let mut client = match self.clients.get(id) {
            Some(client) => ClientMark::connected(client.report(), &self.account),
            None => ClientMark::inside(id, &self.account),
        };
        client.server = Some(self.server_name.clone());
        client
    }
}

impl Audited {
    /// Tells what was answered.
    pub(crate) fn tell(&self, response: &[u8], outlet: &mut Outlet) {
        let Auditor {
            clock,
            entropy,
            server_name,
            ..
        } = &*self.auditor;
        let event = TypedEvent {
            kind: "io.nats.jetstream.advisory.v1.api_audit",
            id: id::unique(&**entropy),
            timestamp: Timestamp::from(clock.now()),
            fields: ApiAudit {
                server: server_name,
                client: &self.client,
                subject: self.subject.as_str(),
                request: String::from_utf8_lossy(&self.request),
                response: String::from_utf8_lossy(response),
            },
        };
        outlet.publish(&subject(), event.to_bytes());
    }
}

impl Interest {
    /// Two loads while no subscription comes or goes.
    fn is_there(&self, router: &Router) -> bool {
        // Read before the tree is: what is remembered can only be newer than its generation says.
        let generation = router.generation();
        let known = self.0.load(Ordering::Relaxed);
        if known >> 1 == generation {
            return known & 1 == 1;
        }
        let is_there = router.has_interest(&subject());
        let found = (generation << 1) | u64::from(is_there);
        self.0.store(found, Ordering::Relaxed);
        is_there
    }
}

impl fmt::Debug for Auditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auditor")
            .field("server_name", &self.server_name)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Audited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audited")
            .field("client", &self.client)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
