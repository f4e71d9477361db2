//! What the files say when the node starts.
//!
//! | file | noun |
//! |---|---|
//! | `recover` | [`recover()`]: reads the checkpoints, then the log behind them |
//! | `recovered_stream` | [`RecoveredStream`]: a stream as its files have it |

mod recover;
mod recovered_stream;

pub(crate) use recover::{Recovered, recover, recover_as, stream_names};
pub(crate) use recovered_stream::RecoveredStream;
