//! What was read of segments lately, shared by all stores that hold the cache: whole blocks, where the
//! records of others lie, and a few open files.
//!
//! A block is kept whole by who reads in order, or when it has been asked for so often that reading it
//! once would have been less work. Whoever reads here and there keeps the places of the records, 4 bytes
//! each, and reads one record at a time.

mod open_files;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hitherto_platform::DiskFile;

use self::open_files::OpenFiles;
use super::block::Block;
use super::places::Places;
use crate::Error;

/// Bytes of the cache a store makes for itself: 4 MiB.
const DEFAULT_BYTES: usize = 4 * 1024 * 1024;

/// Records of a block that are read alone before it is read as a whole: 8. An estimate of how many small
/// reads take as long as reading, verifying and taking apart 64 KiB.
const READS_ALONE_MAX: u32 = 8;

/// A cache of verified blocks, and of where records lie in blocks, with a limit in bytes; the least
/// recently used go first. Clones share it: give all stores of a node one, and the limit holds for the
/// node. It also keeps open at most 32 files that are read.
#[derive(Clone)]
pub struct BlockCache {
    lru: Arc<Mutex<Lru>>,
    files: Arc<Mutex<OpenFiles>>,
}

/// Which block: store, first sequence of the segment, offset in it.
pub(super) type BlockKey = (u64, u64, u64);

/// What the cache says to a reader.
#[derive(Debug)]
pub(super) enum Cached {
    /// The block.
    Block(Block),
    /// Where its records lie; it is not worth reading as a whole.
    Places(Arc<Places>),
    /// Nothing, or a block that is worth reading as a whole.
    Nothing { read_whole: bool },
}

#[derive(Debug, Clone)]
enum Kept {
    Block(Block),
    Places {
        places: Arc<Places>,
        /// The block as a whole does not read.
        is_damaged: bool,
        /// Records read alone lately.
        reads: u32,
    },
}

struct Lru {
    kept: HashMap<BlockKey, (Kept, u64)>,
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
            kept: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            stores: 0,
            bytes: 0,
            bytes_max,
        };
        Self {
            lru: Arc::new(Mutex::new(lru)),
            files: Arc::default(),
        }
    }

    /// Returns a number for a store that no other store of this cache has.
    pub(super) fn register(&self) -> u64 {
        let mut lru = self.lock();
        lru.stores += 1;
        lru.stores
    }

    /// Looks for a block of `block_bytes` that is asked for one of its records. `in_order` says that the
    /// reader is likely to ask for the next ones too.
    pub(super) fn get(&self, key: BlockKey, block_bytes: usize, in_order: bool) -> Cached {
        let mut lru = self.lock();
        let lru = &mut *lru;
        let Some((kept, used)) = lru.kept.get_mut(&key) else {
            return Cached::Nothing {
                read_whole: in_order,
            };
        };
        let unused_for = lru.uses - *used;
        // Who reads a stream in order asks for one block again and again.
        if unused_for > 0 {
            lru.by_use.remove(used);
            lru.uses += 1;
            *used = lru.uses;
            lru.by_use.insert(lru.uses, key);
        }
        match kept {
            Kept::Block(block) => Cached::Block(block.clone()),
            Kept::Places {
                places,
                is_damaged,
                reads,
            } => {
                // A whole block would have been pushed out meanwhile, and helped nobody.
                if unused_for > (lru.bytes_max / block_bytes.max(1)) as u64 {
                    *reads = 0;
                }
                *reads = reads.saturating_add(1);
                let read_whole = !*is_damaged && (in_order || *reads > READS_ALONE_MAX);
                match read_whole {
                    true => Cached::Nothing { read_whole },
                    false => Cached::Places(Arc::clone(places)),
                }
            }
        }
    }

    /// Keeps a block.
    pub(super) fn insert(&self, key: BlockKey, block: Block) {
        self.keep(key, Kept::Block(block));
    }

    /// Keeps where the records of a block lie. One that is damaged is not asked for as a whole again.
    pub(super) fn insert_places(&self, key: BlockKey, places: Arc<Places>, is_damaged: bool) {
        let kept = Kept::Places {
            places,
            is_damaged,
            reads: 1,
        };
        self.keep(key, kept);
    }

    /// The open file of a segment (store, first sequence), which `open` opens if it is not open yet.
    pub(super) fn file(
        &self,
        segment: (u64, u64),
        open: impl FnOnce() -> Result<Arc<dyn DiskFile>, Error>,
    ) -> Result<Arc<dyn DiskFile>, Error> {
        if let Some(file) = self.open_files().get(segment) {
            return Ok(file);
        }
        let file = open()?;
        self.open_files().insert(segment, Arc::clone(&file));
        Ok(file)
    }

    /// Forgets the blocks and closes the files of a store.
    pub(super) fn forget(&self, store: u64) {
        self.close_files(store);
        let mut lru = self.lock();
        let lru = &mut *lru;
        let (mut bytes, mut uses) = (0, Vec::new());
        lru.kept.retain(|key, (kept, used)| {
            let stays = key.0 != store;
            if !stays {
                bytes += kept.memory_bytes();
                uses.push(*used);
            }
            stays
        });
        for used in uses {
            lru.by_use.remove(&used);
        }
        lru.bytes -= bytes;
    }

    /// Closes the files of a store. A file that is removed takes room on the disk as long as it is open.
    pub(super) fn close_files(&self, store: u64) {
        self.open_files().close(store);
    }

    fn keep(&self, key: BlockKey, kept: Kept) {
        let mut lru = self.lock();
        let lru = &mut *lru;
        if kept.memory_bytes() > lru.bytes_max {
            return;
        }
        lru.uses += 1;
        lru.bytes += kept.memory_bytes();
        lru.by_use.insert(lru.uses, key);
        if let Some((old, used)) = lru.kept.insert(key, (kept, lru.uses)) {
            lru.bytes -= old.memory_bytes();
            lru.by_use.remove(&used);
        }
        while lru.bytes > lru.bytes_max {
            let Some((_, oldest)) = lru.by_use.pop_first() else {
                break;
            };
            if let Some((kept, _)) = lru.kept.remove(&oldest) {
                lru.bytes -= kept.memory_bytes();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lru> {
        self.lru.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_files(&self) -> MutexGuard<'_, OpenFiles> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn memory_bytes(&self) -> usize {
        match self {
            Self::Block(block) => block.memory_bytes(),
            Self::Places { places, .. } => places.memory_bytes(),
        }
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
            .field("blocks", &lru.kept.len())
            .field("bytes", &lru.bytes)
            .field("bytes_max", &lru.bytes_max)
            .finish_non_exhaustive()
    }
}
