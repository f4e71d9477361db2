//! The body of CONNECT: who the client is and what it asks for.
//!
//! Only the shape is read here; whether the credentials are right is decided by the connection.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// The options of CONNECT. Wire reference: docs.nats.io, "Client Protocol", and `ClientOpts` in
/// nats-server 2.15 `server/client.go`.
///
/// Unknown fields are ignored. An empty text and `null` count as absent. Absent booleans are false,
/// except `verbose`, `pedantic` and `echo`, which are true when absent.
///
/// Differs from nats-server, whose JSON reader is Go's: names are compared case by case, a name
/// that appears twice and bytes that are not UTF-8 are errors. No client library sends any of
/// these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Connect {
    /// Answer each operation with `+OK`.
    #[serde(deserialize_with = "true_when_null")]
    pub verbose: bool,
    /// Check publish subjects.
    #[serde(deserialize_with = "true_when_null")]
    pub pedantic: bool,
    /// Deliver the client's own messages to its own subscriptions.
    #[serde(deserialize_with = "true_when_null")]
    pub echo: bool,
    /// The client insists on TLS.
    #[serde(deserialize_with = "false_when_null")]
    pub tls_required: bool,
    /// The client sends and understands headers.
    #[serde(deserialize_with = "false_when_null")]
    pub headers: bool,
    /// The client wants a 503 status when nobody listens; needs `headers`.
    #[serde(deserialize_with = "false_when_null")]
    pub no_responders: bool,
    /// 0 is the original protocol, 1 allows INFO at any time; others are refused by the connection.
    pub protocol: i64,
    /// The application's name for the connection.
    #[serde(
        deserialize_with = "none_when_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<String>,
    /// The language of the client library.
    #[serde(
        deserialize_with = "none_when_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub lang: Option<String>,
    /// The version of the client library.
    #[serde(
        deserialize_with = "none_when_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub version: Option<String>,
    /// User name.
    #[serde(
        deserialize_with = "none_when_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub user: Option<String>,
    /// Password.
    #[serde(
        deserialize_with = "secret_when_not_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub pass: Option<Secret>,
    /// Token.
    #[serde(
        deserialize_with = "secret_when_not_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth_token: Option<Secret>,
    /// Public user key (`U...`).
    #[serde(
        deserialize_with = "none_when_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub nkey: Option<String>,
    /// User JWT.
    #[serde(
        deserialize_with = "secret_when_not_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub jwt: Option<Secret>,
    /// Signature of the nonce, base64.
    #[serde(
        deserialize_with = "none_when_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub sig: Option<String>,
    /// Legacy account choice; refused by the connection.
    #[serde(
        deserialize_with = "none_when_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub account: Option<String>,
}

impl Connect {
    /// Reads the body of CONNECT; blanks behind the object are allowed.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        if !json.starts_with(b"{") {
            return Err(de::Error::custom("expected a JSON object"));
        }
        serde_json::from_slice(json)
    }
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            tls_required: false,
            headers: false,
            no_responders: false,
            protocol: 0,
            name: None,
            lang: None,
            version: None,
            user: None,
            pass: None,
            auth_token: None,
            nkey: None,
            jwt: None,
            sig: None,
            account: None,
        }
    }
}

fn true_when_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or(true))
}

fn false_when_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or(false))
}

fn none_when_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn secret_when_not_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    Ok(none_when_empty(deserializer)?.map(Secret))
}

/// A text that must not reach a log: its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"[hidden]\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(json: &str) -> Connect {
        Connect::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn absent_booleans_default_as_in_nats_server() {
        let connect = connect("{}");
        assert_eq!(connect, Connect::default());
        assert!(connect.verbose && connect.pedantic && connect.echo);
        assert!(!connect.headers && !connect.no_responders && !connect.tls_required);
    }

    #[test]
    fn fields_of_a_real_client_are_read() {
        let connect = connect(
            r#"{"verbose":false,"pedantic":false,"tls_required":false,"name":"orders","lang":"rust",
                "version":"0.51.0","protocol":1,"echo":false,"headers":true,"no_responders":true,
                "user":"u","pass":"p","unknown":[{}]}"#,
        );
        assert!(!connect.verbose && !connect.echo && connect.headers && connect.no_responders);
        assert_eq!(connect.protocol, 1);
        assert_eq!(connect.name.as_deref(), Some("orders"));
        assert_eq!(connect.pass.as_ref().map(Secret::expose), Some("p"));
    }

    #[test]
    fn null_and_empty_text_count_as_absent() {
        let connect = connect(r#"{"verbose":null,"name":null,"user":"","pass":"","headers":null}"#);
        assert_eq!(connect, Connect::default());
    }

    #[test]
    fn wrong_types_are_refused() {
        for json in ["", "[]", "{", r#"{"verbose":"yes"}"#, r#"{"protocol":"1"}"#] {
            assert!(Connect::from_json(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let shown = format!(
            "{:?}",
            connect(r#"{"pass":"hunter2","auth_token":"t0k","jwt":"ey"}"#)
        );
        assert!(!shown.contains("hunter2") && !shown.contains("t0k") && !shown.contains("\"ey\""));
    }
}
