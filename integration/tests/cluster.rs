//! Three processes that form a cluster, and what clients see of it. Each rule runs against ours and against
//! three stock servers, so what clients see is the same; but for the one about streams, for which stock servers
//! would need the addresses of all.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use async_nats::client::RequestErrorKind;
use async_nats::{Client, ConnectOptions, HeaderMap, Request, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use hitherto_integration::client::connect;
use hitherto_integration::server::{Member, kind_program};
use hitherto_integration::{Kind, Server, programs, skip};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request that was on its way to a client that ended is not answered, and another one is made after so
/// long.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Runs one rule against a cluster of this kind, or skips it loudly.
async fn run(kind: Kind, rule: impl AsyncFnOnce(&mut [Server; 3]) -> Result<()>) {
    match start(kind).await {
        Ok(Some(mut servers)) => {
            if let Err(error) = rule(&mut servers).await {
                panic!("against {kind}: {error:?}");
            }
        }
        Ok(None) => {
            let why = format!("{} names no nats-server", programs::NATS_SERVER_VARIABLE);
            skip::loudly(&skip::test_name(), &why);
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// Three nodes, of which the second and the third know the address of the first alone.
async fn start(kind: Kind) -> Result<Option<[Server; 3]>> {
    let Some(program) = kind_program(kind)? else {
        return Ok(None);
    };
    let member = |name: &str, seeds: &[&Server]| {
        let seeds: Result<Vec<_>> = seeds.iter().map(|seed| seed.cluster_addr()).collect();
        seeds.map(|seeds| Server::start_member(kind, program.clone(), Member::new(name, seeds)))
    };
    let first = member("n1", &[])?.await?;
    let second = member("n2", &[&first])?.await?;
    let third = member("n3", &[&first])?.await?;
    let servers = [first, second, third];
    wait_for_mesh(&servers.each_ref()).await?;
    Ok(Some(servers))
}

/// Waits until every node tells new clients of all.
async fn wait_for_mesh(servers: &[&Server]) -> Result<()> {
    let all = urls(servers);
    for server in servers {
        eventually("a new client is told of all nodes", async || {
            let client = connect(server).await?;
            let told: BTreeSet<_> = client.server_info().connect_urls.into_iter().collect();
            Ok(told == all)
        })
        .await?;
    }
    Ok(())
}

fn urls(servers: &[&Server]) -> BTreeSet<String> {
    let url = |server: &&Server| server.addr().to_string();
    servers.iter().map(url).collect()
}

/// A client that reads every INFO, which libraries do not show.
struct InfoReader {
    lines: Lines<BufReader<TcpStream>>,
}

impl InfoReader {
    async fn connect(server: &Server) -> Result<Self> {
        let mut socket = TcpStream::connect(server.addr()).await?;
        let hello = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\nPING\r\n";
        socket.write_all(hello).await?;
        let mut lines = BufReader::new(socket).lines();
        // Only behind the first PONG an INFO may come unasked.
        while lines.next_line().await?.context("it closes")? != "PONG" {}
        Ok(Self { lines })
    }

    /// Waits until the server has told of exactly these addresses.
    async fn wait_for(&mut self, expected: &BTreeSet<String>) -> Result<()> {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await??;
            let line = line.context("the server closes")?;
            if line == "PING" {
                let socket = self.lines.get_mut().get_mut();
                socket.write_all(b"PONG\r\n").await?;
            }
            let Some(json) = line.strip_prefix("INFO ") else {
                continue;
            };
            let info: Value = serde_json::from_str(json)?;
            let told = info["connect_urls"].as_array().into_iter().flatten();
            let told: BTreeSet<_> = told.filter_map(Value::as_str).map(str::to_owned).collect();
            if told == *expected {
                return Ok(());
            }
        }
    }
}

/// Tries again until something holds. Each try asks a server, so it does not spin.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await? {
        ensure!(Instant::now() < deadline, "never: {what}");
    }
    Ok(())
}

async fn next(subscriber: &mut Subscriber) -> Result<async_nats::Message> {
    timeout(PATIENCE, subscriber.next())
        .await?
        .context("the subscription ended")
}

/// Answers requests on a subject with the name of the node it is connected to.
fn serve(client: Client, mut requests: Subscriber) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let name = client.server_info().server_name;
            if let Some(reply) = request.reply {
                // A client that ends answers nobody.
                client.publish(reply, name.into()).await.ok();
            }
        }
    })
}

/// Asks once. `None` when nobody is there, or was asked in the moment in which it ended.
async fn ask_once(client: &Client, subject: &str) -> Result<Option<String>> {
    let request = Request::new().timeout(Some(ANSWER_WAIT));
    match client.send_request(subject.to_owned(), request).await {
        Ok(answer) => Ok(Some(String::from_utf8(answer.payload.to_vec())?)),
        Err(error) => match error.kind() {
            RequestErrorKind::NoResponders | RequestErrorKind::TimedOut => Ok(None),
            _ => Err(error.into()),
        },
    }
}

/// Asks a service until it answers: interest in it may be on its way.
async fn ask(client: &Client, subject: &str) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask_once(client, subject).await? {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "nobody answers on {subject}");
    }
}

/// Tells whether the server says that nobody is there.
async fn nobody_answers(client: &Client, subject: &str) -> Result<bool> {
    let request = Request::new().timeout(Some(ANSWER_WAIT));
    match client.send_request(subject.to_owned(), request).await {
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(true),
        Err(error) if error.kind() == RequestErrorKind::TimedOut => Ok(false),
        Ok(_) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn one_address_is_enough_and_clients_learn_all(servers: &mut [Server; 3]) -> Result<()> {
    for server in servers.iter() {
        let info = connect(server).await?.server_info();
        ensure!(info.cluster.as_deref() == Some("tested"), "{info:?}");
        ensure!(info.connect_urls.len() == 3, "{info:?}");
        let own = server.addr().to_string();
        ensure!(
            info.connect_urls.first() == Some(&own),
            "itself first: {info:?}"
        );
    }
    Ok(())
}

async fn any_client_reaches_any_other_once(servers: &mut [Server; 3]) -> Result<()> {
    let mut subscribers = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        let client = connect(server).await?;
        serve(
            client.clone(),
            client.subscribe(format!("ready.{number}")).await?,
        );
        subscribers.push(client.subscribe("orders.*").await?);
        subscribers.push(client.subscribe("orders.>").await?);
        // A flush, so that the services are known to be behind these.
        serve(
            client.clone(),
            client.subscribe(format!("done.{number}")).await?,
        );
        client.flush().await?;
    }
    for (from, server) in servers.iter().enumerate() {
        let client = connect(server).await?;
        for number in 0..servers.len() {
            ask(&client, &format!("done.{number}")).await?;
        }
        let mut headers = HeaderMap::new();
        headers.insert("Customer", "Ada");
        let subject = format!("orders.{from}");
        client
            .publish_with_reply_and_headers(subject.clone(), "answers.here", headers, "body".into())
            .await?;
        client.publish("orders.end", Bytes::new()).await?;
        client.flush().await?;
        for subscriber in &mut subscribers {
            let message = next(subscriber).await?;
            ensure!(message.subject.as_str() == subject && message.payload == "body");
            ensure!(message.reply.as_deref() == Some("answers.here"));
            let headers = message.headers.context("headers were sent")?;
            ensure!(headers.get("Customer").map(AsRef::as_ref) == Some("Ada"));
            // Once: what follows is the next message.
            ensure!(next(subscriber).await?.subject.as_str() == "orders.end");
        }
    }
    Ok(())
}

async fn a_request_is_answered_from_any_node_or_by_nobody(servers: &mut [Server; 3]) -> Result<()> {
    let responder = connect(&servers[2]).await?;
    let asker = connect(&servers[0]).await?;
    ensure!(nobody_answers(&asker, "service").await?);
    let service = serve(responder.clone(), responder.subscribe("service").await?);
    ensure!(ask(&asker, "service").await? == "n3");
    ensure!(ask(&connect(&servers[1]).await?, "service").await? == "n3");
    service.abort();
    drop(responder);
    eventually("nobody answers", async || {
        nobody_answers(&asker, "service").await
    })
    .await
}

async fn a_queue_group_is_one_over_all_nodes(servers: &mut [Server; 3]) -> Result<()> {
    const MESSAGES: usize = 1_000;
    let here = connect(&servers[0]).await?;
    let there = connect(&servers[1]).await?;
    let mut members = vec![here.queue_subscribe("jobs", "workers".into()).await?];
    for _ in 0..3 {
        members.push(there.queue_subscribe("jobs", "workers".into()).await?);
    }
    serve(here.clone(), here.subscribe("behind.here").await?);
    serve(there.clone(), there.subscribe("behind.there").await?);
    for server in servers.iter() {
        let publisher = connect(server).await?;
        ask(&publisher, "behind.here").await?;
        ask(&publisher, "behind.there").await?;
        for _ in 0..MESSAGES {
            publisher.publish("jobs", Bytes::new()).await?;
        }
        publisher.flush().await?;
        let mut taken = [0; 4];
        while taken.iter().sum::<usize>() < MESSAGES {
            let [one, two, three, four] = members.as_mut_slice() else {
                bail!("there are four members");
            };
            // Receiving loses nothing when another arm wins.
            let member = tokio::select! {
                _ = one.next() => 0,
                _ = two.next() => 1,
                _ = three.next() => 2,
                _ = four.next() => 3,
                () = tokio::time::sleep(PATIENCE) => bail!("only {taken:?} of {MESSAGES}"),
            };
            taken[member] += 1;
        }
        // Each member is as likely as any other, wherever it is.
        for count in taken {
            ensure!((150..350).contains(&count), "{taken:?}");
        }
    }
    Ok(())
}

async fn a_killed_node_is_missed_and_welcome_when_it_is_back(
    servers: &mut [Server; 3],
) -> Result<()> {
    let witness = connect(&servers[0]).await?;
    let mut infos = InfoReader::connect(&servers[0]).await?;
    let lost = connect(&servers[1]).await?;
    serve(lost.clone(), lost.subscribe("service").await?);
    ensure!(ask(&witness, "service").await? == "n2");
    let [first, second, third] = servers;
    second.kill()?;
    infos.wait_for(&urls(&[first, third])).await?;

    // Its client moves to a node it was told of, with its subscription.
    let answer = ask(&witness, "service").await?;
    ensure!(answer == "n1" || answer == "n3", "{answer}");

    second.restart().await?;
    wait_for_mesh(&[first, second, third]).await?;
    infos.wait_for(&urls(&[first, second, third])).await?;
    let back = connect(second).await?;
    serve(back.clone(), back.subscribe("again").await?);
    ensure!(ask(&witness, "again").await? == "n2");
    Ok(())
}

/// Publishes until it is acknowledged; the id keeps it from being stored twice.
async fn store(client: &Client, number: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", number.to_string());
    loop {
        let request = Request::new()
            .headers(headers.clone())
            .payload(number.to_string().into())
            .timeout(Some(ANSWER_WAIT));
        let answer = client.send_request("s.x", request).await;
        if let Ok(answer) = answer
            && serde_json::from_slice::<Value>(&answer.payload)?["seq"].is_u64()
        {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "message {number} is not taken");
    }
}

/// Asks the API until it answers without an error.
async fn api(client: &Client, operation: &str, body: &str) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = Request::new()
            .payload(body.to_owned().into())
            .timeout(Some(PATIENCE / 3));
        let answer = client.send_request(format!("$JS.API.{operation}"), request);
        if let Ok(answer) = answer.await {
            let answer: Value = serde_json::from_slice(&answer.payload)?;
            if answer["error"].is_null() {
                return Ok(answer);
            }
            ensure!(Instant::now() < deadline, "{operation}: {answer}");
        }
        ensure!(Instant::now() < deadline, "{operation} is not answered");
    }
}

async fn a_stream_outlives_its_killed_leader(servers: &mut [Server; 3]) -> Result<()> {
    let config = r#"{"name":"S","subjects":["s.>"],"num_replicas":3}"#;
    let created = api(&connect(&servers[2]).await?, "STREAM.CREATE.S", config).await?;
    ensure!(created["config"]["num_replicas"] == 3, "{created}");
    let writer = connect(&servers[1]).await?;
    for number in 1..=50 {
        store(&writer, number).await?;
    }
    let info = api(&writer, "STREAM.INFO.S", "").await?;
    let leader = info["cluster"]["leader"].as_str().context("a leader")?;
    let leader = usize::from(leader.as_bytes()[1] - b'1');
    servers[leader].kill()?;
    let witness = connect(&servers[(leader + 1) % 3]).await?;
    for number in 51..=100 {
        store(&witness, number).await?;
    }
    servers[leader].restart().await?;
    wait_for_mesh(&servers.each_ref()).await?;
    let back = connect(&servers[leader]).await?;
    let info = api(&back, "STREAM.INFO.S", "").await?;
    ensure!(info["state"]["messages"] == 100, "{info}");
    let stream = async_nats::jetstream::new(back).get_stream("S").await?;
    for seq in 1..=100_u64 {
        let stored = stream.get_raw_message(seq).await?;
        ensure!(stored.payload == seq.to_string(), "{seq}: {stored:?}");
    }
    Ok(())
}

async fn every_node_answers_the_system_account(servers: &mut [Server; 3]) -> Result<()> {
    let (user, password) = Member::SYSTEM_USER;
    let options = ConnectOptions::new().user_and_password(user.into(), password.into());
    let client = options.connect(servers[1].url()).await?;
    for subject in ["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.VARZ"] {
        let mut names = BTreeSet::new();
        // Interest in the answers, or in the question, may be on its way at first.
        eventually("all three answer", async || {
            let inbox = client.new_inbox();
            let mut answers = client.subscribe(inbox.clone()).await?;
            client
                .publish_with_reply(subject, inbox, Bytes::new())
                .await?;
            names.clear();
            while let Ok(Some(answer)) = timeout(ANSWER_WAIT, answers.next()).await {
                let answer: Value = serde_json::from_slice(&answer.payload)?;
                let server = &answer["server"];
                ensure!(server["cluster"] == "tested", "{answer}");
                let name = server["name"].as_str().context("a server has a name")?;
                ensure!(names.insert(name.to_owned()), "{name} answers twice");
                if names.len() == 3 {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await?;
        ensure!(names == BTreeSet::from(["n1", "n2", "n3"].map(String::from)));
    }
    Ok(())
}

async fn events_of_a_node_are_heard_at_another(servers: &mut [Server; 3]) -> Result<()> {
    let (user, password) = Member::SYSTEM_USER;
    let options = ConnectOptions::new().user_and_password(user.into(), password.into());
    let client = options.connect(servers[0].url()).await?;
    let mut events = client.subscribe("$SYS.ACCOUNT.APP.*").await?;
    client.flush().await?;
    let deadline = Instant::now() + PATIENCE;
    // Each connection is told; the first ones while interest in it is on its way.
    loop {
        drop(connect(&servers[2]).await?);
        if let Ok(Some(event)) = timeout(ANSWER_WAIT, events.next()).await {
            let event: Value = serde_json::from_slice(&event.payload)?;
            ensure!(event["server"]["name"] == "n3", "{event}");
            ensure!(event["client"]["acc"] == "APP", "{event}");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "never: an event of another node");
    }
}

async fn links_are_shown(servers: &mut [Server; 3]) -> Result<()> {
    let shown = page(&servers[0], "/varz").await?;
    let cluster = shown["cluster"].as_object().context("a map")?;
    let fields: Vec<_> = cluster.keys().map(String::as_str).collect();
    // Those of nats-server 2.15 for a node that looks for nobody.
    let expected = [
        "addr",
        "auth_timeout",
        "cluster_port",
        "name",
        "pool_size",
        "tls_timeout",
    ];
    ensure!(fields == expected, "{fields:?}");
    ensure!(cluster["cluster_port"] == servers[0].cluster_addr()?.port());
    ensure!(shown["remotes"] == 2, "{shown}");
    let shown = page(&servers[1], "/varz").await?;
    ensure!(shown["cluster"]["urls"][0] == servers[0].cluster_addr()?.to_string());

    let shown = page(&servers[0], "/routez").await?;
    let routes = shown["routes"].as_array().context("a list")?;
    ensure!(shown["num_routes"] == routes.len());
    let names = routes
        .iter()
        .filter_map(|route| route["remote_name"].as_str());
    let names: BTreeSet<_> = names.collect();
    ensure!(names == BTreeSet::from(["n2", "n3"]), "{shown}");
    for route in routes {
        for field in ROUTE_FIELDS {
            ensure!(!route[field].is_null(), "{field} is missing: {route}");
        }
        ensure!(
            route["did_solicit"] == false && route["ip"] == "127.0.0.1",
            "{route}"
        );
    }
    Ok(())
}

/// What is shown of each link, but what is not known at once (`rtt`) or not always there (`account`).
const ROUTE_FIELDS: [&str; 17] = [
    "rid",
    "remote_id",
    "remote_name",
    "did_solicit",
    "is_configured",
    "ip",
    "port",
    "start",
    "last_activity",
    "uptime",
    "idle",
    "pending_size",
    "in_msgs",
    "out_msgs",
    "in_bytes",
    "out_bytes",
    "subscriptions",
];

/// A monitoring page.
async fn page(server: &Server, path: &str) -> Result<Value> {
    let mut socket = TcpStream::connect(server.monitor_addr()?).await?;
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut answer)).await??;
    let answer = String::from_utf8(answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
    Ok(serde_json::from_str(body)?)
}

/// Declares each rule as two tests, one for each kind of server.
macro_rules! on_both_kinds {
    ($($rule:ident),+ $(,)?) => {
        mod hitherto {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $rule() {
                super::run(super::Kind::Hitherto, super::$rule).await;
            })+
        }

        mod nats_server {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $rule() {
                super::run(super::Kind::NatsServer, super::$rule).await;
            })+
        }
    };
}

on_both_kinds!(
    one_address_is_enough_and_clients_learn_all,
    any_client_reaches_any_other_once,
    a_request_is_answered_from_any_node_or_by_nobody,
    a_queue_group_is_one_over_all_nodes,
    a_killed_node_is_missed_and_welcome_when_it_is_back,
    every_node_answers_the_system_account,
    events_of_a_node_are_heard_at_another,
    links_are_shown,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_replicated_stream_outlives_its_killed_leader() {
    run(Kind::Hitherto, a_stream_outlives_its_killed_leader).await;
}
