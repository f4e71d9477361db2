//! Whole files, and what becomes of the options.

use std::path::Path;

use hitherto_jetstream::ByStorage;

use super::super::parser;
use super::*;
use crate::config::{ClusterOptions, RouteUser};

fn options(text: &str) -> Result<ServerOptions, String> {
    let file = |_: &Path| Ok(text.to_owned());
    let mut options = ServerOptions::default();
    parser::parse(Path::new("x.conf"), &file)
        .and_then(|fields| read(&fields, &mut options))
        .map(|()| options)
        .map_err(|error| error.to_string())
}

#[test]
fn ports_hosts_and_limits_are_read() {
    let text = r#"
        PORT: -1
        net: localhost # net interface
        server_name = one
        http: 8222
        max_payload = 128KB
        max_connections: 10
        max_subscriptions: -1
        ping_interval: "5s", ping_max: 3
        write_deadline: "2s"
        jetstream: { strict: true, store_dir: "data", max_mem_store: 64MiB,
            max_buffered_msgs: 5, max_file: -1, limits: { max_ack_pending: 500, duplicate_window: "90s" } }
        logfile: "x.log"; pid_file: 'x.pid'
    "#;
    let options = options(text).unwrap();
    assert_eq!((options.host.as_str(), options.port), ("localhost", 0));
    assert_eq!(
        (options.http_port, options.http_host.clone()),
        (Some(8222), None)
    );
    assert_eq!(options.limits.payload_bytes_max, 128 * 1024);
    assert_eq!(options.limits.connections_max, 10);
    assert_eq!(options.limits.subscriptions_max, MAX_SUBSCRIPTIONS);
    assert_eq!(options.limits.ping_interval, Duration::from_secs(5));
    assert_eq!(options.limits.write_deadline, Duration::from_secs(2));
    assert!(options.jetstream && options.store_dir == Path::new("data"));
    assert_eq!(
        options.process.log_file.as_deref(),
        Some(Path::new("x.log"))
    );
    assert_eq!(
        options.without_effect(),
        ["x.conf:12:13: \"max_buffered_msgs\" has no effect"]
    );
    let limits = &options.stream_limits;
    assert_eq!(limits.node.memory, Some(64 * 1024 * 1024));
    assert_eq!(limits.node.file, None);
    assert_eq!(limits.consumers.ack_pending_max, Some(500));
    assert_eq!(limits.duplicate_window_max, Some(Duration::from_secs(90)));
}

#[test]
fn an_account_has_limits_of_its_own() {
    let account = |limits: &str| {
        options(&format!(
            "accounts {{ A {{ users: [{{user: u, password: p}}], jetstream: {limits} }} }}"
        ))
    };
    let read = account(
        "{max_mem: 1KB, max_file: 0, max_streams: 3, max_consumers: 4, max_bytes: true, \
         memory_max_stream_bytes: 10, store_max_stream_bytes: 20, max_ack_pending: 5}",
    );
    let options = read.unwrap();
    assert!(options.account_has_jetstream);
    let limits = options.stream_limits;
    let bytes = |memory, file| ByStorage { file, memory };
    assert_eq!(limits.account, bytes(Some(1_024), Some(0)));
    assert_eq!(limits.stream, bytes(Some(10), Some(20)));
    assert_eq!(limits.node, bytes(None, None));
    assert_eq!((limits.streams_max, limits.max_bytes_required), (3, true));
    let consumers = limits.consumers;
    assert_eq!(
        (consumers.count_max, consumers.ack_pending_max),
        (Some(4), Some(5))
    );
    let error = account("{max_mem: -5}").unwrap_err();
    assert!(
        error.ends_with("must be a number of bytes, or -1 for any, not -5"),
        "{error}"
    );
    let error = account("{bogus: 1}").unwrap_err();
    assert!(error.ends_with("unknown field \"bogus\""), "{error}");
}

#[test]
fn listen_is_a_host_and_a_port_or_a_port() {
    let listen = |text: &str| options(text).map(|options| (options.host, options.port));
    assert_eq!(
        listen("listen: localhost:8888").unwrap(),
        ("localhost".into(), 8888)
    );
    assert_eq!(listen("listen: \"[::1]:1\"").unwrap(), ("::1".into(), 1));
    assert_eq!(listen("listen: 4333").unwrap(), ("0.0.0.0".into(), 4333));
    assert!(
        listen("listen: \"a:b\"")
            .unwrap_err()
            .contains("could not parse port \"b\"")
    );
}

#[test]
fn users_of_all_forms_are_read() {
    for text in [
        "authorization { user: derek, password: porkchop, timeout: 1 }",
        "authorization { token: \"s3cr3t\" timeout: \"2s\" }"
            .replace(" timeout", "\n timeout")
            .as_str(),
        "authorization { users: [{user: a, password: b, permissions: {publish: [\"x.>\"], subscribe: {deny: y}, allow_responses: true}}] }",
        "accounts { A { users: [{user: a, password: b}], jetstream: enabled } }\njetstream: true",
        "accounts { A { users: [{user: a}] }, SYS { users: [{user: s}] } }\nsystem_account: SYS\nno_auth_user: a",
        "accounts { $SYS { users: [{user: s, pass: x}] } }",
    ] {
        options(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let named = options("accounts { A { users: [{user: a}] } }\njetstream: true").unwrap();
    assert_eq!(named.ordinary_account, "A");
    assert!(
        !named.account_has_jetstream,
        "it was not enabled for the account"
    );
}

#[test]
fn mistakes_are_told_with_their_places() {
    for (text, error) in [
        ("foo: 1", "x.conf:1:1: unknown field \"foo\""),
        ("jetstream { foo: 1 }", "x.conf:1:13: unknown field \"foo\""),
        (
            "jetstream: foo",
            "x.conf:1:1: Expected 'enabled' or 'disabled' for string value, got 'foo'",
        ),
        (
            "port: abc",
            "x.conf:1:1: \"port\" must be an integer, not a text",
        ),
        ("port: 70000", "x.conf:1:1: could not parse port \"70000\""),
        (
            "lame_duck_duration: 1s",
            "x.conf:1:1: invalid lame_duck_duration of 1s, minimum is 30 seconds",
        ),
        (
            "authorization { users: [{user: a}], token: x }",
            "x.conf:1:1: Can not have a token and a users array",
        ),
        (
            "authorization { users: [{user: a, foo: 1}] }",
            "x.conf:1:35: unknown field \"foo\"",
        ),
        (
            "authorization { users: [{user: a}, {user: a}] }",
            "x.conf:1:36: Duplicate user \"a\" detected",
        ),
        (
            "no_auth_user: bob",
            "x.conf:1:1: no_auth_user: there is no user \"bob\"",
        ),
        (
            "\nport: $NO_SUCH",
            "x.conf:2:15: variable reference for 'NO_SUCH' can not be found",
        ),
    ] {
        assert_eq!(options(text).unwrap_err(), error, "{text}");
    }
    assert_eq!(
        options("PORT_NUMBER: 4\nport: $PORT_NUMBER").unwrap().port,
        4
    );
    let error =
        options("authorization { user: a, permissions: { publish: \"a..b\" } }").unwrap_err();
    assert!(
        error.contains("subject \"a..b\" is not a valid subject"),
        "{error}"
    );
}

#[test]
fn what_has_nothing_behind_it_is_refused() {
    for text in [
        "cluster { permissions: { import: a } }",
        "cluster { authorization: { token: t } }",
        "websocket { port: 1 }",
        "leafnodes {}",
        "authorization { users: [{nkey: U}] }",
        "accounts { A { exports: [] } }",
        "accounts { A {}, B {} }",
        "accounts { A { users: [{user: a}] } }\nauthorization { user: b }",
        "jetstream { key: secret }",
        "jetstream { domain: d }",
    ] {
        let error = options(text).unwrap_err();
        assert!(
            error.contains("not supported") && error.contains("compatibility"),
            "{error}"
        );
    }
}

#[test]
fn a_cluster_is_read() {
    let text = r#"
        cluster {
            name: orders
            listen: "127.0.0.1:-1"
            routes: ["nats://u:p@a:7", "nats-route://b:6222"]
            cluster_advertise: "c:8"
            no_advertise: true
            authorization { user: route, password: secret, timeout: 3 }
            connect_retries: 9
            ping_interval: "1s", ping_max: 4
            pool_size: 3
        }
    "#;
    let options = options(text).unwrap();
    let expected = ClusterOptions::new("orders")
        .listen("127.0.0.1:0".parse().unwrap())
        .route("nats://u:p@a:7".parse().unwrap())
        .route("b:6222".parse().unwrap())
        .advertise("c:8")
        .no_advertise()
        .user(RouteUser::new("route", "secret"))
        .connect_retries(9)
        .ping(Duration::from_secs(1), 4);
    let mut cluster = options.cluster.clone().unwrap();
    assert_eq!(cluster.auth_timeout, Duration::from_secs(3));
    cluster.auth_timeout = expected.auth_timeout;
    assert_eq!(cluster, expected);
    assert_eq!(
        options.without_effect(),
        ["x.conf:11:13: \"pool_size\" has no effect"]
    );
    let defaults = self::options("cluster {}").unwrap();
    assert_eq!(defaults.cluster, Some(ClusterOptions::default()));
    assert_eq!(self::options("port: 1").unwrap().cluster, None);
}

#[test]
fn mistakes_in_a_cluster_are_told_with_their_place() {
    for (text, problem) in [
        ("cluster { prot: 1 }", "x.conf:1:11: unknown field \"prot\""),
        (
            "cluster { routes: [\"http://a:1\"] }",
            "its scheme is none of",
        ),
        (
            "cluster { authorization { user: a } }",
            "needs both user and password",
        ),
        ("cluster { connect_retries: -1 }", "must not be negative"),
        ("cluster: 1", "must be a map"),
    ] {
        let error = options(text).unwrap_err();
        assert!(error.contains(problem), "{text}: {error}");
    }
}
