//! The keys of the file as a whole.

use std::time::Duration;

use super::ConfigFileError;
use super::address::{host_and_port, port};
use super::auth::AuthReader;
use super::value::{Field, Value};
use super::{cluster, jetstream, tls};
use crate::account::SYSTEM_ACCOUNT;
use crate::config::{
    CLIENT_PORT, LAME_DUCK_DURATION_MIN, MAX_CONNECTIONS, MAX_SUBSCRIPTIONS, ServerOptions,
};

/// Puts what the file says into the options.
pub(super) fn read(fields: &[Field], options: &mut ServerOptions) -> Result<(), ConfigFileError> {
    let named = |name: &str| fields.iter().find(|field| field.name() == name);
    let system = match named("system_account").or_else(|| named("system")) {
        Some(field) => field.text()?,
        None => SYSTEM_ACCOUNT.to_owned(),
    };
    let mut auth = AuthReader::default();
    for field in fields {
        match field.name().as_str() {
            "authorization" => auth.authorization(field)?,
            "accounts" => auth.accounts(field, &system, options)?,
            "jetstream" => jetstream::read(field, options)?,
            "tls" => options.tls = Some(tls::read(field)?),
            "cluster" => cluster::read(field, options)?,
            "allow_non_tls" => options.allow_plain = field.boolean()?,
            "no_auth_user" | "system_account" | "system" => {}
            _ => {
                let is_known =
                    network(field, options)? || limit(field, options)? || process(field, options)?;
                if !is_known {
                    refuse(field)?;
                }
            }
        }
    }
    options.auth = auth.finish(named("no_auth_user"))?;
    options.system_account = system;
    Ok(())
}

/// Hosts, ports and names.
fn network(field: &Field, options: &mut ServerOptions) -> Result<bool, ConfigFileError> {
    match field.name().as_str() {
        "listen" => {
            (options.host, options.port) = host_and_port(field, &options.host, CLIENT_PORT)?;
        }
        "port" => options.port = port(field)?.unwrap_or(CLIENT_PORT),
        "host" | "net" => options.host = field.text()?,
        "server_name" => options.server_name = Some(field.text()?),
        "client_advertise" => options.client_advertise = Some(field.text()?),
        "http" => {
            if let Value::Integer(_) = field.entry.value {
                options.http_port = port(field)?;
            } else {
                let (host, port) = host_and_port(field, "", CLIENT_PORT)?;
                (options.http_host, options.http_port) = (Some(host), Some(port));
            }
        }
        "http_port" | "monitor_port" => options.http_port = port(field)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// What one client may take up, and times.
fn limit(field: &Field, options: &mut ServerOptions) -> Result<bool, ConfigFileError> {
    let limits = &mut options.limits;
    match field.name().as_str() {
        "max_payload" => limits.payload_bytes_max = size(field)?,
        "max_control_line" => limits.control_line_bytes_max = size(field)?,
        "max_pending" => limits.pending_bytes_max = size(field)?,
        "max_connections" | "max_conn" => {
            limits.connections_max = field.count()?.unwrap_or(MAX_CONNECTIONS);
        }
        "max_subscriptions" | "max_subs" => {
            limits.subscriptions_max = field.count()?.unwrap_or(MAX_SUBSCRIPTIONS);
        }
        "ping_interval" => limits.ping_interval = field.duration()?,
        "ping_max" => {
            let pings = u32::try_from(field.integer()?);
            limits.pings_outstanding_max =
                pings.map_err(|_| field.place.error("ping_max must not be negative"))?;
        }
        "write_deadline" => limits.write_deadline = field.duration()?,
        "lame_duck_duration" => {
            let duration = field.duration()?;
            if duration < LAME_DUCK_DURATION_MIN {
                let text =
                    format!("invalid lame_duck_duration of {duration:?}, minimum is 30 seconds");
                return Err(field.place.error(text));
            }
            options.lame_duck_duration = duration;
        }
        "lame_duck_grace_period" => {
            options.lame_duck_grace = match field.entry.value {
                // nats-server takes a negative one for its absolute value.
                Value::Integer(seconds) => Duration::from_secs(seconds.unsigned_abs()),
                _ => field.duration()?,
            };
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Files and log of the process.
fn process(field: &Field, options: &mut ServerOptions) -> Result<bool, ConfigFileError> {
    let process = &mut options.process;
    match field.name().as_str() {
        "debug" => process.debug = field.boolean()?,
        "trace" | "trace_verbose" => process.trace = field.boolean()?,
        "logtime" => process.log_time = field.boolean()?,
        // Times are always in UTC.
        "logtime_utc" => drop(field.boolean()?),
        "logfile" | "log_file" => process.log_file = Some(field.text()?.into()),
        "pidfile" | "pid_file" => process.pid_file = Some(field.text()?.into()),
        "ports_file_dir" => process.ports_file_dir = Some(field.text()?.into()),
        "prof_port"
        | "logfile_size_limit"
        | "log_size_limit"
        | "logfile_max_num"
        | "log_max_num"
        | "max_traced_msg_len"
        | "connect_error_reports"
        | "reconnect_error_reports"
        | "disable_sublist_cache"
        | "server_tags"
        | "server_metadata"
        | "no_header_support" => {
            options.note_without_effect(&field.place, &field.key);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The keys of nats-server with nothing behind them here.
const UNSUPPORTED: &[&str] = &[
    "https",
    "https_port",
    "http_base_path",
    "websocket",
    "ws",
    "mqtt",
    "leaf",
    "leafnodes",
    "gateway",
    "operator",
    "operators",
    "root",
    "roots",
    "trusted",
    "trusted_keys",
    "resolver",
    "account_resolver",
    "resolver_tls",
    "resolver_preload",
    "resolver_pinned_accounts",
    "default_sentinel",
    "mappings",
    "maps",
    "default_js_domain",
    "ocsp",
    "ocsp_cache",
    "no_system_account",
    "no_system",
    "no_sys_acc",
    "no_auth_callout",
    "max_closed_clients",
    "max_traced_msg",
    "no_fast_producer_stall",
    "proxy_protocol",
    "proxies",
    "syslog",
    "remote_syslog",
    "write_timeout",
    "feature_flags",
    "tls_timeout",
];

fn refuse(field: &Field) -> Result<(), ConfigFileError> {
    if UNSUPPORTED.contains(&field.name().as_str()) {
        return Err(field.unsupported());
    }
    field.check_unknown()
}

/// A number of bytes, more than 0.
fn size(field: &Field) -> Result<usize, ConfigFileError> {
    let wrong = || {
        field
            .place
            .error(format!("{:?} must be a size such as 1MB", field.key))
    };
    field.count()?.ok_or_else(wrong)
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
