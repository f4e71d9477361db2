//! Problem documents: every refusal over HTTP in the form of RFC 9457.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hitherto::ProjectionError;
use serde::{Deserialize, Serialize};

use crate::command::Malformed;
use crate::desk::DeskError;
use crate::refusal::Reason;

/// What a problem's `type` begins with; the rest is its `code`. It names, it does not link.
const TYPE_PREFIX: &str = "tag:order-service.example,2026:";

/// A problem on its way to the client.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    document: Document,
}

/// A problem document, as it stands in the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status code again.
    pub status: u16,
    /// This very problem in words, and what to do about it.
    pub detail: String,
    /// The kind as programs like it, for example `already_paid`.
    pub code: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, title: &str) -> Self {
        let document = Document {
            kind: format!("{TYPE_PREFIX}{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: title.to_owned(),
            code: code.to_owned(),
        };
        Self { status, document }
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.document.detail = detail.into();
        self
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "malformed", "malformed request").detail(detail)
    }

    // ANCHOR: refused
    /// The problem of a command that was refused.
    pub(super) fn refused(reason: Reason, detail: String) -> Self {
        let status = match reason {
            Reason::UnknownOrder => StatusCode::NOT_FOUND,
            Reason::AlreadyPlaced | Reason::AlreadyPaid => StatusCode::CONFLICT,
            Reason::WrongAmount
            | Reason::NothingToPay
            | Reason::NotPaid
            | Reason::AlreadyShipped
            | Reason::AlreadyCancelled
            | Reason::TooManyLines
            | Reason::TotalTooLarge => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, reason.code(), reason.title()).detail(detail)
    }
    // ANCHOR_END: refused

    fn unavailable(error: impl Into<anyhow::Error>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let detail = format!("{:#}; try again later", error.into());
        Self::new(status, "unavailable", "unavailable for now").detail(detail)
    }

    fn broken(error: impl Into<anyhow::Error>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let detail = format!("{:#}", error.into());
        Self::new(status, "broken", "stored data cannot be used").detail(detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.document)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Self::malformed(malformed.to_string())
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::IdTaken { .. } => Self::new(
                StatusCode::CONFLICT,
                "command_id_taken",
                "command id already used",
            )
            .detail(error.to_string()),
            DeskError::Malformed(malformed) => malformed.into(),
            DeskError::Unavailable(_) => Self::unavailable(error),
            DeskError::Broken(_) => Self::broken(error),
        }
    }
}

impl From<ProjectionError> for Problem {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::Unavailable { .. } | ProjectionError::Lagging { .. } => {
                Self::unavailable(error)
            }
            _ => Self::broken(error),
        }
    }
}
