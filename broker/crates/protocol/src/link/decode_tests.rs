//! Frames there and back, and bytes that are none.

use super::*;
use crate::Secret;
use crate::link::{
    Credentials, FRAME_BYTES_MAX, Hello, NodeNews, PeerAddress, Refusal, RefusalKind, VERSIONS,
};

fn text(text: &'static str) -> ByteString {
    ByteString::from_static(text)
}

fn subject(subject: &'static str) -> Subject {
    Subject::new(subject).unwrap()
}

fn hello() -> Hello {
    Hello {
        versions: VERSIONS,
        cluster: "c".into(),
        node_id: "00".into(),
        server_id: "N".into(),
        server_name: "one".into(),
        version: "2.15.0".into(),
        accounts: vec!["$G".into(), "$SYS".into()],
        link_address: "127.0.0.1:6222".into(),
        client_urls: vec!["127.0.0.1:4222".into()],
        lame_duck: false,
        jetstream: true,
        met_at: "127.0.0.1".into(),
        capabilities: Vec::new(),
        cluster_id: None,
        credentials: Some(Credentials {
            user: "u".into(),
            password: Secret::from("p".to_owned()),
        }),
    }
}

fn frames() -> Vec<Frame> {
    let plain = Routed {
        space: SpaceId(0),
        plain: true,
        queues: Vec::new(),
        subject: subject("a.b"),
        to: None,
        reply: None,
        headers: None,
        payload: Bytes::new(),
    };
    vec![
        Frame::Hello(Box::new(hello())),
        Frame::Accept,
        Frame::Refuse(Refusal {
            kind: RefusalKind::Linked,
            text: "there is a link".into(),
        }),
        Frame::Ping(u64::MAX),
        Frame::Pong(0),
        Frame::News(NodeNews {
            client_urls: vec!["h:1".into()],
            lame_duck: true,
        }),
        Frame::Peers(vec![PeerAddress {
            node_id: "00".into(),
            server_name: "one".into(),
            link_address: "h:1".into(),
        }]),
        Frame::Interest(Interest {
            space: SpaceId(1),
            filter: SubjectFilter::new("a.*.>").unwrap(),
            queue: None,
            members: 1,
        }),
        Frame::Interest(Interest {
            space: SpaceId(0),
            filter: SubjectFilter::new("a").unwrap(),
            queue: Some(text("workers")),
            members: 0,
        }),
        Frame::Message(Box::new(plain.clone())),
        Frame::Message(Box::new(Routed {
            plain: false,
            queues: vec![text("q1"), text(""), text("q3")],
            to: Some(subject("inbox")),
            reply: Some(subject("r.1")),
            headers: Some(Bytes::from_static(b"NATS/1.0\r\n\r\n")),
            payload: Bytes::from_static(b"hello"),
            ..plain.clone()
        })),
        Frame::Message(Box::new(Routed {
            headers: Some(Bytes::new()),
            ..plain
        })),
        Frame::Bytes {
            channel: Channel::Append,
            bytes: Bytes::from_static(&[0, 255]),
        },
    ]
}

fn encoded(frames: &[Frame]) -> BytesMut {
    let mut buf = BytesMut::new();
    for frame in frames {
        encode::frame(&mut buf, frame).unwrap();
    }
    buf
}

#[test]
fn every_frame_comes_back_however_its_bytes_arrive() {
    let frames = frames();
    let sent = encoded(&frames);
    for read_bytes in [1, 7, sent.len()] {
        let decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        let mut buf = BytesMut::new();
        let mut received = Vec::new();
        for read in sent.chunks(read_bytes) {
            buf.extend_from_slice(read);
            while let Some(frame) = decoder.decode(&mut buf).unwrap() {
                received.push(frame);
            }
        }
        assert_eq!(received, frames);
        assert!(buf.is_empty());
    }
}

#[test]
fn what_is_missing_of_a_frame_is_known_once_its_header_is_there() {
    let sent = encoded(&[Frame::Ping(1)]);
    let decoder = FrameDecoder::new(64);
    assert_eq!(decoder.missing_bytes(&sent[..7]), 0);
    assert_eq!(decoder.missing_bytes(&sent[..8]), 9);
    assert_eq!(decoder.missing_bytes(&sent), 0);
}

#[test]
fn a_frame_beyond_the_bound_is_refused_before_it_is_there() {
    let decoder = FrameDecoder::new(8);
    let mut sent = encoded(&[Frame::Ping(1)]);
    sent.truncate(8);
    assert_eq!(decoder.missing_bytes(&sent), 0);
    assert_eq!(
        decoder.decode(&mut sent),
        Err(FrameError::TooLong { bytes: 9, max: 8 })
    );
    // A client of another protocol that came to the wrong port.
    let mut sent = BytesMut::from("CONNECT {}\r\n");
    let decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let error = decoder.decode(&mut sent).unwrap_err();
    assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let frames = frames();
    for frame in &frames {
        let sent = encoded(std::slice::from_ref(frame));
        for at in 0..sent.len() {
            let mut damaged = sent.clone();
            damaged[at] ^= 4;
            let decoded = FrameDecoder::new(1024).decode(&mut damaged);
            // A length that has grown waits for what never comes.
            assert!(
                matches!(decoded, Err(_) | Ok(None)),
                "byte {at} of {frame:?} gave {decoded:?}"
            );
        }
    }
}

/// A frame with a right checksum around any content.
fn sealed(content: &[u8]) -> BytesMut {
    let mut buf = BytesMut::new();
    buf.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
    buf.extend_from_slice(&crc32c::crc32c(content).to_le_bytes());
    buf.extend_from_slice(content);
    buf
}

#[test]
fn contents_that_make_no_sense_are_refused() {
    let refused: &[(&[u8], &str)] = &[
        (b"", "unknown kind of frame 0"),
        (&[99], "unknown kind of frame 99"),
        (
            &[encode::ACCEPT, 0],
            "malformed frame accept: it has a body",
        ),
        (
            &[encode::PING, 1],
            "malformed frame ping: its body is not 8 bytes",
        ),
        (&[encode::HELLO, b'{'], "malformed frame hello"),
        (
            &[encode::BYTES, 3],
            "malformed frame bytes: unknown channel",
        ),
        // No filter, a filter longer than the frame, and unknown flags.
        (
            &[encode::INTEREST, 0, 0, 1, 0, 0, 0, 0, 0],
            "malformed frame interest",
        ),
        (
            &[encode::INTEREST, 0, 0, 1, 0, 0, 0, 9, 0, b'a'],
            "malformed frame interest",
        ),
        (
            &[encode::INTEREST, 0, 7, 1, 0, 0, 0, 1, 0, b'a'],
            "malformed frame interest: flags",
        ),
        // 65,535 queue groups that are not there.
        (
            &[
                encode::MESSAGE,
                0,
                1,
                255,
                255,
                1,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ],
            "malformed frame message",
        ),
        // A reply of one byte without the flag that there is one.
        (
            &[
                encode::MESSAGE,
                0,
                1,
                0,
                0,
                1,
                0,
                0,
                0,
                1,
                0,
                0,
                0,
                0,
                0,
                b'a',
                b'r',
            ],
            "malformed frame message: an absent field has bytes",
        ),
    ];
    for (content, text) in refused {
        let error = FrameDecoder::new(1024)
            .decode(&mut sealed(content))
            .unwrap_err()
            .to_string();
        assert!(error.contains(text), "{content:?}: {error}");
    }
}

#[test]
fn what_does_not_fit_leaves_the_buffer_as_it_was() {
    let long = "a".repeat(usize::from(u16::MAX) + 1);
    let mut buf = encoded(&[Frame::Accept]);
    let before = buf.clone();
    let interest = Interest {
        space: SpaceId(0),
        filter: SubjectFilter::new(long.clone()).unwrap(),
        queue: None,
        members: 1,
    };
    assert_eq!(encode::interest(&mut buf, &interest), Err(encode::TooLong));
    let parts = encode::RoutedParts {
        space: SpaceId(0),
        plain: true,
        subject: "a",
        to: Some(&long),
        reply: None,
        headers: None,
        payload: &[],
    };
    assert_eq!(
        encode::message(&mut buf, &parts, &std::iter::empty()),
        Err(encode::TooLong)
    );
    assert_eq!(buf, before);
}

#[test]
fn the_password_does_not_reach_a_log() {
    let mut with_password = hello();
    with_password.credentials = Some(Credentials {
        user: "u".into(),
        password: Secret::from("geheim".to_owned()),
    });
    assert!(!format!("{with_password:?}").contains("geheim"));
}
