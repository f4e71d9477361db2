//! The JetStream API: requests of clients, from their subjects to their answers.
//!
//! | file | noun |
//! |---|---|
//! | `call` | [`ApiCall`](call::ApiCall): what a request's subject says |
//! | `api` | the handler of `$JS.API.>`: finds who answers, and hands the request over |
//! | `acks` | the handlers of `$JS.ACK.>` and `$JS.FC.>` |
//! | `peers` | what leaders listen on for the clients of other nodes |
//! | `streams` | requests about which streams there are; answered by the owner of the meta group |
//! | `stream` | requests to one stream; answered by its owner |
//! | `consumers` | those about its consumers |
//! | `messages`, `direct_get`, `selector` | those that read messages |
//! | `changes` | the answers to requests that went through the log |
//! | `listing` | stream lists, which several owners write together |
//! | `advisories` | what is told about streams |
//! | `audit` | what is told about requests |
//! | `batches` | atomic batches before they are proposed |
//!
//! Handlers run on the threads of the clients and only read subjects; everything else happens on the
//! shards. Bodies are checked strictly: unknown fields are refused, as in nats-server 2.12 and later.

mod acks;
mod advisories;
mod api;
mod audit;
mod batches;
mod call;
pub(crate) mod changes;
mod consumers;
mod direct_get;
mod listing;
mod messages;
mod peers;
mod request;
mod selector;
mod stream;
mod streams;

use std::sync::Arc;

use hitherto_protocol::SubjectFilter;

use crate::jetstream::ShardParts;
use crate::pubsub::{Handler, SubscriptionKey, Target};

pub(crate) use acks::{StreamAck, StreamFlow, handle_ack, handle_flow};
pub(crate) use advisories::{StreamAction, tell_batch_abandoned, tell_stream};
pub(crate) use audit::{Auditor, Interest};
pub(crate) use batches::{AbandonedBatch, Batches, Staged, StagedMessage, is_of_batch};
pub(crate) use listing::Listing;
pub(crate) use peers::{attach_leader, attach_meta_leader, detach};
pub(crate) use request::Asker;
pub(crate) use stream::{StreamCall, delete, handle, stream_is_gone};
pub(crate) use streams::{MetaCall, check_update, handle_meta, refuse_update};

/// Subscribes the services.
pub(crate) fn attach(parts: &ShardParts) -> Vec<SubscriptionKey> {
    let api = Arc::new(api::Api::new(parts.clone(), api::Role::Here));
    let acks = Arc::new(acks::Acks::new(parts.clone()));
    let flows = Arc::new(acks::Flows::new(parts.clone()));
    let attach = |filter: &'static str, handler: Arc<dyn Handler>| {
        let filter = SubjectFilter::new(filter).expect("a fixed filter");
        parts
            .intake
            .router
            .subscribe(filter, None, Target::Handler(handler))
    };
    vec![
        attach("$JS.API.>", api),
        attach("$JS.ACK.>", acks),
        attach("$JS.FC.>", flows),
    ]
}

#[cfg(test)]
mod cluster_info_tests;
