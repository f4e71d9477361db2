//! What the macros make of good input, and what they say about bad input.
//!
//! `tests/ui/fail/*.rs` hold one mistake each, with the expected text beside them; it is reviewed like
//! prose. `TRYBUILD=overwrite cargo test -p hitherto --test macros` writes it anew.

use hitherto::{
    Encoding, Event, EventType, Id, IntoEvents, Recorded, event, projection, read_model,
};

#[event(context = "shop", aggregate = "cart", encoding = "json")]
enum CartEvent {
    ItemAdded {
        sku: String,
    },
    #[event(name = "emptied")]
    Cleared,
}

#[test]
fn names_and_payloads_are_stable() {
    assert_eq!((CartEvent::CONTEXT, CartEvent::AGGREGATE), ("shop", "cart"));
    let names: Vec<_> = CartEvent::TYPES
        .iter()
        .map(|ty| (ty.name, ty.version))
        .collect();
    assert_eq!(names, [("item_added", 1), ("emptied", 1)]);
    assert_eq!(ItemAdded::TYPES.len(), 1);

    let added = ItemAdded {
        sku: "s".to_owned(),
    };
    let payload = CartEvent::from(added.clone())
        .encode(Encoding::Json)
        .unwrap();
    assert_eq!(payload, b"{\"sku\":\"s\"}", "the payload carries no tag");
    assert_eq!(added.encode(Encoding::Json).unwrap(), payload);
    assert_eq!(
        Cleared {}.encode(Encoding::Json).unwrap(),
        b"{}",
        "fields may be added later"
    );
}

#[test]
fn unknown_fields_are_ignored_and_unknown_events_refused() {
    let stored = EventType {
        name: "item_added",
        version: 1,
    };
    let payload = b"{\"sku\":\"s\",\"color\":\"red\"}";
    let event = CartEvent::decode(stored, Encoding::Json, payload).unwrap();
    assert_eq!(
        event,
        ItemAdded {
            sku: "s".to_owned()
        }
        .into()
    );
    let unknown = EventType {
        name: "renamed",
        version: 1,
    };
    assert!(CartEvent::decode(unknown, Encoding::Json, b"{}").is_err());
}

#[test]
fn decisions_return_events_in_many_forms() {
    let added = || ItemAdded {
        sku: "s".to_owned(),
    };
    let count = |events: Vec<CartEvent>| events.len();
    assert_eq!(count(added().into_events()), 1);
    assert_eq!(count(CartEvent::from(Cleared {}).into_events()), 1);
    assert_eq!(count(Some(added()).into_events()), 1);
    assert_eq!(count(None::<Cleared>.into_events()), 0);
    assert_eq!(count(vec![added(), added()].into_events()), 2);
    assert_eq!(count([added(), added()].into_events()), 2);
    assert_eq!(count((added(), Some(Cleared {})).into_events()), 2);
    assert_eq!(count((added(), Cleared {}, ()).into_events()), 2);
}

mod derived {
    use hitherto::Event;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Opened {
        pub(crate) owner: String,
    }

    #[derive(Debug, Clone, PartialEq, Event)]
    #[hitherto(context = "bank", aggregate = "account")]
    pub(crate) enum AccountEvent {
        #[hitherto(name = "account_opened")]
        Opened(Opened),
    }
}

#[test]
fn derive_leaves_the_types_alone() {
    use derived::{AccountEvent, Opened};
    let event: AccountEvent = Opened {
        owner: "Ada".to_owned(),
    }
    .into();
    assert_eq!(event.event_type().name, "account_opened");
    let payload = event.encode(Encoding::MessagePack).unwrap();
    let stored = event.event_type();
    assert_eq!(
        AccountEvent::decode(stored, Encoding::MessagePack, &payload).unwrap(),
        event
    );
}

/// What is derived by hand is not derived again.
#[read_model(key = String, table = "carts")]
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
struct CartRow {
    items: u64,
}

/// A key may be missing: then the event concerns no row.
#[projection(key = sku(event))]
fn carts(row: Option<CartRow>, event: &Recorded<CartEvent>) -> Option<CartRow> {
    let _ = event;
    Some(CartRow {
        items: row.unwrap_or_default().items + 1,
    })
}

fn sku(event: &Recorded<CartEvent>) -> Option<String> {
    match &event.event {
        CartEvent::ItemAdded(added) => Some(added.sku.clone()),
        CartEvent::Cleared(_) => None,
    }
}

#[test]
fn a_projection_may_skip_events() {
    let added = CartEvent::from(ItemAdded {
        sku: "s".to_owned(),
    });
    hitherto::testing::given_rows(carts, [("c-1", added.clone()), ("c-1", Cleared {}.into())])
        .when("c-2", added)
        .then_row(&"s".to_owned(), |row| assert_eq!(row.items, 2))
        .and_is_idempotent();
    assert_eq!(<CartRow as hitherto::ReadModel>::TABLE, "carts");
    assert_eq!(Id::new("c-1").unwrap().as_str(), "c-1");
}

/// The crate under another name: the macros are told where it is.
mod renamed {
    use hitherto as es;

    #[es::event(context = "shop", aggregate = "renamed", crate = es)]
    pub(crate) enum RenamedEvent {
        Done { count: u32 },
    }

    #[es::read_model(key = es::Id, crate = es)]
    pub(crate) struct RenamedRow {
        pub(crate) count: u32,
    }

    #[es::projection(crate = es)]
    pub(crate) fn renamed(
        _: Option<RenamedRow>,
        event: &es::Recorded<RenamedEvent>,
    ) -> Option<RenamedRow> {
        let RenamedEvent::Done(done) = &event.event;
        Some(RenamedRow { count: done.count })
    }
}

#[test]
fn the_crate_may_be_renamed() {
    let done = renamed::Done { count: 3 };
    hitherto::testing::given_rows(renamed::renamed, [("r-1", done.into())])
        .then_row(&Id::new("r-1").unwrap(), |row| assert_eq!(row.count, 3));
}

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}
