//! Random rounds: mostly what clients do, now and then what nobody should.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::configs;
use crate::op::Op;

/// Few names, so that operations meet.
const STREAMS: &[&str] = &["@S0", "@S1"];

/// Few names, so that operations meet.
const CONSUMERS: &[&str] = &["C0", "C1", "C2"];

/// What is published to; the last is captured by no stream's usual subjects.
const SUBJECTS: &[&str] = &[
    "@.a.x", "@.a.y", "@.a.z.w", "@.b.x", "@.b.y", "@.c", "@.none.x",
];

/// How long a pull waits that does: 30 ms.
const SHORT_NS: u64 = 30_000_000;

/// The operations of one round.
pub(crate) fn round(random: &mut Rng, count: usize) -> Vec<Op> {
    // A stream and a consumer to start with, since most operations need them.
    let mut ops = vec![
        create_stream(random, STREAMS[0], false),
        create_consumer(random, STREAMS[0], CONSUMERS[0]),
    ];
    while ops.len() < count {
        match random.u32(0..100) {
            0..35 => ops.push(publish(random)),
            35..38 => ops.extend(batch(random)),
            38..50 => ops.push(pull(random)),
            50..62 => ops.push(ack(random)),
            62..66 => ops.push(stream_change(random)),
            66..71 => ops.push(consumer_change(random)),
            71..77 => ops.push(stream_info(random)),
            77..84 => ops.push(consumer_read(random)),
            84..88 => ops.push(message_get(random)),
            88..92 => ops.push(direct(random)),
            92..95 => ops.push(message_delete(random)),
            95..98 => ops.push(purge(random)),
            _ => ops.push(listing(random)),
        }
    }
    ops
}

/// A look at everything a round has left behind.
pub(crate) fn look() -> Vec<Op> {
    let mut ops = Vec::new();
    for stream in STREAMS {
        let everything = json!({"deleted_details": true, "subjects_filter": ">"});
        ops.push(api(format!("STREAM.INFO.{stream}"), &everything));
        ops.push(api(format!("CONSUMER.LIST.{stream}"), &Value::Null));
        ops.push(Op::Direct {
            call: (*stream).to_owned(),
            body: json!({"seq": 1, "batch": 100}),
        });
    }
    ops
}

fn pick<'a>(random: &mut Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(0..from.len())]
}

fn api(call: String, body: &Value) -> Op {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    Op::Api { call, body }
}

fn create_stream(random: &mut Rng, name: &str, wild: bool) -> Op {
    api(
        format!("STREAM.CREATE.{name}"),
        &configs::stream(random, name, wild),
    )
}

fn stream_change(random: &mut Rng) -> Op {
    let name = pick(random, STREAMS);
    match random.u32(0..10) {
        0..4 => create_stream(random, name, true),
        4..9 => api(
            format!("STREAM.UPDATE.{name}"),
            &configs::stream(random, name, true),
        ),
        _ => api(format!("STREAM.DELETE.{name}"), &Value::Null),
    }
}

fn create_consumer(random: &mut Rng, stream: &str, name: &str) -> Op {
    let config = configs::consumer(random, name);
    let mut body = json!({"stream_name": stream, "config": config});
    if random.u32(0..6) == 0 {
        body["action"] = json!(pick(random, &["create", "update", "", "bogus"]));
    }
    let call = match random.u32(0..10) {
        0 => format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"),
        1 => match config["filter_subject"]
            .as_str()
            .filter(|filter| !filter.is_empty())
        {
            Some(filter) => format!("CONSUMER.CREATE.{stream}.{name}.{filter}"),
            None => format!("CONSUMER.CREATE.{stream}.{name}"),
        },
        _ => format!("CONSUMER.CREATE.{stream}.{name}"),
    };
    api(call, &body)
}

fn consumer_change(random: &mut Rng) -> Op {
    let (stream, name) = (pick(random, STREAMS), pick(random, CONSUMERS));
    match random.u32(0..12) {
        0..9 => create_consumer(random, stream, name),
        9 => {
            let body = match random.u32(0..4) {
                0 => json!({"pause_until": "2099-01-01T00:00:00Z"}),
                1 => json!({"pause_until": "2001-01-01T00:00:00Z"}),
                2 => Value::Null,
                _ => json!({"pause_until": "soon"}),
            };
            api(format!("CONSUMER.PAUSE.{stream}.{name}"), &body)
        }
        10 => {
            let body = if random.bool() {
                json!({"seq": random.u64(0..8)})
            } else {
                Value::Null
            };
            api(format!("CONSUMER.RESET.{stream}.{name}"), &body)
        }
        _ => api(format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null),
    }
}

fn consumer_read(random: &mut Rng) -> Op {
    let (stream, name) = (pick(random, STREAMS), pick(random, CONSUMERS));
    match random.u32(0..8) {
        0 => api(
            format!("CONSUMER.NAMES.{stream}"),
            &pick_value(
                random,
                &[Value::Null, json!({"offset": 1}), json!({"bogus": 1})],
            ),
        ),
        1 => api(format!("CONSUMER.LIST.{stream}"), &Value::Null),
        2 if random.u32(0..4) == 0 => {
            api(format!("CONSUMER.INFO.{stream}.{name}"), &json!({"a": 1}))
        }
        _ => api(format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null),
    }
}

fn stream_info(random: &mut Rng) -> Op {
    let body = match random.u32(0..5) {
        4 if random.bool() => json!({"bogus": 1}),
        4 => json!({"offset": random.i32(-1..3), "subjects_filter": ">"}),
        0 => json!({"deleted_details": true}),
        1 => json!({"subjects_filter": pick(random, &[">", "@.a.*", "@.c", "@.zz"])}),
        _ => Value::Null,
    };
    api(format!("STREAM.INFO.{}", pick(random, STREAMS)), &body)
}

fn listing(random: &mut Rng) -> Op {
    match random.u32(0..3) {
        0 => api(
            "STREAM.NAMES".into(),
            &json!({"subject": pick(random, SUBJECTS)}),
        ),
        1 => api(
            "STREAM.NAMES".into(),
            &json!({"subject": "@.>", "offset": random.u32(0..3)}),
        ),
        _ => api("STREAM.LIST".into(), &json!({"subject": "@.>"})),
    }
}

fn purge(random: &mut Rng) -> Op {
    let mut body = json!({});
    if random.bool() {
        body["filter"] = json!(pick(random, &["@.a.x", "@.a.*", "@.b.>", ">", "@.a..b"]));
    }
    match random.u32(0..4) {
        0 => body["seq"] = json!(random.u64(0..9)),
        1 => body["keep"] = json!(random.u64(0..4)),
        2 if random.u32(0..4) == 0 => body = json!({"seq": 2, "keep": 1}),
        _ => {}
    }
    api(format!("STREAM.PURGE.{}", pick(random, STREAMS)), &body)
}

fn message_get(random: &mut Rng) -> Op {
    let subject = pick(random, &["@.a.x", "@.a.*", "@.c", "@.a.>", ">"]);
    let body = match random.u32(0..5) {
        0 | 1 => json!({"seq": random.u64(0..9)}),
        2 => json!({"last_by_subj": subject}),
        3 => json!({"seq": random.u64(0..5), "next_by_subj": subject}),
        _ => pick_value(
            random,
            &[
                json!({}),
                json!({"seq": 1, "last_by_subj": "@.a.x"}),
                json!({"bogus": 1}),
            ],
        ),
    };
    api(format!("STREAM.MSG.GET.{}", pick(random, STREAMS)), &body)
}

fn message_delete(random: &mut Rng) -> Op {
    let mut body = json!({"seq": random.u64(0..9)});
    if random.bool() {
        body["no_erase"] = json!(random.bool());
    }
    api(
        format!("STREAM.MSG.DELETE.{}", pick(random, STREAMS)),
        &body,
    )
}

fn direct(random: &mut Rng) -> Op {
    let stream = pick(random, STREAMS);
    let subject = pick(random, &["@.a.x", "@.a.*", "@.c", "@.a.>"]);
    let (call, body) = match random.u32(0..7) {
        0 => (stream.to_owned(), json!({"seq": random.u64(1..9)})),
        1 => (stream.to_owned(), json!({"last_by_subj": subject})),
        2 => (format!("{stream}.{}", pick(random, SUBJECTS)), Value::Null),
        3 => (
            stream.to_owned(),
            json!({"seq": random.u64(1..5), "next_by_subj": subject}),
        ),
        4 => (
            stream.to_owned(),
            json!({"seq": 1, "batch": random.u32(1..5), "next_by_subj": subject}),
        ),
        5 => (stream.to_owned(), json!({"multi_last": [subject, "@.b.*"]})),
        _ => (
            stream.to_owned(),
            json!({"multi_last": ["@.>"], "batch": 2, "up_to_seq": random.u64(1..9)}),
        ),
    };
    Op::Direct { call, body }
}

fn publish(random: &mut Rng) -> Op {
    let mut headers = BTreeMap::new();
    while random.u32(0..5) < 2 && headers.len() < 3 {
        headers.extend([header(random)]);
    }
    Op::Publish {
        subject: pick(random, SUBJECTS).into(),
        headers,
        len: [0, 5, 5, 40, 200][random.usize(0..5)],
    }
}

fn header(random: &mut Rng) -> (String, String) {
    let number = random.u64(0..6).to_string();
    let text = |text: &str| text.to_owned();
    let (name, value) = match random.u32(0..9) {
        0 | 1 => ("Nats-Msg-Id", format!("m{}", random.u32(0..4))),
        2 => (
            "Nats-Expected-Stream",
            text(pick(random, &["@S0", "@S1", "@S9"])),
        ),
        3 => ("Nats-Expected-Last-Sequence", number),
        4 => ("Nats-Expected-Last-Subject-Sequence", number),
        5 => (
            "Nats-Expected-Last-Subject-Sequence-Subject",
            text(pick(random, &["@.a.x", "@.a.*", "@.b.>"])),
        ),
        6 => (
            "Nats-Expected-Last-Msg-Id",
            format!("m{}", random.u32(0..4)),
        ),
        7 => ("Nats-Rollup", text(pick(random, &["sub", "all", "bogus"]))),
        _ => (
            "Nats-TTL",
            text(pick(
                random,
                &["1h", "3600", "never", "0", "-1", "100ms", "abc"],
            )),
        ),
    };
    (name.to_owned(), value)
}

/// An atomic batch, sometimes with a gap or without its end.
fn batch(random: &mut Rng) -> Vec<Op> {
    let id = format!("b{}", random.u32(..));
    let count = random.usize(1..4);
    (1..=count)
        .map(|number| {
            let place = if random.u32(0..12) == 0 {
                number + 1
            } else {
                number
            };
            let mut headers = BTreeMap::from([
                ("Nats-Batch-Id".to_owned(), id.clone()),
                ("Nats-Batch-Sequence".to_owned(), place.to_string()),
            ]);
            if number == count && random.u32(0..6) > 0 {
                headers.insert("Nats-Batch-Commit".to_owned(), "1".to_owned());
            }
            if random.u32(0..6) == 0 {
                headers.extend([header(random)]);
            }
            Op::Publish {
                subject: pick(random, &SUBJECTS[..4]).into(),
                headers,
                len: 5,
            }
        })
        .collect()
}

fn pull(random: &mut Rng) -> Op {
    let batch = random.usize(1..6);
    let mut body = json!({"batch": batch, "no_wait": true});
    match random.u32(0..14) {
        0 => body["max_bytes"] = json!(random.u32(1..300)),
        1 => body["idle_heartbeat"] = json!(1_000_000_000_u64),
        // Waits for what does not come.
        2 => body = json!({"batch": batch, "expires": SHORT_NS}),
        3 => body = json!({"batch": batch, "expires": SHORT_NS, "max_bytes": random.u32(1..300)}),
        4 => body["expires"] = json!(SHORT_NS),
        5 => body["priority"] = json!(random.i32(-1..11)),
        6 if random.bool() => body["batch"] = json!("many"),
        6 => body["min_pending"] = json!(1),
        _ => {}
    }
    Op::Pull {
        stream: pick(random, STREAMS).into(),
        consumer: pick(random, CONSUMERS).into(),
        body: body.to_string(),
    }
}

fn ack(random: &mut Rng) -> Op {
    let kind = match random.u32(0..10) {
        0..5 => "+ACK",
        5 => "",
        6 => "-NAK",
        7 => pick(
            random,
            &["-NAK {\"delay\": 3600000000000}", "-NAK 1h", "-NAK bogus"],
        ),
        8 => "+WPI",
        _ => pick(
            random,
            &[
                "+TERM",
                "+TERM a reason",
                "+BOGUS",
                "+OK",
                "+NXT {\"batch\": 1, \"no_wait\": true}",
            ],
        ),
    };
    Op::Ack {
        delivery: random.usize(..),
        kind: kind.into(),
    }
}

fn pick_value(random: &mut Rng, from: &[Value]) -> Value {
    from[random.usize(0..from.len())].clone()
}
