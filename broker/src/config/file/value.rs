//! Values of a configuration file with their places, and reading them as what a key wants.

use std::time::Duration;

use hitherto_protocol::parse_go_duration;

use super::{ConfigFileError, Place};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Entry>),
    Map(Vec<Field>),
}

/// One key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// As it is written.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) place: Place,
    /// A `$variable` names it, so it need not be a key of the server.
    pub(super) is_variable: bool,
    pub(super) entry: Entry,
}

impl Field {
    /// The key as it is compared: keys of the server are the same in any case.
    pub(super) fn name(&self) -> String {
        self.key.to_ascii_lowercase()
    }

    /// Refuses a key that does not exist, unless it is a variable.
    pub(super) fn check_unknown(&self) -> Result<(), ConfigFileError> {
        if self.is_variable {
            return Ok(());
        }
        Err(self.place.error(format!("unknown field {:?}", self.key)))
    }

    /// The error for a key of nats-server that does nothing here.
    pub(super) fn unsupported(&self) -> ConfigFileError {
        self.place.error(format!(
            "{:?} is not supported; the page \"NATS compatibility\" of the book lists what is",
            self.key
        ))
    }

    fn wants(&self, what: &str) -> ConfigFileError {
        let is = match &self.entry.value {
            Value::Bool(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        };
        let key = &self.key;
        self.place
            .error(format!("{key:?} must be {what}, not {is}"))
    }

    /// A text; a number is taken as it is written.
    pub(super) fn text(&self) -> Result<String, ConfigFileError> {
        match &self.entry.value {
            Value::Text(text) => Ok(text.clone()),
            Value::Integer(number) => Ok(number.to_string()),
            _ => Err(self.wants("a text")),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, ConfigFileError> {
        match self.entry.value {
            Value::Bool(on) => Ok(on),
            _ => Err(self.wants("true or false")),
        }
    }

    pub(super) fn integer(&self) -> Result<i64, ConfigFileError> {
        match self.entry.value {
            Value::Integer(number) => Ok(number),
            _ => Err(self.wants("an integer")),
        }
    }

    /// A number of things or bytes; `None` for 0 and -1, which mean the default.
    pub(super) fn count(&self) -> Result<Option<usize>, ConfigFileError> {
        match self.integer()? {
            0 | -1 => Ok(None),
            number => match usize::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self
                    .place
                    .error(format!("{:?} must not be negative", self.key))),
            },
        }
    }

    /// A number of bytes; `None` for -1, which means as many as there are.
    pub(super) fn bytes(&self) -> Result<Option<u64>, ConfigFileError> {
        match self.integer()? {
            -1 => Ok(None),
            number => match u64::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.place.error(format!(
                    "{:?} must be a number of bytes, or -1 for any, not {number}",
                    self.key
                ))),
            },
        }
    }

    /// A length of time: a text such as `2s` or `1m30s`, or a number of seconds.
    pub(super) fn duration(&self) -> Result<Duration, ConfigFileError> {
        let wrong = || self.wants("a duration such as \"2s\"");
        match &self.entry.value {
            Value::Text(text) => parse_go_duration(text).ok_or_else(|| {
                let key = &self.key;
                self.place
                    .error(format!("error parsing {key}: invalid duration {text:?}"))
            }),
            Value::Integer(seconds) => {
                let seconds = u64::try_from(*seconds).map_err(|_| wrong())?;
                Ok(Duration::from_secs(seconds))
            }
            Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    pub(super) fn map(&self) -> Result<&[Self], ConfigFileError> {
        match &self.entry.value {
            Value::Map(fields) => Ok(fields),
            _ => Err(self.wants("a map")),
        }
    }

    /// The members of a list, as fields under the list's key. A single value is a list of one.
    pub(super) fn list(&self) -> Vec<Self> {
        let member = |entry: &Entry| Self {
            key: self.key.clone(),
            place: entry.place.clone(),
            is_variable: false,
            entry: entry.clone(),
        };
        match &self.entry.value {
            Value::List(entries) => entries.iter().map(member).collect(),
            Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Map(_) => vec![member(&self.entry)],
        }
    }
}
