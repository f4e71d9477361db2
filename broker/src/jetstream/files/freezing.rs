//! Moving the older part of an index from memory into a table, when the indexes take most of what they may.
//!
//! The owner of a stream does it piece by piece between its other work: a piece is [`TABLE_MESSAGES_MAX`] messages
//! at most, some 50 ms. The keeper merges the tables. Small nodes never get here.

use hitherto_jetstream::{Freeze, TableCache};
use hitherto_storage::{Error, StreamStore};

/// Messages of one table as it is frozen: 32 K.
const TABLE_MESSAGES_MAX: u64 = 32 * 1024;

/// A table of fewer messages is not worth a file: 256.
const TABLE_MESSAGES_MIN: u64 = 256;

/// An index of which less is in memory is left there: 64 KiB.
const FREEZE_BYTES_MIN: u64 = 64 * 1024;

/// How much of an index may stay in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexBudget {
    /// Of all streams of the node.
    bytes_max: u64,
}

impl IndexBudget {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max }
    }

    /// With how much in memory a stream freezes a piece; `None` while there is room. `used` is what all indexes
    /// take now, of so many streams. What tables keep in memory counts too, so beyond seven eighths small parts are
    /// frozen as well.
    pub(crate) fn share(self, used: u64, streams: impl FnOnce() -> u64) -> Option<u64> {
        let full = self.bytes_max / 4 * 3;
        let pressed = self.bytes_max / 8 * 7;
        let share = match used {
            used if used < full => return None,
            used if used < pressed => full / streams().saturating_mul(2).max(1),
            _ => 0,
        };
        Some(share.max(FREEZE_BYTES_MIN))
    }

    /// With how much in memory a stream that is recovered freezes a piece, while those before it take so much.
    pub(crate) fn while_recovering(self, used: u64) -> u64 {
        let full = self.bytes_max / 4 * 3;
        full.saturating_sub(used).max(FREEZE_BYTES_MIN)
    }
}

/// Freezes the older half of what an index has in memory, in a piece of bounded size. `false` when it is not
/// worth it.
pub(crate) fn freeze(
    of: &mut impl Freeze,
    store: &mut StreamStore,
    cache: &TableCache,
) -> Result<bool, Error> {
    let piece = piece(of.hot_messages());
    let Some(draft) = piece.and_then(|messages| of.draft_table(messages)) else {
        return Ok(false);
    };
    let source = store.write_table(draft.bytes())?;
    of.freeze(draft, source, cache);
    Ok(true)
}

/// How many messages of so many are frozen.
fn piece(messages: u64) -> Option<usize> {
    let piece = (messages / 2).min(TABLE_MESSAGES_MAX);
    let piece = Some(piece).filter(|piece| *piece >= TABLE_MESSAGES_MIN)?;
    usize::try_from(piece).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_frozen_while_there_is_room() {
        let budget = IndexBudget::new(64 << 20);
        assert_eq!(budget.share(47 << 20, || 1), None);
        assert_eq!(budget.share(48 << 20, || 1), Some(24 << 20));
        assert_eq!(budget.share(50 << 20, || 3), Some(8 << 20));
        assert_eq!(budget.share(50 << 20, || 1_000_000), Some(FREEZE_BYTES_MIN));
        assert_eq!(budget.share(56 << 20, || 1), Some(FREEZE_BYTES_MIN));
        assert_eq!(IndexBudget::new(0).share(0, || 0), Some(FREEZE_BYTES_MIN));
    }

    #[test]
    fn a_piece_is_half_and_bounded() {
        assert_eq!(piece(500), None);
        assert_eq!(piece(512), Some(256));
        assert_eq!(piece(1_000_000), Some(32_768));
    }
}
