//! `/connz`: the client connections.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use hitherto_protocol::{Subject, Timestamp, format_go_duration};
use serde::{Deserialize, Deserializer, Serialize};

use super::subsz::SubscriptionDetail;
use super::uptime::uptime_text;
use super::{Monitor, Page, Refused};
use crate::account::Account;
use crate::connection::ClientReport;
use crate::pubsub::SubscriberId;

/// What is asked for (`ConnzOptions` in nats-server 2.15 `server/monitor.go`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConnzOptions {
    /// A name of [`Sort`]; empty for the order they came in.
    pub(crate) sort: String,
    /// Also say who the clients are.
    pub(crate) auth: bool,
    /// Also list their subscriptions.
    pub(crate) subscriptions: bool,
    /// List them with their numbers.
    pub(crate) subscriptions_detail: bool,
    pub(crate) offset: i64,
    pub(crate) limit: i64,
    /// Only this connection; 0 for all.
    pub(crate) cid: u64,
    pub(crate) state: ConnState,
    /// Only MQTT clients of this name: there are none. Empty for all.
    pub(crate) mqtt_client: String,
    /// Only those of this user; empty for all.
    pub(crate) user: String,
    /// Only those in this account; empty for all.
    pub(crate) acc: String,
    /// Only those with a subscription that matches, in the account `acc`; empty for all.
    pub(crate) filter_subject: String,
}

/// Which connections are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ConnState {
    /// Those of now.
    #[default]
    Open,
    /// Those that ended not long ago.
    Closed,
    /// Both.
    All,
}

impl<'de> Deserialize<'de> for ConnState {
    /// 0, 1 and 2, as nats-server numbers them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match u64::deserialize(deserializer)? {
            0 => Self::Open,
            1 => Self::Closed,
            _ => Self::All,
        })
    }
}

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Connz<'a> {
    server_id: &'a str,
    now: Timestamp,
    num_connections: usize,
    total: usize,
    offset: usize,
    limit: usize,
    connections: Vec<ConnInfo>,
}

/// One connection.
#[derive(Debug, Serialize)]
pub(crate) struct ConnInfo {
    cid: u64,
    kind: &'static str,
    r#type: &'static str,
    ip: IpAddr,
    port: u16,
    start: Timestamp,
    last_activity: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<String>,
    uptime: String,
    idle: String,
    pending_bytes: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    stalls: u64,
    subscriptions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lang: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorized_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<SubscriptionDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_tag: Option<String>,
}

/// The orders of connections; nats-server 2.15, observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Cid,
    Start,
    Subs,
    Pending,
    MsgsTo,
    MsgsFrom,
    BytesTo,
    BytesFrom,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    Rtt,
}

impl Sort {
    fn parse(name: &str) -> Result<Self, Refused> {
        Ok(match name {
            "" | "cid" => Self::Cid,
            "start" => Self::Start,
            "subs" => Self::Subs,
            "pending" => Self::Pending,
            "msgs_to" => Self::MsgsTo,
            "msgs_from" => Self::MsgsFrom,
            "bytes_to" => Self::BytesTo,
            "bytes_from" => Self::BytesFrom,
            "last" => Self::Last,
            "idle" => Self::Idle,
            "uptime" => Self::Uptime,
            "stop" => Self::Stop,
            "reason" => Self::Reason,
            "rtt" => Self::Rtt,
            _ => return Err(Refused(format!("invalid sorting option: {name}"))),
        })
    }

    fn check(self, state: ConnState) -> Result<(), Refused> {
        match self {
            Self::Stop | Self::Reason if state != ConnState::Closed => {
                let name = if self == Self::Stop { "stop" } else { "reason" };
                Err(Refused(format!(
                    "sort by {name} only valid on closed connections"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Sorts what is in the order of `cid`; equal ones keep it.
    fn apply(self, clients: &mut [ClientReport]) {
        match self {
            Self::Cid => {}
            Self::Start => clients.sort_by_key(|client| client.started),
            Self::Subs => clients.sort_by_key(|client| Reverse(client.subscriptions)),
            Self::Pending => clients.sort_by_key(|client| Reverse(client.pending_bytes)),
            Self::MsgsTo => clients.sort_by_key(|client| Reverse(client.sent.messages)),
            Self::MsgsFrom => clients.sort_by_key(|client| Reverse(client.received.messages)),
            Self::BytesTo => clients.sort_by_key(|client| Reverse(client.sent.bytes)),
            Self::BytesFrom => clients.sort_by_key(|client| Reverse(client.received.bytes)),
            Self::Last => clients.sort_by_key(|client| Reverse(client.last_activity)),
            Self::Idle => clients.sort_by_key(|client| Reverse(idle(client))),
            Self::Uptime => clients.sort_by_key(uptime),
            Self::Stop => clients.sort_by_key(|client| client.at),
            Self::Reason => clients.sort_by_key(reason_text),
            Self::Rtt => clients.sort_by_key(|client| Reverse(client.rtt)),
        }
    }
}

impl Monitor {
    /// Makes the document.
    ///
    /// # Errors
    /// When the options contradict themselves.
    pub(crate) fn connz(&self, options: &ConnzOptions) -> Result<Connz<'_>, Refused> {
        let sort = Sort::parse(&options.sort)?;
        sort.check(options.state)?;
        let mut clients = self.clients_of(options)?;
        let total = clients.len();
        let mut page = Page::new(options.offset, options.limit);
        if options.cid > 0 {
            clients.retain(|client| client.id.0 == options.cid);
            page.limit = 1;
        }
        if !options.user.is_empty() {
            let user = Some(options.user.as_str());
            clients.retain(|client| client.identity.user.as_deref() == user);
        }
        if !options.mqtt_client.is_empty() {
            clients.clear();
        }
        sort.apply(&mut clients);
        let clients = page.cut(clients);
        let mut subscriptions = self.subscriptions_of(&clients, options);
        let connections: Vec<_> = clients
            .into_iter()
            .map(|client| {
                let subscriptions = subscriptions.remove(&client.id).unwrap_or_default();
                self.conn_info(client, subscriptions, options)
            })
            .collect();
        Ok(Connz {
            server_id: &self.info().server_id,
            now: self.now(),
            num_connections: connections.len(),
            total,
            offset: page.offset,
            limit: page.limit,
            connections,
        })
    }

    /// Those in the wanted state and account, in the order of their numbers.
    fn clients_of(&self, options: &ConnzOptions) -> Result<Vec<ClientReport>, Refused> {
        let mut clients = Vec::new();
        if options.state != ConnState::Open {
            clients.extend(self.clients().closed());
        }
        if options.state != ConnState::Closed {
            let live = self.clients().live();
            clients.extend(live.iter().map(|client| client.report()));
        }
        if !options.acc.is_empty() {
            let account = self.account(&options.acc);
            clients.retain(|client| Some(client.identity.account) == account);
            if !options.filter_subject.is_empty() {
                self.keep_interested(&mut clients, &options.filter_subject)?;
            }
        }
        // The latest report of one that ends just now.
        clients.sort_by_key(|client| (client.id, client.reason.is_none()));
        clients.dedup_by_key(|client| client.id);
        Ok(clients)
    }

    /// Keeps those with a subscription that matches a subject.
    fn keep_interested(
        &self,
        clients: &mut Vec<ClientReport>,
        subject: &str,
    ) -> Result<(), Refused> {
        let subject = Subject::new(subject.to_owned());
        let subject = subject.map_err(|error| Refused(format!("filter_subject: {error}")))?;
        let mut interested: Vec<SubscriberId> = Vec::new();
        for account in Account::ALL {
            let router = self.accounts().router(account);
            let matching = router.list(|subscription| {
                subscription.sid().is_some() && subscription.filter().matches(subject.as_str())
            });
            interested.extend(matching.iter().filter_map(|found| found.subscriber()));
        }
        interested.sort_unstable();
        clients.retain(|client| interested.binary_search(&client.id).is_ok());
        Ok(())
    }

    /// The subscriptions of these connections, if they are asked for.
    fn subscriptions_of(
        &self,
        clients: &[ClientReport],
        options: &ConnzOptions,
    ) -> BTreeMap<SubscriberId, Vec<SubscriptionDetail>> {
        let mut by_client = BTreeMap::<_, Vec<_>>::new();
        if !options.subscriptions && !options.subscriptions_detail {
            return by_client;
        }
        by_client.extend(clients.iter().map(|client| (client.id, Vec::new())));
        for account in Account::ALL {
            let router = self.accounts().router(account);
            let wanted = router.list(|subscription| {
                let subscriber = subscription.subscriber();
                subscriber.is_some_and(|id| by_client.contains_key(&id))
            });
            for subscription in wanted {
                let subscriber = subscription.subscriber();
                let Some(list) = subscriber.and_then(|id| by_client.get_mut(&id)) else {
                    continue;
                };
                list.push(SubscriptionDetail::of(&subscription));
            }
        }
        by_client
    }

    fn conn_info(
        &self,
        client: ClientReport,
        subscriptions: Vec<SubscriptionDetail>,
        options: &ConnzOptions,
    ) -> ConnInfo {
        let account = &self.accounts().get(client.identity.account).name;
        let user = client.identity.user.as_ref().filter(|_| options.auth);
        let (list, detail) = if options.subscriptions_detail {
            (Vec::new(), subscriptions)
        } else {
            let subjects = subscriptions.into_iter();
            (
                subjects.map(SubscriptionDetail::into_subject).collect(),
                Vec::new(),
            )
        };
        ConnInfo {
            cid: client.id.0,
            kind: "Client",
            r#type: "nats",
            ip: client.peer.ip().to_canonical(),
            port: client.peer.port(),
            start: client.started,
            last_activity: client.last_activity,
            stop: client.reason.map(|_| client.at),
            reason: client.reason.map(|reason| reason.text()),
            rtt: client.rtt.map(format_go_duration),
            uptime: uptime_text(uptime(&client)),
            idle: uptime_text(idle(&client)),
            pending_bytes: client.pending_bytes,
            in_msgs: client.received.messages,
            out_msgs: client.sent.messages,
            in_bytes: client.received.bytes,
            out_bytes: client.sent.bytes,
            stalls: client.stalls,
            subscriptions: client.subscriptions,
            authorized_user: user.cloned(),
            account: user.map(|_| account.clone()),
            name_tag: options.auth.then(|| account.clone()),
            name: client.identity.name,
            lang: client.identity.lang,
            version: client.identity.version,
            subscriptions_list: list,
            subscriptions_list_detail: detail,
        }
    }
}

fn uptime(client: &ClientReport) -> std::time::Duration {
    client.at.saturating_duration_since(client.started)
}

fn idle(client: &ClientReport) -> std::time::Duration {
    client.at.saturating_duration_since(client.last_activity)
}

fn reason_text(client: &ClientReport) -> &'static str {
    client.reason.map_or("", |reason| reason.text())
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
