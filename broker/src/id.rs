//! Names made of random bytes: the server id and inbox prefixes.

use data_encoding::BASE32_NOPAD;
use hitherto_platform::Entropy;

/// Characters of a server id.
const SERVER_ID_CHARS: usize = 56;

/// Characters of a client's part of an inbox; 22 as in nats.go.
const INBOX_CHARS: usize = 22;

/// A new server id: 56 characters that begin with `N`, the form of a public server key in nats-server.
/// Clients and tools only compare it; there is no key behind it.
pub(crate) fn server_id(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 35];
    entropy.fill(&mut bytes);
    let mut id = BASE32_NOPAD.encode(&bytes);
    id.truncate(SERVER_ID_CHARS - 1);
    id.insert(0, 'N');
    id
}

/// A new prefix for inboxes, `_INBOX.` and 22 characters.
pub(crate) fn inbox_prefix(entropy: &dyn Entropy) -> String {
    format!("_INBOX.{}", unique(entropy))
}

/// A new name for an event: 22 characters.
pub(crate) fn unique(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 14];
    entropy.fill(&mut bytes);
    let mut id = BASE32_NOPAD.encode(&bytes);
    id.truncate(INBOX_CHARS);
    id
}

#[cfg(test)]
mod tests {
    use hitherto_platform::SeededEntropy;

    use super::*;

    #[test]
    fn ids_have_the_form_clients_expect() {
        let entropy = SeededEntropy::new(1);
        let id = server_id(&entropy);
        assert_eq!((id.len(), id.starts_with('N')), (56, true));
        assert_ne!(id, server_id(&entropy));
        assert_eq!(inbox_prefix(&entropy).len(), "_INBOX.".len() + 22);
    }
}
