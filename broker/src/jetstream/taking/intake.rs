//! What all share who take messages in, and whether one may be taken.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hitherto_cluster::Log;
use hitherto_jetstream::Storage;
use hitherto_jetstream::api::ApiError;
use hitherto_platform::{Clock, Entropy};

use super::quota::Quota;
use crate::jetstream::files::Reserve;
use crate::jetstream::telling::{Outlet, Receipt};
use crate::pubsub::Router;

/// What all who take messages in share.
pub(crate) struct Intake {
    pub(crate) log: Arc<dyn Log<Receipt>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) router: Arc<Router>,
    /// The name of the account the streams are in.
    pub(crate) account: String,
    /// For the seldom answers that need no state: refusals.
    pub(crate) outlet: Mutex<Outlet>,
    /// Room for a full disk; publishers are refused while it is given up.
    pub(crate) reserve: Arc<Reserve>,
    /// Shards that cannot write bodies at present; publishers are refused while there are some.
    pub(crate) stuck_shards: AtomicUsize,
    /// About what the indexes of all streams take in memory; with `index_bytes_max` of it publishers are
    /// refused. What is under way may pass it: 64 MiB of messages.
    pub(crate) index_bytes: AtomicU64,
    pub(crate) index_bytes_max: u64,
    pub(crate) quota: Quota,
}

impl Intake {
    /// Whether a stream may take so many bytes more now.
    pub(super) fn check(&self, storage: Storage, bytes: u64) -> Result<(), ApiError> {
        if self.cannot_write() {
            return Err(ApiError::storage_exceeded());
        }
        if self.is_index_full() {
            return Err(ApiError::insufficient_resources());
        }
        if self.quota.is_limited(storage) {
            self.quota.check(storage, bytes)?;
        }
        Ok(())
    }

    /// The disk does not take what publishers send.
    pub(crate) fn cannot_write(&self) -> bool {
        self.stuck_shards.load(Ordering::Relaxed) > 0 || self.reserve.is_given_up()
    }

    /// There is no more memory for the indexes.
    pub(crate) fn is_index_full(&self) -> bool {
        self.index_bytes.load(Ordering::Relaxed) >= self.index_bytes_max
    }

    /// The way out for the seldom answers that need no state.
    pub(crate) fn outlet(&self) -> MutexGuard<'_, Outlet> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
