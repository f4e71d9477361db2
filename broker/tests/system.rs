//! The system account: what can be asked of a node, and what it tells unasked.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::time::Duration;

use hitherto_broker::auth::{Auth, User};
use hitherto_broker::{
    Error, LocalClient, LocalMessage, LocalSubscription, Node, NodeConfig, Subject, SubjectFilter,
};
use serde_json::{Value, json};
use support::{MODERN, RawClient, node_with};

const WAIT_MAX: Duration = Duration::from_secs(10);

/// Long enough for an answer that would come, if one came.
const SILENCE: Duration = Duration::from_millis(200);

async fn node() -> Node {
    node_with(NodeConfig::in_memory().server_name("orders-1")).await
}

fn json_of(message: &LocalMessage) -> Value {
    hitherto_schemas::check(&message.payload);
    serde_json::from_slice(&message.payload).unwrap()
}

async fn ask_with(
    client: &LocalClient,
    subject: &str,
    body: &'static str,
    wait_max: Duration,
) -> Result<Value, Error> {
    let subject = Subject::new(subject.to_owned()).unwrap();
    let answer = client.request(subject, None, body.into(), wait_max).await?;
    Ok(json_of(&answer))
}

async fn ask(client: &LocalClient, subject: &str, body: &'static str) -> Value {
    let answer = ask_with(client, subject, body, WAIT_MAX).await;
    answer.unwrap_or_else(|error| panic!("{subject}: {error}"))
}

async fn next(events: &mut LocalSubscription) -> (String, Value) {
    let message = tokio::time::timeout(WAIT_MAX, events.next()).await;
    let message = message.expect("an event").expect("the node runs");
    let body = json_of(&message);
    (message.subject.to_string(), body)
}

#[tokio::test]
async fn each_document_is_answered_under_the_mark_of_the_server() {
    let node = node().await;
    let system = node.system_client();
    let id = node.server_id();
    for target in ["PING", id, "orders-1"] {
        for (name, field) in [
            ("VARZ", "server_id"),
            ("CONNZ", "connections"),
            ("SUBSZ", "num_subscriptions"),
            ("ROUTEZ", "routes"),
            ("GATEWAYZ", "outbound_gateways"),
            ("LEAFZ", "leafs"),
            ("ACCOUNTZ", "accounts"),
            ("JSZ", "streams"),
            ("HEALTHZ", "status"),
        ] {
            let answer = ask(&system, &format!("$SYS.REQ.SERVER.{target}.{name}"), "").await;
            assert_eq!(answer["server"]["name"], "orders-1", "{name}");
            assert_eq!(answer["server"]["id"], id, "{name}");
            assert!(answer["data"].get(field).is_some(), "{name}: {answer}");
        }
    }
    let ping = ask(&system, "$SYS.REQ.SERVER.PING", "").await;
    assert_eq!(ping["statsz"]["active_servers"], 1);
    assert_eq!(ping["statsz"]["jetstream"]["stats"]["api"]["total"], 0);
    let first = ping["server"]["seq"].as_u64().unwrap();
    let again = ask(&system, "$SYS.REQ.SERVER.PING.STATSZ", "").await;
    assert!(again["server"]["seq"].as_u64().unwrap() > first);
    let short = ask(&system, "$SYS.REQ.SERVER.PING.IDZ", "").await;
    assert_eq!(
        short,
        json!({"name": "orders-1", "host": "127.0.0.1", "id": id})
    );
    assert_eq!(
        ask(&system, "$SYS.REQ.SERVER.PING.HEALTHZ", "null").await["data"]["status_code"],
        200
    );
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn bodies_choose_servers_and_options_and_are_checked() {
    let node = node().await;
    let system = node.system_client();
    for body in [
        r#"{"server_name":"orders"}"#,
        r#"{"server_name":"orders-1","exact_match":true}"#,
        r#"{"host":"127"}"#,
    ] {
        let answer = ask(&system, "$SYS.REQ.SERVER.PING.HEALTHZ", body).await;
        assert_eq!(answer["data"]["status"], "ok", "{body}");
    }
    for body in [
        r#"{"server_name":"orders","exact_match":true}"#,
        r#"{"cluster":"c"}"#,
        r#"{"tags":["t"]}"#,
        r#"{"domain":"d"}"#,
    ] {
        let answer = ask_with(&system, "$SYS.REQ.SERVER.PING.HEALTHZ", body, SILENCE).await;
        assert!(
            matches!(answer, Err(Error::Timeout { .. })),
            "{body}: {answer:?}"
        );
    }
    let refused = ask(&system, "$SYS.REQ.SERVER.PING.CONNZ", r#"{"sort":"nope"}"#).await;
    assert_eq!(
        refused["error"],
        json!({"code": 500, "description": "invalid sorting option: nope"})
    );
    let malformed = ask(&system, "$SYS.REQ.SERVER.PING.CONNZ", "{bad").await;
    assert_eq!(malformed["error"]["code"], 400);
    let nobody = ask_with(&system, "$SYS.REQ.SERVER.PING.NOPE", "", WAIT_MAX).await;
    assert!(
        matches!(nobody, Err(Error::NoResponders { .. })),
        "{nobody:?}"
    );
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn accounts_are_told_of_by_name() {
    let node = node().await;
    let _client = RawClient::ready(&node, MODERN).await;
    let system = node.system_client();
    let about = async |what: &str| ask(&system, &format!("$SYS.REQ.ACCOUNT.{what}"), "").await;
    assert_eq!(about("$G.CONNZ").await["data"]["total"], 1);
    assert_eq!(about("$SYS.CONNZ").await["data"]["total"], 0);
    assert_eq!(about("$G.INFO").await["data"]["client_connections"], 1);
    assert_eq!(about("$G.JSZ").await["data"]["name"], "$G");
    assert_eq!(
        about("$G.STATZ").await["data"]["account_statz"][0]["conns"],
        1
    );
    assert_eq!(
        about("PING.STATZ").await["data"]["account_statz"][0]["acc"],
        "$G"
    );
    assert_eq!(
        about("$G.CONNS").await["type"],
        "io.nats.server.advisory.v1.account_connections"
    );
    assert!(about("$G.SUBSZ").await["data"]["total"].as_u64().unwrap() > 0);
    assert_eq!(
        about("NOPE.INFO").await["error"]["description"],
        "Account NOPE does not exist"
    );
    assert_eq!(
        about("NOPE.JSZ").await["error"]["description"],
        "account \"NOPE\" not found"
    );
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn ordinary_clients_reach_only_what_is_about_themselves() {
    let node = node().await;
    let _other = RawClient::ready(&node, MODERN).await;
    let client = node.client();
    let me = ask(&client, "$SYS.REQ.USER.INFO", "").await;
    assert_eq!(
        me["data"],
        json!({"user": "", "account": "$G", "account_name": "$G"})
    );
    let me = ask(&node.system_client(), "$SYS.REQ.USER.INFO", "").await;
    assert_eq!(me["data"]["account"], "$SYS");
    let own = ask(&client, "$SYS.REQ.ACCOUNT.PING.CONNZ", r#"{"acc":"$SYS"}"#).await;
    assert_eq!(own["data"]["total"], 1, "whatever account the body names");
    for hidden in [
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.ACCOUNT.$G.INFO",
    ] {
        let answer = ask_with(&client, hidden, "", WAIT_MAX).await;
        assert!(
            matches!(answer, Err(Error::NoResponders { .. })),
            "{hidden}: {answer:?}"
        );
    }
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn connections_are_told_of_when_they_come_and_go_and_can_be_ended() {
    let node = node().await;
    let system = node.system_client();
    let mut events = system
        .subscribe(SubjectFilter::new("$SYS.ACCOUNT.>").unwrap(), None)
        .unwrap();
    let mut client = RawClient::ready(
        &node,
        &MODERN.replace("\"verbose\"", "\"name\":\"walker\",\"verbose\""),
    )
    .await;
    let (subject, conns) = next(&mut events).await;
    assert_eq!(
        (subject.as_str(), &conns["conns"]),
        ("$SYS.ACCOUNT.$G.SERVER.CONNS", &json!(1))
    );
    let (subject, came) = next(&mut events).await;
    assert_eq!(subject, "$SYS.ACCOUNT.$G.CONNECT");
    assert_eq!(came["type"], "io.nats.server.advisory.v1.client_connect");
    assert_eq!(
        (&came["client"]["name"], &came["client"]["acc"]),
        (&json!("walker"), &json!("$G"))
    );

    client.send("PUB a 3\r\nxyz\r\n").await;
    client.barrier().await;
    let kick = format!("$SYS.REQ.SERVER.{}.KICK", node.server_id());
    let absent = ask(&system, &kick, r#"{"cid":9999}"#).await;
    assert_eq!(
        absent["error"]["description"],
        "no such client or leafnode id"
    );
    let body = format!(r#"{{"cid":{}}}"#, came["client"]["id"]);
    let done = system
        .request(Subject::new(kick).unwrap(), None, body.into(), WAIT_MAX)
        .await;
    assert_eq!(json_of(&done.unwrap()).get("error"), None);
    assert_eq!(client.until_closed().await, "");

    let (_, conns) = next(&mut events).await;
    assert_eq!(conns["conns"], 0);
    let (subject, went) = next(&mut events).await;
    assert_eq!(subject, "$SYS.ACCOUNT.$G.DISCONNECT");
    assert_eq!(went["reason"], "Kicked");
    assert_eq!(went["sent"], json!({"msgs": 1, "bytes": 3}));
    assert_eq!(went["received"], json!({"msgs": 0, "bytes": 0}));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_can_be_told_to_leave() {
    let node = node().await;
    let system = node.system_client();
    let modern = MODERN.replace("\"verbose\"", "\"protocol\":1,\"verbose\"");
    let mut client = RawClient::ready(&node, &modern).await;
    assert!(client.line().await.contains("\"connect_info\":true"));
    let old = RawClient::ready(&node, MODERN).await;
    let number = |client: &RawClient| {
        let info = client.info.trim_start_matches("INFO ");
        serde_json::from_str::<Value>(info).unwrap()["client_id"].clone()
    };
    let order = format!("$SYS.REQ.SERVER.{}.LDM", node.server_id());
    let ask_for = async |cid: Value| {
        let body = json!({ "cid": cid }).to_string().into();
        let subject = Subject::new(order.clone()).unwrap();
        let answer = system.request(subject, None, body, WAIT_MAX).await;
        json_of(&answer.unwrap())
    };
    let done = ask_for(number(&client)).await;
    assert_eq!(done.get("error"), None, "{done}");
    let told = client.line().await;
    assert!(
        told.starts_with("INFO ") && told.contains("\"ldm\":true"),
        "{told}"
    );
    // It may stay.
    client.barrier().await;
    let refused = |answer: Value| answer["error"]["description"].as_str().unwrap().to_owned();
    assert_eq!(refused(ask_for(json!(9_999)).await), "no such client id");
    assert_eq!(
        refused(ask_for(number(&old)).await),
        "client does not support Lame Duck Mode or is not ready to receive the notification"
    );
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reload_is_asked_of_whoever_has_read_the_configuration() {
    let node = node().await;
    let system = node.system_client();
    let order = format!("$SYS.REQ.SERVER.{}.RELOAD", node.server_id());
    let refused = ask(&system, &order, "").await;
    assert_eq!(
        refused["error"],
        json!({"code": 500, "description": "the server has no configuration file to reload"})
    );
    let mut requests = node.reload_requests();
    let (answer, ()) = tokio::join!(ask(&system, &order, ""), async {
        requests.next().await.unwrap().answer(Ok(()));
    });
    assert_eq!(answer.get("error"), None, "{answer}");
    let (answer, ()) = tokio::join!(ask(&system, &order, ""), async {
        requests
            .next()
            .await
            .unwrap()
            .answer(Err("x.conf:1:1: no".into()));
    });
    assert_eq!(answer["error"]["description"], "x.conf:1:1: no");
    // Another server is meant.
    let other = r#"{"server_name":"other"}"#;
    let silent = ask_with(&system, &order, other, SILENCE).await;
    assert!(matches!(silent, Err(Error::Timeout { .. })), "{silent:?}");
    drop(requests);
    let refused = ask(&system, &order, "").await;
    assert_eq!(
        refused["error"]["description"],
        "the server cannot reload now"
    );
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_server_tells_its_sums_and_its_end() {
    let mut node = node().await;
    let system = node.system_client();
    let mut events = system
        .subscribe(SubjectFilter::new("$SYS.SERVER.>").unwrap(), None)
        .unwrap();
    let id = node.server_id().to_owned();
    let (subject, sums) = next(&mut events).await;
    assert_eq!(subject, format!("$SYS.SERVER.{id}.STATSZ"));
    assert_eq!(sums["server"]["id"], id);
    assert_eq!(sums["statsz"]["connections"], 0);
    node.lame_duck().await.unwrap();
    let (subject, mark) = next(&mut events).await;
    assert_eq!(subject, format!("$SYS.SERVER.{id}.LAMEDUCK"));
    assert_eq!(mark["id"], id);
    node.shutdown().await.unwrap();
    // What was told before the end can still be read.
    let (subject, mark) = next(&mut events).await;
    assert_eq!(subject, format!("$SYS.SERVER.{id}.SHUTDOWN"));
    assert_eq!(mark["name"], "orders-1");
}

#[tokio::test]
async fn users_of_the_system_account_ask_over_the_network_and_hear_of_those_refused() {
    let auth = Auth::new()
        .user(User::new("clerk", "s3cret"))
        .user(User::new("watcher", "s3cret").system());
    let node = node_with(NodeConfig::in_memory().auth(auth)).await;
    let as_user = |user: &str, pass: &str| {
        MODERN.replace(
            "\"verbose\"",
            &format!("\"user\":\"{user}\",\"pass\":\"{pass}\",\"verbose\""),
        )
    };
    let mut watcher = RawClient::ready(&node, &as_user("watcher", "s3cret")).await;
    watcher
        .send("SUB $SYS.SERVER.*.CLIENT.AUTH.ERR 1\r\nSUB inbox.* 2\r\n")
        .await;
    watcher.barrier().await;
    let _clerk = RawClient::ready(&node, &as_user("clerk", "s3cret")).await;
    watcher
        .send("PUB $SYS.REQ.SERVER.PING.CONNZ inbox.1 13\r\n{\"auth\":true}\r\n")
        .await;
    let answer = watcher.until("}}\r\n").await;
    for told in [
        "\"authorized_user\":\"clerk\"",
        "\"account\":\"$SYS\"",
        "\"account\":\"$G\"",
    ] {
        assert!(answer.contains(told), "{told}: {answer}");
    }
    watcher
        .send("PUB $SYS.REQ.USER.INFO inbox.2 0\r\n\r\n")
        .await;
    let answer = watcher.until("}}\r\n").await;
    assert!(answer.contains("\"user\":\"watcher\""), "{answer}");

    let mut stranger = RawClient::connect(&node).await;
    stranger.send(as_user("clerk", "wrong")).await;
    assert!(
        stranger
            .until_closed()
            .await
            .contains("Authorization Violation")
    );
    let event = watcher.until("\"Authentication Failure\"}\r\n").await;
    assert!(event.contains("client_disconnect"), "{event}");
    node.shutdown().await.unwrap();
}
