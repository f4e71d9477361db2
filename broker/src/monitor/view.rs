//! What the documents are made from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hitherto_platform::Entropy;
use hitherto_protocol::{ServerInfo, Timestamp};

use super::Refused;
use super::process::Process;
use crate::account::{Account, Accounts};
use crate::connection::{Clients, Environment};
use crate::id;
use crate::jetstream::JetStream;
use crate::pubsub::SubscriberId;
use crate::route::Links;
use crate::settings::Settings;

/// What a node shows of itself. Shared by everybody who carries documents out.
///
/// JetStream is held weakly, so that a page under way does not keep the threads of a stopped node alive.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// What the server says about itself, for what no reload changes.
    info: ServerInfo,
    environment: Arc<Environment>,
    jetstream: Weak<JetStream>,
    pub(super) parts: MonitorParts,
    pub(super) started: Timestamp,
    started_monotonic: Duration,
    pub(super) process: Process,
    /// By path; only of those there are.
    pages: Mutex<BTreeMap<&'static str, u64>>,
}

/// What a monitor is told about the configuration.
#[derive(Debug, Clone)]
pub(crate) struct MonitorParts {
    /// The links to other nodes; `None` for a node on its own.
    pub(crate) links: Option<Arc<Links>>,
    /// Where the pages are; `None` without HTTP.
    pub(crate) http_addr: Option<SocketAddr>,
    /// The directory of JetStream; `None` when it is off.
    pub(crate) store_dir: Option<PathBuf>,
    /// For the names of events.
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Monitor {
    /// A monitor of a node that starts now.
    pub(crate) fn new(
        environment: Arc<Environment>,
        jetstream: Option<&Arc<JetStream>>,
        parts: MonitorParts,
    ) -> Self {
        let clock = &environment.clock;
        Self {
            started: Timestamp::from(clock.now()),
            started_monotonic: clock.monotonic(),
            process: Process::new(),
            info: environment.settings().info.clone(),
            environment,
            jetstream: jetstream.map(Arc::downgrade).unwrap_or_default(),
            parts,
            pages: Mutex::default(),
        }
    }

    /// Ends a connection; `false` when there is none of this number.
    pub(crate) fn kick(&self, id: u64) -> bool {
        let client = self.clients().get(SubscriberId(id));
        client.inspect(|client| client.kick()).is_some()
    }

    /// Tells a client that it had better connect elsewhere; it stays until it goes.
    ///
    /// # Errors
    /// When there is none of this number, or it does not listen to such words.
    pub(crate) fn tell_to_leave(&self, id: u64) -> Result<(), Refused> {
        let client = self.clients().get(SubscriberId(id));
        let client = client.ok_or_else(|| Refused("no such client id".into()))?;
        match client.tell_to_leave(&self.settings().info) {
            true => Ok(()),
            false => Err(Refused(
                "client does not support Lame Duck Mode or is not ready to receive the notification"
                    .into(),
            )),
        }
    }

    /// The user a connection was let in as; `None` when nobody was asked.
    pub(crate) fn user(&self, id: SubscriberId) -> Option<String> {
        self.clients().get(id)?.report().identity.user
    }

    /// A new name for an event.
    pub(crate) fn event_id(&self) -> String {
        id::unique(&*self.parts.entropy)
    }

    /// Somebody asked for a page.
    pub(crate) fn count_page(&self, path: &'static str) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        *pages.entry(path).or_default() += 1;
    }

    pub(super) fn pages(&self) -> BTreeMap<&'static str, u64> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.clone()
    }

    /// What the server says about itself to every client: its names and its version. The rest may have
    /// changed by a reload.
    pub(crate) fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// What holds for connections now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.environment.settings()
    }

    pub(super) fn clients(&self) -> &Clients {
        &self.environment.clients
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.environment.accounts
    }

    /// The account of this name.
    pub(crate) fn account(&self, name: &str) -> Option<Account> {
        Account::ALL
            .into_iter()
            .find(|account| self.accounts().get(*account).name == name)
    }

    /// `None` when it is off or the node has stopped.
    pub(super) fn jetstream(&self) -> Option<Arc<JetStream>> {
        self.jetstream.upgrade()
    }

    /// Whether the node was started with JetStream.
    pub(crate) fn has_jetstream(&self) -> bool {
        self.parts.store_dir.is_some()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from(self.environment.clock.now())
    }

    /// How long the node runs.
    pub(super) fn uptime(&self) -> Duration {
        let now = self.environment.clock.monotonic();
        now.saturating_sub(self.started_monotonic)
    }
}
