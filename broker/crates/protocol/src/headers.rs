//! The header block of a message: raw bytes, checked once, read without copying.
//!
//! Format: ADR-4 of nats-architecture-and-design. `NATS/1.0`, optionally a status and a
//! description, then one `Name: value` per line, then an empty line; every line ends with CRLF.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

/// The header block of one message. Cloning shares the bytes.
///
/// Names are compared case by case, as nats-server does. One name may appear several times.
///
/// # Examples
///
/// ```
/// use hitherto_protocol::HeadersBuilder;
///
/// let headers = HeadersBuilder::new().insert("Nats-Msg-Id", "order-42")?.build();
/// assert_eq!(headers.get("Nats-Msg-Id"), Some("order-42"));
/// assert_eq!(headers.as_bytes().as_ref(), b"NATS/1.0\r\nNats-Msg-Id: order-42\r\n\r\n");
/// # Ok::<(), hitherto_protocol::HeadersError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Headers {
    /// Begins with `NATS/1.0`, ends with an empty line, is UTF-8, and every line between has a name
    /// and a colon.
    block: ByteString,
}

const VERSION: &str = "NATS/1.0";
const LINE_END: &str = "\r\n";

impl Headers {
    /// Checks a block and takes it over without copying.
    ///
    /// # Errors
    ///
    /// When the block does not follow the format. Differs from nats-server, which carries any
    /// bytes: a block that clients could not read is refused where it comes in.
    pub fn parse(block: Bytes) -> Result<Self, HeadersError> {
        let block = ByteString::try_from(block).map_err(|_| HeadersError::NotUtf8)?;
        check_block(&block)?;
        Ok(Self { block })
    }

    /// The value of the first field called `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields().find_map(|line| value_of(line, name))
    }

    /// The value of the first field called `name` in a block that was checked when it came in;
    /// `None` also when the bytes are no such block. Costs one search and no check.
    pub fn peek<'a>(block: &'a [u8], name: &str) -> Option<&'a str> {
        let mut rest = block;
        while let Some(at) = memchr::memmem::find(rest, name.as_bytes()) {
            let (before, from) = rest.split_at(at);
            rest = &from[name.len()..];
            if before.ends_with(b"\n")
                && let Some(value) = rest.strip_prefix(b":")
            {
                let end = memchr::memchr2(b'\r', b'\n', value).unwrap_or(value.len());
                let value = std::str::from_utf8(&value[..end]).ok()?;
                return Some(value.trim_start_matches(' '));
            }
        }
        None
    }

    /// The values of all fields called `name`, in their order.
    pub fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.fields().filter_map(move |line| value_of(line, name))
    }

    /// All fields in their order. Spaces between the colon and the value are not part of the value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields().filter_map(split_field)
    }

    /// The status of a message that the server made itself, such as 503 for "no responders"; `None`
    /// for an ordinary message. The description may be empty.
    pub fn status(&self) -> Option<(u16, &str)> {
        let inline = self.lines().next()?.strip_prefix(VERSION)?.trim_ascii();
        let (code, description) = inline.split_once(' ').unwrap_or((inline, ""));
        Some((code.parse().ok()?, description.trim_ascii()))
    }

    /// The block as it stands on the wire.
    pub fn as_bytes(&self) -> &Bytes {
        self.block.as_bytes()
    }

    /// Length of the block in bytes.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a block has at least its version line"
    )]
    pub fn len(&self) -> usize {
        self.block.len()
    }

    fn fields(&self) -> impl Iterator<Item = &str> {
        self.lines().skip(1)
    }

    /// The lines without their ends and without the empty one. A block was found to hold no LF but
    /// those of line ends, and one byte is found faster than two.
    fn lines(&self) -> impl Iterator<Item = &str> {
        let lines = self.block.strip_suffix(LINE_END).unwrap_or_default();
        lines
            .split_terminator('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
    }
}

fn check_block(block: &str) -> Result<(), HeadersError> {
    let rest = block
        .strip_prefix(VERSION)
        .ok_or(HeadersError::MissingVersion)?;
    if !rest.ends_with("\r\n\r\n") {
        return Err(HeadersError::MissingEnd);
    }
    let lines = rest.strip_suffix(LINE_END).unwrap_or_default();
    let mut lines = lines
        .split_terminator('\n')
        .map(|line| line.strip_suffix('\r'));
    let inline = lines.next().flatten().ok_or(HeadersError::LineBreak)?;
    if !(inline.is_empty() || inline.starts_with(' ')) {
        return Err(HeadersError::MissingVersion);
    }
    if inline.contains('\r') {
        return Err(HeadersError::LineBreak);
    }
    lines.try_for_each(|line| check_field(line.ok_or(HeadersError::LineBreak)?))
}

/// Checks a line that holds no LF.
fn check_field(line: &str) -> Result<(), HeadersError> {
    match memchr::memchr2(b':', b'\r', line.as_bytes()) {
        None | Some(0) => Err(HeadersError::MissingName),
        Some(colon) if line[colon..].contains('\r') => Err(HeadersError::LineBreak),
        Some(_) => Ok(()),
    }
}

fn split_field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    Some((name, value.trim_start_matches(' ')))
}

/// The value of a line when its name is `name`; quicker than splitting every line.
fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?.strip_prefix(':')?;
    (!name.contains(':')).then(|| value.trim_start_matches(' '))
}

fn has_line_break(text: &str) -> bool {
    memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_some()
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Headers")
            .field("status", &self.status())
            .field("fields", &self.iter().collect::<Vec<_>>())
            .finish()
    }
}

/// Puts a header block together.
#[derive(Debug, Clone, Default)]
pub struct HeadersBuilder {
    /// What follows `NATS/1.0` on the first line.
    inline: String,
    /// Whole lines.
    fields: String,
}

impl HeadersBuilder {
    /// A block without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the status of a message that the server makes itself; the description may be empty.
    ///
    /// # Panics
    ///
    /// When the description holds a line break: it is a fixed text of the protocol, not input.
    pub fn status(&mut self, code: u16, description: &str) -> &mut Self {
        assert!(
            !has_line_break(description),
            "a status description is one line"
        );
        self.inline = format!(" {code:03} {description}");
        self.inline.truncate(self.inline.trim_end().len());
        self
    }

    /// Appends a field; one of the same name stays beside it. Spaces before the value are lost on
    /// the wire.
    ///
    /// # Errors
    ///
    /// When the name is empty or holds anything but printable ASCII without the colon, or when the
    /// value holds a CR or LF.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<&mut Self, HeadersError> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return Err(HeadersError::InvalidName { name: name.into() });
        }
        if has_line_break(value) {
            return Err(HeadersError::LineBreak);
        }
        for part in [name, ": ", value, LINE_END] {
            self.fields.push_str(part);
        }
        Ok(self)
    }

    /// The block. The builder keeps its fields and may go on.
    pub fn build(&self) -> Headers {
        let parts = [VERSION, &self.inline, LINE_END, &self.fields, LINE_END];
        Headers {
            block: ByteString::from(parts.concat()),
        }
    }
}

/// Says why a header block or a field is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadersError {
    /// The block does not begin with `NATS/1.0`.
    #[error("header block does not begin with \"NATS/1.0\"")]
    MissingVersion,
    /// The block does not end with an empty line.
    #[error("header block does not end with an empty line")]
    MissingEnd,
    /// A line has no name before a colon.
    #[error("header line has no name")]
    MissingName,
    /// A CR or LF where none belongs.
    #[error("header line holds a CR or LF")]
    LineBreak,
    /// The block is not UTF-8.
    #[error("header block is not UTF-8")]
    NotUtf8,
    /// A name that cannot stand before the colon.
    #[error("header name {name:?} is not printable ASCII without a colon")]
    InvalidName {
        /// The name.
        name: Box<str>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(block: &'static str) -> Result<Headers, HeadersError> {
        Headers::parse(Bytes::from_static(block.as_bytes()))
    }

    #[test]
    fn fields_are_found_by_exact_name() {
        let headers =
            parse("NATS/1.0\r\nA: 1\r\na: 2\r\nA:3\r\nEmpty:\r\nUrl: x://y:1\r\n\r\n").unwrap();
        assert_eq!(headers.get("A"), Some("1"));
        assert_eq!(headers.get("a"), Some("2"));
        assert_eq!(headers.get_all("A").collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(headers.get("Empty"), Some(""));
        assert_eq!(headers.get("Url"), Some("x://y:1"));
        assert_eq!(headers.get("B"), None);
        for name in ["A", "a", "Empty", "Url", "B", "1"] {
            let peeked = Headers::peek(headers.as_bytes(), name);
            assert_eq!(peeked, headers.get(name), "{name}");
        }
        assert_eq!(headers.iter().count(), 5);
        assert_eq!(headers.status(), None);
    }

    #[test]
    fn a_status_is_read_from_the_first_line() {
        assert_eq!(
            parse("NATS/1.0 503\r\n\r\n").unwrap().status(),
            Some((503, ""))
        );
        let headers = parse("NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Stream: 7\r\n\r\n").unwrap();
        assert_eq!(headers.status(), Some((100, "Idle Heartbeat")));
        assert_eq!(headers.get("Nats-Last-Stream"), Some("7"));
        assert_eq!(parse("NATS/1.0 abc\r\n\r\n").unwrap().status(), None);
    }

    #[test]
    fn damaged_blocks_are_refused() {
        for (block, error) in [
            ("", HeadersError::MissingVersion),
            ("HTTP/1.1\r\n\r\n", HeadersError::MissingVersion),
            ("NATS/1.05\r\n\r\n", HeadersError::MissingVersion),
            ("NATS/1.0", HeadersError::MissingEnd),
            ("NATS/1.0\r\n", HeadersError::MissingEnd),
            ("NATS/1.0\r\nA: 1\r\n", HeadersError::MissingEnd),
            ("NATS/1.0\r\nA\r\n\r\n", HeadersError::MissingName),
            ("NATS/1.0\r\n: 1\r\n\r\n", HeadersError::MissingName),
            ("NATS/1.0\r\n\r\nA: 1\r\n\r\n", HeadersError::MissingName),
            ("NATS/1.0\r\nA: 1\nB: 2\r\n\r\n", HeadersError::LineBreak),
            ("NATS/1.0 503\n\r\n\r\n", HeadersError::LineBreak),
        ] {
            assert_eq!(parse(block), Err(error), "{block:?}");
        }
        let block = Bytes::from_static(b"NATS/1.0\r\nA: \xff\r\n\r\n");
        assert_eq!(Headers::parse(block), Err(HeadersError::NotUtf8));
    }

    #[test]
    fn what_is_built_can_be_parsed() {
        let mut builder = HeadersBuilder::new();
        builder.insert("A", "1").unwrap().insert("A", "").unwrap();
        builder.status(408, "Request Timeout");
        let headers = builder.build();
        assert_eq!(
            headers.as_bytes().as_ref(),
            b"NATS/1.0 408 Request Timeout\r\nA: 1\r\nA: \r\n\r\n"
        );
        assert_eq!(Headers::parse(headers.as_bytes().clone()).unwrap(), headers);
        assert_eq!(headers.len(), headers.as_bytes().len());
        let bare = HeadersBuilder::new().status(503, "").build();
        assert_eq!(bare.as_bytes().as_ref(), b"NATS/1.0 503\r\n\r\n");
    }

    #[test]
    fn the_builder_refuses_line_breaks_and_bad_names() {
        let mut builder = HeadersBuilder::new();
        for name in ["", "a b", "a:b", "a\r", "ä"] {
            let error = builder.insert(name, "v").unwrap_err();
            assert!(
                matches!(error, HeadersError::InvalidName { .. }),
                "{name:?}"
            );
        }
        for value in ["a\r\nB: 1", "a\n", "\r"] {
            assert_eq!(
                builder.insert("A", value).unwrap_err(),
                HeadersError::LineBreak
            );
        }
        assert_eq!(builder.build().as_bytes().as_ref(), b"NATS/1.0\r\n\r\n");
    }
}
