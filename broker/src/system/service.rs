//! The task that answers the system account and tells it what happens.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::answers::Answers;
use super::desk::{self, Request};
use super::envelope::Marker;
use super::events::Events;
use super::reload::{ReloadRequests, Reloads};
use crate::account::Account;
use crate::connection::ClientEvent;
use crate::monitor::Monitor;
use crate::pubsub::{Origin, Publisher};
use crate::stop::StopSignal;

/// Requests that may wait for their answers: 1,024.
const REQUESTS_MAX: usize = 1_024;

/// Events about connections that may wait to be published: 4,096.
pub(crate) const EVENTS_MAX: usize = 4_096;

/// The sums are published this often: every 10 s, as in nats-server 2.15.
const STATSZ_INTERVAL: Duration = Duration::from_secs(10);

/// And for the first time so long after the start: 1 s.
const STATSZ_FIRST: Duration = Duration::from_secs(1);

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerEvent {
    /// It sends its clients away.
    LameDuck,
    /// It stops.
    Shutdown,
}

impl ServerEvent {
    /// The end of its subject.
    fn name(self) -> &'static str {
        match self {
            Self::LameDuck => "LAMEDUCK",
            Self::Shutdown => "SHUTDOWN",
        }
    }
}

/// The services of the system account.
#[derive(Debug)]
pub(crate) struct System {
    answers: Answers,
}

impl System {
    /// Services that tell what this monitor knows.
    pub(crate) fn new(monitor: Arc<Monitor>) -> Self {
        Self {
            answers: Answers {
                marker: Marker::new(Arc::clone(&monitor)),
                monitor,
                reloads: Reloads::default(),
            },
        }
    }

    /// Tells the system account what happens to the node. To be called before it does.
    pub(crate) fn tell(&self, event: ServerEvent) {
        let mut events = Events::new(self.publisher(Account::System));
        events.tell_of_server(event.name(), &self.answers);
    }

    /// Takes requests to read the configuration again.
    pub(crate) fn reload_requests(&self) -> ReloadRequests {
        self.answers.reloads.take()
    }

    /// Opens the desk at once, so that who is let in finds it; the future answers until the node stops.
    pub(crate) fn run(
        self: Arc<Self>,
        events: Receiver<ClientEvent>,
        stop: StopSignal,
    ) -> impl Future<Output = ()> + Send {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let info = self.answers.monitor.info();
        let accounts = self.answers.monitor.accounts();
        desk::open(accounts, &info.server_id, &info.server_name, &sender);
        self.serve(requests, events, stop)
    }

    async fn serve(
        self: Arc<Self>,
        mut requests: Receiver<Request>,
        mut events: Receiver<ClientEvent>,
        mut stop: StopSignal,
    ) {
        let mut system = Events::new(self.publisher(Account::System));
        let mut ordinary = Events::new(self.publisher(Account::Ordinary));
        let mut statsz = interval_at(Instant::now() + STATSZ_FIRST, STATSZ_INTERVAL);
        statsz.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            // Receiving and ticking are cancel safe; stopping ends the loop.
            tokio::select! {
                Some(request) = requests.recv() => {
                    let way_out = match request.account {
                        Account::System => &mut system,
                        Account::Ordinary => &mut ordinary,
                    };
                    self.answer(&request, way_out).await;
                }
                Some(event) = events.recv() => system.tell_of_client(event, &self.answers),
                _ = statsz.tick() => system.tell_statsz(&self.answers),
                () = stop.stopped() => return,
            }
        }
    }

    async fn answer(&self, request: &Request, way_out: &mut Events) {
        let answer = self.answers.answer(request).await;
        if let (Some(answer), Some(reply)) = (answer, &request.reply) {
            way_out.reply(reply, answer);
        }
    }

    fn publisher(&self, account: Account) -> Publisher {
        let router = self.answers.monitor.accounts().router(account);
        router.publisher(Origin::Internal)
    }
}
