//! Waiting pull requests.
//!
//! Statuses and their texts are those of nats-server 2.15 (`server/consumer.go`,
//! `processNextMsgRequest`); clients compare the texts.

use std::collections::VecDeque;
use std::time::Duration;

use hitherto_protocol::{Subject, Timestamp, format_go_duration};

use super::Consumer;
use super::deliver::Candidate;
use crate::Surroundings;
use crate::index::Index;
use crate::output::{Output, Status};

/// A request for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// The inbox messages and statuses go to.
    pub reply: Subject,
    /// Messages wanted, at least 1.
    pub batch: u64,
    /// Bytes wanted at most, subjects and headers included; `None` for no bound.
    pub max_bytes: Option<u64>,
    /// How long the request waits; `None` for ever.
    pub expires: Option<Duration>,
    /// Take what is there; wait only if nothing is there and `expires` is given.
    pub no_wait: bool,
    /// A sign of life while nothing can be delivered; `None` for none.
    pub idle_heartbeat: Option<Duration>,
    /// What is wrong with what it says about priorities; no consumer has any.
    pub priority_fault: Option<&'static str>,
}

/// A request under way.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) reply: Subject,
    /// Messages still wanted.
    pub(super) messages: u64,
    /// Bytes still wanted; `None` for no bound.
    pub(super) bytes: Option<u64>,
    pub(super) delivered: u64,
    pub(super) no_wait: bool,
    pub(super) expires: Option<Timestamp>,
    heartbeat: Option<Duration>,
    pub(super) next_heartbeat: Option<Timestamp>,
}

/// The requests of one consumer, the next to be served first; at most `max_waiting`.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    requests: VecDeque<Request>,
}

impl Request {
    fn new(now: Timestamp, request: PullRequest) -> Self {
        Self {
            reply: request.reply,
            messages: request.batch.max(1),
            bytes: request.max_bytes.filter(|bytes| *bytes > 0),
            delivered: 0,
            no_wait: request.no_wait,
            expires: request.expires.map(|expires| now.saturating_add(expires)),
            heartbeat: request.idle_heartbeat,
            next_heartbeat: request.idle_heartbeat.map(|beat| now.saturating_add(beat)),
        }
    }

    /// Counts a delivery of so many bytes.
    pub(super) fn count(&mut self, now: Timestamp, bytes: u64) {
        self.delivered += 1;
        self.messages = self.messages.saturating_sub(1);
        if let Some(left) = &mut self.bytes {
            *left = left.saturating_sub(bytes);
        }
        self.rearm(now);
    }

    /// A sign of life was sent.
    pub(super) fn rearm(&mut self, now: Timestamp) {
        self.next_heartbeat = self.heartbeat.map(|beat| now.saturating_add(beat));
    }

    pub(super) fn status(
        &self,
        code: u16,
        description: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Output {
        Output::Status(Status {
            code,
            description: description.into(),
            ..Status::to(self.reply.clone())
        })
    }

    /// A status that says how much was not delivered.
    pub(super) fn status_pending(&self, code: u16, description: &'static str) -> Output {
        Output::Status(Status {
            code,
            description: description.into(),
            headers: vec![
                ("Nats-Pending-Messages", self.messages.to_string()),
                ("Nats-Pending-Bytes", self.bytes.unwrap_or(0).to_string()),
            ],
            ..Status::to(self.reply.clone())
        })
    }
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn push(&mut self, request: Request) {
        self.requests.push_back(request);
    }

    pub(super) fn first(&mut self) -> Option<&mut Request> {
        self.requests.front_mut()
    }

    pub(super) fn pop(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Those who wait get a message each in turn, as on nats-server (`waitQueue` in
    /// `server/consumer.go`).
    fn rotate(&mut self) {
        if self.requests.len() > 1 {
            self.requests.rotate_left(1);
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Request> {
        self.requests.iter_mut()
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Request) -> bool) {
        self.requests.retain(keep);
    }

    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        self.requests
            .iter()
            .flat_map(|request| [request.expires, request.next_heartbeat])
            .flatten()
            .min()
    }
}

impl Consumer {
    /// What a push consumer answers to a pull request, with the status 409.
    pub const PUSH_BASED: &str = "Consumer is push based";

    /// Takes a pull request, or answers why not.
    pub(crate) fn handle_pull(
        &mut self,
        now: Timestamp,
        pull: PullRequest,
        out: &mut VecDeque<Output>,
    ) {
        self.active_at = now;
        if self.push.is_some() {
            let request = Request::new(now, pull);
            out.push_back(request.status(409, Self::PUSH_BASED));
            return;
        }
        let refusal = self.refusal(&pull);
        let silent = pull.idle_heartbeat.is_some();
        let request = Request::new(now, pull);
        if let Some((code, description)) = refusal {
            out.push_back(request.status(code, description));
            return;
        }
        if self.waiting.len() >= self.waiting_max() {
            // With heartbeats the client notices by itself, and is not told, as on nats-server.
            if !silent {
                out.push_back(request.status(409, "Exceeded MaxWaiting"));
            }
            return;
        }
        self.waiting.push(request);
    }

    /// Serves waiting requests.
    pub(super) fn serve_pulls(
        &mut self,
        now: Timestamp,
        index: &Index,
        around: &mut dyn Surroundings,
        out: &mut VecDeque<Output>,
    ) {
        self.waiting
            .retain(|request| around.has_interest(&request.reply));
        while !self.waiting.is_empty() {
            let Some(candidate) = self.candidate(now, index, around, out) else {
                break;
            };
            self.serve_first(now, (candidate, index), &*around, out);
        }
        // A message whose time to be replayed has not come is waited for by everybody.
        let waits = self.held_until.is_some_and(|until| until > now);
        if !self.round.is_spent() && self.pace.waits_until().is_none() && !waits {
            self.end_no_wait(out);
        }
    }

    /// Gives the message to the request whose turn it is, or ends that request if the message is too large.
    fn serve_first(
        &mut self,
        now: Timestamp,
        (candidate, index): (Candidate, &Index),
        around: &dyn Surroundings,
        out: &mut VecDeque<Output>,
    ) {
        let is_bounded = self
            .waiting
            .first()
            .is_some_and(|request| request.bytes.is_some());
        let bytes = match is_bounded {
            true => self.delivered_bytes(&candidate, index, around),
            false => 0,
        };
        let Some(request) = self.waiting.first() else {
            return;
        };
        if request.bytes.is_some_and(|left| bytes > left) {
            out.push_back(request.status_pending(409, "Message Size Exceeds MaxBytes"));
            self.waiting.pop();
            return;
        }
        request.count(now, bytes);
        self.active_at = now;
        let to = request.reply.clone();
        let done = request.messages == 0;
        let spent = request.bytes == Some(0);
        // Bytes that were asked for and will not come are said; messages are counted by the client.
        let bytes_left = done && request.bytes.is_some() && !spent;
        let batch_end = bytes_left.then(|| request.status_pending(409, "Batch Completed"));
        if done || spent {
            self.waiting.pop();
        } else {
            self.waiting.rotate();
        }
        self.deliver_one(now, to, (candidate, index), out);
        out.extend(batch_end);
    }

    /// Ends requests that do not wait, now that nothing is left for them.
    fn end_no_wait(&mut self, out: &mut VecDeque<Output>) {
        self.waiting.retain(|request| {
            let ends = request.no_wait && (request.expires.is_none() || request.delivered > 0);
            if ends {
                out.push_back(request.status(404, "No Messages"));
            }
            !ends
        });
    }

    /// Ends requests whose time has come, and sends signs of life to the others.
    pub(super) fn expire_requests(&mut self, now: Timestamp, out: &mut VecDeque<Output>) {
        self.waiting.retain(|request| {
            let expired = request.expires.is_some_and(|at| at <= now);
            if expired {
                out.push_back(request.status_pending(408, "Request Timeout"));
                self.active_at = now;
            }
            !expired
        });
        let mut due = Vec::new();
        for request in self.waiting.iter_mut() {
            if request.next_heartbeat.is_some_and(|at| at <= now) {
                request.rearm(now);
                due.push(request.reply.clone());
            }
        }
        let beats = due.into_iter().map(|to| self.heartbeat(to));
        out.extend(beats.map(Output::Status));
    }

    /// The consumer goes, or begins anew: whoever waits is told.
    pub(crate) fn end_requests(&mut self, reason: &'static str, out: &mut VecDeque<Output>) {
        while let Some(request) = self.waiting.pop() {
            out.push_back(request.status(409, reason));
        }
    }

    fn refusal(&self, pull: &PullRequest) -> Option<(u16, String)> {
        let config = &self.config;
        let over =
            |value: u64, max: i64| u64::try_from(max).is_ok_and(|max| max > 0 && value > max);
        if over(pull.batch, config.max_batch) {
            return Some((
                409,
                format!("Exceeded MaxRequestBatch of {}", config.max_batch),
            ));
        }
        let expires_max = config.max_expires;
        if !expires_max.is_zero() && pull.expires.is_some_and(|expires| expires > expires_max) {
            let max = format_go_duration(expires_max);
            return Some((409, format!("Exceeded MaxRequestExpires of {max}")));
        }
        if pull
            .max_bytes
            .is_some_and(|bytes| over(bytes, config.max_bytes))
        {
            return Some((
                409,
                format!("Exceeded MaxRequestMaxBytes of {}", config.max_bytes),
            ));
        }
        // Without an end there is none that a sign of life could come before, as on nats-server 2.15.
        let expires = pull.expires.unwrap_or_default();
        let beats_late = |beat| beat > expires / 2;
        if pull.idle_heartbeat.is_some_and(beats_late) {
            return Some((400, "Bad Request - heartbeat value too large".to_owned()));
        }
        pull.priority_fault
            .map(|fault| (400, format!("Bad Request - {fault}")))
    }

    fn waiting_max(&self) -> usize {
        /// What nats-server allows when the configuration says nothing.
        const DEFAULT: usize = 512;
        match usize::try_from(self.config.max_waiting) {
            Ok(max) if max > 0 => max,
            _ => DEFAULT,
        }
    }
}
