//! `jetstream`: whether there are streams, and where they lie.

use super::ConfigFileError;
use super::value::{Field, Value};
use crate::config::ServerOptions;

/// `jetstream: true`, `jetstream: enabled` or `jetstream { ... }`.
pub(super) fn read(block: &Field, options: &mut ServerOptions) -> Result<(), ConfigFileError> {
    let Value::Map(fields) = &block.entry.value else {
        options.jetstream = is_enabled(block)?;
        return Ok(());
    };
    options.jetstream = true;
    for field in fields {
        match field.name().as_str() {
            "enabled" | "enable" => options.jetstream = field.boolean()?,
            "store_dir" | "storedir" => options.store_dir = field.text()?.into(),
            "strict" => {
                if !field.boolean()? {
                    // Bodies of requests are always read strictly.
                    return Err(field.unsupported());
                }
            }
            // Everything is always synced before it is acknowledged.
            "sync" | "sync_interval" => {
                if !is_always(field)? {
                    options.note_without_effect(&field.place, &field.key);
                }
            }
            "max_memory_store" | "max_mem_store" | "max_mem" => {
                options.stream_limits.node.memory = field.bytes()?;
            }
            "max_file_store" | "max_file" => options.stream_limits.node.file = field.bytes()?,
            "request_queue_limit" | "max_buffered_msgs" | "max_buffered_size" => {
                field.integer()?;
                options.note_without_effect(&field.place, &field.key);
            }
            "limits" => limits(field, options)?,
            "domain"
            | "unique_tag"
            | "key"
            | "prev_key"
            | "cipher"
            | "ek"
            | "extension_hint"
            | "tpm"
            | "max_outstanding_catchup"
            | "max_concurrent_io"
            | "info_queue_limit"
            | "meta_compact"
            | "meta_compact_size"
            | "meta_compact_sync" => {
                return Err(field.unsupported());
            }
            _ => field.check_unknown()?,
        }
    }
    Ok(())
}

/// What an account may use: `accounts { A { jetstream ... } }`.
pub(super) fn read_account(
    block: &Field,
    options: &mut ServerOptions,
) -> Result<(), ConfigFileError> {
    let Value::Map(fields) = &block.entry.value else {
        options.account_has_jetstream = is_enabled(block)?;
        return Ok(());
    };
    options.account_has_jetstream = true;
    for field in fields {
        let limits = &mut options.stream_limits;
        match field.name().as_str() {
            "max_memory" | "max_mem" | "mem" => limits.account.memory = field.bytes()?,
            "max_store" | "max_file" | "max_storage" | "store" | "disk" => {
                limits.account.file = field.bytes()?;
            }
            "max_streams" | "streams" => {
                limits.streams_max = field.count()?.unwrap_or(limits.streams_max);
            }
            "max_consumers" | "consumers" => limits.consumers.count_max = field.count()?,
            "max_bytes_required" | "max_stream_bytes" | "max_bytes" => {
                limits.max_bytes_required = field.boolean()?;
            }
            "mem_max_stream_bytes" | "memory_max_stream_bytes" => {
                limits.stream.memory = field.bytes()?.filter(|max| *max > 0);
            }
            "disk_max_stream_bytes" | "store_max_stream_bytes" => {
                limits.stream.file = field.bytes()?.filter(|max| *max > 0);
            }
            "max_ack_pending" => limits.consumers.ack_pending_max = positive(field)?,
            "cluster_traffic" => options.note_without_effect(&field.place, &field.key),
            _ => field.check_unknown()?,
        }
    }
    Ok(())
}

/// A number of messages; `None` for 0 and -1, which mean any.
fn positive(field: &Field) -> Result<Option<i64>, ConfigFileError> {
    Ok(field.count()?.and_then(|count| i64::try_from(count).ok()))
}

/// `true`, `enabled` and their opposites; an empty map says yes.
fn is_enabled(field: &Field) -> Result<bool, ConfigFileError> {
    match &field.entry.value {
        Value::Bool(on) => Ok(*on),
        Value::Text(text) => match text.to_ascii_lowercase().as_str() {
            "enabled" | "enable" => Ok(true),
            "disabled" | "disable" => Ok(false),
            _ => {
                let text =
                    format!("Expected 'enabled' or 'disabled' for string value, got '{text}'");
                Err(field.place.error(text))
            }
        },
        Value::Map(fields) if fields.is_empty() => Ok(true),
        Value::Map(fields) => Err(fields[0].unsupported()),
        _ => Err(field
            .place
            .error("Expected map, bool or string to define JetStream")),
    }
}

/// `always`, or how long a write may wait.
fn is_always(field: &Field) -> Result<bool, ConfigFileError> {
    if matches!(&field.entry.value, Value::Text(text) if text.eq_ignore_ascii_case("always")) {
        return Ok(true);
    }
    field.duration().map(|_| false)
}

fn limits(block: &Field, options: &mut ServerOptions) -> Result<(), ConfigFileError> {
    for field in block.map()? {
        match field.name().as_str() {
            "max_request_batch" => {
                options.stream_limits.consumers.request_batch_max = positive(field)?;
            }
            "max_ack_pending" => {
                options.stream_limits.consumers.ack_pending_max = positive(field)?;
            }
            "duplicate_window" => {
                let window = field.duration()?;
                options.stream_limits.duplicate_window_max =
                    Some(window).filter(|window| !window.is_zero());
            }
            "max_ha_assets"
            | "default_max_consumers"
            | "max_batch_inflight_per_stream"
            | "max_batch_inflight_total"
            | "max_batch_size"
            | "max_batch_timeout" => {
                options.note_without_effect(&field.place, &field.key);
            }
            _ => field.check_unknown()?,
        }
    }
    Ok(())
}
