//! `GET /orders` and `GET /orders/{id}`: reading the read model.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::order::OrderId;
use crate::read_model::OrderRow;
use crate::service::OrderService;

/// Orders on one page when the request does not say.
const LIMIT_DEFAULT: usize = 50;
/// The most orders on one page.
const LIMIT_MAX: usize = 500;

/// Where a page begins and how long it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    /// The page begins behind this order; absent: with the first.
    after: Option<OrderId>,
    limit: Option<usize>,
}

/// A page of orders.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    orders: Vec<OrderView>,
    /// What to pass as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<OrderId>,
}

/// An order with its id.
#[derive(Debug, Serialize)]
pub(super) struct OrderView {
    id: OrderId,
    #[serde(flatten)]
    row: OrderRow,
}

pub(super) async fn page(
    State(service): State<Arc<OrderService>>,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let Query(Paging { after, limit }) =
        paging.map_err(|rejection| Problem::malformed(rejection.body_text()))?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::malformed(format!(
            "limit {limit} is not within 1 to {LIMIT_MAX}"
        )));
    }
    let rows = service
        .app
        .rows::<OrderRow>()?
        .page(after.as_ref(), limit)
        .await?;
    let full = rows.len() == limit;
    let next = rows.last().filter(|_| full).map(|(id, _)| id.clone());
    let orders = rows
        .into_iter()
        .map(|(id, row)| OrderView { id, row })
        .collect();
    Ok(Json(Page { orders, next }))
}

// ANCHOR: one
pub(super) async fn one(
    State(service): State<Arc<OrderService>>,
    id: Result<Path<OrderId>, PathRejection>,
) -> Result<Json<OrderView>, Problem> {
    let Path(id) = id.map_err(|rejection| Problem::malformed(rejection.body_text()))?;
    match service.app.rows::<OrderRow>()?.get(&id).await? {
        Some(row) => Ok(Json(OrderView { id, row })),
        None => Err(
            Problem::new(StatusCode::NOT_FOUND, "unknown_order", "unknown order")
                .detail(format!("there is no order {id}")),
        ),
    }
}
// ANCHOR_END: one
