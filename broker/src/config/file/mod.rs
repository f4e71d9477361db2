//! The configuration file: the format and the keys of nats-server, as far as there is something behind
//! them.
//!
//! | file | noun |
//! |---|---|
//! | `parser` | the grammar: text, variables and includes become values |
//! | `value` | values with their places, and reading them |
//! | `server` | the keys of the file as a whole |
//! | `auth` | `authorization` and `accounts` |
//! | `jetstream` | `jetstream` |
//! | `tls` | `tls` |
//! | `cluster` | `cluster` |
//!
//! A key that nats-server does not know is an error, and so is one that it knows and we have nothing
//! behind: a server that runs without what its configuration asks for is worse than one that does not
//! start.

mod address;
mod auth;
mod cluster;
mod jetstream;
mod parser;
mod server;
mod tls;
mod value;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::ServerOptions;
use crate::Error;

/// What is wrong with a configuration file, and where: `server.conf:3:5: unknown field "prot"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFileError {
    place: Place,
    problem: String,
}

/// Where something stands in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    file: Arc<Path>,
    /// Starts with 1.
    line: usize,
    /// Starts with 1.
    column: usize,
}

impl ServerOptions {
    /// Reads a configuration file on top of these options.
    ///
    /// # Errors
    /// [`Error::ConfigFile`] when it cannot be read, has a mistake, or asks for what does not exist here.
    pub fn read_file(&mut self, path: &Path) -> Result<(), Error> {
        let fields = parser::parse(path, &|path| fs::read_to_string(path))?;
        server::read(&fields, self)?;
        Ok(())
    }
}

impl Place {
    fn start(file: &Path) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }

    fn of(file: &Path, text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: file.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn error(&self, problem: impl Into<String>) -> ConfigFileError {
        ConfigFileError {
            place: self.clone(),
            problem: problem.into(),
        }
    }

    fn unread(&self, path: &Path, error: &io::Error) -> ConfigFileError {
        self.error(format!("cannot read {}: {error}", path.display()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            0 => Ok(()),
            line => write!(f, ":{line}:{}", self.column),
        }
    }
}

impl fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for ConfigFileError {}
