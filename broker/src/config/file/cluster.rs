//! `cluster`: the other nodes, and how to reach them.

use super::ConfigFileError;
use super::address::{host_and_port, port};
use super::tls;
use super::value::Field;
use crate::config::{
    CLUSTER_PORT, ClusterOptions, RouteUrl, RouteUrlError, RouteUser, ServerOptions,
};

/// `cluster { name: ..., port: ..., routes: [...] }`.
pub(super) fn read(block: &Field, options: &mut ServerOptions) -> Result<(), ConfigFileError> {
    let mut cluster = options.cluster.take().unwrap_or_default();
    for field in block.map()? {
        match field.name().as_str() {
            "name" => cluster.name = field.text()?,
            "listen" => {
                (cluster.host, cluster.port) = host_and_port(field, &cluster.host, CLUSTER_PORT)?;
            }
            "port" => cluster.port = port(field)?.unwrap_or(CLUSTER_PORT),
            "host" | "net" => cluster.host = field.text()?,
            "routes" => cluster.routes = routes(field)?,
            "advertise" | "cluster_advertise" => cluster.advertise = Some(field.text()?),
            "bootstrap" => cluster.bootstrap = field.boolean()?,
            "no_advertise" => cluster.no_advertise = field.boolean()?,
            "authorization" => authorization(field, &mut cluster)?,
            "tls" => cluster.tls = Some(tls::read(field)?),
            "connect_retries" => cluster.connect_retries = small_number(field)?,
            "ping_interval" => cluster.ping_interval = field.duration()?,
            "ping_max" => cluster.pings_outstanding_max = small_number(field)?,
            // There is one connection to each node, and messages are sent as they are.
            "pool_size" | "compression" | "connect_backoff" | "accounts" | "write_deadline" => {
                options.note_without_effect(&field.place, &field.key);
            }
            "permissions" | "write_timeout" => return Err(field.unsupported()),
            _ => field.check_unknown()?,
        }
    }
    options.cluster = Some(cluster);
    Ok(())
}

fn routes(list: &Field) -> Result<Vec<RouteUrl>, ConfigFileError> {
    let route = |field: Field| {
        let parsed = field.text()?.parse();
        parsed.map_err(|error: RouteUrlError| field.place.error(error.to_string()))
    };
    list.list().into_iter().map(route).collect()
}

/// Whom other nodes must be; this node says it is the same.
fn authorization(block: &Field, cluster: &mut ClusterOptions) -> Result<(), ConfigFileError> {
    let (mut user, mut password) = (None, None);
    for field in block.map()? {
        match field.name().as_str() {
            "user" | "username" => user = Some(field.text()?),
            "pass" | "password" => password = Some(field.text()?),
            "timeout" => cluster.auth_timeout = field.duration()?,
            "token" | "users" | "permissions" | "default_permissions" => {
                return Err(field.unsupported());
            }
            _ => field.check_unknown()?,
        }
    }
    cluster.user = match (user, password) {
        (Some(user), Some(password)) => Some(RouteUser::new(user, password)),
        (None, None) => None,
        _ => {
            let text = "authorization of a cluster needs both user and password";
            return Err(block.place.error(text));
        }
    };
    Ok(())
}

fn small_number(field: &Field) -> Result<u32, ConfigFileError> {
    let number = u32::try_from(field.integer()?);
    number.map_err(|_| {
        let key = &field.key;
        field.place.error(format!("{key} must not be negative"))
    })
}
