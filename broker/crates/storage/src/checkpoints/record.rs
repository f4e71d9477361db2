//! A checkpoint as the database keeps it.
//!
//! ```text
//! version u32, crc32c u32 of everything else, head length u32, head (MessagePack), state
//! ```
//! The database verifies its pages only when it recovers, hence the own crc. The state is opaque
//! and may be large, so it stays out of the MessagePack.

use hitherto_jetstream::LogIndex;
use serde::{Deserialize, Serialize};

use super::Checkpoint;
use crate::files::u32_at;
use crate::{Manifest, WalPosition};

pub(super) const VERSION: u32 = 1;

const PREFIX_BYTES: usize = 12;

/// Everything but the state; `M` is borrowed for writing and owned for reading.
#[derive(Serialize, Deserialize)]
struct Head<M> {
    applied: LogIndex,
    wal: WalPosition,
    manifest: Option<M>,
}

/// Why a record does not read back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Damaged(&'static str),
    Newer(u32),
}

pub(super) fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let Checkpoint {
        applied,
        wal,
        state,
        manifest,
    } = checkpoint;
    let head = Head {
        applied: *applied,
        wal: *wal,
        manifest: manifest.as_ref(),
    };
    let head = rmp_serde::to_vec_named(&head).expect("numbers, bytes and lists always encode");
    let head_len = u32::try_from(head.len()).expect("a manifest is far smaller than 4 GiB");
    let mut record = Vec::with_capacity(PREFIX_BYTES + head.len() + state.len());
    record.extend_from_slice(&VERSION.to_le_bytes());
    record.extend_from_slice(&[0; 4]);
    record.extend_from_slice(&head_len.to_le_bytes());
    record.extend_from_slice(&head);
    record.extend_from_slice(state);
    let crc = checksum(&record);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
    record
}

pub(super) fn decode(record: &[u8]) -> Result<Checkpoint, Unreadable> {
    let (prefix, rest) = record
        .split_at_checked(PREFIX_BYTES)
        .ok_or(Unreadable::Damaged("a checkpoint is cut"))?;
    let version = u32_at(prefix, 0);
    if version > VERSION {
        return Err(Unreadable::Newer(version));
    }
    if checksum(record) != u32_at(prefix, 4) {
        return Err(Unreadable::Damaged("a checkpoint fails its checksum"));
    }
    let malformed = Unreadable::Damaged("a checkpoint is malformed");
    let Some((head, state)) = rest.split_at_checked(u32_at(prefix, 8) as usize) else {
        return Err(malformed);
    };
    let head: Head<Manifest> = rmp_serde::from_slice(head).map_err(|_| malformed)?;
    let Head {
        applied,
        wal,
        manifest,
    } = head;
    Ok(Checkpoint {
        applied,
        wal,
        state: state.to_vec(),
        manifest,
    })
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// A wrong length of the head asks for no memory, and what is read is written the same.
        #[test]
        fn noise_under_a_right_checksum_is_read_or_refused(
            noise in prop::collection::vec(any::<u8>(), 0..80),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let checkpoint = Checkpoint {
                applied: LogIndex(7),
                wal: WalPosition { file: 3, offset: 512 },
                state: noise.clone(),
                manifest: None,
            };
            let mut changed = encode(&checkpoint);
            for (at, byte) in changes {
                let at = at.index(changed.len());
                changed[at] = byte;
            }
            for mut record in [changed, noise] {
                if record.len() >= PREFIX_BYTES {
                    record[..4].copy_from_slice(&VERSION.to_le_bytes());
                    let crc = checksum(&record);
                    record[4..8].copy_from_slice(&crc.to_le_bytes());
                }
                if let Ok(read) = decode(&record) {
                    prop_assert_eq!(decode(&encode(&read)), Ok(read));
                }
            }
        }
    }

    #[test]
    fn record_reads_back_and_every_flipped_bit_is_noticed() {
        let checkpoint = Checkpoint {
            applied: LogIndex(7),
            wal: WalPosition {
                file: 3,
                offset: 512,
            },
            state: vec![1, 2, 200, 255],
            manifest: None,
        };
        let record = encode(&checkpoint);
        assert_eq!(decode(&record).unwrap(), checkpoint);
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
        assert!(decode(&record[..5]).is_err());
    }
}
