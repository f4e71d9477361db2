//! Runs the bodies of the fuzz targets over random bytes, and over valid bytes with a few changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken property fails by panicking"
)]

#[path = "../fuzz/src/check.rs"]
mod check;

use bytes::BytesMut;
use hitherto_jetstream::command::{
    Append, Command, Control, Delivered, Purge, PutAction, PutConsumer, Settled, Settlement,
};
use hitherto_jetstream::{ConsumerConfig, ConsumerSeq, Limits, StreamConfig, StreamSeq};
use hitherto_protocol::{HeadersBuilder, Subject, Timestamp};
use proptest::prelude::*;

/// Requests clients make, by the byte that says as what they are read.
const REQUESTS: &[(u8, &str)] = &[
    (
        0,
        r#"{"name":"S","subjects":["a.>","b.*"],"retention":"interest","max_age":3600000000000,"discard":"new","max_msgs":5,"max_msgs_per_subject":2,"discard_new_per_subject":true}"#,
    ),
    (
        0,
        r#"{"name":"S","subjects":["a.*"],"subject_transform":{"src":"a.*","dest":"t.{{wildcard(1)}}"},"republish":{"src":"a.>","dest":"R.>"},"consumer_limits":{"max_ack_pending":5},"metadata":{"a":"b"},"placement":{"tags":["x"]},"allow_msg_ttl":true,"subject_delete_marker_ttl":1000000000,"sealed":false}"#,
    ),
    (
        1,
        r#"{"durable_name":"C","ack_policy":"explicit","ack_wait":5,"backoff":[1,2],"filter_subjects":["a.x","a.y"],"deliver_policy":"by_start_sequence","opt_start_seq":3,"sample_freq":"50%"}"#,
    ),
    (
        1,
        r#"{"name":"C","deliver_subject":"d","deliver_group":"g","flow_control":true,"idle_heartbeat":1000000000,"replay_policy":"original","opt_start_time":"2020-01-01T00:00:00Z","deliver_policy":"by_start_time","metadata":{"hitherto.ordered_by":"1-2"}}"#,
    ),
    (2, r#"{"subject":"a.>","offset":2}"#),
    (
        3,
        r#"{"deleted_details":true,"subjects_filter":">","offset":-1}"#,
    ),
    (4, r#"{"filter":"a.*","seq":7,"keep":0}"#),
    (
        5,
        r#"{"seq":1,"next_by_subj":"a.*","start_time":"2020-01-01T00:00:00.123456789+02:00","no_hdr":true}"#,
    ),
    (
        6,
        r#"{"multi_last":["a.>","b"],"batch":2,"max_bytes":100,"up_to_time":"2020-01-01T00:00:00Z","no_limit":true}"#,
    ),
    (7, r#"{"seq":9,"no_erase":true}"#),
    (
        8,
        r#"{"stream_name":"S","config":{"durable_name":"C","ack_policy":"all","max_deliver":3},"action":"create","pedantic":true}"#,
    ),
    (9, r#"{"pause_until":"2099-01-01T00:00:00Z"}"#),
    (10, r#"{"seq":4}"#),
    (11, r#"{"offset":1}"#),
    (
        12,
        r#"{"batch":3,"max_bytes":10,"no_wait":true,"expires":5,"idle_heartbeat":2,"priority":1,"group":"x","id":"y"}"#,
    ),
    (12, "25"),
    (
        13,
        "$JS.ACK.S.C.1.7.3.1700000000000000000.0 -NAK {\"delay\": 5}",
    ),
    (13, "$JS.ACK._.hash.S.C.1.7.3.-5.0.x +NXT {\"batch\":2}"),
];

fn records() -> Vec<u8> {
    let mut headers = HeadersBuilder::new();
    headers.insert("Nats-Msg-Id", "7").unwrap();
    let at = Timestamp::from_unix_nanos(5);
    let append = |payload: &'static str| Append {
        at,
        subject: Subject::new("a.b").unwrap(),
        headers: Some(headers.clone().build()),
        payload: payload.into(),
    };
    let stream = StreamConfig {
        name: "S".into(),
        ..StreamConfig::default()
    };
    let consumer = ConsumerConfig::default().checked(&stream).unwrap();
    let seqs = || [9, 10, 4].map(StreamSeq).into_iter().collect();
    let settled = Settled {
        consumer: "c".into(),
        incarnation: 3,
        messages: seqs(),
        how: Settlement::Acked,
        at,
    };
    let commands = [
        Command::Append(append("one")),
        Command::AppendBatch(vec![append("two"), append("")]),
        Command::Control(Control::Configure {
            config: Box::new(stream.checked(&Limits::default()).unwrap()),
            at,
        }),
        Command::Control(Control::PutConsumer(PutConsumer {
            name: "c".into(),
            config: Box::new(consumer),
            action: PutAction::Create,
            at,
        })),
        Command::Control(Control::Purge(Purge::default())),
        Command::Delivered(Delivered {
            consumer: "c".into(),
            incarnation: 3,
            first: ConsumerSeq(4),
            messages: seqs(),
            at,
        }),
        Command::Settled(settled),
    ];
    let mut bytes = BytesMut::new();
    for command in &commands {
        command.encode(&mut bytes);
    }
    bytes.to_vec()
}

/// One change of some bytes.
#[derive(Debug, Clone)]
enum Change {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let byte = prop_oneof![
        any::<u8>(),
        Just(0),
        Just(u8::MAX),
        Just(0x7f),
        Just(b'"'),
        Just(b'-')
    ];
    prop_oneof![
        4 => (at(), byte).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (at(), 1..20_usize).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (at(), 1..40_usize).prop_map(|(at, len)| Change::Repeat(at, len)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        match change {
            Change::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Change::Remove(at, len) => {
                let at = at.index(bytes.len());
                let end = (at + len).min(bytes.len());
                bytes.drain(at..end);
            }
            Change::Insert(at, new) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Repeat(at, len) => {
                let at = at.index(bytes.len());
                let end = (at + len).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..Default::default() })]

    #[test]
    fn stored_commands_are_read_or_refused(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec(change(), 0..5),
    ) {
        check::commands(&noise);
        check::commands(&changed(records(), &changes));
    }

    #[test]
    fn requests_are_read_or_refused(
        noise in prop::collection::vec(any::<u8>(), 0..100),
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 0..4),
    ) {
        check::api(&noise);
        let (as_what, body) = REQUESTS[which.index(REQUESTS.len())];
        let mut input = vec![as_what];
        input.extend(changed(body.as_bytes().to_vec(), &changes));
        check::api(&input);
    }
}

#[test]
fn what_clients_send_is_read() {
    check::commands(&records());
    for (as_what, body) in REQUESTS {
        let mut input = vec![*as_what];
        input.extend_from_slice(body.as_bytes());
        check::api(&input);
    }
}
