//! The handler of `$JS.API.>`: reads the subject, finds who answers, and hands the request over.

use std::sync::MutexGuard;

use hitherto_jetstream::GroupId;
use hitherto_jetstream::api::{ApiError, ResponseKind};
use serde::Serialize;

use super::call::{ApiCall, StreamApi};
use super::request::{self, Asker, Request};
use super::{MetaCall, StreamCall, changes};
use crate::jetstream::{Input, Outlet, ShardParts};
use crate::pubsub::{Handler, Message, Origin};

pub(super) struct Api {
    parts: ShardParts,
    role: Role,
}

/// Whose requests a handler takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Those of this node's clients.
    Here,
    /// Those of other nodes' clients, for the meta group.
    MetaLeader,
    /// Those of other nodes' clients, for a stream.
    StreamLeader,
}

impl Api {
    pub(super) fn new(parts: ShardParts, role: Role) -> Self {
        Self { parts, role }
    }

    /// In a cluster a request is answered by the leader it concerns, which hears it as well. What concerns no stream
    /// there is, is for the leader of the meta group.
    fn hand_over(&self, call: ApiCall, request: Request) {
        let Some(replication) = &self.parts.replication else {
            return self.hand_over_here(call, request);
        };
        let leads_stream = match &call {
            ApiCall::Stream(stream, _) => {
                let entry = self.parts.directory.get(stream);
                entry.is_some_and(|entry| entry.leads())
            }
            _ => false,
        };
        match self.role {
            Role::Here | Role::StreamLeader if leads_stream => self.hand_over_here(call, request),
            Role::StreamLeader => {}
            Role::Here if matches!(call, ApiCall::Unsupported(_)) => {
                self.hand_over_here(call, request);
            }
            Role::Here | Role::MetaLeader if replication.leads_meta() => {
                if leads_stream || matches!(call, ApiCall::Unsupported(_)) {
                    return;
                }
                match call {
                    ApiCall::StreamUpdate(stream) => self.update(stream, request),
                    call => self.to_meta(MetaCall { call, request }),
                }
            }
            Role::Here if replication.meta_leader().is_none() => {
                self.refuse_without_leader(&call, &request);
            }
            Role::Here | Role::MetaLeader => {}
        }
    }

    fn refuse_without_leader(&self, call: &ApiCall, request: &Request) {
        if let Some(response) = call.response() {
            let mut outlet = self.outlet();
            let error = ApiError::not_available();
            changes::refuse_as(response, &request.asker, error, &mut outlet);
            outlet.flush();
        }
    }

    fn hand_over_here(&self, call: ApiCall, request: Request) {
        match call {
            ApiCall::Stream(stream, api) => self.to_stream(&stream, api, request),
            ApiCall::Unsupported(operation) => {
                let mut outlet = self.outlet();
                let is_alone = self.parts.replication.is_none();
                outlet.refuse_with(&request.asker, &Unsupported::new(operation, is_alone));
                outlet.flush();
            }
            ApiCall::StreamUpdate(stream) => self.update(stream, request),
            meta => self.to_meta(MetaCall {
                call: meta,
                request,
            }),
        }
    }

    /// The owner of the stream looks at it first, since it knows the consumers.
    fn update(&self, stream: String, request: Request) {
        let entry = self.parts.directory.get(&stream);
        let (call, asker) = (ApiCall::StreamUpdate(stream), request.asker.clone());
        let call = MetaCall { call, request };
        let Some(entry) = entry else {
            return self.to_meta(call);
        };
        let update = Input::Update(entry.group, Box::new(call));
        if !entry.shard.push_call(update) {
            self.refuse_as_overloaded(Some(ResponseKind::StreamUpdate), &asker);
        }
    }

    fn to_stream(&self, stream: &str, api: StreamApi, request: Request) {
        let Some(entry) = self.parts.directory.get(stream) else {
            let call = StreamCall { api, request };
            let offline = self.parts.directory.offline_reason(stream);
            let error = offline.map_or_else(ApiError::stream_not_found, |reason| {
                ApiError::stream_offline_reason(&reason)
            });
            super::stream_is_gone(&call, error, &mut self.outlet());
            return;
        };
        if matches!(api, StreamApi::DirectGet(_)) && !entry.answers_direct_gets() {
            let mut outlet = self.outlet();
            outlet.no_responders(&request.asker.reply, Some(&request.subject));
            outlet.flush();
            return;
        }
        let (response, asker) = (api.response(), request.asker.clone());
        let call = Box::new(StreamCall { api, request });
        if !entry.shard.push_call(Input::Call(entry.group, call)) {
            self.refuse_as_overloaded(response, &asker);
        }
    }

    fn to_meta(&self, call: MetaCall) {
        let (response, asker) = (call.call.response(), call.request.asker.clone());
        let meta = self.parts.queues.of(GroupId::META);
        if !meta.push_call(Input::Meta(Box::new(call))) {
            self.refuse_as_overloaded(response, &asker);
        }
    }

    fn refuse_as_overloaded(&self, response: Option<ResponseKind>, asker: &Asker) {
        tracing::warn!("a request of the JetStream API was refused: too many wait");
        let error = ApiError::insufficient_resources();
        let mut outlet = self.outlet();
        match response {
            Some(response) => changes::refuse_as(response, asker, error, &mut outlet),
            None => outlet.status(&asker.reply, 429, "Too Many Requests", &[]),
        }
        outlet.flush();
    }

    fn outlet(&self) -> MutexGuard<'_, Outlet> {
        self.parts.intake.outlet()
    }
}

impl Handler for Api {
    /// Requests without a reply subject are not carried out. Differs from nats-server, which carries
    /// out some of them: nobody would learn what became of it.
    fn handle(&self, origin: Origin, message: &Message) {
        let Some(reply) = &message.reply else {
            return;
        };
        let Some(call) = ApiCall::parse(message.subject.as_str()) else {
            return;
        };
        let asker = Asker {
            reply: reply.clone(),
            audited: match call.is_for_messages() {
                true => None,
                false => self.parts.auditor.look_at(origin, message),
            },
        };
        if asks_too_much(message) {
            let mut outlet = self.outlet();
            match call.response() {
                Some(response) => {
                    let error = ApiError::required_api_level();
                    changes::refuse_as(response, &asker, error, &mut outlet);
                }
                None => outlet.status(reply, 412, "Required Api Level", &[]),
            }
            outlet.flush();
            return;
        }
        let request = Request {
            subject: message.subject.clone(),
            asker,
            payload: message.payload.clone(),
        };
        self.hand_over(call, request);
    }
}

/// The answer to a request nats-server knows and we do not carry out.
#[derive(Serialize)]
struct Unsupported {
    r#type: String,
    error: ApiError,
}

impl Unsupported {
    fn new(operation: &str, is_alone: bool) -> Self {
        let needs_cluster = ["leader", "peer", "move"]
            .iter()
            .any(|word| operation.contains(word));
        Self {
            r#type: format!("io.nats.jetstream.api.v1.{operation}_response"),
            error: if needs_cluster && is_alone {
                // As nats-server says when it stands alone.
                ApiError::cluster_required()
            } else {
                ApiError::stream_general(&format!("{operation} is not supported"))
            },
        }
    }
}

/// The client needs a later API than ours.
fn asks_too_much(message: &Message) -> bool {
    match message.checked_headers() {
        Ok(Some(headers)) => request::asks_too_much(&headers),
        Ok(None) | Err(_) => false,
    }
}
