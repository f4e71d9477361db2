//! Push consumers: messages go to the deliver subject while somebody listens there.
//!
//! Windows and texts are those of nats-server 2.15 (`server/consumer.go`, `needFlowControl`,
//! `processFlowControl`, `sendIdleHeartbeat`).

use std::collections::VecDeque;
use std::time::Duration;

use hitherto_protocol::{Subject, Timestamp};

use super::Consumer;
use crate::index::Index;
use crate::output::{Output, Status, Watch};
use crate::{ConsumerConfig, Surroundings};

/// The largest window of flow control: 32 MiB. It begins with a sixteenth of it.
const WINDOW_MAX: u64 = 32 * 1024 * 1024;

/// The push side of a consumer.
#[derive(Debug)]
pub(super) struct Push {
    /// Where messages go.
    subject: Subject,
    /// Somebody listens there.
    pub(super) is_bound: bool,
    flow: Option<Flow>,
    heartbeat: Option<Duration>,
    pub(super) next_heartbeat: Option<Timestamp>,
    /// Requests of flow control so far, for their subjects.
    flow_requests: u64,
}

/// What was sent and the client has not said it has processed.
#[derive(Debug)]
struct Flow {
    window: u64,
    sent_bytes: u64,
    request: Option<FlowRequest>,
}

/// A request the client has not answered.
#[derive(Debug)]
struct FlowRequest {
    subject: Subject,
    /// What its answer says is processed.
    bytes: u64,
}

impl Flow {
    fn new() -> Self {
        Self {
            window: WINDOW_MAX / 16,
            sent_bytes: 0,
            request: None,
        }
    }

    fn is_full(&self) -> bool {
        self.sent_bytes > self.window
    }

    fn needs_request(&self) -> bool {
        self.request.is_none() && self.sent_bytes > self.window / 2
    }

    fn answered(&mut self, subject: &str) {
        if let Some(request) = self.request.take_if(|request| request.subject == subject) {
            self.window = (self.window * 2).min(WINDOW_MAX);
            self.sent_bytes = self.sent_bytes.saturating_sub(request.bytes);
        }
    }
}

impl Push {
    /// The push side of a checked configuration; `None` of a pull consumer.
    pub(super) fn new(config: &ConsumerConfig) -> Option<Self> {
        let subject = Subject::new(config.deliver_subject.clone()?)
            .expect("the deliver subject was checked before the configuration was stored");
        Some(Self {
            subject,
            is_bound: false,
            flow: config.flow_control.then(Flow::new),
            heartbeat: Some(config.idle_heartbeat).filter(|beat| !beat.is_zero()),
            next_heartbeat: None,
            flow_requests: 0,
        })
    }

    fn rearm(&mut self, now: Timestamp) {
        self.next_heartbeat = self.heartbeat.map(|beat| now.saturating_add(beat));
    }
}

impl Consumer {
    /// What the owner has to watch; `None` for a pull consumer.
    pub(crate) fn watch(&self) -> Option<Watch> {
        let push = self.push.as_ref()?;
        Some(Watch {
            consumer: self.name.clone(),
            subject: push.subject.clone(),
            group: self.config.deliver_group.clone(),
        })
    }

    /// Tells whether it pushes, and somebody listens.
    pub fn is_bound(&self) -> bool {
        self.push.as_ref().is_some_and(|push| push.is_bound)
    }

    /// Somebody listens on the deliver subject now, or nobody does.
    pub(crate) fn handle_interest(&mut self, now: Timestamp, is_bound: bool) {
        let Some(push) = &mut self.push else {
            return;
        };
        if push.is_bound == is_bound {
            return;
        }
        self.active_at = now;
        push.is_bound = is_bound;
        push.next_heartbeat = None;
        if is_bound {
            push.flow = self.config.flow_control.then(Flow::new);
            push.rearm(now);
        }
    }

    /// The client has processed what was sent before a request of flow control.
    pub(crate) fn handle_flow(&mut self, subject: &str) {
        if let Some(flow) = self.push.as_mut().and_then(|push| push.flow.as_mut()) {
            flow.answered(subject);
        }
    }

    pub(super) fn serve_push(
        &mut self,
        now: Timestamp,
        index: &Index,
        around: &mut dyn Surroundings,
        out: &mut VecDeque<Output>,
    ) {
        let mut sent = false;
        while let Some(push) = self.push.as_ref()
            && push.is_bound
            && !push.flow.as_ref().is_some_and(Flow::is_full)
        {
            let to = push.subject.clone();
            let Some(candidate) = self.candidate(now, index, around, out) else {
                break;
            };
            self.deliver_one(now, to, (candidate, index), out);
            self.count_flow(candidate.bytes, out);
            sent = true;
        }
        if sent && let Some(push) = &mut self.push {
            push.rearm(now);
        }
    }

    fn count_flow(&mut self, bytes: u64, out: &mut VecDeque<Output>) {
        let Some(push) = &mut self.push else { return };
        let Some(flow) = &mut push.flow else { return };
        flow.sent_bytes += bytes;
        if !flow.needs_request() {
            return;
        }
        push.flow_requests += 1;
        let (stream, name, number) = (&self.stream, &self.name, push.flow_requests);
        let subject = Subject::new(format!("$JS.FC.{stream}.{name}.{number}"))
            .expect("names of streams and consumers are tokens");
        flow.request = Some(FlowRequest {
            subject: subject.clone(),
            bytes: flow.sent_bytes,
        });
        out.push_back(Output::Status(Status {
            reply: Some(subject),
            code: 100,
            description: "FlowControl Request".into(),
            ..Status::to(push.subject.clone())
        }));
    }

    /// Sends a sign of life when it is due. While flow control waits for an answer it names the subject,
    /// should the request have been lost.
    pub(super) fn beat(&mut self, now: Timestamp, out: &mut VecDeque<Output>) {
        let Some(push) = &mut self.push else { return };
        if push.next_heartbeat.is_none_or(|at| at > now) {
            return;
        }
        push.rearm(now);
        let request = push.flow.as_ref().and_then(|flow| flow.request.as_ref());
        let stalled = request.map(|request| ("Nats-Consumer-Stalled", request.subject.to_string()));
        let to = push.subject.clone();
        let mut status = self.heartbeat(to);
        status.headers.extend(stalled);
        out.push_back(Output::Status(status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_opens_with_each_answer_to_its_request() {
        let mut flow = Flow::new();
        flow.sent_bytes = WINDOW_MAX / 32;
        assert!(!flow.needs_request());
        flow.sent_bytes += 1;
        assert!(flow.needs_request() && !flow.is_full());
        let subject = Subject::new("$JS.FC.S.c.1").unwrap();
        flow.request = Some(FlowRequest {
            subject,
            bytes: flow.sent_bytes,
        });
        flow.sent_bytes = WINDOW_MAX / 16 + 1;
        assert!(flow.is_full() && !flow.needs_request());
        flow.answered("$JS.FC.S.c.2");
        assert!(flow.is_full());
        flow.answered("$JS.FC.S.c.1");
        assert_eq!(
            (flow.sent_bytes, flow.window),
            (WINDOW_MAX / 32, WINDOW_MAX / 8)
        );
        flow.answered("$JS.FC.S.c.1");
        assert_eq!(flow.window, WINDOW_MAX / 8);
    }
}
