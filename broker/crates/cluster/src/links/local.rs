//! Nodes of one process, linked by queues that can be cut, slowed and made to lose frames.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Channel, Inbox, LinkDown, Links};
use crate::NodeId;

/// Frames under way on one channel of one direction; who sends more waits.
const FRAMES_MAX: usize = 256;

/// The network between nodes of one process; clones are of one network.
///
/// Faults are of a direction, so that a link can be cut one way. A frame that is sent or delivered while its
/// direction is cut is lost without the sender being told, as when a network swallows packets.
#[derive(Clone)]
pub struct LocalNetwork {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    inboxes: BTreeMap<NodeId, Weak<dyn Inbox>>,
    queues: BTreeMap<(NodeId, NodeId, Channel), mpsc::Sender<Bytes>>,
    cut: BTreeSet<(NodeId, NodeId)>,
    delays: BTreeMap<(NodeId, NodeId), Duration>,
    /// Of a thousand frames so many are lost.
    lost_per_mille: u32,
    random: fastrand::Rng,
}

/// The links of one node of a [`LocalNetwork`].
#[derive(Debug, Clone)]
pub struct LocalLinks {
    network: LocalNetwork,
    from: NodeId,
}

impl LocalNetwork {
    /// Creates a network without nodes and faults; which frames are lost by chance depends on the seed.
    pub fn new(seed: u64) -> Self {
        let shared = Shared {
            inboxes: BTreeMap::new(),
            queues: BTreeMap::new(),
            cut: BTreeSet::new(),
            delays: BTreeMap::new(),
            lost_per_mille: 0,
            random: fastrand::Rng::with_seed(seed),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Returns the links of a node.
    pub fn links(&self, from: NodeId) -> LocalLinks {
        let network = self.clone();
        LocalLinks { network, from }
    }

    /// From now on frames to a node go there. It is unreachable when it was dropped.
    pub fn attach(&self, node: NodeId, inbox: &Arc<dyn Inbox>) {
        self.lock().inboxes.insert(node, Arc::downgrade(inbox));
    }

    /// Takes a node off the network, and tells the others so.
    pub fn detach(&self, node: NodeId) {
        let mut shared = self.lock();
        shared.inboxes.remove(&node);
        let others: Vec<_> = shared.inboxes.values().filter_map(Weak::upgrade).collect();
        drop(shared);
        for other in others {
            other.unlinked(node);
        }
    }

    /// Cuts one direction.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.lock().cut.insert((from, to));
    }

    /// Cuts a node off from the others, in both directions.
    pub fn isolate(&self, node: NodeId, others: impl IntoIterator<Item = NodeId>) {
        let mut shared = self.lock();
        for other in others {
            shared.cut.extend([(node, other), (other, node)]);
        }
    }

    /// Makes one direction slow.
    pub fn delay(&self, from: NodeId, to: NodeId, by: Duration) {
        self.lock().delays.insert((from, to), by);
    }

    /// Makes the network lose so many of a thousand frames.
    pub fn lose(&self, per_mille: u32) {
        self.lock().lost_per_mille = per_mille;
    }

    /// Ends all faults.
    pub fn heal(&self) {
        let mut shared = self.lock();
        shared.cut.clear();
        shared.delays.clear();
        shared.lost_per_mille = 0;
    }

    /// The queue of one channel of one direction, with a task that empties it as long as there are senders.
    fn queue(&self, from: NodeId, to: NodeId, channel: Channel) -> mpsc::Sender<Bytes> {
        let mut shared = self.lock();
        let queues = &mut shared.queues;
        if let Some(queue) = queues.get(&(from, to, channel))
            && !queue.is_closed()
        {
            return queue.clone();
        }
        let (queue, mut frames) = mpsc::channel::<Bytes>(FRAMES_MAX);
        queues.insert((from, to, channel), queue.clone());
        let network = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                let Some(shared) = network.upgrade() else {
                    return;
                };
                let network = Self { shared };
                let delay = network.lock().delays.get(&(from, to)).copied();
                if let Some(delay) = delay {
                    tokio::time::sleep(delay).await;
                }
                network.deliver(from, to, frame);
            }
        });
        queue
    }

    fn deliver(&self, from: NodeId, to: NodeId, frame: Bytes) {
        let mut shared = self.lock();
        let lost_per_mille = shared.lost_per_mille;
        let is_lost = shared.random.u32(..1000) < lost_per_mille;
        if is_lost || shared.cut.contains(&(from, to)) {
            return;
        }
        let inbox = shared.inboxes.get(&to).and_then(Weak::upgrade);
        drop(shared);
        if let Some(inbox) = inbox {
            inbox.receive(from, frame);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Links for LocalLinks {
    async fn send(&self, to: NodeId, channel: Channel, frame: Bytes) -> Result<(), LinkDown> {
        let is_there = self.network.lock().inboxes.contains_key(&to);
        if !is_there {
            return Err(LinkDown(to));
        }
        let queue = self.network.queue(self.from, to, channel);
        queue.send(frame).await.map_err(|_| LinkDown(to))
    }
}

impl fmt::Debug for LocalNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.lock();
        f.debug_struct("LocalNetwork")
            .field("cut", &shared.cut)
            .field("delays", &shared.delays)
            .field("lost_per_mille", &shared.lost_per_mille)
            .finish_non_exhaustive()
    }
}
