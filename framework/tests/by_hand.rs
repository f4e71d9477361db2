//! Every trait spelled out without a macro: what the macros expand to, and what to write when one
//! does not fit.

use std::time::Duration;

use hitherto::testing::{given, given_rows};
use hitherto::{
    Aggregate, CodecError, Consumer, ConsumerSettings, Context, Decide, Encoding, Event, EventType,
    Handled, Id, Mode, Outcome, Projection, ReadModel, Recorded,
};
use serde::{Deserialize, Serialize};

/// Stored as version 2; version 1 had no unit and is read as pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Received {
    amount: u32,
    unit: String,
}

#[derive(Debug, Clone, PartialEq)]
enum StockEvent {
    Received(Received),
}

const RECEIVED: EventType = EventType {
    name: "received",
    version: 2,
};

impl Event for StockEvent {
    const CONTEXT: &'static str = "warehouse";
    const AGGREGATE: &'static str = "stock";
    const ENCODING: Encoding = Encoding::Json;
    const TYPES: &'static [EventType] = &[RECEIVED];
    type Id = Id;

    fn event_type(&self) -> EventType {
        RECEIVED
    }

    fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, CodecError> {
        let Self::Received(received) = self;
        encoding.to_vec(received)
    }

    fn decode(
        stored: EventType<&str>,
        encoding: Encoding,
        payload: &[u8],
    ) -> Result<Self, CodecError> {
        #[derive(Deserialize)]
        struct First {
            amount: u32,
        }
        match (stored.name, stored.version) {
            ("received", 2) => encoding.from_slice(payload).map(Self::Received),
            ("received", 1) => {
                let First { amount } = encoding.from_slice(payload)?;
                Ok(Self::Received(Received {
                    amount,
                    unit: "piece".to_owned(),
                }))
            }
            _ => Err(CodecError::unknown(stored)),
        }
    }
}

#[derive(Debug, Default, Clone)]
struct Stock {
    amount: u32,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("there is no room")]
struct NoRoom;

impl Aggregate for Stock {
    type Event = StockEvent;
    type Rejection = NoRoom;

    fn evolve(&mut self, StockEvent::Received(received): &StockEvent) {
        self.amount += received.amount;
    }
}

struct Receive(u32);

impl Decide<Receive> for Stock {
    const MODE: Mode = Mode::Upsert;

    fn decide(&self, Receive(amount): &Receive) -> Result<Vec<StockEvent>, NoRoom> {
        if self.amount + amount > 100 {
            return Err(NoRoom);
        }
        Ok(vec![received(*amount)])
    }
}

fn received(amount: u32) -> StockEvent {
    StockEvent::Received(Received {
        amount,
        unit: "piece".to_owned(),
    })
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StockRow {
    amount: u32,
}

impl ReadModel for StockRow {
    const TABLE: &'static str = "stock";
    type Key = Id;
}

#[derive(Debug)]
struct Stocks;

impl Projection for Stocks {
    const NAME: &'static str = "stocks";
    type Event = StockEvent;
    type Row = StockRow;

    fn key(&self, event: &Recorded<StockEvent>) -> Option<Id> {
        Some(event.id().clone())
    }

    fn fold(&self, row: Option<StockRow>, event: &Recorded<StockEvent>) -> Option<StockRow> {
        let StockEvent::Received(received) = &event.event;
        Some(StockRow {
            amount: row.map_or(0, |row| row.amount) + received.amount,
        })
    }
}

struct Announce;

impl Consumer for Announce {
    type Event = StockEvent;

    fn settings(&self) -> ConsumerSettings {
        ConsumerSettings::new("announce", Duration::from_secs(60))
    }

    async fn handle(&self, event: Recorded<StockEvent>, context: Context) -> Handled {
        let StockEvent::Received(received) = &event.event;
        context.put(
            event.id(),
            &AnnouncedRow {
                amount: received.amount,
            },
        )?;
        Ok(Outcome::Ack)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct AnnouncedRow {
    amount: u32,
}

impl ReadModel for AnnouncedRow {
    const TABLE: &'static str = "announced";
    type Key = Id;
}

#[test]
fn an_aggregate_decides() {
    given::<Stock>([])
        .when(&Receive(60))
        .then([received(60)])
        .then_state(|stock| {
            assert_eq!(stock.amount, 60);
        });
    given::<Stock>([received(60)])
        .when(&Receive(60))
        .then_rejected(&NoRoom);
}

#[test]
fn a_projection_folds() {
    given_rows(Stocks, [("s-1", received(2)), ("s-2", received(5))])
        .when("s-1", received(3))
        .then_row(&Id::new("s-1").unwrap(), |row| assert_eq!(row.amount, 5))
        .then_no_row(&Id::new("s-3").unwrap())
        .and_is_idempotent();
}

#[test]
fn an_older_version_is_read() {
    let stored = EventType {
        name: "received",
        version: 1,
    };
    let event = StockEvent::decode(stored, Encoding::Json, b"{\"amount\":3}").unwrap();
    assert_eq!(event, received(3));
    let newer = EventType {
        name: "received",
        version: 3,
    };
    let error = StockEvent::decode(newer, Encoding::Json, b"{}").unwrap_err();
    assert_eq!(error, CodecError::unknown(newer));
}

#[test]
fn settings_have_defaults() {
    let settings = Announce.settings();
    assert_eq!((settings.durable, settings.concurrency), ("announce", 1));
    assert_eq!(settings.ack_wait, Duration::from_secs(30));
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn an_application_of_hand_written_parts_runs() {
    use hitherto::{App, Broker, CommandId, RedbStore};

    let broker = Broker::in_memory().await.unwrap();
    let store = RedbStore::in_memory().unwrap();
    let app = App::new(broker)
        .aggregate::<Stock>()
        .projection(Stocks, store.clone())
        .inbox(store)
        .consumer(Announce)
        .start()
        .await
        .unwrap();
    let id = Id::new("s-1").unwrap();
    let done = app
        .execute::<Stock, _>(&id, CommandId::random(), Receive(7))
        .await
        .unwrap();
    let rows = app
        .rows::<StockRow>()
        .unwrap()
        .at_least(done.version)
        .await
        .unwrap();
    assert_eq!(rows.get(&id).await.unwrap(), Some(StockRow { amount: 7 }));
    let history = app.history::<Stock>(&id).await.unwrap();
    assert_eq!(history[0].envelope.version, 2);
    app.shutdown().await;
}
