//! Importing: every command of a file is decided once and for ever.

mod support;

use std::future::ready;

use order_service::import::{SHIPPED, import};
use order_service::refusal::Reason;
use order_service::summary::State;

use self::support::{add_item, cancel, import_all, pay, place, service, service_on, settled, ship};

#[tokio::test(flavor = "multi_thread")]
async fn importing_twice_applies_nothing_again() {
    let service = service().await;
    let first = import_all(&service, SHIPPED).await;
    let after_first = settled(&service).await;
    assert!(first.accepted > 2_000, "{first:?}");
    assert_eq!(first.unreadable.count, 14);
    assert_eq!(first.ids_taken.count, 3);
    assert_eq!(after_first.unreadable, 14);

    let second = import_all(&service, SHIPPED).await;
    assert_eq!(second.decided_now, 0);
    assert_eq!(
        second.already_decided,
        first.decided_now + first.already_decided
    );
    assert_eq!(
        (second.accepted, second.refused),
        (first.accepted, first.refused)
    );
    assert_eq!(second.ids_taken, first.ids_taken);
    assert_eq!(second.unreadable, first.unreadable);
    assert_eq!(settled(&service).await, after_first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_stays_refused_when_the_order_would_take_it() {
    let service = service().await;
    let early = ship("c-3", "o-1");
    let file = [
        place("c-1", "o-1"),
        add_item("c-2", "o-1", 890),
        early.clone(),
        pay("c-4", "o-1", 890),
        early.clone(),
    ];
    let tally = import_all(&service, &file.concat()).await;
    assert_eq!((tally.accepted, tally.refused), (3, 2));
    assert_eq!((tally.decided_now, tally.already_decided), (4, 1));

    let tally = import_all(&service, &[early, ship("c-5", "o-1")].concat()).await;
    assert_eq!((tally.accepted, tally.refused), (1, 1));
    let state = settled(&service).await;
    assert_eq!(state.refused_by_reason, [(Reason::NotPaid, 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_outlives_the_read_models() {
    let broker = hitherto::Broker::in_memory().await.unwrap();
    let service = service_on(broker.clone()).await;
    let file = [
        place("c-1", "o-1"),
        add_item("c-2", "o-1", 890),
        pay("c-3", "o-1", 889),
        pay("c-4", "o-1", 890),
        cancel("c-5", "o-9"),
        "no command\n".to_owned(),
    ]
    .concat();
    import_all(&service, &file).await;
    let before = settled(&service).await;
    service.app.shutdown().await;

    let service = service_on(broker).await;
    let again = import_all(&service, &file).await;
    assert_eq!((again.decided_now, again.already_decided), (0, 6));
    // Not the notices: they are the consumer's own, and the consumer has handled these orders.
    let after = State::read(&service).await.unwrap();
    assert_eq!(after.refused_by_reason, before.refused_by_reason);
    assert_eq!(
        (after.accepted, after.unreadable),
        (before.accepted, before.unreadable)
    );
    assert_eq!(after.revenue_cents, before.revenue_cents);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_decides_one_command_only() {
    let service = service().await;
    let file = [
        place("c-1", "o-1"),
        add_item("c-2", "o-1", 890),
        add_item("c-2", "o-1", 990),
        ship("c-3", "o-1"),
        cancel("c-3", "o-1"),
    ];
    let tally = import_all(&service, &file.concat()).await;
    assert_eq!((tally.accepted, tally.refused), (2, 1));
    let lines: Vec<_> = tally.ids_taken.lines.iter().map(|flaw| flaw.line).collect();
    assert_eq!(lines, [3, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_line_may_keep_its_id() {
    let service = service().await;
    let broken = add_item("c-2", "o-1", 890).replace("\"quantity\":1", "\"quantity\":-1");
    let file = [place("c-1", "o-1"), broken.clone()].concat();
    let tally = import_all(&service, &file).await;
    assert_eq!((tally.accepted, tally.unreadable.count), (1, 1));
    assert_eq!(tally.unreadable.lines[0].line, 2);
    let tally = import_all(&service, &add_item("c-2", "o-1", 890)).await;
    assert_eq!((tally.accepted, tally.decided_now), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_import_goes_on_later() {
    let service = service().await;
    let stopped = import(&service.desk, SHIPPED.as_bytes(), |_| {}, ready(()))
        .await
        .unwrap();
    assert!(stopped.stopped);
    assert_eq!(stopped.lines(), 0);
    assert!(!import_all(&service, &place("c-1", "o-1")).await.stopped);
}
