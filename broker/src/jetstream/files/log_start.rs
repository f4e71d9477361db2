//! Where the log begins.

use hitherto_storage::WalPosition;

/// The position before everything in the log.
pub(crate) const LOG_START: WalPosition = WalPosition { file: 0, offset: 0 };
