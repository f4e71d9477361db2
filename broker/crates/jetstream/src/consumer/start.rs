//! Where a deliver policy begins.

use crate::index::{Index, Selection};
use crate::{ConsumerConfig, ConsumerSeq, DeliverPolicy, StreamSeq};

use super::progress::{Place, Progress};

/// The progress of a consumer that has delivered nothing.
pub(super) fn progress(config: &ConsumerConfig, selection: &Selection, index: &Index) -> Progress {
    let end = index.last_seq().next();
    let mut initial = Vec::new();
    let from = match config.deliver_policy {
        DeliverPolicy::All => index.first_seq(),
        DeliverPolicy::New => end,
        // Where no message matches, it begins anywhere; nats-server says so by the first.
        DeliverPolicy::Last => index
            .last_selected(selection)
            .unwrap_or_else(|| index.first_seq()),
        DeliverPolicy::LastPerSubject => {
            initial = index.last_per_subject(selection);
            end
        }
        DeliverPolicy::ByStartSequence => {
            StreamSeq(config.opt_start_seq.unwrap_or(0)).max(index.first_seq())
        }
        DeliverPolicy::ByStartTime => config
            .opt_start_time
            .map_or(index.first_seq(), |at| index.at_time(at)),
    };
    let before = Place {
        stream_seq: initial.first().copied().unwrap_or(from).previous(),
        consumer_seq: ConsumerSeq(0),
    };
    Progress {
        delivered: before,
        ack_floor: before,
        undelivered: index.count(from, selection) + initial.len() as u64,
        initial: initial.into(),
        live_from: from,
        ..Progress::default()
    }
}
