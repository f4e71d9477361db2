//! The monitoring pages beside those of nats-server: after the same few steps both servers show the
//! same fields, and the same values where they must.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use hitherto_integration::raw::RawClient;
use hitherto_integration::{Kind, Server, on_both_servers, programs, server, skip};
use serde_json::{Value, json};

/// Pages after [`take_steps`]; those with errors are compared byte for byte elsewhere.
const PAGES: &[&str] = &[
    "/varz",
    "/connz?subs=detail&auth=1",
    "/connz?subs=1",
    "/connz?state=closed",
    "/subsz",
    "/subsz?subs=1&test=foo.1",
    "/accountz",
    "/accountz?acc=$G",
    "/accstatz",
    "/routez",
    "/gatewayz",
    "/leafz",
    "/jsz",
    "/jsz?consumers=1&config=1&raft=1",
    "/jsz?acc=$G&streams=1",
];

/// Fields of nats-server that ours leaves out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("/varz .feature_flags", "switches of its own JetStream"),
    ("/varz .disk_io_wait_stats", "no queue in front of the disk"),
    (
        "/varz .jetstream.config.sync_interval",
        "every write is synced: sync_always",
    ),
    (
        "/varz .jetstream.limits.default_max_consumers",
        "an account has no such limit",
    ),
    (
        "/jsz .config.sync_interval",
        "every write is synced: sync_always",
    ),
    (
        "/jsz .limits.default_max_consumers",
        "an account has no such limit",
    ),
    ("/accountz .account_detail.imports", "there are no imports"),
];

/// Fields of ours that nats-server leaves out, and why.
const ADDED: &[(&str, &str)] = &[
    (
        "/varz .max_subscriptions",
        "ours has such a limit by default",
    ),
    (
        "/varz .jetstream.config.sync_always",
        "every write is synced",
    ),
    ("/jsz .config.sync_always", "every write is synced"),
];

/// Values that must be equal.
const EQUAL: &[(&str, &str)] = &[
    ("/varz", "/proto"),
    ("/varz", "/host"),
    // Not /max_connections: ours is what the limit of open files of the machine leaves room for.
    ("/varz", "/ping_interval"),
    ("/varz", "/ping_max"),
    ("/varz", "/http_host"),
    ("/varz", "/max_control_line"),
    ("/varz", "/max_payload"),
    ("/varz", "/max_pending"),
    ("/varz", "/write_deadline"),
    ("/varz", "/cores"),
    ("/varz", "/connections"),
    ("/varz", "/total_connections"),
    ("/varz", "/in_msgs"),
    ("/varz", "/in_bytes"),
    ("/varz", "/out_msgs"),
    ("/varz", "/slow_consumers"),
    ("/varz", "/system_account"),
    ("/varz", "/http_req_stats"),
    ("/varz", "/jetstream/stats/storage"),
    ("/varz", "/jetstream/stats/reserved_storage"),
    ("/varz", "/jetstream/stats/api/errors"),
    ("/connz?subs=detail&auth=1", "/num_connections"),
    ("/connz?subs=detail&auth=1", "/total"),
    ("/connz?subs=detail&auth=1", "/connections/0/kind"),
    ("/connz?subs=detail&auth=1", "/connections/0/type"),
    ("/connz?subs=detail&auth=1", "/connections/0/ip"),
    ("/connz?subs=detail&auth=1", "/connections/0/in_msgs"),
    ("/connz?subs=detail&auth=1", "/connections/0/in_bytes"),
    ("/connz?subs=detail&auth=1", "/connections/0/out_msgs"),
    ("/connz?subs=detail&auth=1", "/connections/0/subscriptions"),
    ("/connz?subs=detail&auth=1", "/connections/0/name"),
    ("/connz?subs=detail&auth=1", "/connections/0/lang"),
    ("/connz?subs=detail&auth=1", "/connections/0/version"),
    ("/connz?subs=detail&auth=1", "/connections/0/name_tag"),
    ("/connz?state=closed", "/num_connections"),
    ("/connz?state=closed", "/connections/0/reason"),
    ("/subsz?subs=1&test=foo.1", "/total"),
    ("/subsz?subs=1&test=foo.1", "/subscriptions_list/0/subject"),
    ("/subsz?subs=1&test=foo.1", "/subscriptions_list/0/msgs"),
    ("/subsz?subs=1&test=foo.1", "/subscriptions_list/0/sid"),
    ("/accountz?acc=$G", "/account_detail/client_connections"),
    ("/accountz?acc=$G", "/account_detail/jetstream_enabled"),
    ("/accstatz", "/account_statz/0/acc"),
    ("/accstatz", "/account_statz/0/conns"),
    ("/accstatz", "/account_statz/0/received"),
    ("/jsz", "/streams"),
    ("/jsz", "/consumers"),
    ("/jsz", "/messages"),
    ("/jsz", "/bytes"),
    ("/jsz", "/storage"),
    ("/jsz", "/reserved_storage"),
    ("/jsz", "/accounts"),
    ("/jsz", "/api/total"),
    ("/jsz", "/total"),
    ("/jsz?consumers=1&config=1&raft=1", "/streams_leader"),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/name",
    ),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/stream_detail/1/name",
    ),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/stream_detail/1/config/subjects",
    ),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/stream_detail/1/state/bytes",
    ),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/stream_detail/1/state/last_seq",
    ),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/stream_detail/1/state/num_subjects",
    ),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/stream_detail/1/consumer_detail/0/name",
    ),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/stream_detail/1/consumer_detail/0/num_pending",
    ),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/stream_detail/1/consumer_detail/0/num_ack_pending",
    ),
    (
        "/jsz?consumers=1&config=1&raft=1",
        "/account_details/0/stream_detail/1/consumer_detail/0/config/ack_wait",
    ),
];

/// Requests whose answers must be the same to the byte, status included.
const SAME: &[&str] = &[
    "/healthz",
    "/healthz?js-enabled-only=true",
    "/healthz?js-server-only=true",
    "/healthz?details=true",
    "/healthz?stream=ORDERS",
    "/healthz?consumer=x",
    "/healthz?account=$G&stream=ORDERS",
    "/healthz?account=$G&stream=ORDERS&consumer=worker",
    "/healthz?account=NOPE",
    "/healthz?account=$G&stream=NOPE",
    "/healthz?account=$G&stream=NOPE&details=true",
    "/healthz?account=$G&stream=ORDERS&consumer=nope",
    "/healthz?account=$G&stream=ORDERS&consumer=nope&details=1",
    "/healthz?details=zz",
    "/connz?sort=nope",
    "/connz?sort=stop",
    "/connz?sort=reason&state=any",
    "/connz?state=nope",
    "/connz?limit=abc",
    "/connz?offset=1.5",
    "/connz?cid=x",
    "/connz?auth=maybe",
    "/connz?subs=nope",
    "/subsz?test=foo..x",
    "/subsz?limit=x",
    "/accountz?acc=nope",
    "/accstatz?unused=x",
    "/jsz?accounts=nope",
    "/jsz?leader-only=x",
    "/jsz?limit=x",
    "/raftz",
    "/nope",
];

/// One page: status and body.
fn get(addr: SocketAddr, page: &str) -> Result<(String, String)> {
    let mut socket = TcpStream::connect(addr)?;
    // Version 1.0, so that the body ends with the connection.
    write!(socket, "GET {page} HTTP/1.0\r\nHost: test\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1).context("no status")?;
    Ok((status.to_owned(), body.to_owned()))
}

fn get_json(addr: SocketAddr, page: &str) -> Result<Value> {
    let (status, body) = get(addr, page)?;
    ensure!(status == "200", "{page}: {status} {body}");
    let mut shown: Value =
        serde_json::from_str(&body).with_context(|| format!("{page}: {body}"))?;
    // nats-server shows streams in no order.
    if let Some(streams) = shown.pointer_mut("/account_details/0/stream_detail") {
        let name = |stream: &Value| stream["name"].to_string();
        let streams = streams.as_array_mut().context("a list of streams")?;
        streams.sort_by_key(name);
    }
    Ok(shown)
}

/// A stream, a consumer, messages, subscriptions, and a connection that ends.
fn take_steps(addr: SocketAddr) -> Result<RawClient> {
    let mut client = RawClient::connect(addr)?;
    let stream = json!({
        "name": "ORDERS", "subjects": ["orders.>"], "retention": "limits", "discard": "old",
        "storage": "file", "num_replicas": 1, "max_consumers": -1, "max_msgs": -1, "max_bytes": -1,
        "max_age": 0, "max_msgs_per_subject": -1, "max_msg_size": -1,
    });
    let worker = json!({
        "stream_name": "ORDERS",
        "config": {"durable_name": "worker", "ack_policy": "explicit", "deliver_policy": "all",
            "replay_policy": "instant"},
    });
    for (subject, body) in [
        ("$JS.API.STREAM.CREATE.ORDERS", stream),
        ("$JS.API.CONSUMER.CREATE.ORDERS.worker", worker),
    ] {
        let answer: Value =
            serde_json::from_slice(&client.request(subject, body.to_string().as_bytes())?)?;
        ensure!(answer.get("error").is_none(), "{subject}: {answer}");
    }
    let bounded = json!({
        "name": "BOUNDED", "subjects": ["bounded"], "retention": "limits", "discard": "old",
        "storage": "file", "num_replicas": 1, "max_consumers": -1, "max_msgs": -1, "max_bytes": 4096,
        "max_age": 0, "max_msgs_per_subject": -1, "max_msg_size": -1,
    });
    client.request(
        "$JS.API.STREAM.CREATE.BOUNDED",
        bounded.to_string().as_bytes(),
    )?;
    for number in 0..10 {
        client.request(&format!("orders.{number}"), b"paid")?;
    }
    // Delivered under its own subject, so it is no answer that `request` would know.
    client.subscribe("pulled", 3);
    client.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.worker", "pulled", b"1");
    client.flush()?;
    let mut pulled = 0;
    while pulled == 0 {
        client.receive(|message| pulled += usize::from(message.subject == "orders.0"))?;
    }
    client.subscribe("foo.*", 1);
    client.queue(b"SUB bar workers 2\r\n");
    for _ in 0..5 {
        client.publish("foo.1", "", b"xyz");
    }
    client.ping()?;
    drop(RawClient::connect(addr)?);
    Ok(client)
}

/// Waits until the server has noticed that connections ended: the one of the steps, and the one that
/// looked whether the server was there. Only the client of the steps is left.
fn wait_for_end(monitor: SocketAddr) -> Result<()> {
    while get_json(monitor, "/connz")?["total"] != 1 {}
    Ok(())
}

/// The paths of all fields, entries of lists taken together.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{path}.{name}");
                fields(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(list) => {
            for value in list {
                fields(value, &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

/// The fields of one page that are not in the other, but for those that are known, and what is below them.
fn surplus(
    page: &str,
    of: &BTreeSet<String>,
    other: &BTreeSet<String>,
    known: &[(&str, &str)],
) -> Vec<String> {
    let path = page.split('?').next().unwrap_or_default();
    let is_known = |field: &str| {
        known.iter().any(|(name, _)| {
            let name = name
                .strip_prefix(path)
                .and_then(|rest| rest.strip_prefix(' '));
            name.is_some_and(|name| field.starts_with(name))
        })
    };
    of.difference(other)
        .filter(|field| !is_known(field))
        .map(|field| format!("{page} {field}"))
        .collect()
}

/// A server after the steps, its monitor, and the client that is still connected.
struct Stepped {
    monitor: SocketAddr,
    _client: RawClient,
    _server: Server,
}

async fn step(kind: Kind, program: PathBuf) -> Result<Stepped> {
    let server = Server::start_unheard(kind, program, &std::env::temp_dir()).await?;
    let (addr, monitor) = (server.addr(), server.monitor_addr()?);
    tokio::task::spawn_blocking(move || {
        let client = take_steps(addr)?;
        wait_for_end(monitor)?;
        Ok(Stepped {
            monitor,
            _client: client,
            _server: server,
        })
    })
    .await?
}

/// Both servers after the same steps; `None` when there is no nats-server.
async fn both() -> Result<Option<(Stepped, Stepped)>> {
    let Some(program) = server::kind_program(Kind::NatsServer)? else {
        let why = format!("{} names no nats-server", programs::NATS_SERVER_VARIABLE);
        skip::loudly(&skip::test_name(), &why);
        return Ok(None);
    };
    let theirs = step(Kind::NatsServer, program).await?;
    let ours = step(Kind::Hitherto, programs::hitherto()?).await?;
    Ok(Some((ours, theirs)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_have_the_fields_and_values_of_nats_server() -> Result<()> {
    let Some((ours, theirs)) = both().await? else {
        return Ok(());
    };
    let mut differences = Vec::new();
    for page in PAGES {
        let (our, their) = (
            get_json(ours.monitor, page)?,
            get_json(theirs.monitor, page)?,
        );
        let (mut our_fields, mut their_fields) = (BTreeSet::new(), BTreeSet::new());
        fields(&our, "", &mut our_fields);
        fields(&their, "", &mut their_fields);
        for missing in surplus(page, &their_fields, &our_fields, LEFT_OUT) {
            differences.push(format!("missing {missing}"));
        }
        for added in surplus(page, &our_fields, &their_fields, ADDED) {
            differences.push(format!("added {added}"));
        }
        for (_, pointer) in EQUAL.iter().filter(|(other, _)| other == page) {
            let (our, their) = (our.pointer(pointer), their.pointer(pointer));
            if our.is_none() || our != their {
                differences.push(format!("{page} {pointer}: {our:?}, theirs {their:?}"));
            }
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn health_and_refusals_are_those_of_nats_server() -> Result<()> {
    let Some((ours, theirs)) = both().await? else {
        return Ok(());
    };
    let mut differences = Vec::new();
    for page in SAME {
        let (our, their) = (get(ours.monitor, page)?, get(theirs.monitor, page)?);
        if our != their {
            differences.push(format!("{page}: {our:?}, theirs {their:?}"));
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

async fn varz_has_the_published_shape(server: &mut Server) -> Result<()> {
    let Some(schemas) = hitherto_schemas::schemas() else {
        return Ok(());
    };
    let varz = get_json(server.monitor_addr()?, "/varz")?;
    let judged = schemas.judge_as("schemas/server/monitor/v1/varz.json", &varz);
    judged.map_err(anyhow::Error::msg)
}

on_both_servers!(varz_has_the_published_shape);
