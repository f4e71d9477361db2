//! Comparing passwords and tokens: in constant time, or by their bcrypt hash.

use hitherto_protocol::Secret;
use subtle::ConstantTimeEq as _;

/// What a client must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Password(Secret);

impl Password {
    pub(super) fn new(text: String) -> Self {
        Self(Secret::from(text))
    }

    /// Tells whether `given` is it. A hash is compared on a thread of its own: it takes some 100 ms.
    pub(super) async fn matches(&self, given: &str) -> bool {
        let expected = self.0.expose();
        if !is_hash(expected) {
            return expected.as_bytes().ct_eq(given.as_bytes()).into();
        }
        let (expected, given) = (expected.to_owned(), given.to_owned());
        let compared = tokio::task::spawn_blocking(move || bcrypt::verify(given, &expected));
        matches!(compared.await, Ok(Ok(true)))
    }
}

/// The prefixes nats-server 2.15 knows (`isBcrypt` in `server/auth.go`).
fn is_hash(text: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
}
