//! What a handler fails with: any error, so that `?` works.

use std::fmt::{self, Debug, Display};

/// A handler failed; its message is delivered again after the back-off.
///
/// Every error type converts into it, which is why it is none itself.
pub struct HandlerError {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl HandlerError {
    /// Makes an error from text.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            source: message.into(),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self {
            source: Box::new(error),
        }
    }
}

impl Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::chain(self.source.as_ref()))
    }
}

impl Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.source, f)
    }
}
