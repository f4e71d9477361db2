//! What the files say when the node starts: checkpoints first, then the log behind them, through the same
//! `apply` as everything that comes later.
//!
//! Half-done work is finished: a stream whose creation is committed is opened, one whose deletion is
//! committed is left out, and its files go with the first checkpoint. Nothing is deleted because it is
//! missing somewhere: what nobody knows is an error.
//!
//! Damage of one stream's files takes that stream offline, see [`OfflineStream`], and no other. Damage of the log,
//! which all streams share, or of the meta group is an error: nothing is known for certain then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hitherto_cluster::RecoveredGroups;
use hitherto_jetstream::{
    Compression, Freeze, GroupId, Limits, LogIndex, Meta, MetaCommand, MetaOutcome, NodeId,
    OpenTables, Restoring, Stream, StreamConfig, StreamEntry, StreamSeq, catch_unreadable,
};
use hitherto_platform::Entropy;
use hitherto_protocol::Timestamp;
use hitherto_storage::{
    Checkpoint, Checkpoints, Entry, EntryKind, Error, StreamStore, Wal, WalOptions, WalPosition,
    WalRange,
};

use super::recovered_stream::{RecoveredStream, freeze, with_cause};
use crate::jetstream::files::{LOG_START, Stores, state_record, stream_dirs};
use crate::jetstream::taking::OfflineStream;

/// The node as its files have it.
pub(crate) struct Recovered {
    pub(crate) wal: Wal,
    /// The log of the groups that are shared with other nodes.
    pub(crate) replicated: RecoveredGroups,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) meta: Meta,
    pub(crate) streams: BTreeMap<GroupId, RecoveredStream>,
    /// Streams whose files are damaged.
    pub(crate) offline: BTreeMap<GroupId, OfflineStream>,
    /// Groups of deleted streams of which there still are files.
    pub(crate) deleted: Vec<GroupId>,
}

type Saved = BTreeMap<GroupId, Result<Checkpoint, Error>>;

/// Reads everything of a node on its own.
pub(crate) fn recover(
    stores: &Stores,
    dir: &Path,
    entropy: &Arc<dyn Entropy>,
    limits: &Limits,
) -> Result<Recovered, Error> {
    recover_as((stores, dir), entropy, limits, None)
}

/// Reads everything; a node of a cluster is told who it is, and applies its log as it learns what of it is committed.
pub(crate) fn recover_as(
    (stores, dir): (&Stores, &Path),
    entropy: &Arc<dyn Entropy>,
    limits: &Limits,
    here: Option<NodeId>,
) -> Result<Recovered, Error> {
    let state_file = dir.join("state.redb");
    let checkpoints = Checkpoints::open(&stores.disk, &state_file, &**entropy)?;
    let mut saved: Saved = checkpoints.load_each()?.into_iter().collect();
    let checkpointed = wal_range(&saved);
    let saved_meta = saved.remove(&GroupId::META).transpose()?;
    let meta_from = saved_meta.as_ref().map(|checkpoint| checkpoint.wal);
    let meta = open_meta(saved_meta, &state_file, limits)?;
    let wal_dir = dir.join("wal");
    let options = WalOptions {
        entropy: Arc::clone(entropy),
        checkpointed,
        replay_from: meta_from.and_then(|from| replay_from(from, &meta, (&saved, here))),
        ..WalOptions::default()
    };
    let (wal, replay) = Wal::open(Arc::clone(&stores.disk), &wal_dir, options)?;

    let mut recovery = Recovery {
        stores,
        state_file,
        wal_dir,
        saved,
        meta,
        streams: BTreeMap::new(),
        offline: BTreeMap::new(),
        replicated: here.map(|_| RecoveredGroups::default()),
        here,
        index_bytes: 0,
    };
    recovery.open_checkpointed()?;
    for entry in replay {
        recovery.replay(&entry?)?;
    }
    recovery.log_what_was_found();
    let deleted = recovery.find_deleted()?;
    recovery.check_member()?;
    Ok(Recovered {
        wal,
        replicated: recovery.replicated.unwrap_or_default(),
        checkpoints,
        meta: recovery.meta,
        streams: recovery.streams,
        offline: recovery.offline,
        deleted,
    })
}

/// The part of the log the checkpoints know of.
fn wal_range(saved: &Saved) -> Option<WalRange> {
    WalRange::covering(saved.values().flatten().map(|checkpoint| checkpoint.wal))
}

/// Where the replay begins when the meta group's begins at `from`. `None` means with the first entry there
/// is: a stream was never checkpointed.
fn replay_from(
    from: WalPosition,
    meta: &Meta,
    (saved, here): (&Saved, Option<NodeId>),
) -> Option<WalPosition> {
    let keeps = |stream: &StreamEntry| here.is_none_or(|here| stream.peers.contains(&here));
    let mut kept = meta.iter().filter(|(_, stream)| keeps(stream));
    kept.try_fold(from, |from, (_, stream)| {
        match saved.get(&stream.group)? {
            Ok(checkpoint) => Some(from.min(checkpoint.wal)),
            // It is offline, and nothing is replayed for it.
            Err(_) => Some(from),
        }
    })
}

fn open_meta(saved: Option<Checkpoint>, file: &Path, limits: &Limits) -> Result<Meta, Error> {
    let Some(checkpoint) = saved else {
        return Ok(Meta::new(limits.clone()));
    };
    let snapshot = state_record::decode(&checkpoint.state)
        .map_err(|error| unusable(file, GroupId::META, &error))?;
    Meta::restore(snapshot, limits.clone()).map_err(|error| unusable(file, GroupId::META, &error))
}

/// The names of the streams by group, out of the meta group's checkpoint; on failure says what is wrong.
pub(crate) fn stream_names(state: &[u8]) -> Result<BTreeMap<GroupId, String>, String> {
    let snapshot = state_record::decode(state).map_err(|error| error.to_string())?;
    let meta = Meta::restore(snapshot, Limits::default()).map_err(|error| error.to_string())?;
    let name = |(name, entry): (&str, &StreamEntry)| (entry.group, name.to_owned());
    Ok(meta.iter().map(name).collect())
}

/// Said of a store that cannot be one of a cluster.
const STOOD_ALONE: &str =
    "the store is of a node that stood alone; a node of a cluster begins with a new store";

struct Recovery<'a> {
    stores: &'a Stores,
    state_file: PathBuf,
    wal_dir: PathBuf,
    /// The checkpoints of streams that are not open yet.
    saved: Saved,
    meta: Meta,
    streams: BTreeMap<GroupId, RecoveredStream>,
    offline: BTreeMap<GroupId, OfflineStream>,
    /// This node, in a cluster.
    here: Option<NodeId>,
    /// `None` on a node on its own.
    replicated: Option<RecoveredGroups>,
    /// What the indexes of the streams took when each was opened.
    index_bytes: u64,
}

impl Recovery<'_> {
    /// Opens the streams the meta group's checkpoint knows.
    fn open_checkpointed(&mut self) -> Result<(), Error> {
        let keeps = |entry: &StreamEntry| self.here.is_none_or(|here| entry.peers.contains(&here));
        let known = self.meta.iter().map(|(_, entry)| entry.clone());
        let known = known.filter(keeps);
        for entry in known.collect::<Vec<_>>() {
            self.open(entry.group, entry.created_with, entry.created)?;
        }
        Ok(())
    }

    /// Opens a stream as its own checkpoint left it, or as it was created when it has none.
    fn open(
        &mut self,
        group: GroupId,
        created_with: StreamConfig,
        created: Timestamp,
    ) -> Result<(), Error> {
        let mut needs = LOG_START;
        let opened = match self.saved.remove(&group) {
            None => self.create(group, created_with, created),
            Some(Err(error)) => Err(error),
            Some(Ok(checkpoint)) => {
                needs = checkpoint.wal;
                self.restore(group, checkpoint)
            }
        };
        match opened {
            Ok(stream) => {
                self.index_bytes += stream.opened_index_bytes;
                self.streams.insert(group, stream);
            }
            Err(error) if concerns_one_stream(&error) => {
                self.take_offline(group, &error, needs);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take_offline(&mut self, group: GroupId, error: &Error, needs: WalPosition) {
        self.streams.remove(&group);
        let known = self.meta.iter().find(|(_, entry)| entry.group == group);
        let Some((name, entry)) = known else {
            return;
        };
        let reason = with_cause(error);
        tracing::error!(stream = name, %group, reason, "a stream is offline: its files are damaged");
        let offline = OfflineStream {
            group,
            config: entry.config.clone(),
            reason,
            needs,
        };
        self.offline.insert(group, offline);
    }

    fn create(
        &self,
        group: GroupId,
        config: StreamConfig,
        created: Timestamp,
    ) -> Result<RecoveredStream, Error> {
        let mut store = self.stores.create(group)?;
        store.set_compression(config.compression == Compression::S2);
        Ok(RecoveredStream {
            stream: Stream::new(config, created),
            store,
            replayed_from: LOG_START,
            opened_index_bytes: 0,
        })
    }

    fn restore(&self, group: GroupId, checkpoint: Checkpoint) -> Result<RecoveredStream, Error> {
        let state_file = &self.state_file;
        let no_bodies = "the checkpoint of a stream has no list of segments";
        let manifest = checkpoint.manifest.ok_or(Error::Damaged {
            file: state_file.clone(),
            offset: 0,
            what: no_bodies,
        })?;
        let mut store = self.stores.open(group, manifest)?;
        let snapshot = state_record::decode(&checkpoint.state)
            .map_err(|error| unusable(state_file, group, &error))?;
        let tables = store
            .open_tables(&self.stores.tables)
            .unwrap_or_else(|error| {
                let error = with_cause(&error);
                tracing::warn!(%group, error, "the index of a stream is built from its segments");
                OpenTables::default()
            });
        let behind = tables.last_seq();
        let mut restoring = Restoring::new(snapshot, tables)
            .map_err(|error| unusable(state_file, group, &error))?;
        self.append_behind(behind, group, &mut store, &mut restoring)?;
        let stream = restoring.finish();
        let opened_index_bytes = stream.index_bytes();
        store.set_compression(stream.config().compression == Compression::S2);
        Ok(RecoveredStream {
            stream,
            store,
            replayed_from: checkpoint.wal,
            opened_index_bytes,
        })
    }

    /// Appends what the store has behind a sequence, and freezes what is too much for the memory on the way.
    fn append_behind(
        &self,
        mut behind: StreamSeq,
        group: GroupId,
        store: &mut StreamStore,
        restoring: &mut Restoring,
    ) -> Result<(), Error> {
        let budget = self.stores.index_budget;
        let hot_bytes_max = budget.while_recovering(self.index_bytes);
        let mut may_freeze = true;
        loop {
            let is_full = store.walk_metas(behind, |metas| {
                for meta in metas {
                    let meta = meta?;
                    let appended = restoring.append(&meta);
                    appended.map_err(|error| unusable(&self.state_file, group, &error))?;
                    behind = meta.seq;
                    if may_freeze && restoring.hot_index_bytes() > hot_bytes_max {
                        return Ok(true);
                    }
                }
                Ok::<bool, Error>(false)
            })?;
            if !is_full {
                return Ok(());
            }
            may_freeze = freeze(restoring, store, self.stores);
        }
    }

    fn replay(&mut self, entry: &Entry) -> Result<(), Error> {
        if let Some(replicated) = &mut self.replicated {
            let taken = replicated.take(entry);
            return match taken.map_err(|error| self.damaged(entry, error.what))? {
                true => Ok(()),
                false => Err(self.damaged(entry, STOOD_ALONE)),
            };
        }
        if entry.kind != EntryKind::default() {
            let what = "an entry is of a replicated group, and this node stands alone";
            return Err(self.damaged(entry, what));
        }
        if entry.group == GroupId::META {
            return self.replay_meta(entry);
        }
        let Some(recovered) = self.streams.get_mut(&entry.group) else {
            if self.meta.has_given_out(entry.group) {
                // Its stream is offline, or was deleted, which the meta group's checkpoint knows already.
                return Ok(());
            }
            return Err(self.damaged(entry, "an entry belongs to a stream nobody knows"));
        };
        let needs = recovered.replayed_from;
        let again = catch_unreadable(|| recovered.replay(entry.index, entry.body.clone()));
        let replayed = match again {
            Ok(true) => {
                recovered.keep_index_small(self.stores, self.index_bytes);
                recovered.keep_tail_short()
            }
            Ok(false) => {
                Err(self.damaged(entry, "an entry of a stream is unreadable or out of order"))
            }
            Err(error) => {
                // The next start builds the index from the segments.
                recovered.store.remove_tables();
                Err(error.into())
            }
        };
        match replayed {
            Err(error) if concerns_one_stream(&error) => {
                self.take_offline(entry.group, &error, needs);
                Ok(())
            }
            done => done,
        }
    }

    fn replay_meta(&mut self, entry: &Entry) -> Result<(), Error> {
        let what = "an entry of the meta group is unreadable or out of order";
        if entry.index > self.meta.applied().next() {
            return Err(self.damaged(entry, what));
        }
        for command in MetaCommand::decode_all(entry.body.clone()) {
            let command = command.map_err(|_| self.damaged(entry, what))?;
            match self.meta.apply(entry.index, command) {
                MetaOutcome::Created {
                    group,
                    config,
                    created,
                    existed: false,
                    peers: _,
                } => {
                    // A checkpoint may have caught the stream and, just before its creation, the meta group.
                    self.open(group, *config, created)?;
                }
                MetaOutcome::Deleted { group } => {
                    self.streams.remove(&group);
                    self.offline.remove(&group);
                }
                // A new configuration is put into the stream's own log, if it is not there yet.
                MetaOutcome::Created { .. }
                | MetaOutcome::Updated { .. }
                | MetaOutcome::Moved(_)
                | MetaOutcome::NodeChanged { .. }
                | MetaOutcome::Refused(_)
                | MetaOutcome::AlreadyApplied => {}
            }
        }
        Ok(())
    }

    /// The streams of a node that stood alone are in no log that others could follow.
    fn check_member(&self) -> Result<(), Error> {
        let Some(replicated) = &self.replicated else {
            return Ok(());
        };
        let has_log = replicated.ids().any(|group| group == GroupId::META);
        match self.meta.applied() == LogIndex(0) || has_log {
            true => Ok(()),
            false => Err(Error::Damaged {
                file: self.state_file.clone(),
                offset: 0,
                what: STOOD_ALONE,
            }),
        }
    }

    /// The groups that have files and no stream. Every group that was given out and has no stream was
    /// deleted by a committed command.
    ///
    /// # Errors
    /// [`Error::UnknownStream`] for one that was never given out and has files: the next stream would take its
    /// directory over, and with it the files.
    fn find_deleted(&self) -> Result<Vec<GroupId>, Error> {
        let (disk, streams_dir) = (&*self.stores.disk, &self.stores.streams_dir);
        let dirs = stream_dirs::list(disk, streams_dir)?;
        let mut groups: Vec<_> = self.saved.keys().copied().chain(dirs).collect();
        groups
            .retain(|group| !self.streams.contains_key(group) && !self.offline.contains_key(group));
        groups.sort_unstable();
        groups.dedup();
        let (deleted, unknown): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .partition(|group| self.meta.has_given_out(*group));
        for group in unknown {
            if self.replicated.is_some() {
                // The meta group knew it after its checkpoint, and will again.
                continue;
            }
            if stream_dirs::has_files(disk, streams_dir, group)? {
                let dir = stream_dirs::path(streams_dir, group);
                return Err(Error::UnknownStream { dir });
            }
        }
        Ok(deleted)
    }

    fn log_what_was_found(&self) {
        let messages: u64 = self
            .streams
            .values()
            .map(|recovered| recovered.stream.state().messages)
            .sum();
        let offline = self.offline.len();
        tracing::info!(streams = self.streams.len(), offline, messages, "recovered");
    }

    fn damaged(&self, entry: &Entry, what: &'static str) -> Error {
        tracing::error!(group = %entry.group, index = %entry.index, position = %entry.position, what);
        Error::Damaged {
            file: self.wal_dir.clone(),
            offset: entry.position.offset,
            what,
        }
    }
}

/// Tells damage of one stream's files from what concerns the whole node.
fn concerns_one_stream(error: &Error) -> bool {
    matches!(
        error,
        Error::Damaged { .. }
            | Error::NewerFormat { .. }
            | Error::OlderFormat { .. }
            | Error::Io { .. }
            | Error::Table(_)
    )
}

/// A checkpoint that was read and makes no sense.
fn unusable(file: &Path, group: GroupId, error: &dyn std::fmt::Display) -> Error {
    tracing::error!(%group, %error, "the checkpoint of a group cannot be used");
    Error::Damaged {
        file: file.to_owned(),
        offset: 0,
        what: "the checkpoint of a group cannot be used",
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
