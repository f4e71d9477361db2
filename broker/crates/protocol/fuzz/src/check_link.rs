//! What must hold for any bytes another node sends; shared by the fuzz target and by `tests/corpus.rs`.
//!
//! The first byte of an input is the size of the reads, as a digit: `0` is all that is left. The second
//! says whether the rest is what arrives (`r`), or contents that are to be put into frames with right
//! lengths and checksums (`s`): a `0xff` ends each.

use bytes::BytesMut;
use hitherto_protocol::link::{Frame, FrameDecoder, FrameError, encode};

/// Small, so that inputs of a few hundred bytes reach it.
const BYTES_MAX: usize = 512;

/// Panics when a rule is broken.
pub(crate) fn link_frames(input: &[u8]) {
    let [size, form, rest @ ..] = input else {
        return;
    };
    let arrived = match form {
        b's' => sealed(rest),
        _ => rest.to_vec(),
    };
    let whole = decode([arrived.as_slice()].into_iter());
    let read_bytes = match size {
        digit @ b'1'..=b'9' => usize::from(digit - b'0'),
        _ => arrived.len().max(1),
    };
    let split = decode(arrived.chunks(read_bytes));
    assert_eq!(whole, split, "frames depend on how the bytes are split");

    let mut again = BytesMut::new();
    for frame in &whole.frames {
        encode::frame(&mut again, frame).expect("what fitted a frame fits one again");
    }
    let mut reread = Vec::new();
    // Documents grow when they are written with all their fields.
    let decoder = FrameDecoder::new(64 * BYTES_MAX);
    while let Some(frame) = decoder
        .decode(&mut again)
        .expect("what we wrote is a frame")
    {
        reread.push(frame);
    }
    assert_eq!(
        reread, whole.frames,
        "frames change when they are written and read again"
    );
}

/// What came out of a session.
#[derive(Debug, PartialEq)]
struct Decoded {
    frames: Vec<Frame>,
    error: Option<FrameError>,
}

fn decode<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let decoder = FrameDecoder::new(BYTES_MAX);
    let mut buf = BytesMut::new();
    let (mut frames, mut error) = (Vec::new(), None);
    for read in reads {
        buf.extend_from_slice(read);
        while error.is_none() {
            match decoder.decode(&mut buf) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => {
                    assert!(decoder.missing_bytes(&buf) <= BYTES_MAX + 8);
                    break;
                }
                Err(wrong) => error = Some(wrong),
            }
        }
    }
    Decoded { frames, error }
}

fn sealed(contents: &[u8]) -> Vec<u8> {
    let mut arrived = Vec::new();
    for content in contents.split(|byte| *byte == 0xff) {
        let Ok(length) = u32::try_from(content.len()) else {
            continue;
        };
        arrived.extend_from_slice(&length.to_le_bytes());
        arrived.extend_from_slice(&crc32c::crc32c(content).to_le_bytes());
        arrived.extend_from_slice(content);
    }
    arrived
}
