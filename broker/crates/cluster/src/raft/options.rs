//! How the Raft groups of a node behave.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use super::wire::ENTRIES_MAX;

/// Times and limits of the Raft groups of a node. All nodes of a cluster should have the same.
#[derive(Debug, Clone, Copy)]
pub struct RaftOptions {
    /// How often a leader tells the others that it is there; 250 ms.
    pub heartbeat: Duration,
    /// A follower that has heard nothing for this long and a random part of as long again asks for votes;
    /// 1 s, so 1 to 2 s.
    pub election_timeout: Duration,
    /// Bytes that may be under way, from proposal to applied, of all groups of the node, those that stand
    /// alone included; 64 MiB. And as many of entries that come from others, or from the log after a start, and
    /// wait to be applied: then no more are handed on.
    pub pending_bytes_max: usize,
    /// Bytes of written entries that are kept in memory for followers; 64 MiB. Who lags further behind is served from the disk.
    pub tail_bytes_max: usize,
    /// Bytes a second at which a snapshot is fetched; 64 MiB.
    pub fetch_bytes_per_second: u64,
}

impl Default for RaftOptions {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            election_timeout: Duration::from_secs(1),
            pending_bytes_max: 64 * 1024 * 1024,
            tail_bytes_max: super::tail::TAIL_BYTES_MAX,
            fetch_bytes_per_second: 64 * 1024 * 1024,
        }
    }
}

impl RaftOptions {
    pub(crate) fn to_config(self) -> io::Result<Arc<Config>> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let heartbeat = millis(self.heartbeat);
        let config = Config {
            cluster_name: "hitherto".to_owned(),
            heartbeat_interval: heartbeat,
            // Entries that were just acknowledged say as much as a heartbeat.
            heartbeat_min_interval: Some(heartbeat / 2),
            election_timeout_min: millis(self.election_timeout),
            election_timeout_max: millis(self.election_timeout * 2),
            enable_pre_vote: Some(true),
            // Followers write while the leader does.
            broadcast_submitted_on_append: Some(true),
            // For the same reason a leader that restarts must not go on in its term, as openraft would let it:
            // followers may have entries of that term that it lost, and it would give their indexes to others.
            enable_leader_restore: Some(false),
            max_payload_entries: u64::from(ENTRIES_MAX),
            // Snapshots and what they let go of are asked for, never taken by chance: a purge that overtakes
            // an apply ends the core (openraft issue 2116).
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX / 2,
            purge_batch_size: 1,
            replication_lag_threshold: 64,
            // The client has a deadline of its own, for each part.
            install_snapshot_timeout: 24 * 60 * 60 * 1000,
            ..Config::default()
        };
        config.validate().map(Arc::new).map_err(io::Error::other)
    }
}
