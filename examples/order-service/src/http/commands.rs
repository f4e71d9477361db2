//! `POST /commands`: one command, decided once however often it is sent.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use hitherto::Position;
use serde::Serialize;
use serde_json::Value;

use super::problem::Problem;
use crate::command::{Command, CommandToken, Malformed};
use crate::desk::{Decided, Decision};
use crate::order::OrderId;
use crate::read_model::{AcceptedRow, OrderRow};
use crate::service::OrderService;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The answer to an accepted command.
#[derive(Debug, Serialize)]
pub(super) struct Accepted {
    command: CommandToken,
    order: OrderId,
    /// Where its event is in the log.
    position: Position,
    /// It was sent before, and accepted then.
    already_decided: bool,
}

// ANCHOR: post
pub(super) async fn post(
    State(service): State<Arc<OrderService>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Accepted>, Problem> {
    let command = read(&headers, &body?)?;
    let Decided { decision, already } = service.desk.decide(&command).await?;
    match decision {
        Decision::Refused { reason, detail } => Err(Problem::refused(reason, detail)),
        Decision::Accepted { position } => {
            // Whoever reads the order next sees this command's effect.
            service.app.rows::<OrderRow>()?.at_least(position).await?;
            service
                .app
                .rows::<AcceptedRow>()?
                .at_least(position)
                .await?;
            let Command {
                id: command, order, ..
            } = command;
            Ok(Json(Accepted {
                command,
                order,
                position,
                already_decided: already,
            }))
        }
    }
}
// ANCHOR_END: post

/// Reads the command; its id stands in the body or in the header `Idempotency-Key`.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Command, Problem> {
    let mut json: Value = serde_json::from_slice(body).map_err(Malformed::from)?;
    let Value::Object(fields) = &mut json else {
        return Err(Problem::malformed("a command is a JSON object"));
    };
    if let Some(key) = headers.get(IDEMPOTENCY_KEY) {
        let key = key
            .to_str()
            .map_err(|_| Problem::malformed("Idempotency-Key is not ASCII"))?;
        let id = fields.entry("id").or_insert_with(|| Value::from(key));
        if id.as_str() != Some(key) {
            let problem = format!("Idempotency-Key {key:?} and the id {id} in the body differ");
            return Err(Problem::malformed(problem));
        }
    }
    if !fields.contains_key("id") {
        let problem = "a command needs an id, in the field `id` or the header Idempotency-Key";
        return Err(Problem::malformed(problem));
    }
    Ok(Command::from_json(json)?)
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("a body has at most {} bytes", super::BODY_BYTES_MAX);
            return Self::new(rejection.status(), "too_large", "body too large").detail(detail);
        }
        Self::malformed(rejection.body_text())
    }
}
