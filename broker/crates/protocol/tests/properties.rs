//! Rules that hold for all inputs, tried with random ones.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use bytes::{Bytes, BytesMut};
use hitherto_protocol::{
    ClientOp, Connect, Decoder, Headers, HeadersBuilder, Limits, Publish, SubjectFilter,
    SubjectTree, Timestamp, encode,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Tokens from a small alphabet, so that subjects and filters meet often.
fn subject() -> impl Strategy<Value = String> {
    vec(select(vec!["a", "b", "c", "*", ">", "a*"]), 1..5).prop_map(|tokens| tokens.join("."))
}

fn filter() -> impl Strategy<Value = SubjectFilter> {
    let head = vec(select(vec!["a", "b", "*", "a*"]), 0..4);
    (head, select(vec!["a", "b", "*", ">"])).prop_map(|(mut tokens, last)| {
        tokens.push(last);
        SubjectFilter::new(tokens.join(".")).unwrap()
    })
}

fn word() -> impl Strategy<Value = Bytes> {
    "[!-~]{1,12}".prop_map(Bytes::from)
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn publish() -> impl Strategy<Value = ClientOp> {
    let headers = option::of(bytes(60).prop_filter("not empty", |block| !block.is_empty()));
    (word(), option::of(word()), headers, bytes(200)).prop_map(
        |(subject, reply, headers, payload)| {
            ClientOp::Publish(Publish {
                subject,
                reply,
                headers,
                payload,
            })
        },
    )
}

fn connect() -> impl Strategy<Value = ClientOp> {
    let flags = any::<[bool; 6]>();
    (
        flags,
        option::of("\\PC{1,10}"),
        option::of("[a-z]{1,8}"),
        any::<i64>(),
    )
        .prop_map(
            |(
                [
                    verbose,
                    pedantic,
                    echo,
                    headers,
                    no_responders,
                    tls_required,
                ],
                name,
                pass,
                protocol,
            )| {
                let pass = pass.map(Into::into);
                let connect = Connect {
                    verbose,
                    pedantic,
                    echo,
                    name,
                    pass,
                    ..Connect::default()
                };
                let connect = Connect {
                    headers,
                    no_responders,
                    tls_required,
                    protocol,
                    ..connect
                };
                ClientOp::Connect(Box::new(connect))
            },
        )
}

fn client_op() -> impl Strategy<Value = ClientOp> {
    prop_oneof![
        4 => publish(),
        1 => connect(),
        1 => (word(), option::of(word()), word())
            .prop_map(|(subject, queue, sid)| ClientOp::Subscribe { subject, queue, sid }),
        1 => (word(), option::of(1..=u64::MAX))
            .prop_map(|(sid, max)| ClientOp::Unsubscribe { sid, max }),
        1 => select(vec![ClientOp::Ping, ClientOp::Pong, ClientOp::Info, ClientOp::Ok]),
        1 => word().prop_map(ClientOp::Err),
    ]
}

/// Decodes reads of the given sizes, used in turn; the error as text.
fn decode(sent: &[u8], sizes: &[usize]) -> (Vec<ClientOp>, Option<String>) {
    let mut decoder = Decoder::new(Limits {
        control_line_bytes_max: 1_000,
        payload_bytes_max: 300,
    });
    let (mut buf, mut ops, mut rest) = (BytesMut::new(), Vec::new(), sent);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (read, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        rest = behind;
        buf.extend_from_slice(read);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(op)) => ops.push(op),
                Ok(None) => break,
                Err(error) => return (ops, Some(error.to_string())),
            }
        }
    }
    (ops, None)
}

/// Reads one MSG or HMSG the slow way: sid, subject, reply, headers, payload.
fn read_msg(line: &[u8]) -> (Vec<String>, Vec<u8>, Vec<u8>) {
    let end = line.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let words: Vec<String> = std::str::from_utf8(&line[..end])
        .unwrap()
        .split(' ')
        .map(Into::into)
        .collect();
    let rest = line[end + 2..].strip_suffix(b"\r\n").unwrap();
    let total: usize = words.last().unwrap().parse().unwrap();
    assert_eq!(rest.len(), total);
    let headers = if words[0] == "HMSG" {
        words[words.len() - 2].parse().unwrap()
    } else {
        0
    };
    let names = words.len() - if words[0] == "HMSG" { 2 } else { 1 };
    (
        words[1..names].to_vec(),
        rest[..headers].to_vec(),
        rest[headers..].to_vec(),
    )
}

proptest! {
    #[test]
    fn operations_survive_encoding_and_any_split(
        ops in vec(client_op(), 0..8),
        sizes in vec(1_usize..40, 1..6),
    ) {
        let mut sent = BytesMut::new();
        for op in &ops {
            encode::client_op(&mut sent, op);
        }
        prop_assert_eq!(decode(&sent, &sizes), (ops, None));
    }

    #[test]
    fn damaged_sessions_decode_alike_for_any_split(
        ops in vec(client_op(), 1..5),
        damage in vec((any::<prop::sample::Index>(), select(b"\r\n \t0P9\xff".to_vec())), 0..4),
        sizes in vec(1_usize..20, 1..6),
    ) {
        let mut sent = BytesMut::new();
        for op in &ops {
            encode::client_op(&mut sent, op);
        }
        for (at, byte) in damage {
            let at = at.index(sent.len());
            sent[at] = byte;
        }
        prop_assert_eq!(decode(&sent, &sizes), decode(&sent, &[usize::MAX]));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        sent in vec(any::<u8>(), 0..300),
        sizes in vec(1_usize..20, 1..4),
    ) {
        prop_assert_eq!(decode(&sent, &sizes), decode(&sent, &[usize::MAX]));
    }

    #[test]
    fn a_message_is_written_with_its_exact_sizes(
        subject in "[a-z.]{1,20}",
        sid in "[0-9]{1,5}",
        reply in option::of("[a-z.]{1,20}"),
        headers in option::of(vec(any::<u8>(), 1..50)),
        payload in vec(any::<u8>(), 0..50),
    ) {
        let mut buf = BytesMut::new();
        let (sid_bytes, reply_text) = (sid.as_bytes(), reply.as_deref());
        encode::msg(&mut buf, &subject, sid_bytes, reply_text, headers.as_deref(), &payload);
        let (words, read_headers, read_payload) = read_msg(&buf);
        let expected = [Some(subject), Some(sid), reply];
        let expected: Vec<String> = expected.into_iter().flatten().collect();
        prop_assert_eq!(words, expected);
        prop_assert_eq!(read_headers, headers.unwrap_or_default());
        prop_assert_eq!(read_payload, payload);
    }

    #[test]
    fn the_tree_equals_a_list_of_filters(
        steps in vec((filter(), any::<bool>()), 1..60),
        subjects in vec(subject(), 1..20),
    ) {
        let mut tree = SubjectTree::new();
        let mut list: Vec<(SubjectFilter, usize)> = Vec::new();
        for (number, (filter, adds)) in steps.into_iter().enumerate() {
            if adds || list.is_empty() {
                tree.insert(&filter, number);
                list.push((filter, number));
            } else {
                let expected = list.iter().position(|(known, _)| *known == filter);
                let expected = expected.map(|at| list.remove(at).1);
                prop_assert_eq!(tree.remove(&filter, |_| true), expected);
            }
            prop_assert_eq!(tree.len(), list.len());
            prop_assert_eq!(tree.is_empty(), list.is_empty());
        }
        for subject in subjects {
            let mut found = Vec::new();
            tree.for_each_match(&subject, |&number| found.push(number));
            found.sort_unstable();
            let expected: Vec<usize> =
                list.iter().filter(|(known, _)| known.matches(&subject)).map(|(_, n)| *n).collect();
            prop_assert_eq!(tree.has_match(&subject), !expected.is_empty());
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn relations_of_filters_agree_with_matching(
        left in filter(),
        right in filter(),
        subject in subject(),
    ) {
        let (in_left, in_right) = (left.matches(&subject), right.matches(&subject));
        prop_assert!(!(in_left && in_right) || left.overlaps(&right));
        prop_assert!(!(left.is_subset_of(&right) && in_left) || in_right);
        prop_assert!(!left.is_subset_of(&right) || left.overlaps(&right));
        prop_assert_eq!(left.overlaps(&right), right.overlaps(&left));
        prop_assert!(left.is_subset_of(&left));
    }

    #[test]
    fn headers_survive_building_and_parsing(
        fields in vec(("[!-9;-~]{1,8}", "([!-~][ -~]{0,10})?"), 0..6),
        status in option::of((100_u16..600, "([!-~]{1,5}( [!-~]{1,5})?)?")),
    ) {
        let mut builder = HeadersBuilder::new();
        if let Some((code, description)) = &status {
            builder.status(*code, description);
        }
        for (name, value) in &fields {
            builder.insert(name, value).unwrap();
        }
        let headers = Headers::parse(builder.build().as_bytes().clone()).unwrap();
        let read: Vec<(String, String)> =
            headers.iter().map(|(name, value)| (name.into(), value.into())).collect();
        prop_assert_eq!(read, fields);
        let expected = status.as_ref().map(|(code, text)| (*code, text.as_str()));
        prop_assert_eq!(headers.status(), expected);
    }

    #[test]
    fn header_blocks_of_any_bytes_never_panic(
        block in vec(select(b"NATS/1.0\r\n: 5\xc3".to_vec()), 0..40),
    ) {
        let block = [b"NATS/1.0".as_slice(), &block, b"\r\n\r\n"].concat();
        if let Ok(headers) = Headers::parse(block.into()) {
            prop_assert!(headers.iter().all(|(name, _)| !name.is_empty()));
            let _ = headers.status();
        }
    }

    #[test]
    fn times_survive_their_text(nanos in any::<i64>()) {
        let time = Timestamp::from_unix_nanos(nanos);
        prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
    }
}

/// Every filter of up to three tokens against every other, and every subject of up to four tokens:
/// `c` stands in no filter, so that wildcards are told apart from literals.
#[test]
fn relations_of_filters_are_exact_for_small_ones() {
    let filters: Vec<SubjectFilter> = combinations(&["a", "b", "*", ">"], 3)
        .into_iter()
        .filter_map(|text| SubjectFilter::new(text).ok())
        .collect();
    let subjects = combinations(&["a", "b", "c"], 4);
    for left in &filters {
        for right in &filters {
            let both = |s: &String| left.matches(s) && right.matches(s);
            assert_eq!(
                left.overlaps(right),
                subjects.iter().any(both),
                "{left} and {right}"
            );
            let covered = |s: &String| !left.matches(s) || right.matches(s);
            assert_eq!(
                left.is_subset_of(right),
                subjects.iter().all(covered),
                "{left} in {right}"
            );
        }
    }
}

fn combinations(tokens: &[&str], longest: usize) -> Vec<String> {
    let mut all: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    let mut last = all.clone();
    for _ in 1..longest {
        last = last
            .iter()
            .flat_map(|head| tokens.iter().map(move |token| format!("{head}.{token}")))
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}
