//! Fetching a snapshot: who lacks it asks for the parts, so that it can go on where it was interrupted.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hitherto_jetstream::GroupId;
use tokio::time::timeout;

use super::peers::Peers;
use super::snapshot::{self, RaftSnapshot, Snapshots};
use super::wire::{Fetch, Request, Response};
use crate::NodeId;
use crate::links::Channel;

/// Bytes of a file that are asked for at once: 1 MiB.
pub(crate) const PART_BYTES: u32 = 1024 * 1024;

/// How long the other node may take to read and send a part: 10 s.
const PART_DEADLINE: Duration = Duration::from_secs(10);

/// What a group knows of snapshots under way, in both directions.
#[derive(Debug, Default)]
pub(crate) struct Fetching {
    /// Parts given to each peer: as long as it fetches it is alive.
    given: Mutex<HashMap<NodeId, u64>>,
    /// Held while this node fetches: one snapshot at a time.
    pub(crate) busy: tokio::sync::Mutex<()>,
}

impl Fetching {
    /// How many parts a peer was given.
    pub(crate) fn count(&self, peer: NodeId) -> u64 {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.get(&peer).copied().unwrap_or_default()
    }

    pub(crate) fn note_given(&self, peer: NodeId) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        *given.entry(peer).or_default() += 1;
    }
}

/// Fetches the files of one snapshot from the node that offered it.
pub(crate) struct Fetcher {
    pub(crate) peers: Arc<Peers>,
    pub(crate) snapshots: Arc<dyn Snapshots>,
    pub(crate) group: GroupId,
    pub(crate) from: NodeId,
    /// Bytes a second at most.
    pub(crate) rate: u64,
}

impl Fetcher {
    /// Fetches what is not here yet.
    ///
    /// # Errors
    /// When a part does not come, or comes damaged, or the disk fails; what was received stays.
    pub(crate) async fn fetch(&self, snapshot: &RaftSnapshot) -> io::Result<()> {
        for (number, file) in (0..).zip(&snapshot.files) {
            let (snapshots, group, asked) = (Arc::clone(&self.snapshots), self.group, file.clone());
            let mut received =
                snapshot::blocking(move || snapshots.received(group, &asked)).await?;
            while received < file.len {
                let len = u64::from(PART_BYTES).min(file.len - received);
                let fetch = Fetch {
                    snapshot: snapshot.index.0,
                    file: number,
                    offset: received,
                    len: u32::try_from(len).unwrap_or(PART_BYTES),
                };
                let part = self.fetch_part(fetch).await?;
                let (snapshots, file) = (Arc::clone(&self.snapshots), file.clone());
                let at = received;
                received += len;
                let keep = move || snapshots.receive(group, &file, at, &part);
                snapshot::blocking(keep).await?;
                tokio::time::sleep(
                    Duration::from_secs(len) / u32::try_from(self.rate.max(1)).unwrap_or(u32::MAX),
                )
                .await;
            }
        }
        Ok(())
    }

    async fn fetch_part(&self, fetch: Fetch) -> io::Result<bytes::Bytes> {
        let to = (self.from, Channel::Bulk);
        let mut call = self.peers.call(to, self.group, Request::Fetch(fetch));
        let response = timeout(PART_DEADLINE, call.response()).await;
        match response.map_err(|_| io::ErrorKind::TimedOut)? {
            Response::Part(part, crc)
                if part.len() == fetch.len as usize && crc32c::crc32c(&part) == crc =>
            {
                Ok(part)
            }
            Response::Part(..) => Err(io::ErrorKind::InvalidData.into()),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
