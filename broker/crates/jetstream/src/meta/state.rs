//! Names, groups and configurations of the streams.
//!
//! [`Meta::check`] is asked before a command is proposed and may refuse anything; [`Meta::apply`]
//! refuses only what depends on the streams there are. A command applied again after a restart,
//! under other limits or by a later version, so has the same result as the first time.

use std::collections::BTreeMap;

use hitherto_protocol::{SubjectFilter, Timestamp};

use super::MetaCommand;
use crate::api::ApiError;
use crate::{ByStorage, GroupId, Limits, LogIndex, Storage, StreamConfig};

/// Which streams there are.
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
    },
    /// The stream has its new configuration.
    Updated {
        /// The group that keeps it.
        group: GroupId,
        /// Its configuration.
        config: Box<StreamConfig>,
        /// When it was created.
        created: Timestamp,
    },
    /// The stream is gone.
    Deleted {
        /// The group that kept it.
        group: GroupId,
    },
    /// Nothing has changed.
    Refused(ApiError),
    /// The entry was applied before; nothing has changed.
    AlreadyApplied,
}

impl Meta {
    /// No streams.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            applied: LogIndex(0),
            restored: LogIndex(0),
            next_group: GroupId(1),
            streams: BTreeMap::new(),
        }
    }

    /// Checks a command before it is proposed, and its configuration with it.
    ///
    /// # Errors
    ///
    /// Everything [`StreamConfig::checked`] and [`Meta::apply`] refuse, 10027 when there are too
    /// many streams, 10052 for a new stream that asks to be sealed.
    pub fn check(&self, command: MetaCommand) -> Result<MetaCommand, ApiError> {
        match command {
            MetaCommand::CreateStream { config, at } => {
                let config = Box::new(config.checked(&self.limits)?);
                if config.sealed {
                    return Err(ApiError::stream_invalid_config(
                        "stream configuration for create can not be sealed",
                    ));
                }
                if !self.has_equal(&config)? {
                    self.check_overlap(&config)?;
                    if self.streams.len() >= self.limits.streams_max {
                        return Err(ApiError::maximum_streams());
                    }
                    self.check_reserved(&config)?;
                }
                Ok(MetaCommand::CreateStream { config, at })
            }
            MetaCommand::UpdateStream { config, at } => {
                let config = Box::new(config.checked(&self.limits)?);
                self.check_update(&config)?;
                self.check_reserved(&config)?;
                Ok(MetaCommand::UpdateStream { config, at })
            }
            MetaCommand::DeleteStream { name, at } => {
                self.load(&name)?;
                Ok(MetaCommand::DeleteStream { name, at })
            }
        }
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
            MetaCommand::CreateStream { config, at } => self.create(config, at),
            MetaCommand::UpdateStream { config, at: _ } => self.update(config),
            MetaCommand::DeleteStream { name, at: _ } => self.delete(&name),
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

    /// The bytes the streams promise to hold at most, of those that set `max_bytes`.
    pub fn reserved_bytes(&self) -> ByStorage<u64> {
        self.reserved_beside("")
    }

    fn reserved_beside(&self, name: &str) -> ByStorage<u64> {
        let mut reserved = ByStorage::default();
        for (_, entry) in self.iter().filter(|(other, _)| *other != name) {
            let bytes = u64::try_from(entry.config.max_bytes).unwrap_or(0);
            let sum = reserved.of_mut(entry.config.storage);
            *sum = bytes.saturating_add(*sum);
        }
        reserved
    }

    /// Refuses to promise more than there is, and any stream where there is nothing.
    fn check_reserved(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let storage = config.storage;
        let own = u64::try_from(config.max_bytes).unwrap_or(0);
        let all = own.saturating_add(*self.reserved_beside(&config.name).of(storage));
        let limits = [&self.limits.node, &self.limits.account];
        let exceeds = |max: u64| max == 0 || (own > 0 && all > max);
        if limits
            .into_iter()
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
    ) -> Result<MetaOutcome, ApiError> {
        if self.has_equal(&config)? {
            let entry = self.load(&config.name)?;
            return Ok(MetaOutcome::Created {
                group: entry.group,
                config,
                created: entry.created,
                existed: true,
            });
        }
        self.check_overlap(&config)?;
        let group = self.next_group;
        let next = group
            .0
            .checked_add(1)
            .ok_or_else(ApiError::insufficient_resources)?;
        self.next_group = GroupId(next);
        let entry = StreamEntry::new(group, (*config).clone(), at);
        self.streams.insert(config.name.clone(), entry);
        Ok(MetaOutcome::Created {
            group,
            config,
            created: at,
            existed: false,
        })
    }

    fn update(&mut self, config: Box<StreamConfig>) -> Result<MetaOutcome, ApiError> {
        self.check_update(&config)?;
        let Some(entry) = self.streams.get_mut(&config.name) else {
            return Err(ApiError::stream_not_found());
        };
        let updated = StreamEntry::new(entry.group, (*config).clone(), entry.created);
        let before = std::mem::replace(entry, updated);
        entry.created_with = before.created_with;
        Ok(MetaOutcome::Updated {
            group: entry.group,
            config,
            created: entry.created,
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
            filters,
        }
    }

    fn overlaps(&self, filter: &SubjectFilter) -> bool {
        self.filters.iter().any(|own| own.overlaps(filter))
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
