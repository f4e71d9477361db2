//! A page of a table that cannot be read, and how it ends what asked for it.
//!
//! The index is asked in the middle of [`Stream::apply`](crate::Stream::apply), of a delivery, of a question, and
//! none of them may go on with a made-up answer: a decision would differ from that of the next replay. A page
//! that cannot be read therefore unwinds to the owner of the stream, which asked by way of
//! [`catch_unreadable`]. The stream must not be used after that: its state is half changed. It is derived from
//! the log and the last checkpoint, which are as they were.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A page of a table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table} cannot be read at offset {offset}: {problem}")]
pub struct Unreadable {
    /// Which table.
    pub table: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// Why not.
    pub problem: String,
}

impl Unreadable {
    /// Ends what is under way, up to [`catch_unreadable`].
    pub(super) fn unwind(self) -> ! {
        resume_unwind(Box::new(self))
    }
}

/// Does something with a stream that may have to read a table.
///
/// Any other panic goes on.
///
/// # Errors
/// [`Unreadable`] when a table cannot be read. The stream must be given up then: nothing of what it was
/// doing counts, and nothing it says afterwards is right.
pub fn catch_unreadable<T>(act: impl FnOnce() -> T) -> Result<T, Unreadable> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|payload| match payload.downcast::<Unreadable>() {
        Ok(unreadable) => *unreadable,
        Err(other) => resume_unwind(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unreadable_table_is_caught() {
        let unreadable = Unreadable {
            table: "t".to_owned(),
            offset: 7,
            problem: "gone".to_owned(),
        };
        let thrown = unreadable.clone();
        let caught = catch_unreadable(move || thrown.unwind());
        assert_eq!(caught.unwrap_err(), unreadable);
        assert_eq!(catch_unreadable(|| 3), Ok(3));
        let other = catch_unwind(|| catch_unreadable(|| resume_unwind(Box::new("bug"))));
        assert_eq!(other.unwrap_err().downcast_ref(), Some(&"bug"));
    }
}
