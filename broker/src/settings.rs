//! What may change while a node runs: a reload gives every connection a new one.

use hitherto_protocol::ServerInfo;

use crate::auth::Auth;
use crate::config::ClientLimits;
use crate::tls::Tls;

/// What connections go by.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) limits: ClientLimits,
    /// INFO without the fields of a single connection.
    pub(crate) info: ServerInfo,
    pub(crate) auth: Auth,
    /// `None` when connections are plain.
    pub(crate) tls: Option<Tls>,
}
