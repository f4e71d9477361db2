//! The metadata keys a server sets itself, `_nats.*` (ADR-44).
//!
//! `_nats.req.level` says which API level the used features need; it is stored. `_nats.ver` and
//! `_nats.level` say who answers; they are added to replies and never stored. A client may send
//! all of them, as it does when it changes a configuration it has read; what it sends is ignored.

use std::collections::BTreeMap;

use super::METADATA_BYTES_MAX;

/// The JetStream API level (ADR-44): 4 came with nats-server 2.14. What it brought and is not here is
/// refused by name.
pub const API_LEVEL: u32 = 4;

/// The version of nats-server whose API it follows; clients find the same in INFO.
pub const SERVER_VERSION: &str = "2.14.0";

const REQUIRED_LEVEL: &str = "_nats.req.level";
const LEVEL: &str = "_nats.level";
const VERSION: &str = "_nats.ver";

/// Drops what a client sent under reserved keys and writes the required level.
pub(super) fn set_required_level(metadata: &mut BTreeMap<String, String>, level: u32) {
    metadata.retain(|key, _| ![REQUIRED_LEVEL, LEVEL, VERSION].contains(&key.as_str()));
    metadata.insert(REQUIRED_LEVEL.into(), level.to_string());
}

/// Adds the keys only replies carry.
pub(super) fn add_reply_keys(metadata: &mut BTreeMap<String, String>) {
    metadata.insert(LEVEL.into(), API_LEVEL.to_string());
    metadata.insert(VERSION.into(), SERVER_VERSION.into());
}

/// Tells whether keys and values together are longer than allowed.
pub(super) fn is_too_long(metadata: &BTreeMap<String, String>) -> bool {
    let bytes: usize = metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    bytes > METADATA_BYTES_MAX
}
