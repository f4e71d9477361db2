//! What one node allows its streams.

/// Upper bounds a node sets for every stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many streams there may be.
    pub streams_max: usize,
    /// The largest `num_replicas`: 1 for a node on its own.
    pub replicas_max: u32,
}

/// 10,000 streams; one replica.
impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 10_000,
            replicas_max: 1,
        }
    }
}
