//! `tls`: certificates, and what is asked of clients.

use std::path::PathBuf;

use super::ConfigFileError;
use super::value::{Field, Value};
use crate::config::{HANDSHAKE_FIRST_WAIT, HandshakeFirst, TlsOptions};

/// `tls { cert_file: ..., key_file: ... }`.
pub(super) fn read(block: &Field) -> Result<TlsOptions, ConfigFileError> {
    let mut options = TlsOptions::new("", "");
    for field in block.map()? {
        match field.name().as_str() {
            "cert_file" => options.cert_file = path(field)?,
            "key_file" => options.key_file = path(field)?,
            "ca_file" => options.ca_file = Some(path(field)?),
            "verify" => options.verify = field.boolean()?,
            "timeout" => options.timeout = field.duration()?,
            "handshake_first" | "first" | "immediate" => options.first = handshake_first(field)?,
            "min_version" => options.only_tls13 = is_tls13(field)?,
            "verify_and_map"
            | "verify_cert_and_check_known_urls"
            | "pinned_certs"
            | "cipher_suites"
            | "curve_preferences"
            | "connection_rate_limit"
            | "insecure"
            | "ocsp_peer"
            | "certs"
            | "certificates"
            | "cert_store"
            | "cert_match"
            | "cert_match_by"
            | "cert_match_skip_invalid"
            | "ca_certs_match" => {
                return Err(field.unsupported());
            }
            _ if field.is_variable => {}
            _ => {
                let text = format!("error parsing tls config, unknown field {:?}", field.key);
                return Err(field.place.error(text));
            }
        }
    }
    for (missing, key) in [
        (options.cert_file.as_os_str().is_empty(), "cert_file"),
        (options.key_file.as_os_str().is_empty(), "key_file"),
        // Differs from nats-server, which takes the certificates of the system then.
        (options.verify && options.ca_file.is_none(), "ca_file"),
    ] {
        if missing {
            return Err(block
                .place
                .error(format!("missing '{key}' in TLS configuration")));
        }
    }
    Ok(options)
}

fn path(field: &Field) -> Result<PathBuf, ConfigFileError> {
    field.text().map(PathBuf::from)
}

/// A boolean, `auto`, or how long the client may take to begin.
fn handshake_first(field: &Field) -> Result<HandshakeFirst, ConfigFileError> {
    match &field.entry.value {
        Value::Bool(true) => Ok(HandshakeFirst::Always),
        Value::Bool(false) => Ok(HandshakeFirst::Never),
        Value::Text(text) if text.eq_ignore_ascii_case("auto") => {
            Ok(HandshakeFirst::Within(HANDSHAKE_FIRST_WAIT))
        }
        _ => field.duration().map(HandshakeFirst::Within),
    }
}

fn is_tls13(field: &Field) -> Result<bool, ConfigFileError> {
    let text = match field.entry.value {
        Value::Float(number) => number.to_string(),
        _ => field.text()?,
    };
    match text.as_str() {
        "1.2" => Ok(false),
        "1.3" => Ok(true),
        _ => Err(field
            .place
            .error(format!("unknown TLS version {text:?}; it is 1.2 or 1.3"))),
    }
}
