//! Order, turns and bounds.

use bytes::Bytes;
use hitherto_protocol::link::{FRAME_BYTES_MAX, Frame, FrameDecoder, encode};

use super::*;

fn take(outbound: &LinkOutbound) -> Vec<Frame> {
    let mut chunk = BytesMut::new();
    assert!(matches!(outbound.take_work(&mut chunk), Work::Write));
    let decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut chunk).unwrap() {
        frames.push(frame);
    }
    assert!(chunk.is_empty(), "half a frame was taken");
    frames
}

fn bytes_of(frames: &[Frame]) -> Vec<(Channel, usize)> {
    let only_bytes = |frame: &Frame| match frame {
        Frame::Bytes { channel, bytes } => (*channel, bytes.len()),
        other => panic!("{other:?}"),
    };
    frames.iter().map(only_bytes).collect()
}

fn push_core(outbound: &LinkOutbound, bytes: usize) -> Pushed {
    outbound.push_core(
        Traffic {
            messages: 1,
            bytes: bytes as u64,
        },
        |buffer| {
            let bytes = Bytes::from(vec![0; bytes]);
            encode::bytes(buffer, Channel::Control, &bytes)
        },
    )
}

#[test]
fn control_overtakes_and_the_other_lanes_take_turns() {
    let outbound = LinkOutbound::new(1 << 20);
    let half = vec![0; TURN_BYTES / 2 + 1];
    for _ in 0..3 {
        outbound.push_bytes(Channel::Append, &half).unwrap();
        outbound.push_bytes(Channel::Bulk, &half).unwrap();
    }
    outbound.push_bytes(Channel::Control, b"vote").unwrap();
    assert_eq!(bytes_of(&take(&outbound)), [(Channel::Control, 4)]);
    let turn = |channel| vec![(channel, half.len()); 2];
    assert_eq!(bytes_of(&take(&outbound)), turn(Channel::Append));
    assert_eq!(bytes_of(&take(&outbound)), turn(Channel::Bulk));
    assert_eq!(bytes_of(&take(&outbound)), [(Channel::Append, half.len())]);
    assert_eq!(bytes_of(&take(&outbound)), [(Channel::Bulk, half.len())]);
    assert!(matches!(
        outbound.take_work(&mut BytesMut::new()),
        Work::Wait
    ));
}

#[test]
fn a_lane_alone_is_taken_as_a_whole() {
    let outbound = LinkOutbound::new(1 << 20);
    for _ in 0..3 {
        outbound
            .push_bytes(Channel::Append, &vec![0; TURN_BYTES])
            .unwrap();
    }
    assert_eq!(take(&outbound).len(), 3);
}

#[test]
fn bytes_that_do_not_fit_are_refused_and_fit_later() {
    let outbound = LinkOutbound::new(1 << 20);
    let whole = vec![0; BULK_BYTES_MAX];
    outbound.push_bytes(Channel::Bulk, &whole).unwrap();
    let refused = outbound.push_bytes(Channel::Bulk, b"x");
    assert_eq!(refused, Err(SendError::Full));
    outbound.push_bytes(Channel::Append, b"x").unwrap();
    let taken: usize = [take(&outbound), take(&outbound)]
        .iter()
        .map(Vec::len)
        .sum();
    assert_eq!(taken, 2);
    outbound.push_bytes(Channel::Bulk, b"x").unwrap();
}

#[test]
fn messages_that_do_not_fit_end_the_link() {
    let outbound = LinkOutbound::new(1000);
    assert_eq!(push_core(&outbound, 400), Pushed::WakeWriter);
    assert_eq!(push_core(&outbound, 300), Pushed::Done);
    assert_eq!(push_core(&outbound, 100), Pushed::Crowded);
    assert_eq!(push_core(&outbound, 300), Pushed::Closed);
    assert_eq!(outbound.end_reason(), Some(LinkEnd::Slow));
    assert!(matches!(
        outbound.take_work(&mut BytesMut::new()),
        Work::End
    ));
    assert_eq!(
        outbound.push_bytes(Channel::Control, b"x"),
        Err(SendError::NotLinked)
    );
    assert_eq!(outbound.figures().0.messages, 3);
}

#[test]
fn what_waits_is_written_before_an_orderly_end() {
    let outbound = LinkOutbound::new(1000);
    push_core(&outbound, 1);
    outbound.end(LinkEnd::Shutdown);
    outbound.end(LinkEnd::Slow);
    assert_eq!(push_core(&outbound, 1), Pushed::Closed);
    assert_eq!(take(&outbound).len(), 1);
    assert!(matches!(
        outbound.take_work(&mut BytesMut::new()),
        Work::End
    ));
    assert_eq!(outbound.end_reason(), Some(LinkEnd::Shutdown));
}

#[test]
fn what_a_link_begins_with_may_be_more_than_may_wait() {
    let outbound = LinkOutbound::new(10);
    let mut beginning = BytesMut::new();
    encode::bytes(&mut beginning, Channel::Control, &[0; 100]).unwrap();
    outbound.push_beginning(&beginning);
    assert_eq!(take(&outbound).len(), 1);
}

#[tokio::test]
async fn publishers_give_way_until_the_writer_has_taken_enough() {
    let outbound = LinkOutbound::new(1000);
    push_core(&outbound, 800);
    assert!(outbound.is_crowded());
    take(&outbound);
    assert!(!outbound.is_crowded());
    outbound.give_way().await;
}

#[tokio::test]
async fn who_waits_with_bytes_goes_on_when_there_is_room_or_the_link_ends() {
    let outbound = LinkOutbound::new(1000);
    let whole = vec![0; BULK_BYTES_MAX];
    outbound.push_bytes(Channel::Bulk, &whole).unwrap();
    let (sent, frames) = tokio::join!(
        outbound.push_bytes_when_room(Channel::Bulk, &whole),
        async { take(&outbound).len() }
    );
    assert_eq!((sent, frames), (Ok(()), 1));
    let (sent, ()) = tokio::join!(
        outbound.push_bytes_when_room(Channel::Bulk, &whole),
        async { outbound.end(LinkEnd::Stale) }
    );
    assert_eq!(sent, Err(SendError::NotLinked));
}
