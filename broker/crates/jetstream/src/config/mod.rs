//! The configuration of streams and consumers: the wire form, its defaults and its rules.
//!
//! | file | noun |
//! |---|---|
//! | [`stream`] | [`StreamConfig`] as written in JSON |
//! | [`stream_rules`] | what a stream configuration may say, and what an update may change |
//! | [`consumer`] | [`ConsumerConfig`] as written in JSON |
//! | [`consumer_rules`] | the same rules for consumers |
//! | [`limits`] | what the node allows |
//! | [`metadata`] | the `_nats.*` keys |
//! | [`names`] | which names streams and consumers may have |
//! | [`placement`], [`transform`] | parts of a stream's configuration |
//! | [`nanos`] | durations as integers |
//! | [`durability`] | whether a stream acknowledges before it syncs |
//! | [`ordered_by`] | the range of tokens that keeps messages in order |

mod consumer;
mod consumer_rules;
mod durability;
mod limits;
mod metadata;
mod names;
pub(crate) mod nanos;
mod ordered_by;
mod placement;
mod stream;
mod stream_rules;
mod transform;

pub use consumer::{AckPolicy, ConsumerConfig, DeliverPolicy, ReplayPolicy};
pub use durability::DURABILITY;
pub use limits::{ByStorage, ConsumerBounds, Limits};
pub use metadata::{API_LEVEL, SERVER_VERSION};
pub use ordered_by::ORDERED_BY;
pub(crate) use ordered_by::TokenRange;
pub use placement::Placement;
pub use stream::{
    Compression, ConsumerLimits, Discard, PersistMode, Retention, Storage, StreamConfig,
};
pub use transform::{Republish, TransformConfig};

use serde::{Deserialize, Deserializer};

/// The longest description of a stream or consumer, in bytes.
pub(crate) const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;

/// The most bytes the keys and values of one `metadata` may have together.
pub(crate) const METADATA_BYTES_MAX: usize = 128 * 1024;

/// How a refusal of something nats-server has and this version has not ends.
pub(crate) fn unsupported(what: &str) -> String {
    format!("{what} is not supported by this version of Hitherto")
}

/// Reads an empty text as `None`: the API of Go has no other way to leave a text out.
fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
