//! Blocks read lately, shared by all stores that hold the cache.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::Block;

/// Bytes of the cache a store makes for itself: 4 MiB.
const DEFAULT_BYTES: usize = 4 * 1024 * 1024;

/// A cache of verified blocks with a limit in bytes; the least recently used go first. Clones
/// share it: give all stores of a node one, and the limit holds for the node.
#[derive(Clone)]
pub struct BlockCache {
    lru: Arc<Mutex<Lru>>,
}

/// Which block: store, first sequence of the segment, offset in it.
pub(super) type BlockKey = (u64, u64, u64);

struct Lru {
    blocks: HashMap<BlockKey, (Block, u64)>,
    by_use: BTreeMap<u64, BlockKey>,
    uses: u64,
    stores: u64,
    bytes: usize,
    bytes_max: usize,
}

impl BlockCache {
    /// Creates a cache of at most `bytes_max` bytes; 0 caches nothing.
    pub fn new(bytes_max: usize) -> Self {
        let lru = Lru {
            blocks: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            stores: 0,
            bytes: 0,
            bytes_max,
        };
        Self {
            lru: Arc::new(Mutex::new(lru)),
        }
    }

    /// Returns a number for a store that no other store of this cache has.
    pub(super) fn register(&self) -> u64 {
        let mut lru = self.lock();
        lru.stores += 1;
        lru.stores
    }

    pub(super) fn get(&self, key: BlockKey) -> Option<Block> {
        let mut lru = self.lock();
        let lru = &mut *lru;
        let (block, used) = lru.blocks.get_mut(&key)?;
        // Who reads a stream in order asks for one block again and again.
        if *used != lru.uses {
            lru.by_use.remove(used);
            lru.uses += 1;
            *used = lru.uses;
            lru.by_use.insert(lru.uses, key);
        }
        Some(block.clone())
    }

    /// Forgets the blocks of a store.
    pub(super) fn forget(&self, store: u64) {
        let mut lru = self.lock();
        let lru = &mut *lru;
        let (mut bytes, mut uses) = (0, Vec::new());
        lru.blocks.retain(|key, (block, used)| {
            let stays = key.0 != store;
            if !stays {
                bytes += block.memory_bytes();
                uses.push(*used);
            }
            stays
        });
        for used in uses {
            lru.by_use.remove(&used);
        }
        lru.bytes -= bytes;
    }

    pub(super) fn insert(&self, key: BlockKey, block: Block) {
        let mut lru = self.lock();
        let lru = &mut *lru;
        if block.memory_bytes() > lru.bytes_max {
            return;
        }
        lru.uses += 1;
        lru.bytes += block.memory_bytes();
        lru.by_use.insert(lru.uses, key);
        if let Some((old, used)) = lru.blocks.insert(key, (block, lru.uses)) {
            lru.bytes -= old.memory_bytes();
            lru.by_use.remove(&used);
        }
        while lru.bytes > lru.bytes_max {
            let Some((_, oldest)) = lru.by_use.pop_first() else {
                break;
            };
            if let Some((block, _)) = lru.blocks.remove(&oldest) {
                lru.bytes -= block.memory_bytes();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lru> {
        self.lru.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for BlockCache {
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lru = self.lock();
        f.debug_struct("BlockCache")
            .field("blocks", &lru.blocks.len())
            .field("bytes", &lru.bytes)
            .field("bytes_max", &lru.bytes_max)
            .finish()
    }
}
