//! Sequences as they are recorded: neighbours as one run, so that a record of 500 messages in a row
//! is as short as one of a single message.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::CommandError;
use crate::StreamSeq;

/// Consecutive sequences of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first one.
    pub first: StreamSeq,
    /// How many, at least 1.
    pub count: u64,
    /// How often each of these messages has been delivered; 0 where nobody asks.
    pub deliveries: u64,
}

/// Sequences in the order they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs(Vec<Run>);

impl Run {
    /// The sequences, ascending.
    pub fn seqs(&self) -> impl Iterator<Item = StreamSeq> + use<> {
        (self.first.0..self.first.0.saturating_add(self.count)).map(StreamSeq)
    }

    fn end(&self) -> u64 {
        self.first.0.saturating_add(self.count)
    }
}

impl Runs {
    /// Adds one sequence.
    pub fn push(&mut self, seq: StreamSeq, deliveries: u64) {
        match self.0.last_mut() {
            Some(run) if run.end() == seq.0 && run.deliveries == deliveries => run.count += 1,
            _ => self.0.push(Run {
                first: seq,
                count: 1,
                deliveries,
            }),
        }
    }

    /// Adds all of another.
    pub(crate) fn extend(&mut self, other: &Self) {
        for run in &other.0 {
            match self.0.last_mut() {
                Some(last) if last.end() == run.first.0 && last.deliveries == run.deliveries => {
                    last.count += run.count;
                }
                _ => self.0.push(*run),
            }
        }
    }

    /// The runs, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.0.iter()
    }

    /// Every sequence, in order.
    pub fn seqs(&self) -> impl Iterator<Item = StreamSeq> {
        self.0.iter().flat_map(Run::seqs)
    }

    /// How many sequences.
    pub fn count(&self) -> u64 {
        let counts = self.0.iter().map(|run| run.count);
        counts.fold(0, u64::saturating_add)
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Per run three numbers of 7 bits per byte: the distance from the end of the run before, signed in
    /// the lowest bit; the count; the deliveries.
    pub(super) fn encode(&self, buf: &mut BytesMut) {
        let mut end = 0_u64;
        for run in &self.0 {
            put_number(buf, zigzag(run.first.0.wrapping_sub(end).cast_signed()));
            put_number(buf, run.count);
            put_number(buf, run.deliveries);
            end = run.end();
        }
    }

    /// Reads to the end of the record.
    pub(super) fn decode(mut body: Bytes) -> Result<Self, CommandError> {
        let mut runs = Vec::new();
        let mut end = 0_u64;
        while body.has_remaining() {
            let distance = unzigzag(take_number(&mut body)?);
            let run = Run {
                first: StreamSeq(end.wrapping_add(distance.cast_unsigned())),
                count: take_number(&mut body)?,
                deliveries: take_number(&mut body)?,
            };
            if run.count == 0 {
                return Err(CommandError::Invalid("run of sequences"));
            }
            end = run.end();
            runs.push(run);
        }
        Ok(Self(runs))
    }
}

impl FromIterator<StreamSeq> for Runs {
    fn from_iter<I: IntoIterator<Item = StreamSeq>>(seqs: I) -> Self {
        let mut runs = Self::default();
        for seq in seqs {
            runs.push(seq, 0);
        }
        runs
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn put_number(buf: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        buf.put_u8(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    buf.put_u8(number.to_le_bytes()[0]);
}

fn take_number(body: &mut Bytes) -> Result<u64, CommandError> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        if !body.has_remaining() {
            return Err(CommandError::CutShort);
        }
        let byte = body.get_u8();
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(CommandError::Invalid("number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_are_one_run() {
        let runs: Runs = [5, 6, 7, 9, 2, 3].map(StreamSeq).into_iter().collect();
        let firsts: Vec<_> = runs.iter().map(|run| (run.first.0, run.count)).collect();
        assert_eq!(firsts, [(5, 3), (9, 1), (2, 2)]);
        assert_eq!(runs.count(), 6);
        let mut buf = BytesMut::new();
        runs.encode(&mut buf);
        assert_eq!(buf.len(), 9);
    }

    proptest! {
        #[test]
        fn runs_survive_a_round_trip(
            seqs in proptest::collection::vec((any::<u64>(), 0_u64..4), 0..40)
        ) {
            let mut runs = Runs::default();
            for (seq, deliveries) in &seqs {
                runs.push(StreamSeq(*seq), *deliveries);
            }
            let mut buf = BytesMut::new();
            runs.encode(&mut buf);
            prop_assert_eq!(Runs::decode(buf.freeze()), Ok(runs));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            Runs::decode(Bytes::from(bytes)).ok();
        }
    }
}
