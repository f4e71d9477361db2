//! The subject transform: makes one subject out of another, token by token.
//!
//! Form and results follow nats-server 2.15 (`server/subject_transform.go`, ADR-30), asked on the
//! running server.

use std::fmt::Write as _;

use bytestring::ByteString;

use crate::{Subject, SubjectFilter};

/// A source filter and a destination whose tokens may be functions of the subject's tokens.
///
/// # Examples
///
/// ```
/// use hitherto_protocol::{Subject, SubjectTransform};
///
/// let transform = SubjectTransform::new("orders.*.*", "p.{{partition(5,1)}}.$2")?;
/// let subject = Subject::new("orders.a.placed").unwrap();
/// let moved = transform.apply(&subject, || 0).unwrap();
/// assert_eq!(moved.as_str(), "p.0.placed");
/// assert!(transform.apply(&Subject::new("other").unwrap(), || 0).is_none());
/// # Ok::<(), hitherto_protocol::TransformError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectTransform {
    source: SubjectFilter,
    /// Empty leaves the subject as it is.
    parts: Vec<Part>,
    /// Both ends are `>`: the tokens from this one on are taken over.
    rest_from: Option<usize>,
}

/// One token of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    /// The token at this place of the subject.
    Token(usize),
    /// A hash of the tokens at these places, or of the whole subject, below the number.
    Partition(u32, Vec<usize>),
    /// Parts of one token, cut at a text.
    Split(usize, Box<str>),
    /// Parts of one token, cut by length.
    Cut(Cut, usize, usize),
    /// Any number below this one.
    Random(u32),
}

/// How a token is cut by length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    SplitFromLeft,
    SplitFromRight,
    SliceFromLeft,
    SliceFromRight,
    Left,
    Right,
}

/// A transform that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// The source is no subject filter.
    #[error("invalid subject {0}")]
    Source(Box<str>),
    /// The ends do not fit: a wildcard stands in the destination, or one of them ends in `>` alone.
    #[error("invalid subject")]
    Ends,
    /// A token of the destination cannot be one.
    #[error("invalid mapping destination: {0}")]
    Destination(Box<str>),
}

impl SubjectTransform {
    /// Reads a transform. An empty source stands for `>`, an empty destination changes nothing.
    ///
    /// # Errors
    /// [`TransformError`], whose texts are those of nats-server.
    pub fn new(source: &str, destination: &str) -> Result<Self, TransformError> {
        let source = if source.is_empty() { ">" } else { source };
        let source = SubjectFilter::new(source.to_owned())
            .map_err(|_| TransformError::Source(source.into()))?;
        if destination.is_empty() {
            return Ok(Self {
                source,
                parts: Vec::new(),
                rest_from: None,
            });
        }
        let tokens: Vec<&str> = source.as_str().split('.').collect();
        let places: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at] == "*").collect();
        let mut destination: Vec<&str> = destination.split('.').collect();
        let source_rest = tokens.last() == Some(&">");
        let has_rest = destination.last() == Some(&">");
        if has_rest {
            destination.pop();
        }
        let read = |token: &&str| Part::read(token, &places);
        let parts = destination.iter().map(read).collect::<Result<_, _>>()?;
        let has_wildcard = destination.iter().any(|token| ["*", ">"].contains(token));
        if has_wildcard || has_rest != source_rest {
            return Err(TransformError::Ends);
        }
        Ok(Self {
            rest_from: has_rest.then(|| tokens.len() - 1),
            source,
            parts,
        })
    }

    /// What it takes.
    pub fn source(&self) -> &SubjectFilter {
        &self.source
    }

    /// The subject this one becomes; `None` when it does not match the source, or when what it would
    /// become is no subject. `random` gives any number.
    pub fn apply(&self, subject: &Subject, mut random: impl FnMut() -> u32) -> Option<Subject> {
        if !self.source.matches(subject.as_str()) {
            return None;
        }
        if self.parts.is_empty() && self.rest_from.is_none() {
            return Some(subject.clone());
        }
        let tokens: Vec<&str> = subject.as_str().split('.').collect();
        let mut made = String::with_capacity(subject.as_str().len() + 16);
        for part in &self.parts {
            if !made.is_empty() {
                made.push('.');
            }
            part.write(&tokens, &mut random, &mut made);
        }
        for token in self.rest_from.map_or(&[][..], |from| &tokens[from..]) {
            if !made.is_empty() {
                made.push('.');
            }
            made.push_str(token);
        }
        Subject::new(ByteString::from(made)).ok()
    }
}

impl Part {
    /// Reads a token of a destination; `places` are those of the `*` in the source.
    fn read(token: &str, places: &[usize]) -> Result<Self, TransformError> {
        if token.is_empty() {
            return Err(TransformError::Destination("invalid transform".into()));
        }
        if let Some(number) = token.strip_prefix('$').and_then(|n| n.parse().ok()) {
            return place(token, number, places).map(Self::Token);
        }
        let inner = token.strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
        match inner {
            Some(call) => Self::read_call(token, call.trim(), places),
            None => Ok(Self::Literal(token.into())),
        }
    }

    fn read_call(token: &str, call: &str, places: &[usize]) -> Result<Self, TransformError> {
        let unknown = || fault("unknown function", token);
        let (name, arguments) = call
            .strip_suffix(')')
            .and_then(|call| call.split_once('('))
            .ok_or_else(unknown)?;
        let arguments = Arguments::read(token, arguments);
        let cut = match name.trim().to_ascii_lowercase().as_str() {
            "wildcard" => {
                let [number] = arguments.exactly()?;
                return place(token, arguments.number(number)?, places).map(Self::Token);
            }
            "partition" => return arguments.partition(places),
            "random" => {
                let [number] = arguments.exactly()?;
                return arguments.number(number).map(Self::Random);
            }
            "split" => {
                let [number, at] = arguments.exactly()?;
                let place = place(token, arguments.number(number)?, places)?;
                return Ok(Self::Split(place, at.into()));
            }
            "splitfromleft" => Cut::SplitFromLeft,
            "splitfromright" => Cut::SplitFromRight,
            "slicefromleft" => Cut::SliceFromLeft,
            "slicefromright" => Cut::SliceFromRight,
            "left" => Cut::Left,
            "right" => Cut::Right,
            _ => return Err(unknown()),
        };
        let [number, length] = arguments.exactly()?;
        let place = place(token, arguments.number(number)?, places)?;
        let length: i64 = arguments.number(length)?;
        // A length below one cuts nothing, as on nats-server.
        let length = usize::try_from(length).unwrap_or(0);
        Ok(Self::Cut(cut, place, length))
    }

    fn write(&self, tokens: &[&str], random: &mut impl FnMut() -> u32, made: &mut String) {
        let token = |place: usize| tokens.get(place).copied().unwrap_or_default();
        match self {
            Self::Literal(text) => made.push_str(text),
            Self::Token(place) => made.push_str(token(*place)),
            Self::Partition(buckets, places) if places.is_empty() => {
                put_number(made, bucket(tokens.join(".").as_bytes(), *buckets));
            }
            Self::Partition(buckets, places) => {
                let key: String = places.iter().map(|place| token(*place)).collect();
                put_number(made, bucket(key.as_bytes(), *buckets));
            }
            Self::Split(place, at) => {
                let parts = token(*place).split(&**at).filter(|part| !part.is_empty());
                made.push_str(&parts.collect::<Vec<_>>().join("."));
            }
            Self::Cut(cut, place, length) => cut.write(token(*place), *length, made),
            Self::Random(below) => put_number(made, random().checked_rem(*below).unwrap_or(0)),
        }
    }
}

impl Cut {
    /// Writes the parts of a token with dots between. Lengths count characters.
    ///
    /// Differs from nats-server, which counts bytes and may cut a character in two.
    fn write(self, token: &str, length: usize, made: &mut String) {
        let chars: Vec<char> = token.chars().collect();
        if length == 0 || length >= chars.len() {
            made.push_str(token);
            return;
        }
        let from_right = chars.len() - length;
        let ends: Vec<usize> = match self {
            Self::SplitFromLeft => vec![length],
            Self::SplitFromRight => vec![from_right],
            Self::SliceFromLeft => (length..chars.len()).step_by(length).collect(),
            Self::SliceFromRight => {
                let first = chars.len() % length;
                let first = if first == 0 { length } else { first };
                (first..chars.len()).step_by(length).collect()
            }
            Self::Left => return made.extend(&chars[..length]),
            Self::Right => return made.extend(&chars[from_right..]),
        };
        let mut start = 0;
        for end in ends {
            made.extend(&chars[start..end]);
            made.push('.');
            start = end;
        }
        made.extend(&chars[start..]);
    }
}

/// The arguments of a function.
struct Arguments<'a> {
    token: &'a str,
    texts: Vec<&'a str>,
}

impl<'a> Arguments<'a> {
    fn read(token: &'a str, text: &'a str) -> Self {
        let texts = match text.trim() {
            "" => Vec::new(),
            text => text.split(',').map(str::trim).collect(),
        };
        Self { token, texts }
    }

    fn exactly<const N: usize>(&self) -> Result<[&'a str; N], TransformError> {
        <[&str; N]>::try_from(self.texts.as_slice()).map_err(|_| {
            let what = if self.texts.len() < N {
                "not enough arguments passed to the function"
            } else {
                "too many arguments passed to the function"
            };
            fault(what, self.token)
        })
    }

    fn number<T: std::str::FromStr>(&self, text: &str) -> Result<T, TransformError> {
        let what = "function argument is invalid or in the wrong format";
        text.parse().map_err(|_| fault(what, self.token))
    }

    fn partition(&self, places: &[usize]) -> Result<Part, TransformError> {
        let (buckets, numbers) = self
            .texts
            .split_first()
            .ok_or_else(|| fault("not enough arguments passed to the function", self.token))?;
        let place = |number: &&str| place(self.token, self.number(number)?, places);
        let places = numbers.iter().map(place).collect::<Result<_, _>>()?;
        Ok(Part::Partition(self.number(buckets)?, places))
    }
}

/// The place of the wildcard with this number; 0 is the first token of the subject.
fn place(token: &str, number: usize, places: &[usize]) -> Result<usize, TransformError> {
    let Some(before) = number.checked_sub(1) else {
        return Ok(0);
    };
    places.get(before).copied().ok_or_else(|| {
        TransformError::Destination(
            format!("wildcard index out of range in {token}: [{number}]").into(),
        )
    })
}

fn fault(what: &str, token: &str) -> TransformError {
    TransformError::Destination(format!("{what} in {token}").into())
}

fn put_number(made: &mut String, number: u32) {
    write!(made, "{number}").expect("a text grows");
}

/// FNV-1a of 32 bits, below a number; 0 below 0.
fn bucket(key: &[u8], buckets: u32) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = key.iter().fold(0x811c_9dc5, step);
    hash.checked_rem(buckets).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(source: &str, destination: &str, subject: &str) -> Option<String> {
        let transform = SubjectTransform::new(source, destination).unwrap();
        let subject = Subject::new(subject.to_owned()).unwrap();
        let moved = transform.apply(&subject, || 7);
        moved.map(|moved| moved.as_str().to_owned())
    }

    #[test]
    fn subjects_become_what_they_become_on_the_real_server() {
        for (source, destination, subject, expected) in [
            ("t.*.*", "q.{{partition(5,1)}}", "t.a.b", "q.0"),
            ("t.*.*", "q.{{partition(5,1)}}", "t.foo.bar", "q.3"),
            ("t.*.*", "q.{{partition(5,1,2)}}", "t.a.b", "q.1"),
            ("t.*.*", "q.{{partition(5,1,2)}}", "t.foo.bar", "q.0"),
            ("t.*.*", "q.{{partition(10,2,1)}}", "t.a.b", "q.8"),
            ("t.*.*", "q.{{partition(5)}}", "t.a.b", "q.2"),
            ("t.*.*", "q.{{partition(5)}}", "t.foo.bar", "q.3"),
            ("t.*", "q.{{partition(0,1)}}", "t.a", "q.0"),
            ("t.*", "q.{{split(1,-)}}", "t.a-b--c", "q.a.b.c"),
            ("t.*", "q.{{split(1,-)}}", "t.-a-b-", "q.a.b"),
            ("t.*", "q.{{splitFromLeft(1,3)}}", "t.abcdef", "q.abc.def"),
            ("t.*", "q.{{splitFromLeft(1,3)}}", "t.ab", "q.ab"),
            ("t.*", "q.{{splitFromLeft(1,-1)}}", "t.abc", "q.abc"),
            ("t.*", "q.{{SplitFromRight(1,2)}}", "t.abcdef", "q.abcd.ef"),
            (
                "t.*",
                "q.{{sliceFromLeft(1,3)}}",
                "t.abcdefgh",
                "q.abc.def.gh",
            ),
            ("t.*", "q.{{sliceFromLeft(1,3)}}", "t.abcdef", "q.abc.def"),
            ("t.*", "q.{{sliceFromLeft(1,0)}}", "t.abc", "q.abc"),
            (
                "t.*",
                "q.{{sliceFromRight(1,3)}}",
                "t.abcdefgh",
                "q.ab.cde.fgh",
            ),
            ("t.*", "q.{{left(1,2)}}.{{right(1,2)}}", "t.abcd", "q.ab.cd"),
            ("t.*", "q.{{left(1,2)}}.{{right(1,2)}}", "t.a", "q.a.a"),
            ("t.*.>", "q.{{wildcard(1)}}.z.>", "t.a.b.c", "q.a.z.b.c"),
            ("t.>", "q.x.>", "t.a.b", "q.x.a.b"),
            ("", "q.>", "t.a", "q.t.a"),
            ("t.>", ">", "t.a", "a"),
            ("t.*", "q.x{{wildcard(1)}}", "t.a", "q.x{{wildcard(1)}}"),
            ("t.*", "q.{{ Wildcard( 1 ) }}", "t.a", "q.a"),
            ("t.*.*", "q.$2.$1", "t.a.b", "q.b.a"),
            ("t.*", "q.$0", "t.a", "q.t"),
            ("t.*", "q.$x", "t.a", "q.$x"),
            ("t.*", "q", "t.a", "q"),
            ("t.*", "", "t.a", "t.a"),
            ("t.*", "q.{{random(4)}}", "t.a", "q.3"),
            ("t.*", "q.{{random(0)}}", "t.a", "q.0"),
        ] {
            let found = moved(source, destination, subject);
            assert_eq!(found.as_deref(), Some(expected), "{source} {destination}");
        }
    }

    #[test]
    fn what_does_not_match_or_would_be_no_subject_stays() {
        assert_eq!(moved("t.*", "q.$1", "t.a.b"), None);
        assert_eq!(moved("t.*", "q.{{split(1,-)}}", "t.--"), None);
    }

    #[test]
    fn faults_read_as_on_the_real_server() {
        let bad = "invalid mapping destination: ";
        for (source, destination, text) in [
            ("x.>", "y", "invalid subject".to_owned()),
            ("x.*", "y.*", "invalid subject".to_owned()),
            ("x.*", "y.>", "invalid subject".to_owned()),
            ("t..", "q", "invalid subject t..".to_owned()),
            ("x.*", "y..a", format!("{bad}invalid transform")),
            (
                "x.*",
                "y.$2",
                format!("{bad}wildcard index out of range in $2: [2]"),
            ),
            (
                "x.*",
                "y.{{wildcard(3)}}",
                format!("{bad}wildcard index out of range in {{{{wildcard(3)}}}}: [3]"),
            ),
            (
                "x.*",
                "y.{{bogus(1)}}",
                format!("{bad}unknown function in {{{{bogus(1)}}}}"),
            ),
            (
                "x.*",
                "y.{{left(1)}}",
                format!("{bad}not enough arguments passed to the function in {{{{left(1)}}}}"),
            ),
            (
                "x.*",
                "y.{{wildcard(1,1)}}",
                format!("{bad}too many arguments passed to the function in {{{{wildcard(1,1)}}}}"),
            ),
            (
                "x.*",
                "y.{{left(x,2)}}",
                format!(
                    "{bad}function argument is invalid or in the wrong format in {{{{left(x,2)}}}}"
                ),
            ),
        ] {
            let error = SubjectTransform::new(source, destination).unwrap_err();
            assert_eq!(error.to_string(), text, "{source} {destination}");
        }
    }
}
