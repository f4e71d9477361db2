//! Commands of a stream on their way into its log.

use std::collections::VecDeque;
use std::mem;

use bytes::BytesMut;
use hitherto_cluster::{Encode, Log, Refusal, Refused};
use hitherto_jetstream::command::Control;
use hitherto_jetstream::{Command, GroupId, StreamConfig};
use hitherto_protocol::Timestamp;

use crate::jetstream::telling::Receipt;

/// What one stream proposes.
pub(super) struct Proposals {
    group: GroupId,
    /// Commands the log had no room for, in order. While there are some nothing is delivered, so that
    /// they stay few.
    waiting: VecDeque<(Command, Receipt)>,
}

impl Proposals {
    pub(super) fn new(group: GroupId) -> Self {
        Self {
            group,
            waiting: VecDeque::new(),
        }
    }

    /// Puts a command into the log, or behind those that wait for room there.
    ///
    /// # Errors
    /// The log takes none of this stream any more.
    pub(super) fn propose(
        &mut self,
        command: Command,
        receipt: Receipt,
        log: &dyn Log<Receipt>,
    ) -> Result<(), Refused<Receipt>> {
        if !self.waiting.is_empty() {
            self.waiting.push_back((command, receipt));
            return Ok(());
        }
        let record = Record::new(&command, &receipt);
        match log.propose(self.group, &record, receipt) {
            Err(Refused {
                reason: Refusal::Full,
                receipt,
            }) => {
                self.waiting.push_back((command, receipt));
                Ok(())
            }
            proposed => proposed,
        }
    }

    /// Takes out what waits for room, to be proposed again in this order.
    pub(super) fn take_waiting(&mut self) -> VecDeque<(Command, Receipt)> {
        mem::take(&mut self.waiting)
    }

    /// The log had no room for some.
    pub(super) fn wait_for_room(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// A command of the state machine on its way into the log.
pub(in crate::jetstream) struct Record<'a> {
    command: &'a Command,
    needs_sync: bool,
}

impl<'a> Record<'a> {
    /// A rare change is never answered before it is synced, nor is an acknowledgement that asks for it.
    pub(in crate::jetstream) fn new(command: &'a Command, receipt: &Receipt) -> Self {
        let is_awaited = matches!(receipt, Receipt::Processed(_));
        Self {
            command,
            needs_sync: is_awaited || matches!(command, Command::Control(_)),
        }
    }
}

impl Encode for Record<'_> {
    fn encode(&self, buf: &mut BytesMut) {
        self.command.encode(buf);
    }

    fn needs_sync(&self) -> bool {
        self.needs_sync
    }
}

/// The command that puts a configuration in force.
pub(in crate::jetstream) fn configure(config: Box<StreamConfig>, at: Timestamp) -> Command {
    Command::Control(Control::Configure { config, at })
}
