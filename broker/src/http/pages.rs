//! Which path shows which document, with which options.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::routing::any;

use super::index;
use super::page::Page;
use super::query::Query;
use crate::monitor::{
    AccountStatzOptions, AccountzOptions, ConnState, ConnzOptions, HealthzOptions, JszOptions,
    Monitor, SubszOptions,
};

type Shared = State<Arc<Monitor>>;

/// All pages of a node. Any method shows them, as in nats-server.
pub(super) fn router(monitor: Arc<Monitor>) -> Router {
    let not_found = || async { Page::not_found("404 page not found\n") };
    Router::new()
        .route("/", any(|| async { index::page() }))
        .route("/varz", any(varz))
        .route("/connz", any(connz))
        .route("/subsz", any(subsz))
        .route("/subscriptionsz", any(subsz))
        .route("/accountz", any(accountz))
        .route("/accstatz", any(accstatz))
        .route("/routez", any(routez))
        .route("/gatewayz", any(gatewayz))
        .route("/leafz", any(leafz))
        .route("/jsz", any(jsz))
        .route("/healthz", any(healthz))
        .route("/raftz", any(raftz))
        .fallback(not_found)
        .with_state(monitor)
}

async fn varz(State(monitor): Shared) -> Page {
    monitor.count_page("/varz");
    Page::document(&monitor.varz())
}

async fn connz(State(monitor): Shared, uri: Uri) -> Result<Page, Page> {
    monitor.count_page("/connz");
    let options = connz_options(&Query::of(&uri))?;
    Ok(monitor.connz(&options).into())
}

fn connz_options(query: &Query) -> Result<ConnzOptions, Page> {
    let detail = query.text("subs").eq_ignore_ascii_case("detail");
    Ok(ConnzOptions {
        sort: query.text("sort").to_owned(),
        auth: query.flag("auth")?,
        subscriptions: !detail && query.flag("subs")?,
        subscriptions_detail: detail,
        offset: query.number("offset")?,
        limit: query.number("limit")?,
        cid: query.id("cid")?,
        state: match query.text("state").to_ascii_lowercase().as_str() {
            "" | "open" => ConnState::Open,
            "closed" => ConnState::Closed,
            "any" | "all" => ConnState::All,
            state => {
                let text = format!("Error decoding state for {state}");
                return Err(Page::refused(text));
            }
        },
        mqtt_client: query.text("mqtt_client").to_owned(),
        user: query.text("user").to_owned(),
        acc: query.text("acc").to_owned(),
        filter_subject: query.text("filter_subject").to_owned(),
    })
}

async fn subsz(State(monitor): Shared, uri: Uri) -> Result<Page, Page> {
    monitor.count_page("/subsz");
    let query = Query::of(&uri);
    let options = SubszOptions {
        offset: query.number("offset")?,
        limit: query.number("limit")?,
        subscriptions: query.flag("subs")?,
        account: query.text("acc").to_owned(),
        test: query.text("test").to_owned(),
    };
    Ok(monitor.subsz(&options).into())
}

async fn accountz(State(monitor): Shared, uri: Uri) -> Page {
    monitor.count_page("/accountz");
    let account = Query::of(&uri).text("acc").to_owned();
    monitor.accountz(&AccountzOptions { account }).into()
}

async fn accstatz(State(monitor): Shared, uri: Uri) -> Result<Page, Page> {
    monitor.count_page("/accstatz");
    let options = AccountStatzOptions {
        unused: Query::of(&uri).flag("unused")?,
        ..AccountStatzOptions::default()
    };
    Ok(Page::document(&monitor.accstatz(&options)))
}

async fn routez(State(monitor): Shared) -> Page {
    monitor.count_page("/routez");
    Page::document(&monitor.routez())
}

async fn gatewayz(State(monitor): Shared) -> Page {
    monitor.count_page("/gatewayz");
    Page::document(&monitor.gatewayz())
}

async fn leafz(State(monitor): Shared) -> Page {
    monitor.count_page("/leafz");
    Page::document(&monitor.leafz())
}

async fn jsz(State(monitor): Shared, uri: Uri) -> Result<Page, Page> {
    monitor.count_page("/jsz");
    let query = Query::of(&uri);
    // Read and checked like the others, although a node on its own leads everything.
    query.flag("leader-only")?;
    query.flag("stream-leader-only")?;
    let options = JszOptions {
        account: query.text("acc").to_owned(),
        accounts: query.flag("accounts")?,
        streams: query.flag("streams")?,
        consumers: query.flag("consumers")? || query.flag("direct-consumers")?,
        config: query.flag("config")?,
        offset: query.number("offset")?,
        limit: query.number("limit")?,
        raft: query.flag("raft")?,
    };
    Ok(Page::document(&monitor.jsz(&options).await))
}

async fn healthz(State(monitor): Shared, uri: Uri) -> Result<Page, Page> {
    monitor.count_page("/healthz");
    let query = Query::of(&uri);
    let options = HealthzOptions {
        js_enabled: query.flag("js-enabled")?,
        js_enabled_only: query.flag("js-enabled-only")?,
        js_server_only: query.flag("js-server-only")?,
        js_meta_only: query.flag("js-meta-only")?,
        account: query.text("account").to_owned(),
        stream: query.text("stream").to_owned(),
        consumer: query.text("consumer").to_owned(),
        details: query.flag("details")?,
    };
    let mut health = monitor.healthz(&options).await;
    let status = health.status_code.take().unwrap_or(503);
    Ok(Page::compact(status, &health))
}

/// A node on its own has no raft groups; nats-server says it in these words.
async fn raftz(State(monitor): Shared) -> Page {
    monitor.count_page("/raftz");
    Page::not_found("No Raft nodes registered")
}
