//! What a publisher remembers about the subjects it uses again and again.
//!
//! Most publishers use few subjects, and subscriptions change seldom. A hit saves the router's lock and
//! the walk through the subject tree. Subjects seen once (every reply has its own) are not remembered.

use std::hash::{DefaultHasher, Hasher as _};

use bytestring::ByteString;
use hitherto_protocol::Subject;

use super::matches::Matches;

/// Places for subjects in one cache. Each place holds one subject; a new one replaces the old one.
const SLOTS: usize = 256;

/// A subject that leads to more subscriptions is not remembered, so that the cache of one connection
/// holds at most `SLOTS * MATCHES_MAX` references.
const MATCHES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct MatchCache {
    /// Empty until the first subject; then [`SLOTS`] long.
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// The subject last looked for here and not found: it is remembered when it comes again.
    missed_hash: u64,
    entry: Option<Box<Entry>>,
}

#[derive(Debug)]
struct Entry {
    subject: ByteString,
    /// The router's generation that `matches` was taken from, or an older one.
    generation: u64,
    matches: Matches,
}

impl MatchCache {
    /// The matches of a subject: remembered ones of this generation, or found by `find`. `scratch`
    /// holds what is found but not remembered.
    pub(super) fn get<'a>(
        &'a mut self,
        subject: &Subject,
        generation: u64,
        scratch: &'a mut Matches,
        find: impl FnOnce(&mut Matches),
    ) -> &'a Matches {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let hash = hash(subject);
        let place = usize::try_from(hash % SLOTS as u64).unwrap_or_default();
        let Some(slot) = self.slots.get_mut(place) else {
            find(scratch);
            return scratch;
        };

        if !slot.holds(subject, generation) {
            find(scratch);
            let seen_before = std::mem::replace(&mut slot.missed_hash, hash) == hash;
            if !seen_before || scratch.len() > MATCHES_MAX {
                return scratch;
            }
            slot.entry = Some(Box::new(Entry {
                // A copy: the subject's bytes belong to a read buffer.
                subject: ByteString::from(subject.as_str()),
                generation,
                matches: std::mem::take(scratch),
            }));
        }
        match &slot.entry {
            Some(entry) => &entry.matches,
            None => scratch,
        }
    }
}

impl Slot {
    fn holds(&self, subject: &Subject, generation: u64) -> bool {
        self.entry.as_ref().is_some_and(|entry| {
            entry.generation == generation && *entry.subject == *subject.as_str()
        })
    }
}

fn hash(subject: &Subject) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(subject.as_str().as_bytes());
    hasher.finish()
}
