//! What the configuration of a stream may say, and what an update may change.
//!
//! Texts and order follow `checkStreamCfg` and `configUpdateCheck` of nats-server 2.15
//! (`server/stream.go`), asked on the running server.

use std::time::Duration;

use hitherto_protocol::{SubjectFilter, TransformError, format_go_duration};

use super::names::{NAME_BYTES_MAX, NameFault, check_name};
use super::{DESCRIPTION_BYTES_MAX, METADATA_BYTES_MAX};
use super::{Discard, Limits, PersistMode, Retention, Storage, StreamConfig};
use super::{is_default, metadata, unsupported};
use crate::Stream;
use crate::api::ApiError;

/// How long message ids are remembered unless the configuration says otherwise.
const DUPLICATE_WINDOW_DEFAULT: Duration = Duration::from_secs(120);

/// The shortest `max_age` and `duplicate_window`.
const AGE_MIN: Duration = Duration::from_millis(100);

/// The shortest `subject_delete_marker_ttl`.
const MARKER_TTL_MIN: Duration = Duration::from_secs(1);

/// The most replicas any cluster can keep.
const REPLICAS_MAX: u32 = 5;

impl StreamConfig {
    /// Fills the defaults and refuses what is wrong or not supported.
    ///
    /// Checking twice changes nothing. A configuration that asks to be sealed gets what comes with
    /// it; that a new stream cannot be sealed is for [`crate::Meta`] to say.
    ///
    /// # Errors
    ///
    /// 10052 with a text for most faults and for everything not supported, 10074 for more replicas
    /// than the node allows, 10157 in pedantic mode for a limit below -1.
    pub fn checked(mut self, limits: &Limits) -> Result<Self, ApiError> {
        self.check_name()?;
        self.fill_limits(limits)?;
        self.check_texts()?;
        self.check_unsupported()?;
        self.check_replicas(limits)?;
        self.fill_marker_needs()?;
        if self.sealed {
            self.close();
        }
        self.check_ages(limits)?;
        self.check_first_seq()?;
        self.check_flags()?;
        self.check_subjects()?;
        self.check_transforms()?;
        self.check_placement()?;
        self.check_persist_mode()?;
        self.check_durability()?;
        self.check_account(limits)?;
        self.sources = None;
        self.pedantic = false;
        let level = self.required_level();
        metadata::set_required_level(&mut self.metadata, level);
        Ok(self)
    }

    /// Tells whether an existing stream of this configuration can take the new one. Both are
    /// checked ones.
    ///
    /// # Errors
    ///
    /// 10052 with the text of what cannot change.
    pub fn can_update_to(&self, new: &Self) -> Result<(), ApiError> {
        let refuse = |what: &str| {
            let text = format!("stream configuration update can not {what}");
            Err(ApiError::stream_invalid_config(&text))
        };
        if self.name != new.name {
            return refuse("change name");
        }
        if self.persist_mode != new.persist_mode {
            return refuse("change persist mode");
        }
        if self.storage != new.storage {
            return refuse("change storage type");
        }
        if self.retention != new.retention
            && [self.retention, new.retention].contains(&Retention::WorkQueue)
        {
            return refuse("change retention policy to/from workqueue");
        }
        if self.sealed && !new.sealed {
            return refuse("unseal a sealed stream");
        }
        if self.allow_msg_ttl && !new.allow_msg_ttl {
            return Err(ApiError::stream_invalid_config(
                "message TTL status can not be disabled",
            ));
        }
        if self.deny_delete && !new.deny_delete {
            return refuse("cancel deny message deletes");
        }
        if self.deny_purge && !new.deny_purge {
            return refuse("cancel deny purge");
        }
        Ok(())
    }

    /// The filters of its subjects.
    ///
    /// Those of a checked configuration are valid; an invalid one is left out.
    pub fn subject_filters(&self) -> Vec<SubjectFilter> {
        let filters = self.subjects.iter().map(String::as_str);
        filters
            .filter_map(|text| SubjectFilter::try_from(text).ok())
            .collect()
    }

    pub(crate) fn check_name(&self) -> Result<(), ApiError> {
        check_name(&self.name).map_err(|fault| match fault {
            NameFault::Empty | NameFault::BadCharacter => ApiError::stream_invalid_config(
                r"stream name is required and can not contain '.', '*', '>', '\', '/'",
            ),
            NameFault::TooLong => ApiError::stream_invalid_config(&format!(
                "stream name is too long, maximum allowed is {NAME_BYTES_MAX}"
            )),
        })
    }

    fn fill_limits(&mut self, limits: &Limits) -> Result<(), ApiError> {
        let pedantic = self.pedantic;
        let below = |name: &str| ApiError::pedantic(&format!("{name} must be set to -1"));
        for (value, name) in [
            (&mut self.max_msgs, "max_msgs"),
            (&mut self.max_msgs_per_subject, "max_msgs_per_subject"),
            (&mut self.max_bytes, "max_bytes"),
            (&mut self.max_consumers, "max_consumers"),
        ] {
            if pedantic && *value < -1 {
                return Err(below(name));
            }
            if *value < 1 {
                *value = -1;
            }
        }
        if pedantic && self.max_msg_size < -1 {
            return Err(below("max_msg_size"));
        }
        if self.max_msg_size < 1 {
            self.max_msg_size = -1;
        }
        if self.duplicate_window.is_zero() {
            if pedantic && !self.max_age.is_zero() && self.max_age < DUPLICATE_WINDOW_DEFAULT {
                let text = "duplicate window cannot be bigger than max age";
                return Err(ApiError::pedantic(text));
            }
            let max_age = Some(self.max_age).filter(|age| !age.is_zero());
            let at_most = [limits.duplicate_window_max, max_age].into_iter().flatten();
            self.duplicate_window = at_most.fold(DUPLICATE_WINDOW_DEFAULT, Duration::min);
        }
        self.num_replicas = self.num_replicas.max(1);
        if self.subjects.is_empty() {
            self.subjects = vec![self.name.clone()];
        }
        Ok(())
    }

    /// Markers come with a lifetime and replace what is left of their subject, so they need both.
    fn fill_marker_needs(&mut self) -> Result<(), ApiError> {
        let refuse = |text: &str| Err(ApiError::stream_invalid_config(text));
        if self.subject_delete_marker_ttl.is_zero() {
            return Ok(());
        }
        if self.subject_delete_marker_ttl < MARKER_TTL_MIN {
            return refuse("subject delete marker TTL must be at least 1 second");
        }
        if self.pedantic && !self.allow_msg_ttl {
            return refuse("subject delete marker cannot be set if message TTLs are disabled");
        }
        if self.pedantic && !self.allow_rollup_hdrs {
            return refuse("subject delete marker cannot be set if roll-ups are disabled");
        }
        self.allow_msg_ttl = true;
        self.allow_rollup_hdrs = true;
        self.deny_purge &= self.pedantic;
        Ok(())
    }

    fn check_first_seq(&self) -> Result<(), ApiError> {
        let max = Stream::FIRST_SEQ_MAX.0;
        if self.first_seq > max {
            return Err(ApiError::stream_invalid_config(&format!(
                "first sequence is too high, maximum allowed is {max}"
            )));
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), ApiError> {
        if self
            .description
            .as_ref()
            .is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX)
        {
            return Err(ApiError::stream_invalid_config(&format!(
                "stream description is too long, maximum allowed is {DESCRIPTION_BYTES_MAX}"
            )));
        }
        if metadata::is_too_long(&self.metadata) {
            return Err(ApiError::stream_invalid_config(&format!(
                "stream metadata exceeds maximum size of {METADATA_BYTES_MAX} bytes"
            )));
        }
        Ok(())
    }

    fn check_unsupported(&self) -> Result<(), ApiError> {
        let refused = [
            (self.mirror.is_some(), "a stream mirror"),
            (is_set(self.sources.as_ref()), "a stream source"),
            (self.allow_msg_counter, "a message counter"),
            (self.allow_msg_schedules, "message scheduling"),
            (self.allow_batched, "fast batch publish"),
        ];
        match refused.iter().find(|(set, _)| *set) {
            Some((_, what)) => Err(ApiError::stream_invalid_config(&unsupported(what))),
            None => Ok(()),
        }
    }

    fn check_placement(&mut self) -> Result<(), ApiError> {
        self.placement.take_if(|wish| is_default(wish));
        match &self.placement {
            Some(wish) if !wish.preferred.is_empty() => Err(ApiError::stream_invalid_config(
                "preferred server not permitted in placement",
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn check_persist_mode(&self) -> Result<(), ApiError> {
        let refuse = |text: &str| Err(ApiError::stream_invalid_config(text));
        match self.persist_mode {
            PersistMode::Default => Ok(()),
            PersistMode::Async if self.storage != Storage::File => {
                refuse("async persist mode is only supported on file storage")
            }
            PersistMode::Async if self.allow_atomic => {
                refuse("async persist mode is not supported with atomic batch publish")
            }
            PersistMode::Async => Ok(()),
        }
    }

    fn check_transforms(&mut self) -> Result<(), ApiError> {
        if let Some(transform) = &self.subject_transform {
            transform.parse().map_err(|error| match error {
                TransformError::Source(_) => ApiError::stream_transform_source(&error.to_string()),
                _ => ApiError::stream_transform(&error.to_string()),
            })?;
        }
        let subjects = self.subject_filters();
        let Some(republish) = &mut self.republish else {
            return Ok(());
        };
        if republish.src.is_empty() {
            republish.src = ">".into();
        }
        if republish.returns_to(&subjects) {
            return Err(ApiError::stream_invalid_config(
                "stream configuration for republish destination forms a cycle",
            ));
        }
        if republish.dest.is_empty() || republish.parse().is_err() {
            return Err(ApiError::stream_invalid_config(&format!(
                "stream configuration for republish with transform from '{}' to '{}' not valid",
                republish.src, republish.dest
            )));
        }
        Ok(())
    }

    fn check_replicas(&self, limits: &Limits) -> Result<(), ApiError> {
        if self.num_replicas > REPLICAS_MAX {
            let text = format!("maximum replicas is {REPLICAS_MAX}");
            return Err(ApiError::stream_invalid_config(&text));
        }
        if self.num_replicas > limits.replicas_max {
            return Err(ApiError::replicas_not_supported());
        }
        Ok(())
    }

    /// What the account asks of every stream and allows one.
    fn check_account(&self, limits: &Limits) -> Result<(), ApiError> {
        let bytes = u64::try_from(self.max_bytes).ok();
        if limits.max_bytes_required && bytes.is_none() {
            return Err(ApiError::max_bytes_required());
        }
        let consumers = usize::try_from(self.max_consumers).unwrap_or(0);
        if limits
            .consumers
            .count_max
            .is_some_and(|max| consumers > max)
        {
            return Err(ApiError::maximum_consumers());
        }
        match (*limits.stream.of(self.storage), bytes) {
            (Some(max), Some(bytes)) if bytes > max => Err(ApiError::stream_max_bytes_exceeded()),
            _ => Ok(()),
        }
    }

    /// What sealing brings with it: nothing comes, goes or ages.
    fn close(&mut self) {
        self.max_age = Duration::ZERO;
        self.discard = Discard::New;
        self.deny_delete = true;
        self.deny_purge = true;
        self.allow_rollup_hdrs = false;
    }

    fn check_ages(&self, limits: &Limits) -> Result<(), ApiError> {
        let refuse = |text: &str| Err(ApiError::stream_invalid_config(text));
        if !self.max_age.is_zero() && self.max_age < AGE_MIN {
            return refuse("max age needs to be >= 100ms");
        }
        if self.duplicate_window < AGE_MIN {
            return refuse("duplicates window needs to be >= 100ms");
        }
        if !self.max_age.is_zero() && self.duplicate_window > self.max_age {
            return refuse("duplicates window can not be larger then max age");
        }
        if let Some(limit) = limits.duplicate_window_max
            && self.duplicate_window > limit
        {
            let limit = format_go_duration(limit);
            let text = format!("duplicates window can not be larger then server limit of {limit}");
            return refuse(&text);
        }
        Ok(())
    }

    fn check_flags(&self) -> Result<(), ApiError> {
        let refuse = |text: &str| Err(ApiError::stream_invalid_config(text));
        if self.discard_new_per_subject {
            if self.discard != Discard::New {
                return refuse("discard new per subject requires discard new policy to be set");
            }
            if self.max_msgs_per_subject <= 0 {
                return refuse("discard new per subject requires max msgs per subject > 0");
            }
        }
        if self.allow_rollup_hdrs && self.deny_purge {
            return refuse("roll-ups require the purge permission");
        }
        if self.mirror_direct {
            return refuse("stream has no mirror but does have mirror direct");
        }
        Ok(())
    }

    fn check_subjects(&self) -> Result<(), ApiError> {
        let refuse = |text: &str| Err(ApiError::stream_invalid_config(text));
        let filters = self.subject_filters();
        if filters.len() != self.subjects.len() {
            return refuse("invalid subject");
        }
        for (i, filter) in filters.iter().enumerate() {
            if let Some(other) = filters[..i].iter().find(|other| other.overlaps(filter)) {
                return refuse(&format!("subject \"{other}\" overlaps with \"{filter}\""));
            }
            if self.no_ack {
                continue;
            }
            if filter == ">" {
                return refuse("capturing all subjects requires no-ack to be true");
            }
            if overlaps_reserved(filter, &["$JS.>", "$JSC.>", "$NRG.>"], "$JS.EVENT.>") {
                return refuse(
                    "subjects that overlap with jetstream api require no-ack to be true",
                );
            }
            if overlaps_reserved(filter, &["$SYS.>"], "$SYS.ACCOUNT.>") {
                return refuse("subjects that overlap with system api require no-ack to be true");
            }
        }
        Ok(())
    }

    /// The API level its features came with (ADR-44).
    fn required_level(&self) -> u32 {
        match () {
            () if self.allow_atomic || self.persist_mode == PersistMode::Async => 2,
            () if self.allow_msg_ttl => 1,
            () => 0,
        }
    }
}

/// Tells whether the filter meets one of the reserved ones and does not lie in what is free again.
fn overlaps_reserved(
    filter: &SubjectFilter,
    reserved: &[&'static str],
    free: &'static str,
) -> bool {
    let known = |text: &'static str| SubjectFilter::new(text).expect("the text is a valid filter");
    reserved.iter().any(|text| known(text).overlaps(filter)) && !filter.is_subset_of(&known(free))
}

/// Tells whether a raw field says anything: an empty list or an object of empty values does not.
fn is_set(value: Option<&serde_json::Value>) -> bool {
    use serde_json::Value;
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !is_default(text),
        Some(Value::Array(values)) => !values.is_empty(),
        Some(Value::Object(fields)) => fields.values().any(|value| is_set(Some(value))),
        Some(Value::Bool(_) | Value::Number(_)) => true,
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
