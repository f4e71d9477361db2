//! What the tests of the service share: a service in memory, and lines of a command file.

#![allow(dead_code, reason = "not every test needs all of it")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use hitherto::Broker;
use order_service::import::{Tally, import};
use order_service::notices::Carrier;
use order_service::service::{OrderService, Stores};
use order_service::summary::State;

/// Starts a service with everything in memory.
pub(crate) async fn service() -> OrderService {
    service_on(Broker::in_memory().await.unwrap()).await
}

/// Starts a service with empty read models on a broker that may have a history.
pub(crate) async fn service_on(broker: Broker) -> OrderService {
    let carrier = Carrier { at_once: true };
    let service = OrderService::start(broker, Stores::in_memory().unwrap(), carrier)
        .await
        .unwrap();
    service.catch_up().await.unwrap();
    service
}

/// Imports text to its end.
pub(crate) async fn import_all(service: &OrderService, text: &str) -> Tally {
    import(
        &service.desk,
        text.as_bytes(),
        |_| {},
        std::future::pending(),
    )
    .await
    .unwrap()
}

/// Waits for read models and notices, and reads how things stand.
pub(crate) async fn settled(service: &OrderService) -> State {
    assert!(service.settle().await.unwrap(), "every notice comes");
    State::read(service).await.unwrap()
}

const AT: &str = "2026-03-02T08:15:30Z";

pub(crate) fn place(id: &str, order: &str) -> String {
    line(id, order, r#""kind":"place","customer":"ines-moreau""#)
}

pub(crate) fn add_item(id: &str, order: &str, cents: u64) -> String {
    let item = format!(
        r#""kind":"add_item","sku":"TEA-1102","name":"Assam","quantity":1,"unit_price_cents":{cents}"#
    );
    line(id, order, &item)
}

pub(crate) fn pay(id: &str, order: &str, cents: u64) -> String {
    let pay = format!(r#""kind":"pay","payment":"pay-{id}","amount_cents":{cents}"#);
    line(id, order, &pay)
}

pub(crate) fn ship(id: &str, order: &str) -> String {
    line(
        id,
        order,
        r#""kind":"ship","carrier":"DHL","tracking":"00340434""#,
    )
}

pub(crate) fn cancel(id: &str, order: &str) -> String {
    line(id, order, r#""kind":"cancel","reason":"changed my mind""#)
}

fn line(id: &str, order: &str, rest: &str) -> String {
    format!("{{\"id\":\"{id}\",\"order\":\"{order}\",{rest},\"at\":\"{AT}\"}}\n")
}
