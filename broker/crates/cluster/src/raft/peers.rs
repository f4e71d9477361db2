//! Calls to other nodes: requests go out in frames, and responses find who waits for them.
//!
//! What groups have for a peer at the same time shares a frame: a task per peer and channel sends what gathered
//! while the link took the frame before.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use hitherto_jetstream::GroupId;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use super::wire::{Body, Message, Request, Response, VERSION};
use crate::NodeId;
use crate::links::{Channel, Links};

/// Bytes that wait for one channel of a peer at most: 64 MiB. A request beyond is lost, and its sender told.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Size at which a frame is complete: 1 MiB. A larger message is a frame of its own.
const FRAME_BYTES_MAX: usize = 1024 * 1024;

pub(crate) struct Peers {
    links: Arc<dyn Links>,
    runtime: Handle,
    outboxes: Mutex<BTreeMap<(NodeId, Channel), Arc<Outbox>>>,
    /// Who waits for a response, and of whom.
    waiting: Mutex<HashMap<u64, (NodeId, oneshot::Sender<Response>)>>,
    /// Numbers of calls and sessions. They begin anywhere, so that those of an earlier life mean nothing.
    next: AtomicU64,
    /// Nothing is sent any more.
    is_closed: AtomicBool,
}

struct Outbox {
    messages: Mutex<Messages>,
    filled: Notify,
    sender: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Messages {
    /// With the number of the call, for a request.
    queue: VecDeque<(Bytes, Option<u64>)>,
    bytes: usize,
}

/// A response that is waited for. Dropped, it is not waited for any more.
pub(crate) struct Call {
    number: u64,
    response: oneshot::Receiver<Response>,
    peers: Arc<Peers>,
}

impl Peers {
    pub(crate) fn new(links: Arc<dyn Links>, runtime: Handle, first: u64) -> Arc<Self> {
        Arc::new(Self {
            links,
            runtime,
            outboxes: Mutex::default(),
            waiting: Mutex::default(),
            next: AtomicU64::new(first),
            is_closed: AtomicBool::new(false),
        })
    }

    /// A number nobody else has: of a call or a session, never 0.
    pub(crate) fn number(&self) -> u64 {
        match self.next.fetch_add(1, Ordering::Relaxed) {
            0 => self.number(),
            number => number,
        }
    }

    /// Sends a request. Its response may never come: who waits has a deadline.
    pub(crate) fn call(
        self: &Arc<Self>,
        (to, channel): (NodeId, Channel),
        group: GroupId,
        request: Request,
    ) -> Call {
        let number = self.number();
        let (sender, response) = oneshot::channel();
        lock(&self.waiting).insert(number, (to, sender));
        let message = Message {
            group,
            call: number,
            body: Body::Request(request),
        };
        if !self.post((to, channel), message.encode(), Some(number)) {
            self.answer(number, Response::Lost);
        }
        Call {
            number,
            response,
            peers: Arc::clone(self),
        }
    }

    /// Sends a response. It is lost when too much waits, as it may be under way.
    pub(crate) fn respond(
        self: &Arc<Self>,
        to: (NodeId, Channel),
        (group, call): (GroupId, u64),
        response: Response,
    ) {
        let message = Message {
            group,
            call,
            body: Body::Response(response),
        };
        self.post(to, message.encode(), None);
    }

    /// Gives a response to who waits for it, if anybody still does.
    pub(crate) fn answer(&self, call: u64, response: Response) {
        let waiting = lock(&self.waiting).remove(&call);
        if let Some((_, waiting)) = waiting {
            // Who waited may be gone just now.
            drop(waiting.send(response));
        }
    }

    /// Nothing that a peer was asked is answered any more.
    pub(crate) fn lose(&self, peer: NodeId) {
        let mut waiting = lock(&self.waiting);
        // Who waits hears of it by the sender that is gone.
        waiting.retain(|_, (asked, _)| *asked != peer);
    }

    /// Sends nothing any more.
    pub(crate) fn shutdown(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        for outbox in std::mem::take(&mut *lock(&self.outboxes)).into_values() {
            if let Some(sender) = lock(&outbox.sender).take() {
                sender.abort();
            }
        }
        lock(&self.waiting).clear();
    }

    fn post(self: &Arc<Self>, to: (NodeId, Channel), message: Bytes, call: Option<u64>) -> bool {
        if self.is_closed.load(Ordering::SeqCst) {
            return false;
        }
        let outbox = self.outbox(to);
        let mut messages = lock(&outbox.messages);
        if messages.bytes >= WAITING_BYTES_MAX {
            return false;
        }
        messages.bytes += message.len();
        messages.queue.push_back((message, call));
        drop(messages);
        outbox.filled.notify_one();
        true
    }

    fn outbox(self: &Arc<Self>, to: (NodeId, Channel)) -> Arc<Outbox> {
        let mut outboxes = lock(&self.outboxes);
        if let Some(outbox) = outboxes.get(&to) {
            return Arc::clone(outbox);
        }
        let outbox = Arc::new(Outbox {
            messages: Mutex::default(),
            filled: Notify::new(),
            sender: Mutex::new(None),
        });
        outboxes.insert(to, Arc::clone(&outbox));
        let sending = send_all(Arc::clone(self), to, Arc::clone(&outbox));
        let sender = self.runtime.spawn(sending);
        *lock(&outbox.sender) = Some(sender.abort_handle());
        outbox
    }
}

/// Sends what gathers, until it is aborted.
async fn send_all(peers: Arc<Peers>, (to, channel): (NodeId, Channel), outbox: Arc<Outbox>) {
    loop {
        let taken = lock(&outbox.messages).take_frame();
        let Some((frame, calls)) = taken else {
            outbox.filled.notified().await;
            continue;
        };
        if let Err(error) = peers.links.send(to, channel, frame).await {
            tracing::debug!(%error, ?channel, "a frame was not sent");
            for call in calls {
                peers.answer(call, Response::Lost);
            }
        }
    }
}

impl Messages {
    fn take_frame(&mut self) -> Option<(Bytes, Vec<u64>)> {
        if self.queue.is_empty() {
            return None;
        }
        let mut frame = BytesMut::new();
        frame.put_u8(VERSION);
        let mut calls = Vec::new();
        while let Some((message, _)) = self.queue.front()
            && (frame.len() == 1 || frame.len() + message.len() <= FRAME_BYTES_MAX)
            && let Some((message, call)) = self.queue.pop_front()
        {
            self.bytes -= message.len();
            frame.extend_from_slice(&message);
            calls.extend(call);
        }
        Some((frame.freeze(), calls))
    }
}

impl Call {
    /// Waits for the response; without a deadline, but [`Response::Lost`] when none can come.
    pub(crate) async fn response(&mut self) -> Response {
        (&mut self.response).await.unwrap_or(Response::Lost)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        lock(&self.peers.waiting).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
