//! One client connection: what it says is read, checked and routed; what it gets is gathered and written.
//!
//! | file | noun |
//! |---|---|
//! | `outbound` | [`Outbound`]: the bytes waiting for the socket; shared with everybody who delivers |
//! | `writer` | the task that moves them to the socket, many messages per write |

mod outbound;
mod writer;

pub(crate) use outbound::{CloseReason, Outbound, Pushed};
