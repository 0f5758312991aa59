//! The caller's own figures: what one call came to, how its budgets stand, and its requests for more.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tollgate_accounting::Timestamp;
use tollgate_providers::Dialect;

use super::{Failed, Front, caller, json, reading, view};
use crate::control::{Control, ControlError, NewRequest};
use crate::ledger::{CallId, RaiseRow, RequestRow};

const DIALECT: Dialect = Dialect::OpenAiChat;
/// The largest body of these routes.
const MOST_BODY: usize = 64 * 1024;

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

async fn explained(front: &Front, headers: &HeaderMap, id: &str) -> Result<Value, Failed> {
    let caller = caller::authenticate(front, headers)?;
    let unknown = || Failed::no_such("request", id);
    let call = CallId::parse(id).ok_or_else(unknown)?;
    let found = reading(front, move |reader| view::explain(reader, call)).await?;
    let within = |account: &str| {
        account.strip_prefix(&*caller.account).is_some_and(|r| r.is_empty() || r.starts_with('/'))
    };
    // A run sees its own calls, not those of its account.
    let ours = |key: &Value| caller.run.is_none() || key.as_str() == Some(&*caller.key);
    let found = found.filter(|call| within(&call.account) && ours(&call.value["key"]));
    found.map(|call| call.value).ok_or_else(unknown)
}

/// `GET /v1/budgets`: every limit on the caller's path, its plan, and the raises it has now.
pub(super) async fn budgets(State(front): State<Front>, headers: HeaderMap) -> Response {
    let stand = async {
        let caller = caller::authenticate(&front, &headers)?;
        let standings = front.worker.services.ledger.standing(caller.charged);
        let data: Vec<_> = standings.iter().map(view::standing).collect();
        let account = caller.run.as_ref().map_or(&caller.account, |run| &run.account).clone();
        let path = account.clone();
        let (plan, raises) = controlled(&front, move |control| control.plan(&path)).await?;
        Ok(json(&json!({
            "object": "list",
            "account": &*account,
            "plan": plan,
            "raises": raises.iter().map(raise_json).collect::<Vec<_>>(),
            "data": data,
        })))
    };
    stand.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    limit: String,
    #[serde(default)]
    reason: String,
    until: Option<String>,
}

/// `POST /v1/budgets/requests`: asks the operator for more.
pub(super) async fn file_request(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let filed = async {
        let caller = caller::authenticate(&front, &headers)?;
        let Wish { limit, reason, until } = read(&headers, body).await?;
        let wanted_to = until.map(|text| instant("until", &text)).transpose()?;
        let new = NewRequest { limit, reason, wanted_to };
        let row = controlled(&front, move |control| control.file_request(&caller, new)).await?;
        Ok((StatusCode::CREATED, json(&request_json(&row))).into_response())
    };
    filed.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

/// `GET /v1/budgets/requests`: what the account asked for, and what became of it.
pub(super) async fn list_requests(State(front): State<Front>, headers: HeaderMap) -> Response {
    let listed = async {
        let caller = caller::authenticate(&front, &headers)?;
        let rows = reading(&front, |reader| reader.budget_requests()).await?;
        let ours = rows.iter().filter(|row| *row.account == *caller.account);
        let rows: Vec<Value> = ours.map(request_json).collect();
        Ok(json(&json!({ "object": "list", "data": rows })))
    };
    listed.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

pub(super) fn raise_json(raise: &RaiseRow) -> Value {
    json!({
        "id": raise.id,
        "account": raise.account,
        "limit": raise.text,
        "created_at": raise.created_at.to_string(),
        "expires_at": raise.expires_at.map(|at| at.to_string()),
        "ended_at": raise.ended_at.map(|at| at.to_string()),
    })
}

pub(super) fn request_json(row: &RequestRow) -> Value {
    json!({
        "id": row.id,
        "object": "budget.request",
        "account": row.account,
        "key": row.key,
        "limit": row.text,
        "reason": row.reason,
        "until": row.wanted_to.map(|at| at.to_string()),
        "filed_at": row.filed_at.to_string(),
        "state": row.state.name(),
        "decided_at": row.decided_at.map(|at| at.to_string()),
        "note": row.note,
        "raise": row.raise,
    })
}

/// A JSON body of ours, small and without unknown fields.
pub(super) async fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Failed> {
    let body = caller::body(headers, body, MOST_BODY).await?;
    serde_json::from_slice(&body).map_err(|error| Failed::body(&error.to_string()))
}

/// An instant of RFC 3339.
pub(super) fn instant(name: &str, text: &str) -> Result<Timestamp, Failed> {
    let message = || format!("{name} is an RFC 3339 instant, not {text:?}");
    let at: jiff::Timestamp = text.parse().map_err(|_| Failed::parameter(name, message()))?;
    Ok(Timestamp::from_micros(at.as_microsecond()))
}

/// Runs a change off the reactor: it waits for the ledger's commit.
pub(super) async fn controlled<T: Send + 'static>(
    front: &Front,
    change: impl FnOnce(&Control) -> Result<T, ControlError> + Send + 'static,
) -> Result<T, Failed> {
    let control = front.control.clone();
    match tokio::task::spawn_blocking(move || change(&control)).await {
        Ok(result) => result.map_err(Failed::from),
        Err(error) => Err(Failed::internal(&error)),
    }
}
