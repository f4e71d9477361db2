//! What must hold for any bytes a client sends; shared by the fuzz target and by `tests/corpus.rs`.
//!
//! The first four bytes of an input are the sizes of the reads, used in turn, as digits: `0` is all
//! that is left. The rest is what the client sends. So a corpus file is a session one can read.

use bytes::{Bytes, BytesMut};
use hitherto_protocol::{
    ClientOp, DecodeError, Decoder, Headers, Limits, Subject, SubjectFilter, SubjectTree, encode,
};

/// Small, so that sessions of a few hundred bytes reach them.
const LIMITS: Limits = Limits {
    control_line_bytes_max: 160,
    payload_bytes_max: 512,
};

/// Room for what grows when it is written again, such as CONNECT with its defaults.
const GENEROUS: Limits = Limits {
    control_line_bytes_max: 65_536,
    payload_bytes_max: 65_536,
};

/// Panics when a rule is broken.
pub(crate) fn client_ops(input: &[u8]) {
    let Some((sizes, sent)) = input.split_at_checked(4) else {
        return;
    };
    let whole = decode(LIMITS, [sent].into_iter());
    let split = decode(LIMITS, reads(sizes, sent));
    assert_eq!(whole, split, "operations depend on how the bytes are split");

    let mut again = BytesMut::new();
    for op in &whole.ops {
        encode::client_op(&mut again, op);
    }
    let reread = decode(GENEROUS, [again.as_ref()].into_iter());
    assert_eq!(
        reread.ops, whole.ops,
        "operations change when they are written and read again"
    );
    assert_eq!((reread.error, reread.rest.len()), (None, 0));

    subjects(&whole.ops);
    headers(&whole.ops);
}

/// What came out of a session.
#[derive(Debug, PartialEq)]
struct Decoded {
    ops: Vec<ClientOp>,
    error: Option<String>,
    /// What is left in the buffer.
    rest: Bytes,
}

fn decode<'a>(limits: Limits, reads: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = Decoder::new(limits);
    let mut buf = BytesMut::new();
    let mut ops = Vec::new();
    let mut error: Option<DecodeError> = None;
    for read in reads {
        buf.extend_from_slice(read);
        while error.is_none() {
            match decoder.decode(&mut buf) {
                Ok(Some(op)) => ops.push(op),
                Ok(None) => break,
                Err(reason) => error = Some(reason),
            }
        }
        let line = limits.control_line_bytes_max + 16;
        let most = line + 1 + limits.payload_bytes_max + 2;
        assert!(
            error.is_some() || buf.len() <= most,
            "a complete operation stays in the buffer"
        );
        assert!(decoder.missing_bytes(&buf) <= limits.payload_bytes_max + 2);
    }
    if let Some(reason) = &error {
        let repeated = decoder
            .decode(&mut buf)
            .expect_err("a broken session stays broken");
        assert_eq!(repeated.to_string(), reason.to_string());
    }
    Decoded {
        ops,
        error: error.map(|reason| reason.to_string()),
        rest: buf.freeze(),
    }
}

fn reads<'a>(sizes: &'a [u8], mut sent: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        if sent.is_empty() {
            return None;
        }
        let size = usize::from(sizes.next()?.wrapping_sub(b'0'));
        let size = if size == 0 {
            sent.len()
        } else {
            size.min(sent.len())
        };
        let (read, rest) = sent.split_at(size);
        sent = rest;
        Some(read)
    })
}

/// The tree and the filters agree about every subject of the session.
fn subjects(ops: &[ClientOp]) {
    let mut filters = Vec::new();
    let mut tree = SubjectTree::new();
    for op in ops {
        match op {
            ClientOp::Subscribe { subject, .. } => {
                let Ok(filter) = SubjectFilter::from_bytes(subject.clone()) else {
                    continue;
                };
                tree.insert(&filter, filters.len());
                filters.push(filter);
            }
            ClientOp::Publish(publish) => {
                let Ok(subject) = Subject::from_bytes(publish.subject.clone()) else {
                    continue;
                };
                let mut found = Vec::new();
                tree.for_each_match(subject.as_str(), |&number| found.push(number));
                found.sort_unstable();
                let all = 0..filters.len();
                let expected: Vec<usize> = all
                    .filter(|&number| filters[number].matches(subject.as_str()))
                    .collect();
                assert_eq!(found, expected, "{subject}");
                assert_eq!(tree.has_match(subject.as_str()), !expected.is_empty());
            }
            _ => {}
        }
    }
    for pair in filters.windows(2) {
        assert_eq!(pair[0].overlaps(&pair[1]), pair[1].overlaps(&pair[0]));
        assert!(!pair[0].is_subset_of(&pair[1]) || pair[0].overlaps(&pair[1]));
    }
    for (number, filter) in filters.iter().enumerate() {
        assert_eq!(tree.remove(filter, |&value| value == number), Some(number));
    }
    assert!(tree.is_empty());
}

/// A header block that is accepted can be read to its end.
fn headers(ops: &[ClientOp]) {
    for op in ops {
        let ClientOp::Publish(publish) = op else {
            continue;
        };
        let Some(block) = &publish.headers else {
            continue;
        };
        let Ok(headers) = Headers::parse(block.clone()) else {
            continue;
        };
        assert_eq!(headers.as_bytes(), block);
        assert_eq!(headers.len(), block.len());
        let _ = headers.status();
        for (name, value) in headers.iter() {
            assert!(!name.is_empty() && !value.contains(['\r', '\n']));
            let first = headers.iter().find(|(field, _)| *field == name);
            assert_eq!(headers.get(name), first.map(|(_, value)| value));
            assert!(headers.get_all(name).any(|found| found == value));
        }
    }
}
