//! [`Cause`]: why events are written, as it goes into their headers.

use crate::id::CommandId;

/// Why events are written: the command, and what it belongs to.
///
/// A bare [`CommandId`] converts into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub(crate) command_id: CommandId,
    pub(crate) correlation_id: Option<String>,
    pub(crate) traceparent: Option<String>,
}

impl Cause {
    /// A cause with no more than the command.
    #[must_use]
    pub const fn new(command_id: CommandId) -> Self {
        Self {
            command_id,
            correlation_id: None,
            traceparent: None,
        }
    }

    /// Adds what groups everything one request causes. One line of text; line ends are cut off.
    #[must_use]
    pub fn correlation(mut self, correlation_id: impl AsRef<str>) -> Self {
        self.correlation_id = first_line(correlation_id.as_ref());
        self
    }

    /// Adds a W3C trace context, passed through. One line of text; line ends are cut off.
    #[must_use]
    pub fn traceparent(mut self, traceparent: impl AsRef<str>) -> Self {
        self.traceparent = first_line(traceparent.as_ref());
        self
    }
}

impl From<CommandId> for Cause {
    fn from(command_id: CommandId) -> Self {
        Self::new(command_id)
    }
}

fn first_line(text: &str) -> Option<String> {
    text.lines().next().map(str::to_owned)
}
