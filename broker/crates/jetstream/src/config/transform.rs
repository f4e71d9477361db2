//! The subject transforms in a stream's configuration.

use hitherto_protocol::{SubjectFilter, SubjectTransform, TransformError};
use serde::{Deserialize, Serialize};

use super::is_false;

/// Under which subject messages are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformConfig {
    /// Which subjects; empty means all.
    pub src: String,
    /// What they become; empty leaves them.
    pub dest: String,
}

/// Where stored messages are published again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Republish {
    /// Which subjects; empty means all.
    pub src: String,
    /// The subjects they are published to.
    pub dest: String,
    /// Without payload, whose size a header tells.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
}

impl TransformConfig {
    /// The transform, ready to be applied.
    ///
    /// # Errors
    /// [`TransformError`]; not for a checked configuration.
    pub fn parse(&self) -> Result<SubjectTransform, TransformError> {
        SubjectTransform::new(&self.src, &self.dest)
    }
}

impl Republish {
    /// The transform, ready to be applied.
    ///
    /// # Errors
    /// [`TransformError`]; not for a checked configuration.
    pub fn parse(&self) -> Result<SubjectTransform, TransformError> {
        SubjectTransform::new(&self.src, &self.dest)
    }

    /// Tells whether what is published again could come back to one of these subjects.
    pub(super) fn returns_to(&self, subjects: &[SubjectFilter]) -> bool {
        let any = |token: &str| match token {
            _ if token.starts_with("{{") => "*".to_owned(),
            // `$1` stands for a token of the source; `$KV` is a token like any other.
            _ if token
                .strip_prefix('$')
                .is_some_and(|rest| rest.parse::<u32>().is_ok()) =>
            {
                "*".to_owned()
            }
            _ => token.to_owned(),
        };
        let tokens: Vec<String> = self.dest.split('.').map(any).collect();
        let Ok(target) = SubjectFilter::new(tokens.join(".")) else {
            return false;
        };
        subjects.iter().any(|subject| subject.overlaps(&target))
    }
}
