//! How many bytes the streams hold together, against what the node has and its account may use.
//!
//! Looked at before a publish is proposed, so what is under way may pass a limit: 64 MiB at most. Errors,
//! and which limit counts when, are those of nats-server 2.15 (`limitsExceeded` in `server/jetstream.go`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hitherto_jetstream::api::ApiError;
use hitherto_jetstream::{ByStorage, Limits, Storage};

/// The bytes held, and the limits for them.
#[derive(Debug)]
pub(crate) struct Quota {
    node: ByStorage<Option<u64>>,
    account: ByStorage<Option<u64>>,
    account_name: String,
    held: ByStorage<AtomicU64>,
    /// The log has been told that a limit is reached, and nothing was stored since.
    is_told: ByStorage<AtomicBool>,
}

impl Quota {
    /// Nothing is held yet.
    pub(crate) fn new(limits: &Limits, account_name: &str) -> Self {
        Self {
            node: limits.node,
            account: limits.account,
            account_name: account_name.to_owned(),
            held: ByStorage::default(),
            is_told: ByStorage::default(),
        }
    }

    /// Whether it matters how much is held.
    pub(crate) fn is_limited(&self, storage: Storage) -> bool {
        self.node.of(storage).is_some() || self.account.of(storage).is_some()
    }

    /// A stream that held `before` holds `after`.
    pub(crate) fn change(&self, storage: Storage, before: u64, after: u64) {
        let held = self.held.of(storage);
        // Wraps around where it has become less.
        held.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Whether so many bytes more may be stored.
    pub(crate) fn check(&self, storage: Storage, bytes: u64) -> Result<(), ApiError> {
        let held = self.held.of(storage).load(Ordering::Relaxed);
        let is_told = self.is_told.of(storage);
        let kind = match storage {
            Storage::File => "file",
            Storage::Memory => "memory",
        };
        if self.node.of(storage).is_some_and(|max| held > max) {
            if !is_told.swap(true, Ordering::Relaxed) {
                tracing::error!("JetStream {kind} resource limits exceeded for server");
            }
            return Err(ApiError::insufficient_resources());
        }
        let all = held.saturating_add(bytes);
        if self.account.of(storage).is_some_and(|max| all > max) {
            if !is_told.swap(true, Ordering::Relaxed) {
                let account = &self.account_name;
                tracing::warn!(
                    "JetStream {kind} resource limits exceeded for account: {account:?}"
                );
            }
            return Err(ApiError::account_resources_exceeded());
        }
        if is_told.load(Ordering::Relaxed) {
            is_told.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(node: Option<u64>, account: Option<u64>) -> Quota {
        let of = |file| ByStorage {
            file,
            ..ByStorage::default()
        };
        let limits = Limits {
            node: of(node),
            account: of(account),
            ..Limits::default()
        };
        Quota::new(&limits, "A")
    }

    #[test]
    fn an_account_is_not_passed_and_a_node_by_one_message() {
        let account = quota(None, Some(100));
        account.change(Storage::File, 0, 90);
        assert!(account.check(Storage::File, 10).is_ok());
        let refused = account.check(Storage::File, 11).unwrap_err();
        assert_eq!(refused.err_code, 10002);
        let node = quota(Some(100), None);
        node.change(Storage::File, 0, 100);
        assert!(node.check(Storage::File, 11).is_ok());
        node.change(Storage::File, 100, 111);
        assert_eq!(node.check(Storage::File, 1).unwrap_err().err_code, 10023);
        node.change(Storage::File, 111, 0);
        assert!(node.check(Storage::File, 11).is_ok());
    }

    #[test]
    fn kinds_of_storage_count_on_their_own() {
        let quota = quota(None, Some(100));
        quota.change(Storage::Memory, 0, 1_000);
        assert!(quota.check(Storage::Memory, 1_000).is_ok());
        assert!(quota.check(Storage::File, 100).is_ok());
        assert!(quota.is_limited(Storage::File) && !quota.is_limited(Storage::Memory));
    }
}
