//! Names, groups and configurations of the streams, and the nodes that keep them.
//!
//! [`Meta::check`] is asked before a command is proposed and may refuse anything; [`Meta::apply`]
//! refuses only what depends on the streams there are. A command applied again after a restart,
//! under other limits or by a later version, so has the same result as the first time.

use std::collections::BTreeMap;

use hitherto_protocol::{SubjectFilter, Timestamp};

use super::{ClusterView, MetaCommand, NodeEntry, moves};
use crate::api::ApiError;
use crate::{ByStorage, GroupId, Limits, LogIndex, NodeId, Storage, StreamConfig};

/// Which streams there are, and which nodes.
#[derive(Debug, Clone)]
pub struct Meta {
    limits: Limits,
    pub(super) applied: LogIndex,
    /// What the snapshot held this began with. Compared instead of `applied`, as the commands of
    /// one entry share its index.
    pub(super) restored: LogIndex,
    /// Larger than every group ever given out; group 0 is this state machine's own.
    pub(super) next_group: GroupId,
    pub(super) streams: BTreeMap<String, StreamEntry>,
    /// At most [`Node::COUNT_MAX`](super::Node::COUNT_MAX); none on a node on its own.
    pub(super) nodes: BTreeMap<NodeId, NodeEntry>,
}

/// A stream as the meta state knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// The group that keeps it; never given to another stream.
    pub group: GroupId,
    /// Its configuration.
    pub config: StreamConfig,
    /// When it was created.
    pub created: Timestamp,
    /// The configuration its own log begins with; later ones come out of that log.
    pub created_with: StreamConfig,
    /// The nodes that shall keep it, admitted ones; the first leads it to begin with. Empty on a node on its
    /// own. In a cluster empty means that nobody keeps it any more: the only node that did was removed.
    pub peers: Vec<NodeId>,
    /// The filters of `config`, parsed once.
    filters: Vec<SubjectFilter>,
}

/// What a command has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaOutcome {
    /// The stream is there.
    Created {
        /// The group that keeps it.
        group: GroupId,
        /// Its configuration.
        config: Box<StreamConfig>,
        /// When it was created.
        created: Timestamp,
        /// It was there before, with an equal configuration.
        existed: bool,
        /// See [`StreamEntry::peers`].
        peers: Vec<NodeId>,
    },
    /// The stream has its new configuration.
    Updated {
        /// The group that keeps it.
        group: GroupId,
        /// Its configuration.
        config: Box<StreamConfig>,
        /// When it was created.
        created: Timestamp,
        /// See [`StreamEntry::peers`].
        peers: Vec<NodeId>,
    },
    /// The stream is gone.
    Deleted {
        /// The group that kept it.
        group: GroupId,
    },
    /// A stream lives elsewhere.
    Moved(Moved),
    /// A node was admitted, changed or removed.
    NodeChanged {
        /// Which.
        node: NodeId,
        /// The streams that have other peers by that.
        moved: Vec<Moved>,
    },
    /// Nothing has changed.
    Refused(ApiError),
    /// The entry was applied before; nothing has changed.
    AlreadyApplied,
}

/// A stream that has other peers than before; see [`StreamEntry::peers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The group that keeps it.
    pub group: GroupId,
    /// The peers until then.
    pub was: Vec<NodeId>,
    /// The peers from now on.
    pub peers: Vec<NodeId>,
}

impl Meta {
    /// No streams, on a node on its own.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            applied: LogIndex(0),
            restored: LogIndex(0),
            next_group: GroupId(1),
            streams: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// Checks a command before it is proposed, and its configuration with it. In a cluster it chooses the
    /// nodes of a stream that is created, scaled or asked to live elsewhere; what the command says of them is
    /// replaced.
    ///
    /// # Errors
    ///
    /// Everything [`StreamConfig::checked`] and [`Meta::apply`] refuse, 10027 when there are too
    /// many streams, 10052 for a new stream that asks to be sealed, 10005 when too few nodes can keep it,
    /// 10123 when it would be scaled and moved at once.
    pub fn check(&self, command: MetaCommand, view: &ClusterView) -> Result<MetaCommand, ApiError> {
        match command {
            MetaCommand::CreateStream { config, at, .. } => {
                let config = Box::new(config.checked(&self.limits)?);
                let peers = self.check_create(&config, view)?;
                return Ok(MetaCommand::CreateStream { config, at, peers });
            }
            MetaCommand::UpdateStream { config, at, .. } => {
                let config = Box::new(config.checked(&self.limits)?);
                self.check_update(&config)?;
                self.check_reserved(&config)?;
                let peers = self.place_anew(self.load(&config.name)?, &config, view)?;
                return Ok(MetaCommand::UpdateStream { config, at, peers });
            }
            MetaCommand::DeleteStream { ref name, .. } => drop(self.load(name)?),
            MetaCommand::MoveStream {
                ref name,
                ref was,
                ref peers,
                ..
            } => self.check_move(name, was, peers)?,
            MetaCommand::AdmitNode { ref node, .. } => self.check_node(node, true)?,
            MetaCommand::UpdateNode { ref node, .. } => self.check_node(node, false)?,
            MetaCommand::EvacuateNode { node, .. } if self.node(node).is_none() => {
                return Err(ApiError::server_not_member());
            }
            MetaCommand::EvacuateNode { .. } => {}
            MetaCommand::RemoveNode { node, force, .. } => self.check_removal(node, force)?,
        }
        Ok(command)
    }

    /// Applies a committed command. An entry the restored snapshot holds changes nothing.
    ///
    /// The commands of one entry come in order, each with the index of the entry.
    pub fn apply(&mut self, index: LogIndex, command: MetaCommand) -> MetaOutcome {
        if index <= self.restored {
            return MetaOutcome::AlreadyApplied;
        }
        self.applied = index;
        let outcome = match command {
            MetaCommand::CreateStream { config, at, peers } => self.create(config, at, peers),
            MetaCommand::UpdateStream { config, peers, .. } => self.update(config, peers),
            MetaCommand::DeleteStream { name, .. } => self.delete(&name),
            MetaCommand::MoveStream {
                name, was, peers, ..
            } => self.move_stream(&name, &was, peers),
            MetaCommand::AdmitNode { node, .. } => self.admit(node),
            MetaCommand::UpdateNode { node, .. } => self.update_node(node),
            MetaCommand::EvacuateNode { node, leaving, .. } => self.set_leaving(node, leaving),
            MetaCommand::RemoveNode { node, force, .. } => self.remove_node(node, force),
        };
        outcome.unwrap_or_else(MetaOutcome::Refused)
    }

    /// The last entry applied.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// What the node allows.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The stream of that name.
    pub fn find(&self, name: &str) -> Option<&StreamEntry> {
        self.streams.get(name)
    }

    /// The stream that is kept by that group, with its name.
    pub fn find_group(&self, group: GroupId) -> Option<(&str, &StreamEntry)> {
        self.iter().find(|(_, entry)| entry.group == group)
    }

    /// The streams whose subjects overlap the filter, sorted by name.
    pub fn by_subject<'a>(
        &'a self,
        filter: &'a SubjectFilter,
    ) -> impl Iterator<Item = (&'a str, &'a StreamEntry)> {
        self.iter().filter(|(_, entry)| entry.overlaps(filter))
    }

    /// All streams, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StreamEntry)> {
        self.streams
            .iter()
            .map(|(name, entry)| (name.as_str(), entry))
    }

    /// Tells whether a stream has or had this group. One that has it no more was deleted.
    pub fn has_given_out(&self, group: GroupId) -> bool {
        (GroupId(1)..self.next_group).contains(&group)
    }

    /// The bytes the streams promise to hold at most on all nodes together, of those that set `max_bytes`.
    pub fn reserved_bytes(&self) -> ByStorage<u64> {
        self.reserved_beside("")
    }

    fn reserved_beside(&self, name: &str) -> ByStorage<u64> {
        let mut reserved = ByStorage::default();
        for (_, entry) in self.iter().filter(|(other, _)| *other != name) {
            let sum = reserved.of_mut(entry.config.storage);
            *sum = promised_by_all(&entry.config).saturating_add(*sum);
        }
        reserved
    }

    /// Refuses to promise more than there is, and any stream where there is nothing. What each node of a
    /// cluster has is looked at when nodes are chosen.
    fn check_reserved(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let storage = config.storage;
        let own = promised_by_all(config);
        let all = own.saturating_add(*self.reserved_beside(&config.name).of(storage));
        let node = Some(&self.limits.node).filter(|_| self.is_alone());
        let exceeds = |max: u64| max == 0 || (own > 0 && all > max);
        if node
            .into_iter()
            .chain([&self.limits.account])
            .any(|limit| limit.of(storage).is_some_and(exceeds))
        {
            return Err(match storage {
                Storage::File => ApiError::storage_exceeded(),
                Storage::Memory => ApiError::memory_exceeded(),
            });
        }
        Ok(())
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn create(
        &mut self,
        config: Box<StreamConfig>,
        at: Timestamp,
        peers: Vec<NodeId>,
    ) -> Result<MetaOutcome, ApiError> {
        if self.has_equal(&config)? {
            let entry = self.load(&config.name)?;
            return Ok(MetaOutcome::Created {
                group: entry.group,
                config,
                created: entry.created,
                existed: true,
                peers: entry.peers.clone(),
            });
        }
        self.check_overlap(&config)?;
        self.check_peers(&config, &peers)?;
        let group = self.next_group;
        let next = group
            .0
            .checked_add(1)
            .ok_or_else(ApiError::insufficient_resources)?;
        self.next_group = GroupId(next);
        let mut entry = StreamEntry::new(group, (*config).clone(), at);
        entry.peers.clone_from(&peers);
        self.streams.insert(config.name.clone(), entry);
        Ok(MetaOutcome::Created {
            group,
            config,
            created: at,
            existed: false,
            peers,
        })
    }

    fn update(
        &mut self,
        config: Box<StreamConfig>,
        peers: Vec<NodeId>,
    ) -> Result<MetaOutcome, ApiError> {
        self.check_update(&config)?;
        let scales = self.load(&config.name)?.config.num_replicas != config.num_replicas;
        if scales || !peers.is_empty() {
            self.check_peers(&config, &peers)?;
        }
        let Some(entry) = self.streams.get_mut(&config.name) else {
            return Err(ApiError::stream_not_found());
        };
        let updated = StreamEntry::new(entry.group, (*config).clone(), entry.created);
        let before = std::mem::replace(entry, updated);
        entry.created_with = before.created_with;
        entry.peers = match peers.is_empty() {
            true => before.peers,
            false => peers,
        };
        Ok(MetaOutcome::Updated {
            group: entry.group,
            config,
            created: entry.created,
            peers: entry.peers.clone(),
        })
    }

    fn delete(&mut self, name: &str) -> Result<MetaOutcome, ApiError> {
        let entry = self
            .streams
            .remove(name)
            .ok_or_else(ApiError::stream_not_found)?;
        Ok(MetaOutcome::Deleted { group: entry.group })
    }

    fn load(&self, name: &str) -> Result<&StreamEntry, ApiError> {
        self.find(name).ok_or_else(ApiError::stream_not_found)
    }

    /// Tells whether the stream is there as asked for; one that differs has the name already.
    fn has_equal(&self, config: &StreamConfig) -> Result<bool, ApiError> {
        match self.find(&config.name) {
            None => Ok(false),
            Some(entry) if entry.config == *config => Ok(true),
            Some(_) => Err(ApiError::stream_name_in_use()),
        }
    }

    fn check_create(
        &self,
        config: &StreamConfig,
        view: &ClusterView,
    ) -> Result<Vec<NodeId>, ApiError> {
        if config.sealed {
            return Err(ApiError::stream_invalid_config(
                "stream configuration for create can not be sealed",
            ));
        }
        if self.has_equal(config)? {
            return Ok(self.load(&config.name)?.peers.clone());
        }
        self.check_overlap(config)?;
        if self.streams.len() >= self.limits.streams_max {
            return Err(ApiError::maximum_streams());
        }
        self.check_reserved(config)?;
        self.place(config, view)
    }

    fn check_update(&self, config: &StreamConfig) -> Result<(), ApiError> {
        self.load(&config.name)?.config.can_update_to(config)?;
        self.check_overlap(config)
    }

    /// A message belongs to one stream at most, so no other may share a subject with this one.
    fn check_overlap(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let filters = config.subject_filters();
        let taken = self
            .iter()
            .filter(|(name, _)| *name != config.name)
            .any(|(_, entry)| filters.iter().any(|filter| entry.overlaps(filter)));
        if taken {
            return Err(ApiError::stream_subjects_overlap());
        }
        Ok(())
    }
}

impl StreamEntry {
    /// A stream that has had no other configuration.
    pub(super) fn new(group: GroupId, config: StreamConfig, created: Timestamp) -> Self {
        let filters = config.subject_filters();
        Self {
            group,
            created_with: config.clone(),
            config,
            created,
            peers: Vec::new(),
            filters,
        }
    }

    fn overlaps(&self, filter: &SubjectFilter) -> bool {
        self.filters.iter().any(|own| own.overlaps(filter))
    }
}

/// The bytes a stream promises to hold at most on all its nodes, as nats-server 2.15 counts them for an account.
fn promised_by_all(config: &StreamConfig) -> u64 {
    moves::promised(config).saturating_mul(config.num_replicas.max(1).into())
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
