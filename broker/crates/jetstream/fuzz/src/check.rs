//! What must hold for any bytes that are read as stored commands or as requests; shared by the fuzz
//! targets and by `tests/decoders.rs`.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use hitherto_jetstream::ack_subject::{AckKind, AckSubject};
use hitherto_jetstream::api::{
    ConsumerCreateRequest, ConsumerPauseRequest, ConsumerResetRequest, ConsumersRequest,
    DirectGetRequest, MsgDeleteRequest, MsgGetRequest, MsgNextRequest, PurgeRequest,
    StreamInfoRequest, StreamsRequest, is_empty_request, parse_next_request, parse_request,
    parse_stream_config,
};
use hitherto_jetstream::command::{Command, Control, decode_all};
use hitherto_jetstream::{ConsumerConfig, Limits, StreamConfig};
use hitherto_protocol::Subject;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Panics when a rule is broken.
pub(crate) fn commands(input: &[u8]) {
    let mut read = Vec::new();
    let mut ended = false;
    for command in decode_all(Bytes::copy_from_slice(input)) {
        assert!(!ended, "nothing is read behind an error");
        match command {
            Ok(command) => read.push(command),
            Err(error) => {
                ended = true;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(
        read.len() <= input.len() / 6,
        "a record takes six bytes at least"
    );
    for command in &read {
        count_is_exact(command);
        let again = written_and_read(command);
        // A configuration may hold what only requests say; it is gone once it was stored.
        match command {
            Command::Control(Control::Configure { .. } | Control::PutConsumer(_)) => {
                assert_eq!(written_and_read(&again), again);
            }
            _ => assert_eq!(again, *command),
        }
    }
}

fn written_and_read(command: &Command) -> Command {
    let mut written = BytesMut::new();
    command.encode(&mut written);
    let mut commands = decode_all(written.freeze());
    let read = commands.next().and_then(Result::ok);
    let read = read.expect("what was written is read again");
    assert!(commands.next().is_none(), "one command is one record");
    read
}

/// Runs of sequences are counted without being walked: one of 2^64 must not take for ever.
fn count_is_exact(command: &Command) {
    let runs = match command {
        Command::Delivered(delivered) => &delivered.messages,
        Command::Settled(settled) => &settled.messages,
        Command::Append(_) | Command::AppendBatch(_) | Command::Control(_) => return,
    };
    let counts = runs.iter().map(|run| run.count);
    assert_eq!(counts.fold(0, u64::saturating_add), runs.count());
}

/// Panics when a rule is broken. The first byte says as what the rest is read.
pub(crate) fn api(input: &[u8]) {
    let Some((as_what, body)) = input.split_first() else {
        return;
    };
    match as_what % 14 {
        0 => stream_config(body),
        1 => consumer_config(body),
        2 => request::<StreamsRequest>(body),
        3 => request::<StreamInfoRequest>(body),
        4 => request::<PurgeRequest>(body),
        5 => request::<MsgGetRequest>(body),
        6 => request::<DirectGetRequest>(body),
        7 => request::<MsgDeleteRequest>(body),
        8 => request::<ConsumerCreateRequest>(body),
        9 => request::<ConsumerPauseRequest>(body),
        10 => request::<ConsumerResetRequest>(body),
        11 => request::<ConsumersRequest>(body),
        12 => pull(body),
        _ => ack(body),
    }
    if is_empty_request(body) {
        assert!(
            parse_request::<PurgeRequest>(body).is_ok_and(|purge| purge == PurgeRequest::default())
        );
    }
}

/// What was read is written and read again as the same.
fn request<T: Serialize + DeserializeOwned + PartialEq + Debug>(body: &[u8]) {
    match parse_request::<T>(body) {
        Ok(read) => {
            let again = reread(&read);
            assert_eq!(reread(&again), again);
        }
        Err(error) => assert_eq!((error.code, error.err_code), (400, 10025), "{error}"),
    }
}

fn reread<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let written = serde_json::to_vec(value).expect("requests are JSON");
    parse_request(&written).expect("what was written is read again")
}

/// Checking a configuration twice changes nothing, and a checked one can be stored and shown.
fn stream_config(body: &[u8]) {
    let Ok(config) = parse_stream_config(body) else {
        return;
    };
    let Ok(checked) = config.checked(&Limits::default()) else {
        return;
    };
    assert_eq!(
        checked.clone().checked(&Limits::default()).as_ref(),
        Ok(&checked)
    );
    assert_eq!(checked.can_update_to(&checked), Ok(()));
    assert_eq!(checked.subject_filters().len(), checked.subjects.len());
    assert_eq!(reread(&checked), checked);
}

fn consumer_config(body: &[u8]) {
    let Ok(config) = parse_request::<ConsumerConfig>(body) else {
        return;
    };
    let stream = StreamConfig {
        name: "S".into(),
        subjects: vec!["a.>".into()],
        ..StreamConfig::default()
    };
    let Ok(checked) = config.checked(&stream) else {
        return;
    };
    assert_eq!(checked.clone().checked(&stream).as_ref(), Ok(&checked));
    assert_eq!(checked.can_update_to(&checked), Ok(()));
    assert_eq!(reread(&checked), checked);
}

fn pull(body: &[u8]) {
    let Ok(next) = parse_next_request(body) else {
        return;
    };
    let written = serde_json::to_vec(&next).expect("requests are JSON");
    let again: MsgNextRequest =
        parse_next_request(&written).expect("what was written is read again");
    assert_eq!(again, next);
    let pull = next.into_pull(Subject::new("inbox").expect("a subject"));
    assert!(pull.batch >= 1);
    assert_ne!(pull.max_bytes, Some(0));
}

/// Up to the first space a subject, behind it what is said.
fn ack(body: &[u8]) {
    let space = body
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(body.len());
    let (subject, rest) = body.split_at(space);
    // Whatever is said, it is one of the kinds.
    let kind = AckKind::parse(&Bytes::copy_from_slice(rest));
    assert_eq!(kind.clone(), kind);
    let subject = Subject::from_bytes(Bytes::copy_from_slice(subject));
    let Ok(subject) = subject else {
        return;
    };
    if let Some(ack) = AckSubject::parse(subject.as_str()) {
        let written = ack.to_subject();
        assert_eq!(AckSubject::parse(written.as_str()), Some(ack));
    }
}
