//! What the configuration of a consumer may say, and what an update may change.
//!
//! Texts and order follow `checkConsumerCfg` and `updateConfig` of nats-server 2.15
//! (`server/consumer.go`), asked on the running server.

use std::time::Duration;

use hitherto_protocol::SubjectFilter;

use super::consumer::{AckPolicy, ConsumerConfig, DeliverPolicy, ReplayPolicy};
use super::names::{NAME_BYTES_MAX, NameFault, check_name};
use super::ordered_by::{ORDERED_BY, TokenRange};
use super::{DESCRIPTION_BYTES_MAX, Retention, StreamConfig, metadata, unsupported};
use crate::api::ApiError;

const ACK_WAIT_DEFAULT: Duration = Duration::from_secs(30);
const MAX_ACK_PENDING_DEFAULT: i64 = 1000;
const MAX_WAITING_DEFAULT: i64 = 512;
const INACTIVE_THRESHOLD_DEFAULT: Duration = Duration::from_secs(5);
const IDLE_HEARTBEAT_MIN: Duration = Duration::from_millis(100);
const MAX_EXPIRES_MIN: Duration = Duration::from_millis(1);

impl ConsumerConfig {
    /// Fills the defaults and refuses what is wrong or not supported. Checking twice changes
    /// nothing.
    ///
    /// An ephemeral consumer without a name stays without one; the caller gives it one.
    ///
    /// # Errors
    ///
    /// The error of nats-server for each fault, 10012 with a text for what is not supported.
    pub fn checked(mut self, stream: &StreamConfig) -> Result<Self, ApiError> {
        let asked_max_waiting = self.max_waiting;
        self.fill_defaults(stream);
        if self.num_replicas < 0 {
            return Err(ApiError::replicas_negative());
        }
        self.check_name()?;
        self.check_description()?;
        self.check_names()?;
        match self.deliver_subject.clone() {
            Some(subject) => self.check_push(&subject, asked_max_waiting, stream)?,
            None => self.check_pull(stream)?,
        }
        self.check_unsupported()?;
        self.check_numbers(stream)?;
        self.check_start()?;
        self.check_filters()?;
        self.check_ordered_by()?;
        self.check_texts()?;
        self.note_required_level();
        Ok(self)
    }

    /// Writes the API level its features came with into its metadata (ADR-44): a pause is of level 1.
    pub(crate) fn note_required_level(&mut self) {
        let level = u32::from(self.pause_until.is_some());
        metadata::set_required_level(&mut self.metadata, level);
    }

    /// Tells whether an existing consumer of this configuration can take the new one. Both are
    /// checked ones.
    ///
    /// # Errors
    ///
    /// 10012 with the text of what cannot change.
    pub fn can_update_to(&self, new: &Self) -> Result<(), ApiError> {
        match (&self.deliver_subject, &new.deliver_subject) {
            (None, Some(_)) => {
                return Err(ApiError::consumer_invalid(
                    "can not update pull consumer to push based",
                ));
            }
            (Some(_), None) if self.idle_heartbeat == new.idle_heartbeat => {
                return Err(ApiError::consumer_invalid(
                    "can not update push consumer to pull based",
                ));
            }
            _ => {}
        }
        let fixed = [
            (self.idle_heartbeat == new.idle_heartbeat, "heart beats"),
            (self.flow_control == new.flow_control, "flow control"),
            (self.deliver_policy == new.deliver_policy, "deliver policy"),
            (self.opt_start_seq == new.opt_start_seq, "start sequence"),
            (self.opt_start_time == new.opt_start_time, "start time"),
            (self.ack_policy == new.ack_policy, "ack policy"),
            (self.replay_policy == new.replay_policy, "replay policy"),
            (self.max_waiting == new.max_waiting, "max waiting"),
            (self.mem_storage == new.mem_storage, "storage type"),
            (self.ordered_by() == new.ordered_by(), ORDERED_BY),
        ];
        match fixed.iter().find(|(equal, _)| !*equal) {
            Some((_, what)) => Err(ApiError::consumer_invalid(&format!(
                "{what} can not be updated"
            ))),
            None => Ok(()),
        }
    }

    fn fill_defaults(&mut self, stream: &StreamConfig) {
        if self.name.is_none() {
            self.name.clone_from(&self.durable_name);
        }
        if self.max_deliver < 1 {
            self.max_deliver = -1;
        }
        if self.deliver_subject.is_some() {
            self.max_waiting = 0;
        } else if self.max_waiting < 1 {
            self.max_waiting = MAX_WAITING_DEFAULT;
        }
        self.max_batch = self.max_batch.max(0);
        self.max_bytes = self.max_bytes.max(0);
        self.filter_subject.take_if(|filter| filter.is_empty());
        self.opt_start_seq.take_if(|seq| *seq == 0);
        self.opt_start_time.take_if(|time| time.is_zero());
        self.pause_until.take_if(|time| time.is_zero());
        self.priority_policy.take_if(|policy| policy == "none");
        if self.max_ack_pending == 0 {
            self.max_ack_pending = stream.consumer_limits.max_ack_pending.max(0);
        }
        if self.ack_policy != AckPolicy::None {
            self.fill_ack_defaults();
        }
        if let Some(first) = self.backoff.first() {
            self.ack_wait = *first;
        }
        if self.inactive_threshold.is_zero() {
            self.inactive_threshold = match stream.consumer_limits.inactive_threshold {
                Duration::ZERO if self.is_durable() => Duration::ZERO,
                Duration::ZERO => INACTIVE_THRESHOLD_DEFAULT,
                limit => limit,
            };
        }
    }

    fn fill_ack_defaults(&mut self) {
        if self.ack_wait.is_zero() {
            self.ack_wait = ACK_WAIT_DEFAULT;
        }
        if self.max_ack_pending == 0 {
            self.max_ack_pending = MAX_ACK_PENDING_DEFAULT;
        }
        self.max_ack_pending = self.max_ack_pending.max(-1);
    }

    fn check_names(&self) -> Result<(), ApiError> {
        match (&self.durable_name, &self.name) {
            (Some(durable), Some(name)) if durable != name => {
                Err(ApiError::consumer_durable_and_name_mismatch())
            }
            _ => Ok(()),
        }
    }

    fn check_name(&self) -> Result<(), ApiError> {
        let Some(name) = self.consumer_name() else {
            return Ok(());
        };
        check_name(name).map_err(|fault| match fault {
            NameFault::TooLong => ApiError::consumer_name_too_long(NAME_BYTES_MAX),
            NameFault::BadCharacter if name.contains(['/', '\\']) => {
                ApiError::consumer_name_with_path_separator()
            }
            NameFault::Empty | NameFault::BadCharacter => ApiError::stream_invalid_config(
                r"consumer name can not contain '.', '*', '>', '\', '/'",
            ),
        })
    }

    fn check_pull(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        let is_queue = stream.retention == Retention::WorkQueue;
        if is_queue && self.ack_policy == AckPolicy::None {
            return Err(ApiError::consumer_pull_requires_ack());
        }
        if self.rate_limit_bps > 0 {
            return Err(ApiError::consumer_rate_limit_needs_push());
        }
        if !self.idle_heartbeat.is_zero() {
            return Err(ApiError::consumer_heartbeat_needs_push());
        }
        if self.flow_control {
            return Err(ApiError::consumer_flow_control_needs_push());
        }
        if self.direct {
            return Err(ApiError::consumer_direct_needs_push());
        }
        Ok(())
    }

    fn check_push(
        &self,
        subject: &str,
        asked_max_waiting: i64,
        stream: &StreamConfig,
    ) -> Result<(), ApiError> {
        let filter = SubjectFilter::new(subject.to_owned())
            .map_err(|_| ApiError::consumer_invalid_deliver_subject())?;
        if !filter.is_literal() {
            return Err(ApiError::consumer_deliver_to_wildcards());
        }
        let captures = |subject: &String| {
            let captured = SubjectFilter::new(subject.clone());
            captured.is_ok_and(|captured| captured.overlaps(&filter))
        };
        if stream.subjects.iter().any(captures) {
            return Err(ApiError::consumer_deliver_cycle());
        }
        if asked_max_waiting > 0 {
            return Err(ApiError::consumer_push_with_max_waiting());
        }
        if self.max_ack_pending > 0 && self.ack_policy == AckPolicy::None {
            return Err(ApiError::consumer_max_pending_needs_ack_policy());
        }
        if !self.idle_heartbeat.is_zero() && self.idle_heartbeat < IDLE_HEARTBEAT_MIN {
            return Err(ApiError::consumer_small_heartbeat());
        }
        if self.flow_control && self.idle_heartbeat.is_zero() {
            return Err(ApiError::consumer_with_flow_control_needs_heartbeats());
        }
        if self.direct {
            return Err(ApiError::consumer_invalid(&unsupported(
                "a direct consumer",
            )));
        }
        Ok(())
    }

    fn check_unsupported(&self) -> Result<(), ApiError> {
        let prioritized = self.priority_policy.is_some()
            || !self.priority_groups.is_empty()
            || !self.priority_timeout.is_zero();
        let refused = [
            (
                self.ack_policy == AckPolicy::FlowControl,
                "ack policy flow_control",
            ),
            (prioritized, "a priority group"),
            (self.sourcing, "a sourcing consumer"),
        ];
        match refused.iter().find(|(set, _)| *set) {
            Some((_, what)) => Err(ApiError::consumer_invalid(&unsupported(what))),
            None => Ok(()),
        }
    }

    fn check_numbers(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if self.backoff.iter().any(Duration::is_zero) {
            return Err(ApiError::consumer_backoff_negative());
        }
        let steps = i64::try_from(self.backoff.len()).unwrap_or(i64::MAX);
        if self.max_deliver > 0 && self.max_deliver < steps {
            return Err(ApiError::consumer_max_deliver_backoff());
        }
        if !self.max_expires.is_zero() && self.max_expires < MAX_EXPIRES_MIN {
            return Err(ApiError::consumer_max_expires_too_small());
        }
        let limits = &stream.consumer_limits;
        if limits.max_ack_pending > 0 && self.max_ack_pending > limits.max_ack_pending {
            return Err(ApiError::consumer_max_ack_pending_excess(
                limits.max_ack_pending,
            ));
        }
        let threshold = limits.inactive_threshold;
        if !threshold.is_zero() && self.inactive_threshold > threshold {
            let limit = format!("{threshold:?}");
            return Err(ApiError::consumer_inactive_threshold_excess(&limit));
        }
        self.check_replicas(stream)
    }

    /// That a node on its own keeps one copy is for its owner to say: this answers as a cluster does.
    fn check_replicas(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        let replicas = u32::try_from(self.num_replicas).unwrap_or(0);
        let of_stream = stream.num_replicas.max(1);
        if replicas > of_stream {
            return Err(ApiError::consumer_replicas_exceed_stream());
        }
        // What such a stream keeps depends on its consumers, so these live where it does.
        let decides = stream.retention != Retention::Limits;
        if decides && replicas != 0 && replicas != of_stream {
            return Err(ApiError::consumer_replicas_should_match_stream());
        }
        Ok(())
    }

    fn check_start(&self) -> Result<(), ApiError> {
        let (policy, takes_seq, takes_time) = match self.deliver_policy {
            DeliverPolicy::All => ("all", false, false),
            DeliverPolicy::Last => ("last", false, false),
            DeliverPolicy::New => ("new", false, false),
            DeliverPolicy::LastPerSubject => ("last per subject", false, false),
            DeliverPolicy::ByStartSequence => ("by start sequence", true, false),
            DeliverPolicy::ByStartTime => ("by start time", false, true),
        };
        let fault = match (self.opt_start_seq, self.opt_start_time) {
            (None, _) if takes_seq => "start sequence is not set",
            (Some(_), _) if takes_time => "start start sequence is also set",
            (Some(_), _) if !takes_seq => "start sequence is also set",
            (_, None) if takes_time => "start time is not set",
            (_, Some(_)) if !takes_time => "start time is also set",
            _ if self.lacks_needed_filter() => "filter subject is not set",
            _ => return Ok(()),
        };
        Err(ApiError::consumer_invalid_policy(&format!(
            "consumer delivery policy is deliver {policy}, but optional {fault}"
        )))
    }

    fn lacks_needed_filter(&self) -> bool {
        self.deliver_policy == DeliverPolicy::LastPerSubject && self.filters().is_empty()
    }

    fn check_filters(&self) -> Result<(), ApiError> {
        if self.filter_subject.is_some() && !self.filter_subjects.is_empty() {
            return Err(ApiError::consumer_duplicate_filters());
        }
        let mut known: Vec<SubjectFilter> = Vec::new();
        for text in self.filters() {
            if text.is_empty() {
                return Err(ApiError::consumer_empty_filter());
            }
            let filter = SubjectFilter::try_from(text)
                .map_err(|_| ApiError::stream_invalid_config("invalid subject"))?;
            if known.iter().any(|other| other.overlaps(&filter)) {
                return Err(ApiError::consumer_overlapping_filters());
            }
            known.push(filter);
        }
        Ok(())
    }

    /// What at most one message in flight for each key asks for; see [`ORDERED_BY`].
    fn check_ordered_by(&self) -> Result<(), ApiError> {
        let Some(text) = self.metadata.get(ORDERED_BY) else {
            return Ok(());
        };
        let fault = if TokenRange::parse(text).is_none() {
            "must be a range of tokens such as 2 or 1-3"
        } else if self.ack_policy != AckPolicy::Explicit {
            "needs ack policy explicit"
        } else if self.deliver_policy == DeliverPolicy::LastPerSubject {
            "does not go with deliver policy last_per_subject"
        } else {
            return Ok(());
        };
        Err(ApiError::consumer_invalid(&format!("{ORDERED_BY} {fault}")))
    }

    fn check_description(&self) -> Result<(), ApiError> {
        match &self.description {
            Some(text) if text.len() > DESCRIPTION_BYTES_MAX => Err(
                ApiError::consumer_description_too_long(DESCRIPTION_BYTES_MAX),
            ),
            Some(_) | None => Ok(()),
        }
    }

    fn check_texts(&self) -> Result<(), ApiError> {
        if let Some(text) = &self.sample_freq
            && let Err(fault) = parse_percent(text)
        {
            return Err(ApiError::consumer_invalid_sampling(&fault));
        }
        if metadata::is_too_long(&self.metadata) {
            return Err(ApiError::consumer_metadata_too_long("128KB"));
        }
        Ok(())
    }
}

/// The share of `sample_freq`, such as `50` or `50%`; the fault in the words of Go.
fn parse_percent(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<i64>() {
        Ok(percent) => u64::try_from(percent).map_err(|_| "<nil>".to_owned()),
        Err(_) => Err(format!("strconv.Atoi: parsing {number:?}: invalid syntax")),
    }
}

impl ConsumerConfig {
    /// How many of a hundred acknowledgements are reported.
    pub(crate) fn sampled_percent(&self) -> u64 {
        let percent = self.sample_freq.as_deref().map(parse_percent);
        percent.and_then(Result::ok).unwrap_or(0)
    }

    /// The tokens by which messages are kept in order; `None` when they are not.
    pub(crate) fn ordered_by(&self) -> Option<TokenRange> {
        TokenRange::parse(self.metadata.get(ORDERED_BY)?)
    }

    /// Tells whether stored messages come with the gaps they were published at.
    pub(crate) fn replays_original(&self) -> bool {
        self.replay_policy == ReplayPolicy::Original
    }

    /// Tells whether a consumer of this configuration may live in memory alone: nobody would notice that
    /// it begins anew with the process, as its client makes it again where it has got to. Ordered
    /// consumers of client libraries are like that.
    pub(crate) fn is_volatile(&self) -> bool {
        self.mem_storage && !self.is_durable() && self.ack_policy == AckPolicy::None
    }
}

#[cfg(test)]
#[path = "consumer_tests.rs"]
mod tests;
