//! The HTTP interface: answers, problem documents, paging.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use order_service::http::{Document, router};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use self::support::{add_item, pay, place, service, ship};

struct Server(SocketAddr);

struct Answer {
    status: u16,
    content_type: String,
    body: Value,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = router(Arc::new(service().await));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self(address)
    }

    async fn post(&self, body: &str) -> Answer {
        self.post_with("", body).await
    }

    async fn post_with(&self, headers: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(
            &format!("POST /commands HTTP/1.1\r\ncontent-length: {length}\r\n{headers}"),
            body,
        )
        .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\n"), "").await
    }

    async fn send(&self, head: &str, body: &str) -> Answer {
        let request = format!("{head}host: localhost\r\nconnection: close\r\n\r\n{body}");
        let mut connection = TcpStream::connect(self.0).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let header = |line: &str| line.strip_prefix("content-type: ").map(str::to_owned);
        Answer {
            status: head[9..12].parse().unwrap(),
            content_type: head.lines().find_map(header).unwrap_or_default(),
            body: serde_json::from_str(body).unwrap(),
        }
    }
}

impl Answer {
    /// Checks that this is a problem document, and returns status, code and detail.
    fn problem(self) -> (u16, String, String) {
        assert_eq!(self.content_type, "application/problem+json");
        let document: Document = serde_json::from_value(self.body).unwrap();
        assert_eq!(document.status, self.status);
        assert!(document.kind.ends_with(&document.code) && !document.title.is_empty());
        (self.status, document.code, document.detail)
    }

    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert_eq!(self.content_type, "application/json");
        self.body
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_command_shows_in_the_next_read() {
    let server = Server::start().await;
    let placed = server.post(&place("c-1", "o-1")).await.ok();
    assert_eq!(placed["already_decided"], false);
    let order = server.get("/orders/o-1").await.ok();
    assert_eq!(
        (&order["id"], &order["status"]),
        (&"o-1".into(), &"open".into())
    );

    server.post(&add_item("c-2", "o-1", 890)).await.ok();
    let order = server.get("/orders/o-1").await.ok();
    assert_eq!(order["total_cents"], 890);
    assert_eq!(order["items"][0]["sku"], "TEA-1102");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_again_gets_the_same_answer() {
    let server = Server::start().await;
    let first = server.post(&place("c-1", "o-1")).await.ok();
    let again = server.post(&place("c-1", "o-1")).await.ok();
    assert_eq!(again["already_decided"], true);
    assert_eq!(again["position"], first["position"]);

    let early = server.post(&ship("c-2", "o-1")).await.problem();
    assert_eq!((early.0, early.1.as_str()), (422, "not_paid"));
    server.post(&add_item("c-3", "o-1", 890)).await.ok();
    server.post(&pay("c-4", "o-1", 890)).await.ok();
    assert_eq!(server.post(&ship("c-2", "o-1")).await.problem(), early);
    server.post(&ship("c-5", "o-1")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_409() {
    let server = Server::start().await;
    server.post(&place("c-1", "o-1")).await.ok();
    let (status, code, _) = server.post(&place("c-2", "o-1")).await.problem();
    assert_eq!((status, code.as_str()), (409, "already_placed"));

    for other in [add_item("c-1", "o-1", 890), place("c-1", "o-2")] {
        let (status, code, detail) = server.post(&other).await.problem();
        assert_eq!((status, code.as_str()), (409, "command_id_taken"));
        assert!(detail.contains("c-1"), "{detail}");
    }
    server.post(&add_item("c-3", "o-1", 890)).await.ok();
    server.post(&pay("c-4", "o-1", 890)).await.ok();
    let (status, code, detail) = server.post(&pay("c-5", "o-1", 890)).await.problem();
    assert_eq!((status, code.as_str()), (409, "already_paid"));
    assert_eq!(detail, "the order is already paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_malformed_commands_are_422() {
    let server = Server::start().await;
    server.post(&place("c-1", "o-1")).await.ok();
    server.post(&add_item("c-2", "o-1", 890)).await.ok();
    let (status, code, detail) = server.post(&pay("c-3", "o-1", 889)).await.problem();
    assert_eq!((status, code.as_str()), (422, "wrong_amount"));
    assert!(
        detail.contains("8.89 EUR") && detail.contains("8.90 EUR"),
        "{detail}"
    );

    let negative = add_item("c-4", "o-1", 890).replace("\"quantity\":1", "\"quantity\":-1");
    let no_id = place("c-5", "o-2").replace("\"id\":\"c-5\",", "");
    for malformed in ["{", "[]", "7", negative.as_str(), no_id.as_str()] {
        let (status, code, _) = server.post(malformed).await.problem();
        assert_eq!((status, code.as_str()), (422, "malformed"), "{malformed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_404() {
    let server = Server::start().await;
    for answer in [
        server.get("/orders/o-9").await,
        server.post(&ship("c-1", "o-9")).await,
    ] {
        let (status, code, _) = answer.problem();
        assert_eq!((status, code.as_str()), (404, "unknown_order"));
    }
    assert_eq!(server.get("/nowhere").await.problem().0, 404);
    assert_eq!(server.get("/commands").await.problem().0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_id_may_stand_in_the_header() {
    let server = Server::start().await;
    let no_id = place("c-1", "o-1").replace("\"id\":\"c-1\",", "");
    let key = "idempotency-key: c-1\r\n";
    assert_eq!(server.post_with(key, &no_id).await.ok()["command"], "c-1");
    assert_eq!(
        server.post_with(key, &place("c-1", "o-1")).await.ok()["already_decided"],
        true
    );
    let (status, code, _) = server.post_with(key, &place("c-2", "o-1")).await.problem();
    assert_eq!((status, code.as_str()), (422, "malformed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_come_in_pages() {
    let server = Server::start().await;
    for number in 1..=5 {
        server
            .post(&place(&format!("c-{number}"), &format!("o-{number}")))
            .await
            .ok();
    }
    let mut path = "/orders?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = server.get(&path).await.ok();
        let orders = page["orders"].as_array().unwrap();
        seen.extend(
            orders
                .iter()
                .map(|order| order["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/orders?limit=2&after={next}");
    }
    assert_eq!(seen, ["o-1", "o-2", "o-3", "o-4", "o-5"]);
    for bad in [
        "/orders?limit=0",
        "/orders?limit=x",
        "/orders?offset=3",
        "/orders?after=a.b",
    ] {
        assert_eq!(server.get(bad).await.problem().0, 422, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let (status, code, _) = server.post(&" ".repeat(70_000)).await.problem();
    assert_eq!((status, code.as_str()), (413, "too_large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_ok_while_the_log_is_read() {
    let server = Server::start().await;
    assert_eq!(server.get("/health").await.ok()["status"], "ok");
}
