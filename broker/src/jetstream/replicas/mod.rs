//! The streams on the threads that own them.
//!
//! | file | noun |
//! |---|---|
//! | `replica` | [`Replica`]: one stream: state machine, bodies, answers |
//! | `fetcher` | messages read for their delivery |
//! | `relaxation` | whether a stream acknowledges before the log syncs |
//! | `damage` | [`DamageReport`]: what is known to be damaged on the node |
//! | `unreadable` | the damaged messages of a stream that serves |

mod damage;
mod fetcher;
mod relaxation;
mod replica;
mod unreadable;

pub use damage::{DAMAGE_KEPT_MAX, Damage, DamageReport};
pub(crate) use replica::{Hands, Replica};
pub(super) use replica::{Record, configure, keep_body};
