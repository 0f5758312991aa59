//! `/v1/runs`: children of the caller's account with a budget and an end, minted, shown and stopped by
//! the account itself.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_accounting::Timestamp;
use tollgate_providers::Dialect;

use super::{Failed, Front, caller, json, own, view};
use crate::clock;
use crate::control::{Control, ControlError, NewRun};
use crate::ledger::{Measure, RunRow};
use crate::tenants::Caller;

const DIALECT: Dialect = Dialect::OpenAiChat;
/// How long a run lasts that names no end.
const USUAL_SECONDS: i64 = 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    name: String,
    #[serde(default)]
    limits: Vec<String>,
    /// The short form of `"$N in total"`.
    budget_usd: Option<String>,
    expires_in: Option<i64>,
    expires_at: Option<String>,
}

/// `POST /v1/runs`.
pub(super) async fn create(State(front): State<Front>, headers: HeaderMap, body: Body) -> Response {
    let made = async {
        let caller = caller::authenticate(&front, &headers)?;
        let wish: Wish = own::read(&headers, body).await?;
        let new = wish.run()?;
        let by = caller.clone();
        let (key, row) =
            own::controlled(&front, move |control| control.create_run(&by, new)).await?;
        let mut value = shown(&front, &row).await?;
        value["key"] = key.into();
        Ok((StatusCode::CREATED, json(&value)).into_response())
    };
    made.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

/// `GET /v1/runs`: the latest of the account and of those below it.
pub(super) async fn list(State(front): State<Front>, headers: HeaderMap) -> Response {
    let listed = async {
        let caller = caller::authenticate(&front, &headers)?;
        only_keys(&caller)?;
        let account = caller.account.clone();
        let rows = super::reading(&front, move |reader| reader.runs(&account)).await?;
        let rows: Vec<Value> = rows.iter().map(row_json).collect();
        Ok(json(&json!({ "object": "list", "data": rows })))
    };
    listed.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

/// `GET /v1/runs/{id}`: what it came to, and how its limits stand.
pub(super) async fn one(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let found = async {
        let caller = caller::authenticate(&front, &headers)?;
        let row = own::controlled(&front, move |control| run_of(control, &caller, &id)).await?;
        Ok(json(&shown(&front, &row).await?))
    };
    found.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

/// `DELETE /v1/runs/{id}`: stops it. What it has in flight is cut and settled.
pub(super) async fn stop(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let stopped = async {
        let caller = caller::authenticate(&front, &headers)?;
        let stop = move |control: &Control| {
            let run = run_of(control, &caller, &id)?;
            control.stop_run(&caller, run)
        };
        let row = own::controlled(&front, stop).await?;
        Ok(json(&shown(&front, &row).await?))
    };
    stopped.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

/// A run's own key sees that run; an account's key all of the account.
fn run_of(control: &Control, caller: &Caller, id: &str) -> Result<RunRow, ControlError> {
    match &caller.run {
        Some(run) if *caller.key == *id => control.run_of(&run.account, id),
        Some(_) => Err(ControlError::OnlyForKeys),
        None => control.run_of(&caller.account, id),
    }
}

/// A run may make calls, and nothing else.
pub(super) fn only_keys(caller: &Caller) -> Result<(), Failed> {
    if caller.run.is_some() { Err(ControlError::OnlyForKeys.into()) } else { Ok(()) }
}

async fn shown(front: &Front, row: &RunRow) -> Result<Value, Failed> {
    let of = row.clone();
    let spent = super::reading(front, move |reader| reader.run_spent(&of)).await?;
    let ledger = &front.worker.services.ledger;
    let (path, state) = (row.path(), state(row));
    // A run that is over is the sum of its rows; its limits stand nowhere.
    let charged = ledger.with_book(|book| book.account(&path)).filter(|_| state == "open");
    let standings = charged.map(|id| ledger.standing(id)).unwrap_or_default();
    let limits: Vec<Value> =
        standings.iter().filter(|s| *s.account == *path).map(view::standing).collect();
    let mut value = row_json(row);
    value["standing"] = limits.into();
    value["spent"] = json!({
        "requests": spent.count(Measure::Requests),
        "input_tokens": spent.count(Measure::InputTokens),
        "output_tokens": spent.count(Measure::OutputTokens),
        "charged_usd": spent.money(Measure::Charged).to_string(),
    });
    Ok(value)
}

fn state(row: &RunRow) -> &'static str {
    match row.stopped_at {
        Some(_) => "stopped",
        None if row.expires_at <= clock::now() => "over",
        None => "open",
    }
}

pub(super) fn row_json(row: &RunRow) -> Value {
    json!({
        "id": row.id,
        "object": "run",
        "account": row.account,
        "path": row.path(),
        "name": row.name,
        "minted_by": row.key,
        "hint": row.hint,
        "state": state(row),
        "limits": row.limits.lines().collect::<Vec<_>>(),
        "created_at": row.created_at.to_string(),
        "expires_at": row.expires_at.to_string(),
        "stopped_at": row.stopped_at.map(|at| at.to_string()),
    })
}

impl Wish {
    fn run(self) -> Result<NewRun, Failed> {
        let Wish { name, mut limits, budget_usd, expires_in, expires_at } = self;
        if let Some(dollars) = budget_usd {
            limits.push(format!("${} in total", dollars.trim_start_matches('$')));
        }
        let expires_at = match (expires_in, expires_at) {
            (Some(_), Some(_)) => {
                let message = "expires_in and expires_at say the same thing: send one of them";
                return Err(Failed::parameter("expires_in", message));
            }
            (None, Some(text)) => own::instant("expires_at", &text)?,
            (seconds, None) => {
                let seconds = seconds.unwrap_or(USUAL_SECONDS);
                let micros = seconds.checked_mul(1_000_000).filter(|micros| *micros > 0);
                let micros = micros.ok_or_else(|| {
                    Failed::parameter("expires_in", "expires_in is a positive number of seconds")
                })?;
                Timestamp::from_micros(clock::now().micros().saturating_add(micros))
            }
        };
        Ok(NewRun { name, limits, expires_at })
    }
}
