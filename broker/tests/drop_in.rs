//! The command line of nats-server: what launchers give to it, and what they read from it.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;

use support::program::{HITHERTO, PATIENCE, command, output};
use support::{QUIET, RawClient};
use tokio::process::Child;
use tokio::time::timeout;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starts it as the launcher of async-nats does, and waits for the log to say the address.
async fn launch(program: &str, folder: &Path, more: &[&str]) -> (Child, u16) {
    let path = |name: &str| folder.join(name).display().to_string();
    let (store, log, pid) = (path("store"), path("log"), path("pid"));
    let mut args = vec![
        "--store_dir",
        &store,
        "-p",
        "-1",
        "-l",
        &log,
        "-P",
        &pid,
        "-a",
        "127.0.0.1",
    ];
    args.extend(more);
    let child = command(program, &args).spawn().unwrap();
    let port = timeout(PATIENCE, async {
        loop {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            if let (Some(port), true) = (port_in(&log), log.contains("Server is ready")) {
                return port;
            }
            tokio::task::yield_now().await;
        }
    });
    (child, port.await.unwrap())
}

fn port_in(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("client connections on 127.0.0.1:")?;
    rest.lines().next()?.parse().ok()
}

#[tokio::test]
async fn a_launcher_finds_the_port_in_the_log_and_the_pid_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, port) = launch(HITHERTO, folder.path(), &["-js"]).await;
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    assert_eq!(pid, child.id().unwrap().to_string());

    let client = RawClient::connect_to(([127, 0, 0, 1], port).into()).await;
    assert!(
        client.info.contains("\"jetstream\":true"),
        "{}",
        client.info
    );
    let signal = format!("term={}", folder.path().join("pid").display());
    let sent = output(HITHERTO, &["--signal", &signal]).await;
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));

    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("Server Exiting.."), "{log}");
    for line in log.lines() {
        // [26105] 2026/11/25 18:29:34.548542 [INF] Starting nats-server
        let rest = line.strip_prefix(&format!("[{pid}] ")).unwrap();
        let (time, rest) = rest.split_at(26);
        assert!(
            time.bytes()
                .all(|b| b.is_ascii_digit() || b" /:.".contains(&b)),
            "{line}"
        );
        assert!(rest.starts_with(" [INF] "), "{line}");
    }
    assert!(log.contains("[INF] Starting nats-server"), "{log}");
}

#[tokio::test]
async fn without_js_there_are_no_streams() {
    let folder = tempfile::tempdir().unwrap();
    let (_child, port) = launch(HITHERTO, folder.path(), &[]).await;
    let mut client = RawClient::connect_to(([127, 0, 0, 1], port).into()).await;
    assert!(!client.info.contains("jetstream"), "{}", client.info);
    let connect = QUIET.replace('}', ",\"headers\":true,\"no_responders\":true}");
    client
        .send(format!(
            "{connect}SUB inbox 1\r\nPUB $JS.API.INFO inbox 0\r\n\r\n"
        ))
        .await;
    assert!(client.barrier().await.contains("NATS/1.0 503"));
    assert!(!folder.path().join("store").exists());
}

#[tokio::test]
async fn the_ports_file_is_named_after_the_program_and_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nats-server");
    symlink(HITHERTO, &program).unwrap();
    let ports = folder.path().join("ports");
    std::fs::create_dir(&ports).unwrap();
    let dir = ports.display().to_string();
    let (mut child, port) = launch(
        program.to_str().unwrap(),
        folder.path(),
        &["--ports_file_dir", &dir],
    )
    .await;
    let file = ports.join(format!("nats-server_{}.ports", child.id().unwrap()));
    let written = timeout(PATIENCE, async {
        while !file.exists() {
            tokio::task::yield_now().await;
        }
    });
    written.await.unwrap();
    let json = std::fs::read_to_string(&file).unwrap();
    assert!(
        json.contains(&format!("\"nats\":[\"nats://127.0.0.1:{port}\"]")),
        "{json}"
    );
    let pid = child.id().unwrap().to_string();
    output("kill", &["-TERM", &pid]).await;
    timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn the_version_is_where_tools_look_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nats-server");
    symlink(HITHERTO, &program).unwrap();
    let version = output(program.to_str().unwrap(), &["-v"]).await;
    assert_eq!(
        text(&version.stdout),
        format!("nats-server: v{}\n", hitherto_broker::NATS_VERSION)
    );
    let version = output(HITHERTO, &["-v"]).await;
    assert!(
        text(&version.stdout).starts_with("hitherto "),
        "{version:?}"
    );
}

#[tokio::test]
async fn an_unknown_flag_shows_the_usage_and_fails() {
    let refused = output(HITHERTO, &["-p", "-1", "--bogus"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stdout).contains("Usage: nats-server"),
        "{refused:?}"
    );
    assert!(
        text(&refused.stderr).contains("not defined: -bogus"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_protocol_is_traced_as_by_nats_server() {
    let folder = tempfile::tempdir().unwrap();
    let (_child, port) = launch(HITHERTO, folder.path(), &["-DV"]).await;
    let mut client = RawClient::connect_to(([127, 0, 0, 1], port).into()).await;
    let connect = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\
        \"lang\":\"raw\",\"version\":\"1\",\"name\":\"n\",\"user\":\"joe\",\"pass\":\"s3cret\"}\r\n";
    client
        .send(format!(
            "{connect}SUB a 1\r\nSUB b grp 2\r\nPUB a r 2\r\nhi\r\n\
             HPUB b 12 13\r\nNATS/1.0\r\n\r\nx\r\nUNSUB 1\r\nBOGUS\r\n"
        ))
        .await;
    client.until_closed().await;
    let log = timeout(PATIENCE, async {
        loop {
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
            if log.contains("Client connection closed: ") {
                return log;
            }
            tokio::task::yield_now().await;
        }
    });
    let log = log.await.unwrap();
    assert!(
        log.contains("[TRC] 127.0.0.1:") && !log.contains("s3cret"),
        "{log}"
    );
    assert!(log.contains("\"pass\":\"[REDACTED]\""), "{log}");
    let who = " - \"v1:raw:n\" - \"$G/user:joe\" - ";
    let lines = log.lines().filter_map(|line| Some(line.split_once(who)?.1));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "<<- [SUB a 1]",
            "<<- [SUB b grp 2]",
            "<<- [PUB a r 2]",
            "<<- MSG_PAYLOAD: [\"hi\"]",
            "->> [MSG a 1 r 2]",
            "->> MSG_PAYLOAD: [\"hi\"]",
            "<<- [HPUB b  12 13]",
            "<<- MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\nx\"]",
            "->> [HMSG b 2 12 13]",
            "->> MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\nx\"]",
            "<<- [UNSUB 1]",
            "->> [-ERR Unknown Protocol Operation]",
            "Client connection closed: Protocol Violation",
        ]
    );
}

#[tokio::test]
async fn a_port_in_use_is_fatal() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = output(HITHERTO, &["-a", "127.0.0.1", "-p", &port]).await;
    assert_eq!(refused.status.code(), Some(1));
    let log = text(&refused.stderr);
    assert!(log.contains("[FTL] cannot listen for clients"), "{log}");
}

#[tokio::test]
async fn a_configuration_file_is_obeyed_and_read_again_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.conf");
    let write = |payload: u32| {
        let text = format!("max_payload: {payload}\nauthorization {{ user: u, password: p }}\n");
        std::fs::write(&file, text).unwrap();
    };
    write(1024);
    let config = file.display().to_string();
    let (child, port) = launch(HITHERTO, folder.path(), &["-c", &config]).await;
    let addr = ([127, 0, 0, 1], port).into();
    let client = RawClient::connect_to(addr).await;
    assert!(
        client.info.contains("\"max_payload\":1024"),
        "{}",
        client.info
    );
    assert!(
        client.info.contains("\"auth_required\":true"),
        "{}",
        client.info
    );

    write(2048);
    let reload = format!("reload={}", child.id().unwrap());
    output(HITHERTO, &["--signal", &reload]).await;
    let reloaded = timeout(PATIENCE, async {
        while !RawClient::connect_to(addr)
            .await
            .info
            .contains("\"max_payload\":2048")
        {
            tokio::task::yield_now().await;
        }
    });
    reloaded.await.unwrap();
}

#[tokio::test]
async fn a_mistake_in_the_file_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.conf");
    let config = file.display().to_string();
    std::fs::write(&file, "port: 4222\nprot: 1\n").unwrap();
    let refused = output(HITHERTO, &["-c", &config]).await;
    assert_eq!(refused.status.code(), Some(1));
    let expected = format!("hitherto: {config}:2:1: unknown field \"prot\"");
    assert!(text(&refused.stderr).starts_with(&expected), "{refused:?}");

    std::fs::write(&file, "port: 4222\n").unwrap();
    let tested = output(HITHERTO, &["-t", "-c", &config]).await;
    assert!(
        tested.status.success() && text(&tested.stdout).contains("is valid"),
        "{tested:?}"
    );
}

/// The file the book shows.
#[tokio::test]
async fn the_configuration_of_the_book_is_valid() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/server.conf");
    let folder = tempfile::tempdir().unwrap();
    let tested = output(HITHERTO, &["-t", "-c", config]).await;
    assert!(tested.status.success(), "{tested:?}");
    let (_child, port) = launch(HITHERTO, folder.path(), &["-c", config, "-m", "-1"]).await;
    let addr = ([127, 0, 0, 1], port).into();
    let mut clerk = RawClient::connect_to(addr).await;
    assert!(
        clerk.info.contains("\"server_name\":\"orders-1\""),
        "{}",
        clerk.info
    );
    let connect = QUIET.replace('}', ",\"user\":\"clerk\",\"pass\":\"s3cr3t\"}");
    clerk
        .send(format!("{connect}PUB orders.audit.x 0\r\n\r\n"))
        .await;
    let refused = "-ERR 'Permissions Violation for Publish to \"orders.audit.x\"'\r\n";
    assert_eq!(clerk.barrier().await, refused);
    let mut nobody = RawClient::connect_to(addr).await;
    nobody.send(QUIET).await;
    assert_eq!(
        nobody.until_closed().await,
        "-ERR 'Authorization Violation'\r\n"
    );
}

#[tokio::test]
async fn servers_form_a_cluster_by_the_flags_of_nats_server() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let flags = ["--cluster", "nats://127.0.0.1:-1", "--cluster_name", "c"];
    let (_one, port) = launch(HITHERTO, first.path(), &flags).await;
    let log = std::fs::read_to_string(first.path().join("log")).unwrap();
    assert!(log.contains("Cluster name is c"), "{log}");
    let (_, addr) = log
        .split_once("Listening for route connections on ")
        .unwrap();
    let route = format!("nats://{}", addr.lines().next().unwrap());
    let mut more = flags.to_vec();
    more.extend(["--routes", &route]);
    let (_other, other_port) = launch(HITHERTO, second.path(), &more).await;
    let both = format!("\"connect_urls\":[\"127.0.0.1:{other_port}\",\"127.0.0.1:{port}\"]");
    let told = timeout(PATIENCE, async {
        loop {
            let addr = format!("127.0.0.1:{other_port}").parse().unwrap();
            let info = RawClient::connect_to(addr).await.info;
            if info.contains(&both) {
                assert!(info.contains("\"cluster\":\"c\""), "{info}");
                return;
            }
        }
    });
    told.await.unwrap();
}

#[tokio::test]
async fn flags_of_a_cluster_without_one_are_refused() {
    for form in [
        &["-D", "--routes", "nats://127.0.0.1:1"][..],
        &["serve", "--routes", "a:1"],
    ] {
        let ended = output(HITHERTO, form).await;
        let said = text(&ended.stderr);
        assert!(
            !ended.status.success() && said.contains("--cluster"),
            "{said}"
        );
    }
}
