//! The form of an answer: JSON that any web page may read, or a text that says what is wrong.

use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::monitor::Refused;

/// An answer.
#[derive(Debug)]
pub(super) struct Page {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

impl Page {
    /// A document, indented for people to read.
    pub(super) fn document(document: &impl Serialize) -> Self {
        let body = serde_json::to_string_pretty(document);
        Self::json(
            StatusCode::OK,
            body.expect("documents have string keys only"),
        )
    }

    /// A document on one line, with a status of its own.
    pub(super) fn compact(status: u16, document: &impl Serialize) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(document);
        Self::json(status, body.expect("documents have string keys only"))
    }

    /// A page for a browser.
    pub(super) fn html(body: String) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: HTML,
            body,
        }
    }

    /// The request contradicts itself.
    pub(super) fn refused(text: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            content_type: TEXT,
            body: text,
        }
    }

    /// There is no such page, or nothing to show on it.
    pub(super) fn not_found(text: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            content_type: TEXT,
            body: text.to_owned(),
        }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.body
    }

    fn json(status: StatusCode, body: String) -> Self {
        Self {
            status,
            content_type: JSON,
            body,
        }
    }
}

impl<T: Serialize> From<Result<T, Refused>> for Page {
    fn from(document: Result<T, Refused>) -> Self {
        match document {
            Ok(document) => Self::document(&document),
            Err(Refused(text)) => Self::refused(text),
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let is_json = self.content_type == JSON;
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if is_json {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        response
    }
}
