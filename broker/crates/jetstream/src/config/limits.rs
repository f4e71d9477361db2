//! What one node allows its streams.

/// Upper bounds a node sets for every stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many streams there may be.
    pub streams_max: usize,
    /// How many consumers a stream may have that does not set `max_consumers` itself.
    pub consumers_per_stream_max: usize,
    /// The largest `num_replicas`: 1 for a node on its own.
    pub replicas_max: u32,
}

/// 10,000 streams; 1,000 consumers for each, as `default_max_consumers` of nats-server 2.15; one
/// replica.
impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 10_000,
            consumers_per_stream_max: 1_000,
            replicas_max: 1,
        }
    }
}
