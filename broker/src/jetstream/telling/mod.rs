//! What is said to clients, and who waits for it.
//!
//! | file | noun |
//! |---|---|
//! | `outlet` | [`Outlet`]: the way out of one thread |
//! | `pub_ack` | [`PubAckForm`]: the answer to a publish |
//! | `receipt` | [`Receipt`]: who waits for the fate of a record |
//! | `refusals` | [`Refusals`]: publishes nobody waits for, when they are refused |

mod outlet;
mod pub_ack;
pub(super) mod receipt;
mod refusals;

pub(super) use outlet::ApiFigures;
pub(crate) use outlet::{DirectOrigin, Outlet};
pub(super) use pub_ack::PubAckForm;
pub(crate) use receipt::{ApiChange, ApiReceipt, Receipt};
pub(super) use receipt::{failure_error, refusal_error};
pub(super) use refusals::Refusals;
