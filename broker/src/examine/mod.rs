//! Looking at the store of a node that does not run: what is in it, and whether it is what was written.
//!
//! Nothing is ever written. Where the code that opens a store would write, it does so to a view in memory,
//! so what is shown is what a node would find at its next start.
//!
//! | file | noun |
//! |---|---|
//! | `check` | [`CheckReport`]: every file, verified |
//! | `inspect` | [`Inspection`]: streams, consumers, segments, the log |
//! | `message` | [`FoundMessage`]: one stored message |

mod check;
mod inspect;
mod message;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hitherto_jetstream::{GroupId, Limits};
use hitherto_platform::{Disk, DiskLock, Entropy, OverlayDisk, SystemEntropy};
use hitherto_storage::Checkpoints;

use crate::Error;
use crate::config::MAX_INDEX_BYTES;
use crate::jetstream::{IndexBudget, Recovered, Stores, recover};

pub use hitherto_jetstream::api::ConsumerInfo;

pub use check::{CheckReport, DamagedPlace, OfflineReport, Progress, StreamReport};
pub use inspect::{Inspection, LogFile, SegmentReport, StreamInspection};
pub use message::FoundMessage;

/// A store whose node does not run. While this value lives no node can start on it.
///
/// # Examples
/// ```
/// use hitherto_broker::examine::StoreAtRest;
/// use hitherto_broker::{Node, NodeConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dir = tempfile::tempdir()?;
/// Node::start(NodeConfig::new(dir.path())).await?.shutdown().await?;
///
/// let store = StoreAtRest::open(dir.path())?;
/// assert!(store.check(&mut |_| {})?.is_intact());
/// assert!(store.inspect()?.streams.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct StoreAtRest {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    _locks: Vec<Box<dyn DiskLock>>,
}

impl StoreAtRest {
    /// Opens the store of a node by the folder the node was given.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no store, [`Error::Store`] when a node uses it or the disk refuses.
    pub fn open(store_dir: &Path) -> Result<Self, Error> {
        Self::open_on(Arc::new(hitherto_platform::RealDisk::new()), store_dir)
    }

    /// As [`StoreAtRest::open`], on another disk.
    ///
    /// # Errors
    /// As [`StoreAtRest::open`].
    pub fn open_on(disk: Arc<dyn Disk>, store_dir: &Path) -> Result<Self, Error> {
        let dir = store_dir.join("jetstream");
        if !exists(&*disk, &dir)? {
            return Err(Error::Config {
                setting: "store",
                problem: format!("there is no store in {}", store_dir.display()),
            });
        }
        let mut locks = Vec::new();
        for name in ["state.lock", "wal/wal.lock"] {
            let path = dir.join(name);
            // A lock file that is not there is held by nobody, and taking it would write it.
            if exists(&*disk, &path)? {
                locks.push(disk.lock(&path).map_err(|error| lock_error(error, path))?);
            }
        }
        Ok(Self {
            disk,
            dir,
            _locks: locks,
        })
    }

    /// The store as a node would find it, on a view that keeps all changes in memory.
    fn recover(&self) -> Result<Recovered, hitherto_storage::Error> {
        let view: Arc<dyn Disk> = Arc::new(OverlayDisk::new(Arc::clone(&self.disk)));
        let budget = IndexBudget::new(MAX_INDEX_BYTES);
        let stores = Stores::new(view, self.dir.join("streams"), budget);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
        // What it would log is in what is returned.
        tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::new(), || {
            recover(&stores, &self.dir, &entropy, &Limits::default())
        })
    }

    fn checkpoints(&self) -> Result<Checkpoints, hitherto_storage::Error> {
        Checkpoints::read(Arc::clone(&self.disk), &self.dir.join("state.redb"))
    }

    fn stream_dir(&self, group: GroupId) -> PathBuf {
        self.dir.join("streams").join(group.to_string())
    }
}

fn exists(disk: &dyn Disk, path: &Path) -> Result<bool, Error> {
    disk.exists(path).map_err(|source| {
        Error::Store(hitherto_storage::Error::Io {
            action: "look at",
            file: path.to_owned(),
            source,
        })
    })
}

fn lock_error(source: std::io::Error, file: PathBuf) -> Error {
    Error::Store(match source.kind() {
        std::io::ErrorKind::WouldBlock => hitherto_storage::Error::Locked { file },
        _ => hitherto_storage::Error::Io {
            action: "lock",
            file,
            source,
        },
    })
}

impl fmt::Debug for StoreAtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreAtRest")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}
