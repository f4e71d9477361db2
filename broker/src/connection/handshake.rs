//! INFO and CONNECT: what the server and the client say about themselves.

use std::net::SocketAddr;

use hitherto_protocol::{Connect, ServerInfo};

use crate::pubsub::SubscriberId;

/// What a client asked for. Before CONNECT the defaults of CONNECT hold (`defaultOpts` in nats-server
/// 2.15 `server/client.go`), so that one can talk to the broker by hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientOptions {
    pub(super) verbose: bool,
    pub(super) pedantic: bool,
    pub(super) echo: bool,
    pub(super) headers: bool,
    pub(super) no_responders: bool,
    /// The client takes INFO at any time (`protocol` 1).
    pub(super) takes_async_info: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            takes_async_info: false,
        }
    }
}

impl ClientOptions {
    /// Reads CONNECT.
    ///
    /// # Errors
    /// The text of the `-ERR` that closes the connection.
    pub(super) fn from_connect(connect: &Connect) -> Result<Self, &'static str> {
        if !matches!(connect.protocol, 0 | 1) {
            return Err("invalid client protocol");
        }
        if connect.account.is_some() {
            return Err("Authorization Violation");
        }
        if connect.no_responders && !connect.headers {
            return Err("no responders requires headers support");
        }
        Ok(Self {
            verbose: connect.verbose,
            pedantic: connect.pedantic,
            echo: connect.echo,
            headers: connect.headers,
            no_responders: connect.no_responders,
            takes_async_info: connect.protocol == 1,
        })
    }
}

/// The INFO of one connection.
pub(super) fn info_for(node: &ServerInfo, client: SubscriberId, peer: SocketAddr) -> ServerInfo {
    ServerInfo {
        client_id: Some(client.0),
        client_ip: Some(peer.ip().to_canonical().to_string()),
        ..node.clone()
    }
}

/// The second INFO, after the first PONG: the same and the client's account (nats-server 2.12).
pub(super) fn connect_info(mut info: ServerInfo, account: &str, is_system: bool) -> ServerInfo {
    info.connect_info = true;
    info.remote_account = Some(account.into());
    info.acc_is_sys = is_system;
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_kept_are_refused_with_the_texts_of_nats_server() {
        let refused = |change: fn(&mut Connect)| {
            let mut connect = Connect::default();
            change(&mut connect);
            ClientOptions::from_connect(&connect).unwrap_err()
        };
        assert_eq!(refused(|c| c.protocol = 2), "invalid client protocol");
        assert_eq!(refused(|c| c.protocol = -1), "invalid client protocol");
        assert_eq!(
            refused(|c| c.no_responders = true),
            "no responders requires headers support"
        );
        assert_eq!(
            refused(|c| c.account = Some("A".into())),
            "Authorization Violation"
        );
    }
}
