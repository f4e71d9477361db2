//! Answers requests with the documents of the monitor.

use std::sync::Arc;

use bytes::Bytes;
use hitherto_protocol::Subject;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::connections::account_connections;
use super::desk::Request;
use super::envelope::{Marker, ServerMark, json};
use super::reload::Reloads;
use super::subjects::{AccountDocument, Question, ServerDocument};
use crate::account::Account;
use crate::connection::ClientReport;
use crate::monitor::{
    AccountStatzOptions, AccountzOptions, ConnzOptions, HealthzOptions, JszOptions, Monitor,
    Refused, Statsz, SubszOptions,
};

/// Which servers a request is for (`EventFilterOptions` in nats-server 2.15 `server/events.go`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServerFilter {
    server_name: String,
    cluster: String,
    host: String,
    domain: String,
    tags: Vec<String>,
    /// Compare names and hosts as a whole; otherwise a part of them is enough.
    exact_match: bool,
}

/// The body of KICK and LDM.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClientRequest {
    cid: u64,
}

/// The shortest answer: which server there is.
#[derive(Debug, Serialize)]
struct ServerId<'a> {
    name: &'a str,
    host: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a str>,
}

/// The sums, in the form they are also published in.
#[derive(Debug, Serialize)]
pub(super) struct StatszMessage {
    pub(super) server: ServerMark,
    pub(super) statsz: Statsz,
}

/// Who a client is.
#[derive(Debug, Serialize)]
struct UserInfo {
    user: String,
    account: String,
    account_name: String,
}

/// Raft groups, of which a node on its own has none.
#[derive(Debug, Serialize)]
struct NoGroups {}

/// Answers for one server.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) monitor: Arc<Monitor>,
    pub(super) marker: Marker,
    pub(super) reloads: Reloads,
}

impl Answers {
    /// The answer; `None` when the request is not for this server.
    pub(super) async fn answer(&self, request: &Request) -> Option<Bytes> {
        let answered = match request.question {
            Question::Server(document) => self.about_server(document, &request.payload).await,
            Question::Account(document) => {
                let account = request
                    .subject
                    .as_str()
                    .split('.')
                    .nth(3)
                    .unwrap_or_default();
                self.about_account(document, account, request).await
            }
            Question::OwnAccount(document) => {
                let accounts = self.monitor.accounts();
                let account = accounts.get(request.account).name.clone();
                self.about_account(document, &account, request).await
            }
            Question::UserInfo => Ok(self.user_info(request)),
            Question::Kick => self.kick(&request.payload),
            Question::SendAway => self.send_away(&request.payload),
            Question::Reload => self.reload(&request.payload).await,
        };
        answered
            .unwrap_or_else(|Malformed(description)| Some(self.marker.refusal(400, description)))
    }

    /// The account a client is in.
    pub(super) fn account_name(&self, client: &ClientReport) -> String {
        let account = client.identity.account;
        self.monitor.accounts().get(account).name.clone()
    }

    async fn about_server(&self, document: ServerDocument, body: &[u8]) -> Answered {
        let filter: ServerFilter = read(body)?;
        if !filter.matches(&self.monitor) {
            return Ok(None);
        }
        let (monitor, marker) = (&self.monitor, &self.marker);
        Ok(Some(match document {
            ServerDocument::Idz => {
                let info = monitor.info();
                json(&ServerId {
                    name: &info.server_name,
                    host: &info.host,
                    id: &info.server_id,
                    cluster: info.cluster.as_deref(),
                })
            }
            ServerDocument::Statsz => json(&StatszMessage {
                server: marker.mark(),
                statsz: monitor.statsz(),
            }),
            ServerDocument::Varz => marker.document(&monitor.varz()),
            ServerDocument::Subsz => {
                let options: SubszOptions = read(body)?;
                marker.result(monitor.subsz(&options))
            }
            ServerDocument::Connz => {
                let options: ConnzOptions = read(body)?;
                marker.result(monitor.connz(&options))
            }
            ServerDocument::Routez => marker.document(&monitor.routez()),
            ServerDocument::Gatewayz => marker.document(&monitor.gatewayz()),
            ServerDocument::Leafz => marker.document(&monitor.leafz()),
            ServerDocument::Accountz => {
                let options: AccountzOptions = read(body)?;
                marker.result(monitor.accountz(&options))
            }
            ServerDocument::Jsz => {
                let options: JszOptions = read(body)?;
                marker.document(&monitor.jsz(&options).await)
            }
            ServerDocument::Healthz => {
                let options: HealthzOptions = read(body)?;
                marker.document(&monitor.healthz(&options).await)
            }
            ServerDocument::Raftz => marker.document(&NoGroups {}),
        }))
    }

    async fn about_account(
        &self,
        document: AccountDocument,
        account: &str,
        request: &Request,
    ) -> Answered {
        let (monitor, marker, body) = (&self.monitor, &self.marker, &request.payload);
        let account = account.to_owned();
        Ok(Some(match document {
            AccountDocument::Subsz => {
                let options: SubszOptions = read(body)?;
                marker.result(monitor.subsz(&SubszOptions {
                    account,
                    subscriptions: true,
                    ..options
                }))
            }
            AccountDocument::Connz => {
                let options: ConnzOptions = read(body)?;
                marker.result(monitor.connz(&ConnzOptions {
                    acc: account,
                    ..options
                }))
            }
            AccountDocument::Leafz => marker.document(&monitor.leafz()),
            AccountDocument::Jsz => {
                let options: JszOptions = read(body)?;
                let options = JszOptions { account, ..options };
                marker.result(monitor.account_jsz(&options).await)
            }
            AccountDocument::Info => marker.result(monitor.account_detail(&account)),
            AccountDocument::Statz => return self.account_statz(account, body),
            AccountDocument::Conns => {
                let Some(account) = monitor.account(&account) else {
                    return Ok(None);
                };
                account_connections(monitor, marker, account).to_bytes()
            }
        }))
    }

    /// `PING` in place of an account asks about all of them.
    fn account_statz(&self, account: String, body: &[u8]) -> Answered {
        let mut options: AccountStatzOptions = read(body)?;
        if account != "PING" {
            if self.monitor.account(&account).is_none() {
                return Ok(None);
            }
            options.accounts = vec![account];
            options.unused = true;
        }
        Ok(Some(self.marker.document(&self.monitor.accstatz(&options))))
    }

    /// Tells who gets the answer who it is; whoever asks gets it on an inbox of its own.
    fn user_info(&self, request: &Request) -> Option<Bytes> {
        let reply = request.reply.as_ref()?;
        let space = self.monitor.accounts().get(request.account);
        Some(self.marker.document(&UserInfo {
            user: self.user_of(reply, request.account).unwrap_or_default(),
            account: space.name.clone(),
            account_name: space.name.clone(),
        }))
    }

    fn user_of(&self, inbox: &Subject, account: Account) -> Option<String> {
        let router = self.monitor.accounts().router(account);
        self.monitor.user(router.first_subscriber(inbox)?)
    }

    fn kick(&self, body: &[u8]) -> Answered {
        if body.is_empty() {
            return Ok(None);
        }
        let ClientRequest { cid } = read(body)?;
        Ok(Some(if self.monitor.kick(cid) {
            tracing::info!(
                client = cid,
                "connection ended by request of the system account"
            );
            self.marker.done()
        } else {
            self.marker
                .refusal(500, "no such client or leafnode id".into())
        }))
    }

    fn send_away(&self, body: &[u8]) -> Answered {
        if body.is_empty() {
            return Ok(None);
        }
        let ClientRequest { cid } = read(body)?;
        Ok(Some(match self.monitor.tell_to_leave(cid) {
            Ok(()) => {
                tracing::info!(
                    client = cid,
                    "client told to leave by request of the system account"
                );
                self.marker.done()
            }
            Err(Refused(why)) => self.marker.refusal(500, why),
        }))
    }

    async fn reload(&self, body: &[u8]) -> Answered {
        let filter: ServerFilter = read(body)?;
        if !filter.matches(&self.monitor) {
            return Ok(None);
        }
        Ok(Some(match self.reloads.ask().await {
            Ok(()) => self.marker.done(),
            Err(why) => self.marker.refusal(500, why),
        }))
    }
}

impl ServerFilter {
    /// A node is in no domain and has no tags, and on its own in no cluster.
    fn matches(&self, monitor: &Monitor) -> bool {
        let info = monitor.info();
        let fits = |wanted: &str, own: &str| match self.exact_match {
            _ if wanted.is_empty() => true,
            true => wanted == own,
            false => own.contains(wanted),
        };
        fits(&self.server_name, &info.server_name)
            && fits(&self.host, &info.host)
            && fits(&self.cluster, info.cluster.as_deref().unwrap_or_default())
            && self.domain.is_empty()
            && self.tags.is_empty()
    }
}

/// An answer, none, or what is wrong with the body.
type Answered = Result<Option<Bytes>, Malformed>;

struct Malformed(String);

/// Reads a body; an empty one and `null` say nothing.
fn read<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    if body.is_empty() {
        return Ok(T::default());
    }
    let read = serde_json::from_slice::<Option<T>>(body);
    let read = read.map_err(|error| Malformed(error.to_string()))?;
    Ok(read.unwrap_or_default())
}
