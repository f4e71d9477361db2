//! What may change while a node runs: a reload gives every connection a new one.

use hitherto_protocol::ServerInfo;

use crate::auth::Auth;
use crate::config::ClientLimits;

/// What connections go by.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) limits: ClientLimits,
    /// INFO without the fields of a single connection.
    pub(crate) info: ServerInfo,
    pub(crate) auth: Auth,
}
