//! A subject filter, split once.

use hitherto_protocol::SubjectFilter;

/// A subject filter, split once.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// Without a `>` at the end; `None` stands for `*`.
    tokens: Vec<Option<Box<[u8]>>>,
    /// The filter ends with `>`: one or more tokens follow.
    rest: bool,
}

/// How much of the trie answers a question about a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One subject.
    Literal,
    /// Everything below one node: `prefix.>`, or `>` alone.
    Prefix,
    /// Has a `*`.
    Wild,
}

/// Which children a pattern goes on with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// The one with this token.
    Token(&'a [u8]),
    All,
    None,
}

impl Pattern {
    pub(super) fn new(filter: &SubjectFilter) -> Self {
        let mut tokens: Vec<Option<Box<[u8]>>> = filter
            .tokens()
            .map(|token| (token != "*").then(|| Box::from(token.as_bytes())))
            .collect();
        let rest = matches!(tokens.last(), Some(Some(token)) if &**token == b">");
        if rest {
            tokens.pop();
        }
        Self { tokens, rest }
    }

    /// The pattern of `>`.
    pub(super) fn all() -> Self {
        Self {
            tokens: Vec::new(),
            rest: true,
        }
    }

    pub(super) fn shape(&self) -> Shape {
        match (self.tokens.contains(&None), self.rest) {
            (true, _) => Shape::Wild,
            (false, true) => Shape::Prefix,
            (false, false) => Shape::Literal,
        }
    }

    /// The leading tokens that are not `*`.
    pub(super) fn literal_tokens(&self) -> impl Iterator<Item = &[u8]> {
        self.tokens.iter().map_while(|token| token.as_deref())
    }

    /// What comes after the first `depth` tokens.
    pub(super) fn step(&self, depth: usize) -> Step<'_> {
        match self.tokens.get(depth) {
            Some(Some(token)) => Step::Token(token),
            Some(None) => Step::All,
            None if self.rest => Step::All,
            None => Step::None,
        }
    }

    /// Tells whether a subject of `depth` tokens is long enough and not too long.
    pub(super) fn ends_at(&self, depth: usize) -> bool {
        if self.rest {
            depth > self.tokens.len()
        } else {
            depth == self.tokens.len()
        }
    }

    /// Tells whether the tokens of `label` match, which stand after the first `depth` tokens of a
    /// subject and end it.
    pub(super) fn matches_end(&self, depth: usize, label: &[u8]) -> bool {
        let mut at = depth;
        for token in tokens(label) {
            if !self.matches_at(at, token) {
                return false;
            }
            at += 1;
        }
        self.ends_at(at)
    }

    /// Tells whether `token` may stand after the first `depth` tokens.
    pub(super) fn matches_at(&self, depth: usize, token: &[u8]) -> bool {
        match self.step(depth) {
            Step::Token(wanted) => wanted == token,
            Step::All => true,
            Step::None => false,
        }
    }
}

/// The tokens of a part of a subject.
pub(super) fn tokens(label: &[u8]) -> impl Iterator<Item = &[u8]> {
    label.split(|byte| *byte == b'.')
}
