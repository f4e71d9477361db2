//! Votes, log ids and memberships as bytes: the same in the log and between nodes.
//!
//! All numbers are little endian; what may be missing has a byte 0 or 1 before it. Who uses this puts a version
//! before it.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::types::{LogId, Membership, StoredMembership, Vote, log_id, term_of};

/// The bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed")]
pub(crate) struct Malformed;

/// Terms and indexes are at most this: far beyond any, so that one more never overflows.
pub(crate) const NUMBER_MAX: u64 = u64::MAX >> 1;

/// Nodes a membership may have: far beyond any, so that bad bytes ask for no memory.
const NODES_MAX: usize = 1024;

pub(crate) fn put_option<T>(
    buf: &mut BytesMut,
    value: Option<T>,
    put: impl FnOnce(&mut BytesMut, T),
) {
    match value {
        None => buf.put_u8(0),
        Some(value) => {
            buf.put_u8(1);
            put(buf, value);
        }
    }
}

pub(crate) fn put_log_id(buf: &mut BytesMut, id: &LogId) {
    buf.put_u64_le(term_of(id));
    buf.put_u64_le(id.index);
}

pub(crate) fn put_vote(buf: &mut BytesMut, vote: &Vote) {
    buf.put_u64_le(vote.leader_id.term);
    buf.put_u128_le(vote.leader_id.voted_for);
    buf.put_u8(u8::from(vote.committed));
}

pub(crate) fn put_membership(buf: &mut BytesMut, membership: &Membership) {
    let put_ids = |buf: &mut BytesMut, ids: &mut dyn Iterator<Item = u128>| {
        let ids: Vec<u128> = ids.collect();
        buf.put_u16_le(u16::try_from(ids.len()).expect("a membership has few nodes"));
        ids.iter().for_each(|id| buf.put_u128_le(*id));
    };
    let configs = membership.get_joint_config();
    buf.put_u16_le(u16::try_from(configs.len()).expect("a joint configuration has two"));
    for config in configs {
        put_ids(buf, &mut config.iter().copied());
    }
    put_ids(buf, &mut membership.nodes().map(|(id, ())| *id));
}

pub(crate) fn put_stored_membership(buf: &mut BytesMut, stored: &StoredMembership) {
    put_option(buf, stored.log_id().as_ref(), put_log_id);
    put_membership(buf, stored.membership());
}

pub(crate) fn put_bytes(buf: &mut BytesMut, bytes: &[u8]) {
    buf.put_u32_le(u32::try_from(bytes.len()).expect("a frame is below 4 GiB"));
    buf.put_slice(bytes);
}

/// Takes values off the front of bytes.
#[derive(Debug, Clone)]
pub(crate) struct Reader(pub(crate) Bytes);

impl Reader {
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| Malformed)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.0.try_get_u16_le().map_err(|_| Malformed)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32_le().map_err(|_| Malformed)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64_le().map_err(|_| Malformed)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Malformed> {
        self.0.try_get_u128_le().map_err(|_| Malformed)
    }

    /// A term or an index.
    fn number(&mut self) -> Result<u64, Malformed> {
        let number = self.u64()?;
        match number <= NUMBER_MAX {
            true => Ok(number),
            false => Err(Malformed),
        }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn option<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.flag()? {
            true => take(self).map(Some),
            false => Ok(None),
        }
    }

    /// Bytes with their length before them; shares the memory.
    pub(crate) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let len = self.u32()? as usize;
        if self.0.len() < len {
            return Err(Malformed);
        }
        Ok(self.0.split_to(len))
    }

    pub(crate) fn log_id(&mut self) -> Result<LogId, Malformed> {
        Ok(log_id(self.number()?, self.number()?))
    }

    pub(crate) fn vote(&mut self) -> Result<Vote, Malformed> {
        let (term, node) = (self.number()?, self.u128()?);
        Ok(match self.flag()? {
            true => Vote::new_committed(term, node),
            false => Vote::new(term, node),
        })
    }

    pub(crate) fn membership(&mut self) -> Result<Membership, Malformed> {
        let configs = self.u16()?;
        if usize::from(configs) > NODES_MAX {
            return Err(Malformed);
        }
        let configs: Result<Vec<_>, _> = (0..configs).map(|_| self.ids()).collect();
        let (configs, nodes) = (configs?, self.ids()?);
        if configs.iter().any(|config| !config.is_subset(&nodes)) {
            return Err(Malformed);
        }
        Ok(Membership::new_with_defaults(configs, nodes))
    }

    pub(crate) fn stored_membership(&mut self) -> Result<StoredMembership, Malformed> {
        let id = self.option(Self::log_id)?;
        Ok(StoredMembership::new(id, self.membership()?))
    }

    /// Says that nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Malformed),
        }
    }

    fn ids(&mut self) -> Result<BTreeSet<u128>, Malformed> {
        let count = self.u16()?;
        if usize::from(count) > NODES_MAX {
            return Err(Malformed);
        }
        (0..count).map(|_| self.u128()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_bytes_cut_short_are_malformed() {
        let ids = |ids: &[u128]| ids.iter().copied().collect::<BTreeSet<_>>();
        let joint = vec![ids(&[1, 2, 3]), ids(&[3, 4, 5])];
        let membership = Membership::new_with_defaults(joint, [9]);
        let stored = StoredMembership::new(Some(log_id(4, 17)), membership);
        let votes = [Vote::new(7, 2), Vote::new_committed(NUMBER_MAX, 0)];
        let mut buf = BytesMut::new();
        votes.iter().for_each(|vote| put_vote(&mut buf, vote));
        put_stored_membership(&mut buf, &stored);
        put_option(&mut buf, None, put_log_id);
        put_bytes(&mut buf, b"body");
        let bytes = buf.freeze();
        let read = |bytes: Bytes| -> Result<_, Malformed> {
            let mut reader = Reader(bytes);
            let votes = [reader.vote()?, reader.vote()?];
            let stored = reader.stored_membership()?;
            let none = reader.option(Reader::log_id)?;
            let body = reader.bytes()?;
            reader.end()?;
            Ok((votes, stored, none, body))
        };
        let expected = (votes, stored, None, Bytes::from_static(b"body"));
        assert_eq!(read(bytes.clone()), Ok(expected));
        for len in 0..bytes.len() {
            assert_eq!(read(bytes.slice(..len)), Err(Malformed), "{len}");
        }
    }

    #[test]
    fn terms_and_indexes_that_cannot_be_counted_on_from_are_malformed() {
        for (term, index) in [(NUMBER_MAX + 1, 1), (1, NUMBER_MAX + 1), (1, u64::MAX)] {
            let mut buf = BytesMut::new();
            put_log_id(&mut buf, &log_id(term, index));
            assert_eq!(Reader(buf.freeze()).log_id(), Err(Malformed));
        }
        let mut buf = BytesMut::new();
        put_vote(&mut buf, &Vote::new(u64::MAX, 1));
        assert_eq!(Reader(buf.freeze()).vote(), Err(Malformed));
    }
}
