//! The admin plane's side of plans, raises, requests for more, and runs.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_accounting::Limit;

use super::admin::{Admin, Problem, bad, blocking, instant, ok, read};
use super::own::{raise_json, request_json};
use super::runs::row_json;
use crate::control::{NewRaise, Verdict};
use crate::ledger::RequestState;

/// Routes to be guarded by the admin key.
pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/admin/plans", get(plans).post(set_plan))
        .route("/admin/raises", get(raises).post(raise))
        .route("/admin/raises/{id}", delete(end_raise))
        .route("/admin/budget-requests", get(requests))
        .route("/admin/budget-requests/{id}", post(decide))
        .route("/admin/runs/{id}", delete(stop_run))
}

async fn plans(State(admin): State<Admin>) -> Result<Response, Problem> {
    let control = admin.control.clone();
    let accounts = blocking(move || control.plans_of_accounts()).await?;
    let plans: Vec<Value> = admin
        .control
        .plans()
        .iter()
        .map(|plan| {
            let on = accounts.iter().filter(|(_, on)| on.as_deref() == Some(&*plan.name));
            let on: Vec<&String> = on.map(|(account, _)| account).collect();
            let limits: Vec<String> = plan.limits.iter().map(Limit::describe).collect();
            json!({ "plan": plan.name, "limits": limits, "accounts": on })
        })
        .collect();
    Ok(ok(&json!({ "data": plans })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanWish {
    account: String,
    plan: Option<String>,
}

async fn set_plan(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let PlanWish { account, plan } = read(&body)?;
    let path = account.clone();
    let now_on = blocking(move || {
        admin.control.set_plan(&path, plan.as_deref())?;
        admin.control.plan(&path)
    });
    let (plan, _) = now_on.await?;
    Ok(ok(&json!({ "account": account, "plan": plan })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RaiseWish {
    account: String,
    limit: String,
    expires_at: Option<String>,
}

async fn raise(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let RaiseWish { account, limit, expires_at } = read(&body)?;
    let expires_at = expires_at.map(|text| instant("expires_at", &text)).transpose()?;
    let new = NewRaise { account, limit, expires_at };
    let made = blocking(move || admin.control.raise(new)).await?;
    Ok((StatusCode::CREATED, ok(&raise_json(&made))).into_response())
}

async fn raises(State(admin): State<Admin>) -> Result<Response, Problem> {
    let rows = blocking(move || admin.reader.raises()).await?;
    Ok(ok(&json!({ "data": rows.iter().map(raise_json).collect::<Vec<_>>() })))
}

async fn end_raise(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let ended = blocking(move || admin.control.end_raise(&id)).await?;
    Ok(ok(&raise_json(&ended)))
}

async fn requests(State(admin): State<Admin>) -> Result<Response, Problem> {
    let rows = blocking(move || admin.reader.budget_requests()).await?;
    Ok(ok(&json!({ "data": rows.iter().map(request_json).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    state: String,
    limit: Option<String>,
    expires_at: Option<String>,
    note: Option<String>,
}

async fn decide(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Decision { state, limit, expires_at, note } = read(&body)?;
    let expires_at = expires_at.map(|text| instant("expires_at", &text)).transpose()?;
    let verdict = match RequestState::from_name(&state) {
        Some(RequestState::Accepted) => Verdict::Accept { limit, expires_at, note },
        Some(RequestState::Refused) if limit.is_none() && expires_at.is_none() => {
            Verdict::Refuse { note }
        }
        Some(RequestState::Refused) => {
            return Err(bad("a refused request takes a note, and nothing else".to_owned()));
        }
        Some(RequestState::Open) | None => {
            return Err(bad("state is \"accepted\" or \"refused\"".to_owned()));
        }
    };
    let row = blocking(move || admin.control.decide_request(&id, verdict)).await?;
    Ok(ok(&request_json(&row)))
}

async fn stop_run(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Response, Problem> {
    let row = blocking(move || admin.control.stop_any_run(&id)).await?;
    Ok(ok(&row_json(&row)))
}
