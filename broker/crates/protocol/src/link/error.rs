//! What can be wrong with the bytes of a link.

/// Bytes that are no frame. Nothing after them can be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// It is longer than may be.
    #[error("a frame of {bytes} bytes exceeds the {max} bytes a frame may have")]
    TooLong {
        /// Length it claims.
        bytes: usize,
        /// Most that is allowed.
        max: usize,
    },
    /// It was changed on its way.
    #[error("the checksum of a frame of {bytes} bytes is wrong")]
    Checksum {
        /// Its length.
        bytes: usize,
    },
    /// Nobody has defined it.
    #[error("unknown kind of frame {0}")]
    Kind(
        /// What it claims to be.
        u8,
    ),
    /// Its fields contradict each other or what they may be.
    #[error("malformed frame {frame}: {problem}")]
    Malformed {
        /// Which one.
        frame: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
