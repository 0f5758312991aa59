//! The caller's own figures: what one call came to, and how its budgets stand.

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use serde_json::json;
use tollgate_providers::Dialect;

use super::{Failed, Front, caller, json, reading, view};
use crate::ledger::CallId;

const DIALECT: Dialect = Dialect::OpenAiChat;

/// `GET /v1/usage/{request id}`. A call of another tenant is as unknown as one that never was.
pub(super) async fn usage(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    match explained(&front, &headers, &id).await {
        Ok(value) => json(&value),
        Err(failed) => failed.response(DIALECT, None),
    }
}

async fn explained(
    front: &Front,
    headers: &HeaderMap,
    id: &str,
) -> Result<serde_json::Value, Failed> {
    let caller = caller::authenticate(front, headers)?;
    let unknown = || Failed::no_such("request", id);
    let call = CallId::parse(id).ok_or_else(unknown)?;
    let found = reading(front, move |reader| view::explain(reader, call)).await?;
    let within = |account: &str| {
        account.strip_prefix(&*caller.account).is_some_and(|r| r.is_empty() || r.starts_with('/'))
    };
    found.filter(|call| within(&call.account)).map(|call| call.value).ok_or_else(unknown)
}

/// `GET /v1/budgets`: every limit on the caller's path.
pub(super) async fn budgets(State(front): State<Front>, headers: HeaderMap) -> Response {
    let caller = match caller::authenticate(&front, &headers) {
        Ok(caller) => caller,
        Err(denied) => return Failed::from(denied).response(DIALECT, None),
    };
    let standings = front.worker.services.ledger.standing(caller.charged);
    let data: Vec<_> = standings.iter().map(view::standing).collect();
    json(&json!({ "object": "list", "account": &*caller.account, "data": data }))
}
