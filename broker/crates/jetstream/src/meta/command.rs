//! The changes of the meta state, and their form in the log.
//!
//! One record per command: its length in four bytes, little endian, not counting these; the version
//! in one byte; then MessagePack with field names. Records stand back to back in an entry.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hitherto_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::StreamConfig;

/// A change of the meta state. Configurations are checked ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaCommand {
    /// Creates a stream, or finds it equal.
    CreateStream {
        /// What it shall be.
        config: Box<StreamConfig>,
        /// When it was asked for.
        at: Timestamp,
    },
    /// Gives an existing stream another configuration.
    UpdateStream {
        /// What it shall be.
        config: Box<StreamConfig>,
        /// When it was asked for.
        at: Timestamp,
    },
    /// Deletes a stream.
    DeleteStream {
        /// Its name.
        name: String,
        /// When it was asked for.
        at: Timestamp,
    },
}

const VERSION: u8 = 1;
const LENGTH_BYTES: usize = 4;

impl MetaCommand {
    /// Appends one record.
    ///
    /// # Panics
    ///
    /// Panics if the command needs more than 4 GiB; a configuration is bounded far below.
    pub fn encode(&self, buffer: &mut BytesMut) {
        let body = rmp_serde::to_vec_named(self).expect("texts and numbers are always MessagePack");
        let length = u32::try_from(1 + body.len()).expect("a configuration is below 4 GiB");
        buffer.put_u32_le(length);
        buffer.put_u8(VERSION);
        buffer.put_slice(&body);
    }

    /// Takes one record off the front.
    ///
    /// # Errors
    ///
    /// Says whether the record is cut short, from a later version, or no command.
    pub fn decode(bytes: &mut Bytes) -> Result<Self, MetaCommandError> {
        if bytes.len() < LENGTH_BYTES {
            return Err(MetaCommandError::CutShort);
        }
        let length = usize::try_from(bytes.get_u32_le()).map_err(|_| MetaCommandError::CutShort)?;
        if length == 0 || bytes.len() < length {
            return Err(MetaCommandError::CutShort);
        }
        let record = bytes.split_to(length);
        match record[0] {
            VERSION => rmp_serde::from_slice(&record[1..]).map_err(MetaCommandError::Malformed),
            version => Err(MetaCommandError::Version(version)),
        }
    }

    /// Reads the records of an entry; ends behind the first error.
    pub fn decode_all(mut body: Bytes) -> impl Iterator<Item = Result<Self, MetaCommandError>> {
        std::iter::from_fn(move || {
            if body.is_empty() {
                return None;
            }
            let decoded = Self::decode(&mut body);
            if decoded.is_err() {
                body.clear();
            }
            Some(decoded)
        })
    }
}

/// Says why bytes are no [`MetaCommand`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetaCommandError {
    /// The record ends before its content.
    #[error("a stored meta command is cut short")]
    CutShort,
    /// The record was written by a later version.
    #[error(
        "a stored meta command has record version {0}; this version reads {VERSION}: upgrade first"
    )]
    Version(u8),
    /// The content is no command.
    #[error("a stored meta command is malformed")]
    Malformed(#[source] rmp_serde::decode::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn commands() -> Vec<MetaCommand> {
        let at = Timestamp::from_unix_nanos(5);
        let config = StreamConfig {
            name: "A".into(),
            ..StreamConfig::default()
        };
        let config = Box::new(config.checked(&Limits::default()).unwrap());
        vec![
            MetaCommand::CreateStream {
                config: config.clone(),
                at,
            },
            MetaCommand::UpdateStream { config, at },
            MetaCommand::DeleteStream {
                name: "A".into(),
                at,
            },
        ]
    }

    fn encoded() -> BytesMut {
        let mut buffer = BytesMut::new();
        commands()
            .iter()
            .for_each(|command| command.encode(&mut buffer));
        buffer
    }

    #[test]
    fn records_back_to_back_come_back() {
        let decoded: Result<Vec<_>, _> = MetaCommand::decode_all(encoded().freeze()).collect();
        assert_eq!(decoded.unwrap(), commands());
    }

    #[test]
    fn cut_and_foreign_records_are_errors_and_end_the_reading() {
        let whole = encoded().freeze();
        for cut in 1..whole.len() {
            let decoded: Vec<_> = MetaCommand::decode_all(whole.slice(..cut)).collect();
            assert!(decoded.len() <= 3);
            assert!(
                decoded.iter().rev().skip(1).all(Result::is_ok),
                "cut at {cut}"
            );
        }
        let mut later = encoded();
        later[LENGTH_BYTES] = 9;
        let decoded: Vec<_> = MetaCommand::decode_all(later.freeze()).collect();
        assert!(matches!(decoded[..], [Err(MetaCommandError::Version(9))]));
    }
}
