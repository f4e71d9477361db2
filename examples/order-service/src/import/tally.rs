//! What an import counted.

use serde::Serialize;

/// The most flawed lines of a kind that are listed; all of them are counted.
const LISTED_MAX: usize = 1_000;

/// Counts of one import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Lines whose command is accepted, now or before.
    pub accepted: u64,
    /// Lines whose command is refused, now or before.
    pub refused: u64,
    /// Lines decided or recorded by this import.
    pub decided_now: u64,
    /// Lines that were decided or recorded before.
    pub already_decided: u64,
    /// Lines that are no command.
    pub unreadable: Flaws,
    /// Lines whose command id belongs to another command.
    pub ids_taken: Flaws,
    /// The import was stopped before the end of the file.
    pub stopped: bool,
}

/// Flawed lines of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Flaws {
    /// All of them.
    pub count: u64,
    /// The first of them, in the order of the file once sorted.
    pub lines: Vec<Flaw>,
}

/// One flawed line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// Its number, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

impl Tally {
    pub(super) const fn count(&mut self, already: bool) {
        if already {
            self.already_decided += 1;
        } else {
            self.decided_now += 1;
        }
    }

    /// Takes in what another lane counted.
    pub(super) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.decided_now += other.decided_now;
        self.already_decided += other.already_decided;
        self.unreadable.add(other.unreadable);
        self.ids_taken.add(other.ids_taken);
    }

    /// Puts the listed lines in the order of the file.
    pub(super) fn sorted(mut self) -> Self {
        self.unreadable.lines.sort_by_key(|flaw| flaw.line);
        self.ids_taken.lines.sort_by_key(|flaw| flaw.line);
        self
    }

    /// Lines that were read and not blank.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.decided_now + self.already_decided + self.ids_taken.count
    }
}

impl Flaws {
    pub(super) fn push(&mut self, flaw: Flaw) {
        self.count += 1;
        if self.lines.len() < LISTED_MAX {
            self.lines.push(flaw);
        }
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        let room = LISTED_MAX.saturating_sub(self.lines.len());
        self.lines.extend(other.lines.into_iter().take(room));
    }
}
