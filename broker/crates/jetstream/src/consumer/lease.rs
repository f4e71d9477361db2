//! [`Lease`]: how long the one who got a delivery has it to himself. Only the owner of the consumer knows; a
//! restart forgets it.

use hitherto_protocol::Timestamp;

use crate::command::Settlement;

/// What the owner knows of a pending delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lease {
    /// When it is given again; `None` when nobody owns it or it is overdue.
    pub(super) due: Option<Timestamp>,
    /// When it was sent.
    pub(super) sent_at: Timestamp,
    /// A record that settles it is on its way.
    pub(super) settling: Option<Settlement>,
}
