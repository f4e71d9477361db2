//! Holds what a server says against the published JSON Schemas of the JetStream API, for the tests of the
//! broker and of its processes.
//!
//! The schemas are those of the jsm.go project (JSON Schema draft 7, Apache-2.0); they are not part of this
//! repository. [`VARIABLE`] names the folder that holds `schemas/`; without it nothing is checked, which is
//! said once per process. What is checked says itself which schema it follows, by its `type`.
//!
//! It knows no other crate of this workspace, and only tests use it.

#![forbid(unsafe_code)]

mod corrections;
mod kind;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::Value;

use kind::Kind;

/// Names the folder of the schemas.
pub const VARIABLE: &str = "HITHERTO_JETSTREAM_SCHEMAS";

/// The schema of what is answered to a publish, which does not say its type.
const PUB_ACK: &str = "schemas/jetstream/api/v1/pub_ack_response.json";

/// The published schemas, read when something first needs one.
#[derive(Debug)]
pub struct Schemas {
    folder: PathBuf,
    read: Mutex<HashMap<PathBuf, Arc<Validator>>>,
}

/// The schemas the environment names; `None`, loudly, when it names none.
pub fn schemas() -> Option<&'static Schemas> {
    static SCHEMAS: OnceLock<Option<Schemas>> = OnceLock::new();
    let found = SCHEMAS.get_or_init(|| {
        let Some(folder) = std::env::var_os(VARIABLE) else {
            let line = format!("SKIPPED: {VARIABLE} names no schemas to hold answers against");
            // Written past the test runner, which hides what passing tests print. A closed standard error
            // leaves nobody to tell.
            writeln!(std::io::stderr(), "{line}").ok();
            return None;
        };
        Some(Schemas {
            folder: folder.into(),
            read: Mutex::default(),
        })
    });
    found.as_ref()
}

/// Checks an answer of the API, an advisory or a metric; anything else passes.
///
/// # Panics
///
/// When it does not have the published shape: that is the test failing.
pub fn check(said: &[u8]) {
    if let Some(Err(fault)) = schemas().map(|schemas| schemas.judge(said)) {
        panic!("{fault}");
    }
}

/// Checks the answer to a publish.
///
/// # Panics
///
/// As [`check`].
pub fn check_pub_ack(said: &[u8]) {
    if let Some(Err(fault)) = schemas().map(|schemas| schemas.judge_pub_ack(said)) {
        panic!("{fault}");
    }
}

impl Schemas {
    /// What is wrong with an answer, an advisory or a metric; anything else is right. The answer inside an
    /// advisory about a request is looked at, too.
    ///
    /// # Errors
    ///
    /// The faults, with the place of each.
    pub fn judge(&self, said: &[u8]) -> Result<(), String> {
        let Ok(said) = serde_json::from_slice::<Value>(said) else {
            return Ok(());
        };
        let Some(kind) = said["type"].as_str().and_then(Kind::of) else {
            return Ok(());
        };
        if let Kind::Published(path) = kind {
            self.judge_as(&path, &said)?;
        }
        match said["response"].as_str() {
            Some(response) => self.judge(response.as_bytes()),
            None => Ok(()),
        }
    }

    /// What is wrong with the answer to a publish.
    ///
    /// # Errors
    ///
    /// As [`judge`](Self::judge), and when it is no JSON.
    pub fn judge_pub_ack(&self, said: &[u8]) -> Result<(), String> {
        let read = serde_json::from_slice(said);
        let said = read.map_err(|error| format!("a PubAck is JSON: {error}"))?;
        self.judge_as(PUB_ACK, &said)
    }

    /// What is wrong with `said`, held against one of the files.
    ///
    /// # Errors
    ///
    /// As [`judge`](Self::judge), and when there is no such schema.
    pub fn judge_as(&self, path: &str, said: &Value) -> Result<(), String> {
        let validator = self.validator(self.folder.join(path))?;
        let faults: Vec<String> = validator
            .iter_errors(said)
            .map(|fault| format!("at {:?}: {fault}", fault.instance_path().as_str()))
            .collect();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(format!("{path}: {}\n{said:#}", faults.join("\n"))),
        }
    }

    fn validator(&self, path: PathBuf) -> Result<Arc<Validator>, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = read.get(&path) {
            return Ok(Arc::clone(validator));
        }
        let at = |error: &dyn std::fmt::Display| format!("schema {}: {error}", path.display());
        let text = fs::read(&path).map_err(|error| at(&error))?;
        let mut schema: Value = serde_json::from_slice(&text).map_err(|error| at(&error))?;
        corrections::apply(&path.to_string_lossy(), &mut schema);
        let validator = jsonschema::draft7::new(&schema).map_err(|error| at(&error))?;
        let validator = Arc::new(validator);
        read.insert(path, Arc::clone(&validator));
        Ok(validator)
    }
}
