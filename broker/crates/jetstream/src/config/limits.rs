//! What one node allows its streams.

/// Upper bounds a node sets for every stream, and for all of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many streams there may be.
    pub streams_max: usize,
    /// The largest `num_replicas`: 1 for a node on its own.
    pub replicas_max: u32,
    /// How many bytes the `max_bytes` of all streams may promise together; `None` means any.
    pub storage_bytes_max: Option<u64>,
    /// The largest `max_bytes` of one stream that sets it; `None` means any.
    pub stream_bytes_max: Option<u64>,
    /// Every stream has to set `max_bytes`.
    pub max_bytes_required: bool,
}

/// 10,000 streams of any size; one replica.
impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 10_000,
            replicas_max: 1,
            storage_bytes_max: None,
            stream_bytes_max: None,
            max_bytes_required: false,
        }
    }
}
