//! The order service over HTTP. Every answer that is no success is a problem document (RFC 9457).
//!
//! | request | answer |
//! |---|---|
//! | `POST /commands` | 200 accepted, 404 unknown order, 409 conflict, 422 refused or malformed |
//! | `GET /orders?after=&limit=` | 200, a page of orders by id |
//! | `GET /orders/{id}` | 200 or 404 |
//! | `GET /health` | 200, or 503 when the broker or the read models do not answer |

mod commands;
mod orders;
mod problem;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};

use crate::service::OrderService;

use self::problem::Problem;

pub use self::problem::Document;

/// The largest body taken.
const BODY_BYTES_MAX: usize = 64 * 1024;

// ANCHOR: router
/// Makes the routes.
pub fn router(service: Arc<OrderService>) -> Router {
    Router::new()
        .route("/commands", post(commands::post))
        .route("/orders", get(orders::page))
        .route("/orders/{id}", get(orders::one))
        .route("/health", get(health))
        .fallback(no_such_page)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}
// ANCHOR_END: router

async fn health(
    axum::extract::State(service): axum::extract::State<Arc<OrderService>>,
) -> Result<axum::Json<serde_json::Value>, Problem> {
    service.app.catch_up().await?;
    Ok(axum::Json(serde_json::json!({ "status": "ok" })))
}

async fn no_such_page() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "nothing here")
        .detail("there is /commands, /orders, /orders/{id} and /health")
}

async fn no_such_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "method not allowed",
    )
    .detail("commands are sent with POST, everything else is read with GET")
}
