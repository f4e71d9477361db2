//! `/jsz`: JetStream, its streams and consumers.

use hitherto_jetstream::StreamConfig;
use hitherto_jetstream::api::{ClusterInfo, ConsumerInfo, StreamState};
use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::varz::{Absent, ApiStats, JetStreamConfig, JetStreamStats};
use super::{Monitor, Page, Refused};
use crate::account::Account;
use crate::jetstream::{JetStream, StreamReport};

/// Streams whose owners are asked at a time: 64.
const STREAMS_AT_A_TIME: usize = 64;

/// What is asked for (`JSzOptions` in nats-server 2.15 `server/monitor.go`). What chooses leaders in a
/// cluster chooses everything here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct JszOptions {
    /// Only this account; empty for all.
    pub(crate) account: String,
    pub(crate) accounts: bool,
    pub(crate) streams: bool,
    #[serde(rename = "consumer")]
    pub(crate) consumers: bool,
    pub(crate) config: bool,
    /// Of accounts.
    pub(crate) offset: i64,
    pub(crate) limit: i64,
    /// Name the raft groups: there are none, but the number of leaders is told.
    pub(crate) raft: bool,
}

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Jsz<'a> {
    #[serde(flatten)]
    stats: JetStreamStats,
    server_id: &'a str,
    now: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    config: JetStreamConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Absent>,
    streams: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams_leader: Option<u64>,
    consumers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumers_leader: Option<u64>,
    messages: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    account_details: Vec<AccountJsz>,
    total: usize,
}

/// JetStream in one account.
#[derive(Debug, Serialize)]
pub(crate) struct AccountJsz {
    name: String,
    id: String,
    #[serde(flatten)]
    stats: JetStreamStats,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stream_detail: Vec<StreamDetail>,
}

/// One stream.
#[derive(Debug, Serialize)]
pub(crate) struct StreamDetail {
    name: String,
    created: Timestamp,
    cluster: ClusterInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<StreamConfig>,
    state: StreamState,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    /// Infos, in which the configuration may be left out.
    consumer_detail: Vec<Value>,
}

impl Monitor {
    /// Makes the document; waits for the owners of the streams if it describes them.
    pub(crate) async fn jsz(&self, options: &JszOptions) -> Jsz<'_> {
        let jetstream = self.jetstream().filter(|_| self.has_jetstream());
        let Some(jetstream) = jetstream else {
            return self.disabled_jsz();
        };
        let usage = jetstream.usage();
        let account_details = self.account_details(&jetstream, options).await;
        let leads = |number: u64| options.raft.then_some(number);
        Jsz {
            stats: self.jetstream_stats(),
            server_id: &self.info().server_id,
            now: self.now(),
            disabled: false,
            config: self.jetstream_config(),
            limits: Some(Absent {}),
            streams: usage.streams,
            streams_leader: leads(usage.streams),
            consumers: usage.consumers,
            consumers_leader: leads(usage.consumers),
            messages: usage.messages,
            bytes: usage.bytes.memory.saturating_add(usage.bytes.file),
            account_details,
            total: 1,
        }
    }

    /// JetStream in one account, for the requests about accounts.
    ///
    /// # Errors
    /// When there is no such account, or JetStream is not in it.
    pub(crate) async fn account_jsz(&self, options: &JszOptions) -> Result<AccountJsz, Refused> {
        let name = &options.account;
        let account = self.account(name);
        let account = account.ok_or_else(|| Refused(format!("account {name:?} not found")))?;
        let jetstream = self.jetstream().filter(|_| account == Account::Ordinary);
        let jetstream =
            jetstream.ok_or_else(|| Refused(format!("account {name:?} not jetstream enabled")))?;
        Ok(self.ordinary_jsz(&jetstream, options).await)
    }

    fn disabled_jsz(&self) -> Jsz<'_> {
        Jsz {
            stats: JetStreamStats::default(),
            server_id: &self.info().server_id,
            now: self.now(),
            disabled: true,
            config: JetStreamConfig::default(),
            limits: None,
            streams: 0,
            streams_leader: None,
            consumers: 0,
            consumers_leader: None,
            messages: 0,
            bytes: 0,
            account_details: Vec::new(),
            total: 0,
        }
    }

    /// The ordinary account is the only one with JetStream.
    async fn account_details(
        &self,
        jetstream: &JetStream,
        options: &JszOptions,
    ) -> Vec<AccountJsz> {
        let name = &self.accounts().get(Account::Ordinary).name;
        let is_named = options.account == *name;
        let all = options.accounts || (options.account.is_empty() && wants_streams(options));
        let on_page = Page::new(options.offset, options.limit).offset == 0;
        if is_named || (all && on_page) {
            vec![self.ordinary_jsz(jetstream, options).await]
        } else {
            Vec::new()
        }
    }

    async fn ordinary_jsz(&self, jetstream: &JetStream, options: &JszOptions) -> AccountJsz {
        let name = &self.accounts().get(Account::Ordinary).name;
        let stats = self.jetstream_stats();
        // As nats-server does: what an account has reserved is all it may use.
        let account = &jetstream.limits().account;
        AccountJsz {
            name: name.clone(),
            id: name.clone(),
            stats: JetStreamStats {
                accounts: 0,
                reserved_memory: account.memory.unwrap_or(u64::MAX),
                reserved_storage: account.file.unwrap_or(u64::MAX),
                api: ApiStats {
                    level: 0,
                    ..stats.api
                },
                ..stats
            },
            stream_detail: self.stream_details(jetstream, options).await,
        }
    }

    async fn stream_details(
        &self,
        jetstream: &JetStream,
        options: &JszOptions,
    ) -> Vec<StreamDetail> {
        let mut details = Vec::new();
        if !wants_streams(options) {
            return details;
        }
        for streams in jetstream.streams().chunks(STREAMS_AT_A_TIME) {
            let reports = jetstream.describe(streams, options.consumers).await;
            let leader = &self.info().server_name;
            let described = reports.into_iter();
            details.extend(described.map(|report| detail(report, leader, options.config)));
        }
        details
    }
}

fn wants_streams(options: &JszOptions) -> bool {
    options.streams || options.consumers
}

fn detail(report: StreamReport, leader: &str, with_config: bool) -> StreamDetail {
    let StreamReport { info, consumers } = report;
    StreamDetail {
        name: info.config.name.clone(),
        created: info.created,
        cluster: ClusterInfo {
            leader: Some(leader.to_owned()),
            ..ClusterInfo::default()
        },
        config: with_config.then_some(info.config),
        state: info.state,
        consumer_detail: consumers
            .into_iter()
            .map(|info| consumer_detail(info, with_config))
            .collect(),
    }
}

fn consumer_detail(info: ConsumerInfo, with_config: bool) -> Value {
    let mut detail = serde_json::to_value(info).expect("an info has string keys only");
    if let (false, Some(fields)) = (with_config, detail.as_object_mut()) {
        fields.remove("config");
    }
    detail
}
