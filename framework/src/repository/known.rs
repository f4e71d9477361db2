//! What is known of one aggregate: state, version, and which commands made it.

use std::collections::HashSet;

use crate::aggregate::Aggregate;
use crate::digest::fnv1a_128;
use crate::event::Recorded;
use crate::id::{CommandId, Position};

/// The fold of an aggregate's events up to `version`.
#[derive(Debug, Clone, Default)]
pub(super) struct Known<A> {
    pub(super) state: A,
    /// Position of the last event folded; 0: none.
    pub(super) version: Position,
    /// Fingerprints of the commands that caused the events, 8 bytes each. A hit is only a hint: the
    /// log is asked before a command is called a duplicate.
    commands: HashSet<u64>,
}

impl<A: Aggregate> Known<A> {
    pub(super) fn evolve(&mut self, recorded: &Recorded<A::Event>) {
        self.state.evolve(&recorded.event);
        self.version = recorded.position();
        if let Some(command_id) = &recorded.envelope.command_id {
            self.commands.insert(fingerprint(command_id));
        }
    }

    /// Takes in what has just been appended.
    pub(super) fn appended(
        &mut self,
        events: &[A::Event],
        version: Position,
        command_id: &CommandId,
    ) {
        for event in events {
            self.state.evolve(event);
        }
        self.version = version;
        self.commands.insert(fingerprint(command_id));
    }

    pub(super) fn exists(&self) -> bool {
        self.version > Position(0)
    }

    /// Whether the command may have taken effect; `false` is certain as far as `version`.
    pub(super) fn may_have_seen(&self, command_id: &CommandId) -> bool {
        self.commands.contains(&fingerprint(command_id))
    }
}

fn fingerprint(command_id: &CommandId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = fnv1a_128(command_id.as_str().as_bytes()).to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
