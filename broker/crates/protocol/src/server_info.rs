//! The body of INFO: what a server says about itself and about the connection.

use serde::{Deserialize, Serialize};

/// The fields of INFO. Wire reference: docs.nats.io, "Client Protocol", and `Info` in nats-server
/// 2.15 `server/server.go`. Absent options, false flags (but `headers`) and empty lists are left
/// out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ServerInfo {
    /// 56 characters, the first is `N`; new at every start of the process.
    pub server_id: String,
    /// Name of the server; defaults to the id.
    pub server_name: String,
    /// Semantic version; clients switch features by it.
    pub version: String,
    /// Protocol version: 1 says that INFO may come at any time.
    pub proto: i64,
    /// Commit the server was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// Version of the Go compiler in nats-server; some clients want the field to be there.
    pub go: String,
    /// Host the server listens on.
    pub host: String,
    /// Port the server listens on.
    pub port: u16,
    /// HPUB and HMSG are understood.
    pub headers: bool,
    /// CONNECT must carry credentials.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// The client must start TLS before CONNECT.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// The client must show a certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// The client may start TLS before CONNECT.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Largest message in bytes, headers and payload together.
    pub max_payload: usize,
    /// JetStream is on.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// Number of the connection on this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<u64>,
    /// Address the client comes from, without port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// What the client signs with its nkey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The cluster's name was made up by the servers.
    #[serde(skip_serializing_if = "is_false")]
    pub cluster_dynamic: bool,
    /// JetStream domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// `host:port` of every server of the cluster that takes clients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// The same for WebSocket clients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ws_connect_urls: Vec<String>,
    /// Lame duck mode: clients should go elsewhere.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// This INFO answers CONNECT and tells the account (nats-server 2.12).
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// Name of the client's account; only with `connect_info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_account: Option<String>,
    /// The client's account is the system account; only with `connect_info`.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    /// JetStream API level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_lvl: Option<u32>,
    /// Public curve key for encrypted requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xkey: Option<String>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_left_out() {
        let info = ServerInfo {
            server_id: "N1".into(),
            max_payload: 1024,
            ..ServerInfo::default()
        };
        assert_eq!(
            serde_json::to_string(&info).unwrap(),
            r#"{"server_id":"N1","server_name":"","version":"","proto":0,"go":"","host":"","port":0,"headers":false,"max_payload":1024}"#
        );
    }

    #[test]
    fn fields_carry_their_wire_names() {
        let info = ServerInfo {
            jetstream: true,
            client_id: Some(7),
            connect_urls: vec!["127.0.0.1:4222".into()],
            api_lvl: Some(4),
            ldm: true,
            ..ServerInfo::default()
        };
        let json = serde_json::to_value(&info).unwrap();
        assert_eq!(json["jetstream"], true);
        assert_eq!(json["client_id"], 7);
        assert_eq!(json["connect_urls"][0], "127.0.0.1:4222");
        assert_eq!(json["api_lvl"], 4);
        assert_eq!(serde_json::from_value::<ServerInfo>(json).unwrap(), info);
    }
}
