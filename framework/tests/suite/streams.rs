//! Streams of contexts.

use hitherto::{App, Broker};

use super::domain::{Order, Place, command, id};

pub(crate) async fn a_stream_is_made_once_and_found_again(broker: &Broker) {
    let first = App::new(broker.clone())
        .aggregate::<Order>()
        .start()
        .await
        .unwrap();
    assert_eq!(first.stream_differences(), Vec::<String>::new());
    first
        .execute::<Order, _>(&id("o-1"), command("c-1"), Place { total: 5 })
        .await
        .unwrap();
    let second = App::new(broker.clone())
        .aggregate::<Order>()
        .start()
        .await
        .unwrap();
    assert_eq!(
        second.load::<Order>(&id("o-1")).await.unwrap().state.total,
        5
    );
}
