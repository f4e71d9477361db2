//! Given, when, then: specifications of aggregates and projections, without a broker.
//!
//! ```
//! # use hitherto::{Recorded, aggregate, event, projection, read_model};
//! # #[event(context = "orders", aggregate = "order")]
//! # pub enum OrderEvent { Placed { total: u64 }, Paid {} }
//! # #[derive(Debug, PartialEq, thiserror::Error)]
//! # pub enum OrderRejection { #[error("already paid")] AlreadyPaid }
//! # pub struct Pay;
//! # #[derive(Default, Clone)]
//! # pub struct Order { paid: bool }
//! # #[aggregate(event = OrderEvent, rejection = OrderRejection)]
//! # impl Order {
//! #     fn evolve(&mut self, event: &OrderEvent) {
//! #         if let OrderEvent::Paid(_) = event { self.paid = true; }
//! #     }
//! #     #[decide]
//! #     fn pay(&self, _: &Pay) -> Result<Paid, OrderRejection> {
//! #         if self.paid { Err(OrderRejection::AlreadyPaid) } else { Ok(Paid {}) }
//! #     }
//! # }
//! # #[read_model(key = hitherto::Id)]
//! # pub struct OrderRow { pub paid: bool }
//! # #[projection]
//! # fn orders(row: Option<OrderRow>, event: &Recorded<OrderEvent>) -> Option<OrderRow> {
//! #     match &event.event {
//! #         OrderEvent::Placed(_) => Some(OrderRow { paid: false }),
//! #         OrderEvent::Paid(_) => row.map(|row| OrderRow { paid: true, ..row }),
//! #     }
//! # }
//! use hitherto::testing::{given, given_rows};
//!
//! given::<Order>([Placed { total: 5 }.into()]).when(&Pay).then([Paid {}.into()]);
//! given::<Order>([Placed { total: 5 }.into(), Paid {}.into()])
//!     .when(&Pay)
//!     .then_rejected(&OrderRejection::AlreadyPaid);
//! given::<Order>([]).when(&Pay).then_not_found();
//!
//! given_rows(orders, [("o-1", Placed { total: 5 }.into())])
//!     .when("o-1", Paid {})
//!     .then_row(&hitherto::Id::new("o-1")?, |row| assert!(row.paid))
//!     .and_is_idempotent();
//! # Ok::<(), hitherto::InvalidId>(())
//! ```
//!
//! A specification that does not hold panics with what was expected and what came.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use crate::aggregate::{Aggregate, Decide, Mode};
use crate::event::{Encoding, Envelope, Event, Recorded};
use crate::id::{AggregateId, EventId, Position};
use crate::projection::{Batch, Projection, ReadModel, RowKey};

/// Begins with the history of an aggregate; an empty one does not exist.
pub fn given<A: Aggregate>(history: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let mut given = Given {
        state: A::default(),
        exists: false,
    };
    for event in history {
        given.state.evolve(&event);
        given.exists = true;
    }
    given
}

/// An aggregate with its history.
#[derive(Debug)]
#[must_use = "a specification needs a `when` and a `then`"]
pub struct Given<A> {
    state: A,
    exists: bool,
}

impl<A: Aggregate> Given<A> {
    /// Decides on a command.
    pub fn when<C>(mut self, command: &C) -> When<A>
    where
        A: Decide<C>,
    {
        let outcome = match (A::MODE, self.exists) {
            (Mode::Create, true) => Answer::AlreadyExists,
            (Mode::Update, false) => Answer::NotFound,
            _ => match self.state.decide(command) {
                Ok(events) => Answer::Events(events),
                Err(rejection) => Answer::Rejected(rejection),
            },
        };
        // Events go through their encoding, so that one that cannot be stored fails here.
        if let Answer::Events(events) = &outcome {
            for event in events {
                self.state.evolve(&stored(event));
            }
        }
        When {
            state: self.state,
            outcome,
        }
    }

    /// Checks the state the history leads to.
    pub fn then_state(self, check: impl FnOnce(&A)) {
        check(&self.state);
    }
}

/// An answer to a command.
#[derive(Debug)]
pub struct When<A: Aggregate> {
    state: A,
    outcome: Answer<A>,
}

enum Answer<A: Aggregate> {
    Events(Vec<A::Event>),
    Rejected(A::Rejection),
    AlreadyExists,
    NotFound,
}

impl<A: Aggregate> Debug for Answer<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Events(events) => {
                let names: Vec<_> = events.iter().map(|event| event.event_type().name).collect();
                write!(f, "the events {names:?}")
            }
            Self::Rejected(rejection) => write!(f, "the rejection {rejection:?}"),
            Self::AlreadyExists => f.write_str("\"exists already\""),
            Self::NotFound => f.write_str("\"does not exist\""),
        }
    }
}

impl<A: Aggregate> When<A> {
    /// Expects exactly these events; none: it was so already.
    ///
    /// # Panics
    /// When something else came.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) -> Self
    where
        A::Event: PartialEq + Debug,
    {
        let expected: Vec<_> = expected.into_iter().collect();
        match &self.outcome {
            Answer::Events(events) => assert_eq!(events, &expected, "other events came"),
            other => panic!("expected the events {expected:?}, {other:?} came"),
        }
        self
    }

    /// Expects this rejection.
    ///
    /// # Panics
    /// When something else came.
    #[track_caller]
    pub fn then_rejected(self, expected: &A::Rejection)
    where
        A::Rejection: PartialEq,
    {
        match &self.outcome {
            Answer::Rejected(rejection) => {
                assert_eq!(rejection, expected, "another rejection came")
            }
            other => panic!("expected the rejection {expected:?}, {other:?} came"),
        }
    }

    /// Expects the refusal of a creating command because the aggregate exists.
    ///
    /// # Panics
    /// When something else came.
    #[track_caller]
    pub fn then_already_exists(self) {
        let expected = matches!(self.outcome, Answer::AlreadyExists);
        assert!(
            expected,
            "expected \"exists already\", {:?} came",
            self.outcome
        );
    }

    /// Expects the refusal of a command because the aggregate does not exist.
    ///
    /// # Panics
    /// When something else came.
    #[track_caller]
    pub fn then_not_found(self) {
        let expected = matches!(self.outcome, Answer::NotFound);
        assert!(
            expected,
            "expected \"does not exist\", {:?} came",
            self.outcome
        );
    }

    /// Checks the state after the events.
    pub fn then_state(self, check: impl FnOnce(&A)) -> Self {
        check(&self.state);
        self
    }
}

/// Begins with events, each of an aggregate id, that a projection has folded.
///
/// # Panics
/// When an id is not one, or the projection panics.
#[track_caller]
pub fn given_rows<P: Projection>(
    projection: P,
    history: impl IntoIterator<Item = (&'static str, P::Event)>,
) -> GivenRows<P> {
    let mut given = GivenRows {
        projection,
        history: Vec::new(),
        rows: BTreeMap::new(),
    };
    for (id, event) in history {
        given = given.when(id, event);
    }
    given
}

/// A projection and what it has folded.
#[derive(Debug)]
pub struct GivenRows<P: Projection> {
    projection: P,
    history: Vec<Recorded<P::Event>>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<P: Projection> GivenRows<P> {
    /// Folds one more event.
    ///
    /// # Panics
    /// When the id is not one, or the projection panics.
    #[track_caller]
    pub fn when(mut self, id: &str, event: impl Into<P::Event>) -> Self {
        let event: P::Event = event.into();
        let position = self.history.len() + 1;
        let recorded = recorded(id, &event, position);
        fold(
            &self.projection,
            &mut self.rows,
            std::slice::from_ref(&recorded),
        );
        self.history.push(recorded);
        self
    }

    /// Checks a row, which must be there.
    ///
    /// # Panics
    /// When it is not, or `check` panics.
    #[track_caller]
    pub fn then_row(self, key: &<P::Row as ReadModel>::Key, check: impl FnOnce(&P::Row)) -> Self {
        let Some(bytes) = self.rows.get(&key.encode()) else {
            panic!("there is no row {key:?}")
        };
        let row = Encoding::MessagePack.from_slice(bytes);
        check(&row.expect("a row just written can be read"));
        self
    }

    /// Expects that there is no such row.
    ///
    /// # Panics
    /// When there is.
    #[track_caller]
    pub fn then_no_row(self, key: &<P::Row as ReadModel>::Key) -> Self {
        assert!(
            !self.rows.contains_key(&key.encode()),
            "there is a row {key:?}"
        );
        self
    }

    /// Expects the same rows, byte by byte, when the same events are folded again: in one run, and in
    /// two runs cut at every place, as after a crash there. A fold that looks at a clock, a random
    /// number or anything else but its arguments fails here, and so does a row that changes when it
    /// goes through the store.
    ///
    /// # Panics
    /// When the rows differ.
    #[track_caller]
    pub fn and_is_idempotent(self) -> Self {
        for cut in 0..=self.history.len() {
            let (before, after) = self.history.split_at(cut);
            let mut rows = BTreeMap::new();
            fold(&self.projection, &mut rows, before);
            fold(&self.projection, &mut rows, after);
            assert!(
                rows == self.rows,
                "projection {:?} is not a pure fold: other rows when cut after {cut} events",
                P::NAME
            );
        }
        self
    }
}

/// Runs events through the batch the projector uses.
fn fold<P: Projection>(
    projection: &P,
    rows: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    events: &[Recorded<P::Event>],
) {
    let mut batch = Batch::default();
    let folded = batch.missing_keys(projection, events).and_then(|keys| {
        batch.load(
            keys.into_iter()
                .map(|key| (key.clone(), rows.get(&key).cloned())),
        )?;
        events
            .iter()
            .try_for_each(|event| batch.fold(projection, event))?;
        batch.into_changes()
    });
    let changes = folded.unwrap_or_else(|error| panic!("{}", crate::chain(&error)));
    for change in changes {
        match change.value {
            Some(value) => rows.insert(change.key, value),
            None => rows.remove(&change.key),
        };
    }
}

/// Makes an event as if it had been stored at a position, a second after the one before.
///
/// # Panics
/// When the id is not one, or the event does not survive its encoding.
#[track_caller]
pub fn recorded<E: Event>(id: &str, event: &E, position: usize) -> Recorded<E> {
    let id = E::Id::from_token(id).unwrap_or_else(|error| panic!("{error}"));
    let position = u64::try_from(position).unwrap_or(u64::MAX);
    let recorded_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + position);
    let envelope = Envelope {
        position: Position(position),
        recorded_at,
        event_id: EventId::from_stored(&format!("event-{position}")),
        command_id: None,
        correlation_id: None,
        traceparent: None,
        version: event.event_type().version,
    };
    Recorded {
        event: stored(event),
        id,
        envelope,
    }
}

fn stored<E: Event>(event: &E) -> E {
    let name = event.event_type();
    let bytes = event.encode(E::ENCODING);
    let bytes = bytes.unwrap_or_else(|error| panic!("event {name:?}: {error}"));
    E::decode(name, E::ENCODING, &bytes).unwrap_or_else(|error| panic!("event {name:?}: {error}"))
}
