//! The first word of a line from a client.

/// The operations a client may send. Words of routes, leaf nodes and accounts (`RS+`, `LMSG`, `A+`)
/// are unknown here, as on a client connection of nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Connect,
    Pub,
    Hpub,
    Sub,
    Unsub,
    Ping,
    Pong,
    Info,
    Ok,
    Err,
}

impl Verb {
    /// The verb at the start of `line`, in any case; `None` when there is none.
    ///
    /// PUB, HPUB, SUB, UNSUB and -ERR must be followed by a blank. Behind the others anything may
    /// stand, as in nats-server 2.15 (`server/parser.go`): `CONNECT{}` and `PING now` are
    /// understood.
    pub(crate) fn of(line: &[u8]) -> Option<Self> {
        candidates(line).iter().copied().find(|verb| {
            let word = verb.word();
            line.len() >= word.len()
                && line[..word.len()].eq_ignore_ascii_case(word)
                && (!verb.needs_blank() || line.get(word.len()).is_some_and(|&b| is_blank(b)))
        })
    }

    /// Tells whether `start`, the first bytes of a line whose end has not come, can still become a
    /// verb.
    pub(crate) fn may_start_with(start: &[u8]) -> bool {
        start.is_empty()
            || candidates(start).iter().any(|verb| {
                let word = verb.word();
                let common = word.len().min(start.len());
                start[..common].eq_ignore_ascii_case(&word[..common])
                    && (!verb.needs_blank() || start.get(word.len()).is_none_or(|&b| is_blank(b)))
            })
    }

    /// The word on the wire, in capitals.
    pub(crate) const fn word(self) -> &'static [u8] {
        self.name().as_bytes()
    }

    /// The word as text.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Pub => "PUB",
            Self::Hpub => "HPUB",
            Self::Sub => "SUB",
            Self::Unsub => "UNSUB",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Info => "INFO",
            Self::Ok => "+OK",
            Self::Err => "-ERR",
        }
    }

    const fn needs_blank(self) -> bool {
        matches!(
            self,
            Self::Pub | Self::Hpub | Self::Sub | Self::Unsub | Self::Err
        )
    }
}

/// The verbs that begin like `line`, so that at most three words are compared.
fn candidates(line: &[u8]) -> &'static [Verb] {
    match line.first() {
        Some(b'P' | b'p') => &[Verb::Pub, Verb::Ping, Verb::Pong],
        Some(b'H' | b'h') => &[Verb::Hpub],
        Some(b'S' | b's') => &[Verb::Sub],
        Some(b'U' | b'u') => &[Verb::Unsub],
        Some(b'C' | b'c') => &[Verb::Connect],
        Some(b'I' | b'i') => &[Verb::Info],
        Some(b'+') => &[Verb::Ok],
        Some(b'-') => &[Verb::Err],
        _ => &[],
    }
}

/// Separates the words of a line.
pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_known_in_any_case() {
        assert_eq!(Verb::of(b"PUB a 0"), Some(Verb::Pub));
        assert_eq!(Verb::of(b"hPuB\ta 0 0"), Some(Verb::Hpub));
        assert_eq!(Verb::of(b"+ok"), Some(Verb::Ok));
        assert_eq!(Verb::of(b"ping whatever"), Some(Verb::Ping));
    }

    #[test]
    fn other_words_are_unknown() {
        for line in [
            "",
            "PU",
            "PUB",
            "PUBx a 0",
            "MSG a 1 0",
            "RS+ a",
            "A+ x",
            " PING",
            "GET / HTTP/1.1",
        ] {
            assert_eq!(Verb::of(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn a_start_that_cannot_become_a_verb_is_seen_at_once() {
        for start in [
            "", "P", "pu", "PUB", "PUB ", "PUB a", "CONN", "+", "-E", "PINGx",
        ] {
            assert!(Verb::may_start_with(start.as_bytes()), "{start:?}");
        }
        for start in ["X", "PX", "PUBx", "\u{16}\u{3}", "\r", "SUBJ"] {
            assert!(!Verb::may_start_with(start.as_bytes()), "{start:?}");
        }
    }
}
