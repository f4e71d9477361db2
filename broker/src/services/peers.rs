//! What the leaders of a cluster listen on, so that clients of every node reach them: the interest of the leader
//! brings their requests to its node, and their interest in the answers brings those back.
//!
//! Requests of the node's own clients come by the handlers every node has, and are passed over here.

use std::sync::Arc;

use hitherto_jetstream::GroupId;
use hitherto_protocol::SubjectFilter;

use super::acks::{Acks, Flows};
use super::api::{Api, Role};
use super::request::Asker;
use crate::jetstream::{Input, PeerQuestion, ShardParts, StreamEntry};
use crate::pubsub::{Handler, Message, Origin, Reach, SubscriptionKey, Target};

/// What clients ask of the meta group, and of streams that may not exist. Pulls and direct gets are left to the
/// leaders of streams, as they are many.
const META_SUBJECTS: [&str; 10] = [
    "$JS.API.INFO",
    "$JS.API.STREAM.>",
    "$JS.API.META.>",
    "$JS.API.CONSUMER.CREATE.>",
    "$JS.API.CONSUMER.DURABLE.>",
    "$JS.API.CONSUMER.INFO.>",
    "$JS.API.CONSUMER.DELETE.>",
    "$JS.API.CONSUMER.NAMES.>",
    "$JS.API.CONSUMER.LIST.>",
    "$JS.API.CONSUMER.PAUSE.>",
];

/// Listens for what clients of other nodes ask of the meta group.
pub(crate) fn attach_meta_leader(parts: &ShardParts) -> Vec<SubscriptionKey> {
    let api = Api::new(parts.clone(), Role::MetaLeader);
    let handler: Arc<dyn Handler> = Arc::new(FromNodes(api));
    let subscribe = |filter: &str| subscribe(parts, filter.to_owned(), &handler);
    META_SUBJECTS.into_iter().map(subscribe).collect()
}

/// Listens for what clients of other nodes ask and say about a stream.
pub(crate) fn attach_leader(parts: &ShardParts, stream: &StreamEntry) -> Vec<SubscriptionKey> {
    let api = Api::new(parts.clone(), Role::StreamLeader);
    let api: Arc<dyn Handler> = Arc::new(FromNodes(api));
    let acks: Arc<dyn Handler> = Arc::new(FromNodes(Acks::new(parts.clone())));
    let flows: Arc<dyn Handler> = Arc::new(FromNodes(Flows::new(parts.clone())));
    let questions: Arc<dyn Handler> = Arc::new(Questions {
        parts: parts.clone(),
        group: stream.group,
    });
    let name = &stream.name;
    let listened = [
        (format!("$JS.API.STREAM.*.{name}"), &api),
        (format!("$JS.API.STREAM.*.*.{name}"), &api),
        (format!("$JS.API.CONSUMER.*.{name}"), &api),
        (format!("$JS.API.CONSUMER.*.{name}.>"), &api),
        (format!("$JS.API.CONSUMER.*.*.{name}.>"), &api),
        (format!("$JS.API.DIRECT.GET.{name}"), &api),
        (format!("$JS.API.DIRECT.GET.{name}.>"), &api),
        (format!("$JS.ACK.{name}.>"), &acks),
        (format!("$JS.FC.{name}.>"), &flows),
        // Last: who asks there counts on all of them.
        (
            PeerQuestion::subject(stream.group).as_str().to_owned(),
            &questions,
        ),
    ];
    let subscribed = listened.into_iter();
    let subscribed = subscribed.map(|(filter, handler)| subscribe(parts, filter, handler));
    subscribed.collect()
}

/// Listens no more.
pub(crate) fn detach(parts: &ShardParts, keys: Option<Vec<SubscriptionKey>>) {
    for key in keys.into_iter().flatten() {
        parts.intake.router.unsubscribe(&key);
    }
}

fn subscribe(parts: &ShardParts, filter: String, handler: &Arc<dyn Handler>) -> SubscriptionKey {
    let filter = SubjectFilter::new(filter).expect("names of streams are tokens");
    let target = Target::Handler(Arc::clone(handler));
    parts.intake.router.subscribe(filter, None, target)
}

/// Takes what comes from other nodes, and nothing else.
struct FromNodes<H>(H);

impl<H: Handler> Handler for FromNodes<H> {
    fn handle(&self, origin: Origin, message: &Message) {
        if origin == Origin::Node {
            self.0.handle(origin, message);
        }
    }

    fn reach(&self) -> Reach {
        Reach::Cluster
    }
}

/// Takes what the leader of the meta group asks the leader of a stream.
struct Questions {
    parts: ShardParts,
    group: GroupId,
}

impl Handler for Questions {
    fn handle(&self, origin: Origin, message: &Message) {
        let is_of_a_node = matches!(origin, Origin::Node | Origin::Internal);
        let (true, Some(reply)) = (is_of_a_node, &message.reply) else {
            return;
        };
        let Ok(question) = serde_json::from_slice(&message.payload) else {
            return;
        };
        let asker = Asker {
            reply: reply.clone(),
            audited: None,
        };
        let input = Input::Ask(self.group, Box::new((question, asker)));
        // Whoever is not answered asks again.
        if !self.parts.queues.of(self.group).push_call(input) {
            tracing::warn!("a question of the meta group was dropped: too many calls wait");
        }
    }

    fn reach(&self) -> Reach {
        Reach::Cluster
    }
}
