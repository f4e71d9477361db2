//! One stream on the thread that owns it.
//!
//! | file | noun |
//! |---|---|
//! | `replica` | [`Replica`]: a stream: the state machine, the bodies, and what it still has to say |
//! | `hands` | [`Hands`]: what it needs to do its work |
//! | `commits` | what becomes of its records, and what is answered |
//! | `proposals` | its own commands on their way into the log |
//! | `deliveries`, `fetcher` | what a round delivers, and reads for it |
//! | `keeping` | [`Keeping`]: whether this node keeps it alone, and beginning and ceasing to lead |
//! | `interest` | whether anybody listens to its push consumers |
//! | `relaxation` | whether it acknowledges before the log syncs |
//! | `bodies`, `upkeep` | what goes to its files, and looking after them |
//! | `unreadable`, `stream_damage` | which of its messages are damaged, and telling of them |
//! | `damage` | [`DamageReport`]: what is known to be damaged on the node |

mod bodies;
mod commits;
mod damage;
mod deliveries;
mod fetcher;
mod hands;
mod interest;
mod keeping;
mod proposals;
mod relaxation;
mod replica;
mod stream_damage;
mod unreadable;
mod upkeep;

pub(super) use bodies::keep_body;
pub use damage::{DAMAGE_KEPT_MAX, Damage, DamageReport};
pub(crate) use hands::Hands;
pub(super) use keeping::Keeping;
pub(super) use proposals::{Record, configure};
pub(crate) use replica::Replica;
