//! The lease on a message while its handler works.
//!
//! The broker redelivers a message that is neither settled nor reported in progress for `ack_wait`.
//! So a heartbeat (`+WPI`) goes out every third of it, from delivery on, each answered by the broker.
//! The lease is lost when no heartbeat has been answered for `ack_wait`, and it ends for good at the
//! stated maximum. There is no way to hold one for ever.
//!
//! NATS does not fence heartbeats: one from a worker whose message has already been redelivered is
//! answered like any other. Handling is idempotent for that reason.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::ConsumerSettings;
use crate::jetstream::{AckSubject, JetStream, Settle};

/// Why a lease ended before the handler did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseEnd {
    /// The maximum is spent.
    Spent,
    /// The broker has not answered for `ack_wait`: others may have the message.
    Lost,
}

pub(super) struct Lease<'a> {
    jetstream: &'a JetStream,
    ack: &'a AckSubject,
    interval: Duration,
    ack_wait: Duration,
    ends_at: Instant,
    /// When the broker gives the message to others.
    expires_at: Instant,
}

impl<'a> Lease<'a> {
    /// Starts at delivery.
    pub(super) fn new(
        jetstream: &'a JetStream,
        ack: &'a AckSubject,
        settings: &ConsumerSettings,
    ) -> Self {
        let now = Instant::now();
        Self {
            jetstream,
            ack,
            interval: settings.ack_wait / 3,
            ack_wait: settings.ack_wait,
            ends_at: now + settings.heartbeat_max,
            expires_at: now + settings.ack_wait,
        }
    }

    /// Beats until the lease ends. Dropping it stops the heartbeats.
    pub(super) async fn hold(mut self) -> LeaseEnd {
        let mut beat_at = Instant::now() + self.interval;
        loop {
            if self.ends_at <= beat_at {
                sleep_until(self.ends_at).await;
                return LeaseEnd::Spent;
            }
            sleep_until(beat_at).await;
            let sent_at = Instant::now();
            beat_at = sent_at + self.interval;
            let beat = self
                .jetstream
                .settle(self.ack, &Settle::Progress, self.interval);
            match timeout_at(self.expires_at, beat).await {
                Ok(Ok(())) => self.expires_at = sent_at + self.ack_wait,
                Ok(Err(error)) => tracing::debug!(%error, "a heartbeat was not answered"),
                Err(_) => return LeaseEnd::Lost,
            }
            if Instant::now() >= self.expires_at {
                return LeaseEnd::Lost;
            }
        }
    }
}

#[cfg(test)]
mod tests;
