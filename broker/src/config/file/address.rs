//! Hosts and ports in the configuration file.

use super::value::{Field, Value};
use super::{ConfigFileError, Place};

/// A port: -1 is a free one, 0 the default.
pub(super) fn port(field: &Field) -> Result<Option<u16>, ConfigFileError> {
    match field.integer()? {
        -1 => Ok(Some(0)),
        0 => Ok(None),
        port => match u16::try_from(port) {
            Ok(port) => Ok(Some(port)),
            Err(_) => Err(no_port(&field.place, &port.to_string())),
        },
    }
}

/// `host:port`, or a port alone.
pub(super) fn host_and_port(
    field: &Field,
    host: &str,
    default_port: u16,
) -> Result<(String, u16), ConfigFileError> {
    if let Value::Integer(_) = field.entry.value {
        return Ok((host.to_owned(), port(field)?.unwrap_or(default_port)));
    }
    let text = field.text()?;
    let (host, number) = text.rsplit_once(':').ok_or_else(|| {
        field
            .place
            .error(format!("could not parse address string {text:?}"))
    })?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = match number {
        "-1" => 0,
        _ => number.parse().map_err(|_| no_port(&field.place, number))?,
    };
    Ok((host.to_owned(), port))
}

fn no_port(place: &Place, text: &str) -> ConfigFileError {
    place.error(format!("could not parse port {text:?}"))
}
