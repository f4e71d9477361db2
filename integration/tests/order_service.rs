//! The order service as a process: killed at random moments of its import, and run on a broker of
//! its own.
//!
//! The import is the whole input of one run, so the end of a run that was never disturbed says what
//! every other must come to: the same summary and, order by order, the same events. That nothing
//! stored is lost on the way is seen by reading the log after each kill: what was once in it stays.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::TryStreamExt;
use hitherto_integration::client::{PATIENCE, connect_jetstream};
use hitherto_integration::seed::Seeded;
use hitherto_integration::{Server, on_both_servers, programs};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

const KILLS: usize = 20;

/// Over HTTP: rounds, the most orders of a round, and how many connections place them.
const SERVE_ROUNDS: usize = 5;
const ACCEPTED_MAX: usize = 300;
const CUSTOMERS: usize = 8;

/// Far more than an import takes, even without optimisation beside other tests.
const IMPORT_PATIENCE: Duration = Duration::from_secs(120);

/// The stream the service keeps its events in.
const STREAM: &str = "ORDERS";

/// A service with a data folder of its own.
struct Service {
    program: PathBuf,
    data: TempDir,
    broker: Option<String>,
}

/// One stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    subject: String,
    id: String,
    payload: Vec<u8>,
}

impl Service {
    fn new(broker: Option<String>) -> Result<Self> {
        Ok(Self {
            program: programs::order_service()?,
            data: tempfile::tempdir()?,
            broker,
        })
    }

    fn spawn(&self, args: &[&str]) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg("--data").arg(self.data.path()).args(args);
        if let Some(url) = &self.broker {
            command.args(["--broker", url]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.kill_on_drop(true);
        Ok(command.spawn()?)
    }

    /// Runs to the end and answers the result.
    async fn run(&self, args: &[&str]) -> Result<Value> {
        let output = timeout(IMPORT_PATIENCE, self.spawn(args)?.wait_with_output()).await??;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}\n{complaint}", output.status);
        serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn import(&self) -> Result<Value> {
        self.run(&["--json"]).await
    }

    /// Starts the service over HTTP and answers its address.
    async fn serve(&self) -> Result<(Child, SocketAddr)> {
        let mut child = self.spawn(&["--serve", "127.0.0.1:0"])?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(IMPORT_PATIENCE, lines.next_line()).await??;
        let line = line.context("the service ended at its start")?;
        let addr = line
            .strip_prefix("listening on http://")
            .context("no address")?
            .parse()?;
        Ok((child, addr))
    }

    /// Imports again and checks that nothing was decided a second time.
    async fn import_again(&self, state: &Value) -> Result<()> {
        let again = self.import().await?;
        ensure!(again["run"]["decided_now"] == 0, "decided again: {again}");
        ensure!(again["state"] == *state, "{again}, before it was {state}");
        Ok(())
    }

    /// Makes the read models anew and checks that they come out as they were.
    async fn rebuild(&self) -> Result<()> {
        let reports = self.run(&["--rebuild", "--json"]).await?;
        let rebuilt = reports
            .as_array()
            .context("one report for each read model")?;
        ensure!(
            !rebuilt.is_empty() && rebuilt.iter().all(|one| one["equal"] == true),
            "{reports}"
        );
        Ok(())
    }

    /// The log of the embedded broker, read by a broker process of its own.
    async fn embedded_log(&self) -> Result<Vec<Event>> {
        let server = Server::open(self.data.path().join("embedded/broker")).await?;
        read_log(&server).await.with_context(|| server.log())
    }
}

/// Every event in the log, in its order; none when the stream is not there yet.
async fn read_log(server: &Server) -> Result<Vec<Event>> {
    let context = connect_jetstream(server).await?;
    let names: Vec<String> = context.stream_names().try_collect().await?;
    if !names.iter().any(|name| name == STREAM) {
        return Ok(Vec::new());
    }
    let stream = context.get_stream(STREAM).await?;
    let state = &stream.cached_info().state;
    ensure!(
        state.messages == state.last_sequence,
        "events were deleted: {state:?}"
    );
    let (messages, config) = (
        state.messages,
        pull::Config {
            ack_policy: AckPolicy::None,
            ..Default::default()
        },
    );
    let consumer = stream.create_consumer(config).await?;
    let mut events = Vec::new();
    while (events.len() as u64) < messages {
        let batch = consumer
            .batch()
            .max_messages(500)
            .expires(PATIENCE)
            .messages();
        let mut batch = batch.await?;
        let before = events.len();
        while (events.len() as u64) < messages
            && let Some(message) = batch.try_next().await.map_err(anyhow::Error::from_boxed)?
        {
            let id = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("Nats-Msg-Id"));
            events.push(Event {
                subject: message.subject.to_string(),
                id: id.map(ToString::to_string).unwrap_or_default(),
                payload: message.payload.to_vec(),
            });
        }
        ensure!(
            events.len() > before,
            "the events after {before} do not come"
        );
    }
    Ok(events)
}

/// The histories in a log: the events of each order, in order. Which order comes first depends on
/// the moment; the course of each does not.
fn histories(log: &[Event]) -> BTreeMap<&str, Vec<(&str, &[u8])>> {
    let mut histories = BTreeMap::<_, Vec<_>>::new();
    for event in log {
        let (aggregate, kind) = event
            .subject
            .rsplit_once('.')
            .unwrap_or(("", &event.subject));
        histories
            .entry(aggregate)
            .or_default()
            .push((kind, event.payload.as_slice()));
    }
    histories
}

/// An event's id is there once.
fn ids_are_unique(log: &[Event]) -> Result<()> {
    let mut ids: Vec<&str> = log.iter().map(|event| event.id.as_str()).collect();
    ids.sort_unstable();
    let twice = ids.windows(2).find(|pair| pair[0] == pair[1]);
    ensure!(twice.is_none(), "the event id {twice:?} is there twice");
    Ok(())
}

/// What every run must come to.
struct Expected {
    state: Value,
    log: Vec<Event>,
    took: Duration,
}

impl Expected {
    async fn measure() -> Result<Self> {
        let service = Service::new(None)?;
        let started = Instant::now();
        let state = service.import().await?["state"].take();
        let took = started.elapsed();
        let log = service.embedded_log().await?;
        ids_are_unique(&log)?;
        ensure!(state["orders"].as_u64() >= Some(300), "{state}");
        ensure!(state["accepted"].as_u64() >= Some(1000), "{state}");
        Ok(Self { state, log, took })
    }

    fn check(&self, state: &Value, log: &[Event]) -> Result<()> {
        ensure!(
            *state == self.state,
            "{state}, undisturbed it is {}",
            self.state
        );
        ids_are_unique(log)?;
        let (got, wanted) = (histories(log), histories(&self.log));
        for aggregate in wanted.keys().chain(got.keys()) {
            let (got, wanted) = (got.get(aggregate), wanted.get(aggregate));
            ensure!(
                got == wanted,
                "{aggregate}: {got:?}, undisturbed it is {wanted:?}"
            );
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_import_loses_nothing_and_applies_nothing_twice() -> Result<()> {
    let mut seeded = Seeded::from_env();
    let expected = Expected::measure().await?;
    let mut kills = 0;
    while kills < KILLS {
        let killed = kill_until_done(&mut seeded, &expected, KILLS - kills);
        kills += killed
            .await
            .with_context(|| format!("after {kills} kills, {seeded}"))?;
    }
    Ok(())
}

/// Runs one service to its end, killed on the way at most `kills_max` times; answers how often.
async fn kill_until_done(
    seeded: &mut Seeded,
    expected: &Expected,
    kills_max: usize,
) -> Result<usize> {
    let service = Service::new(None)?;
    let mut stored = Vec::new();
    let mut kills = 0;
    while kills < kills_max {
        let mut child = service.spawn(&["--json"])?;
        let moment = expected.took.mul_f64(seeded.random().f64());
        if let Ok(ended) = timeout(moment, child.wait()).await {
            ensure!(ended?.success(), "an undisturbed import failed");
            break;
        }
        // It may have ended at this very moment.
        child.start_kill().ok();
        child.wait().await?;
        kills += 1;
        let now = service.embedded_log().await?;
        ensure!(
            now.starts_with(&stored),
            "kill {kills} lost some of {} events",
            stored.len()
        );
        stored = now;
    }
    let state = service.import().await?["state"].take();
    let log = service.embedded_log().await?;
    ensure!(
        log.starts_with(&stored),
        "the last run lost some of {} events",
        stored.len()
    );
    expected.check(&state, &log)?;
    service.import_again(&state).await?;
    ensure!(
        service.embedded_log().await? == log,
        "importing again added events"
    );
    service.run(&["--rebuild", "--json"]).await?;
    Ok(kills)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_answered_as_accepted_outlives_a_kill() -> Result<()> {
    let mut seeded = Seeded::from_env();
    let service = Service::new(None)?;
    let mut accepted = Vec::new();
    for round in 0..SERVE_ROUNDS {
        let count = seeded.random().usize(1..ACCEPTED_MAX);
        let (mut child, addr) = service.serve().await?;
        let orders = order_until_killed(&mut child, addr, round, count).await;
        accepted.extend(orders.with_context(|| format!("round {round}, {seeded}"))?);
    }
    let log = service.embedded_log().await?;
    let histories = histories(&log);
    for order in &accepted {
        let history = histories.get(format!("orders.order.{order}").as_str());
        let kinds: Vec<_> = history
            .into_iter()
            .flatten()
            .map(|(kind, _)| *kind)
            .collect();
        ensure!(
            kinds == ["placed"],
            "order {order} was accepted: {kinds:?}, {seeded}"
        );
    }
    Ok(())
}

/// Places orders on several connections, kills the service once `count` were accepted, and answers
/// all that were.
async fn order_until_killed(
    child: &mut Child,
    addr: SocketAddr,
    round: usize,
    count: usize,
) -> Result<Vec<String>> {
    let (sender, mut answers) = mpsc::channel(64);
    let mut customers = JoinSet::new();
    for customer in 0..CUSTOMERS {
        let sender = sender.clone();
        customers.spawn(async move {
            for number in 0.. {
                let order = format!("o-{round}-{customer}-{number}");
                // An error here is the connection that the kill cuts.
                let Ok(status) = place(addr, &order).await else {
                    break;
                };
                if sender.send((order, status)).await.is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    let mut accepted = Vec::new();
    while let Some((order, status)) = timeout(PATIENCE, answers.recv()).await? {
        ensure!(status == "200", "order {order} was answered with {status}");
        accepted.push(order);
        if accepted.len() == count {
            child.start_kill()?;
        }
    }
    child.wait().await?;
    ensure!(
        accepted.len() >= count,
        "the service ended before it was killed"
    );
    Ok(accepted)
}

/// Sends the command that places `order` and answers the status.
async fn place(addr: SocketAddr, order: &str) -> Result<String> {
    let at = "2026-03-02T08:15:30Z";
    let command = json!(
        {"id": format!("c-{order}"), "order": order, "kind": "place", "customer": "ada", "at": at}
    )
    .to_string();
    let mut socket = TcpStream::connect(addr).await?;
    let request = format!(
        "POST /commands HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{command}",
        command.len()
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).context("the answer was cut")?;
    Ok(status.to_owned())
}

async fn the_order_service_comes_to_the_same_on_a_broker_of_its_own(
    server: &mut Server,
) -> Result<()> {
    let expected = Expected::measure().await?;
    let service = Service::new(Some(server.url()))?;
    let state = service.import().await?["state"].take();
    let log = read_log(server).await?;
    expected.check(&state, &log)?;
    service.import_again(&state).await?;
    ensure!(
        read_log(server).await? == log,
        "importing again added events"
    );
    service.rebuild().await
}

on_both_servers!(the_order_service_comes_to_the_same_on_a_broker_of_its_own);
