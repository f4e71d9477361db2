//! Snapshots as the state machine gives and takes them: a checkpoint and a list of files.

use std::io;

use bytes::Bytes;
use hitherto_jetstream::{GroupId, LogIndex};

/// A snapshot of a group's state machine: small in itself, its bulk lies in files that never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftSnapshot {
    /// The last entry it has the effect of.
    pub index: LogIndex,
    /// What the state machine makes of it. Travels with the offer, so it should be a few megabytes at most.
    pub state: Bytes,
    /// The files that belong to it.
    pub files: Vec<SnapshotFile>,
}

/// A file of a snapshot. Two files with the same name, length and hash have the same content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its name, unique in the snapshot. It comes from another node: a state machine that makes a path of it must look at
    /// it first.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// The crc32c of its content.
    pub crc: u32,
}

/// The state machines of a node, as far as snapshots concern them. The calls may block; none is made from an
/// async task.
pub trait Snapshots: Send + Sync + 'static {
    /// Describes the group as it is, at any entry that was handed on. Its files stay as long as a later
    /// snapshot of the group is not taken.
    ///
    /// # Errors
    /// When there is none now; it is asked for again.
    fn take(&self, group: GroupId) -> io::Result<RaftSnapshot>;

    /// Reads a part of a file of the last snapshot that was taken or installed.
    ///
    /// # Errors
    /// When the file is not there or cannot be read.
    fn read(
        &self,
        group: GroupId,
        file: &SnapshotFile,
        offset: u64,
        len: usize,
    ) -> io::Result<Bytes>;

    /// How much of a file of a snapshot that is on its way is already here and need not be fetched: all of it
    /// when the group has the file, or what an earlier, interrupted transfer left.
    ///
    /// # Errors
    /// When the disk fails.
    fn received(&self, group: GroupId, file: &SnapshotFile) -> io::Result<u64>;

    /// Keeps the next part of a file, at `offset`, which is what was received so far.
    ///
    /// # Errors
    /// When the disk fails.
    fn receive(
        &self,
        group: GroupId,
        file: &SnapshotFile,
        offset: u64,
        part: &[u8],
    ) -> io::Result<()>;

    /// Takes the snapshot over in place of what the group is. All of its files were received. Durable when it
    /// returns: entries up to its index are not kept.
    ///
    /// # Errors
    /// When a file is not what its length and crc say, or the disk fails; then nothing was taken over.
    fn install(&self, group: GroupId, snapshot: RaftSnapshot) -> io::Result<()>;
}

/// Runs what may block where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
