//! Sequences as they are recorded: neighbours as one run, so that a record of 500 messages in a row
//! is as short as one of a single message.

use bytes::BytesMut;

use super::CommandError;
use crate::StreamSeq;
use crate::numbers::{Reader, put, put_signed};

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

    /// Reads a run behind one that ended at `end`; `None` where a number is cut or too large.
    fn read(reader: &mut Reader<'_>, end: u64) -> Option<Self> {
        let distance = reader.signed()?;
        Some(Self {
            first: StreamSeq(end.wrapping_add(distance.cast_unsigned())),
            count: reader.number()?,
            deliveries: reader.number()?,
        })
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
            put_signed(buf, run.first.0.wrapping_sub(end).cast_signed());
            put(buf, run.count);
            put(buf, run.deliveries);
            end = run.end();
        }
    }

    /// Reads to the end of the record.
    pub(super) fn decode(body: &[u8]) -> Result<Self, CommandError> {
        let mut reader = Reader(body);
        let mut runs = Vec::new();
        let mut end = 0_u64;
        while !reader.0.is_empty() {
            let Some(run) = Run::read(&mut reader, end) else {
                return Err(match reader.0 {
                    [] => CommandError::CutShort,
                    _ => CommandError::Invalid("number"),
                });
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
            prop_assert_eq!(Runs::decode(&buf), Ok(runs));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            Runs::decode(&bytes).ok();
        }
    }
}
