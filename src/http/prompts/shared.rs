//! Prompts that accounts share: what is offered, who asked for it, and what the owner said; for accounts
//! themselves, and for the operator.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::DIALECT;
use crate::control::{Answer, NewSubscription};
use crate::http::admin::{Admin, Problem, bad, blocking, ok};
use crate::http::own::{controlled, read};
use crate::http::view::subscription_json;
use crate::http::{Failed, Front, caller, json, reading};
use crate::ledger::SubscriptionState;

/// Routes for accounts.
pub(in crate::http) fn routes() -> Router<Front> {
    Router::new()
        .route("/v1/prompt-offers", get(offers).post(offer))
        .route("/v1/prompt-subscriptions", get(list).post(subscribe))
        .route("/v1/prompt-subscriptions/{id}", post(decide).delete(end))
}

/// Routes to be guarded by the admin key.
pub(in crate::http) fn admin_routes() -> Router<Admin> {
    Router::new()
        .route("/admin/prompt-owners", post(give))
        .route("/admin/prompt-subscriptions", get(all).post(subscribe_account))
        .route("/admin/prompt-subscriptions/{id}", post(admin_decide).delete(admin_end))
}

/// `GET /v1/prompt-offers`: the caller's own prompts, and those of others that it may ask for.
async fn offers(State(front): State<Front>, headers: HeaderMap) -> Response {
    let caller = match caller::authenticate(&front, &headers) {
        Ok(caller) => caller,
        Err(denied) => return Failed::from(denied).response(DIALECT, None),
    };
    let library = front.worker.services.prompts.library();
    let shown = library.served().filter_map(|version| {
        let owned = library.shares().of(&version.name)?;
        let template = &version.template;
        let seen = owned.offered && caller.models.allows(&template.model);
        (seen || *owned.account == *caller.account).then(|| {
            json!({
                "object": "prompt.offer",
                "prompt": &*version.name,
                "owner": owned.account,
                "offered": owned.offered,
                "subscribed": owned.subscribers.iter().any(|path| **path == *caller.account),
                "description": template.description,
                "inputs": template.inputs(),
                "output": template.output(),
            })
        })
    });
    json(&json!({ "object": "list", "data": shown.collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Offer {
    prompt: String,
    offered: bool,
}

/// `POST /v1/prompt-offers`: the owner offers its prompt to others, or no longer.
async fn offer(State(front): State<Front>, headers: HeaderMap, body: Body) -> Response {
    let offered = async {
        let caller = caller::authenticate(&front, &headers)?;
        let Offer { prompt, offered } = read(&headers, body).await?;
        let told = json!({ "object": "prompt.offer", "prompt": prompt, "offered": offered });
        controlled(&front, move |control| control.offer_prompt(&caller, &prompt, offered)).await?;
        Ok(json(&told))
    };
    offered.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

/// `GET /v1/prompt-subscriptions`: the caller's own, and those to its prompts.
async fn list(State(front): State<Front>, headers: HeaderMap) -> Response {
    let listed = async {
        let caller = caller::authenticate(&front, &headers)?;
        let account = caller.account.clone();
        let rows = reading(&front, move |reader| reader.subscriptions(Some(&account))).await?;
        let rows: Vec<Value> = rows.iter().map(subscription_json).collect();
        Ok(json(&json!({ "object": "list", "data": rows })))
    };
    listed.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    prompt: String,
    #[serde(default)]
    limits: Vec<String>,
    #[serde(default)]
    reason: String,
}

/// `POST /v1/prompt-subscriptions`: asks a prompt's owner to be let use it.
async fn subscribe(State(front): State<Front>, headers: HeaderMap, body: Body) -> Response {
    let filed = async {
        let caller = caller::authenticate(&front, &headers)?;
        let Wish { prompt, limits, reason } = read(&headers, body).await?;
        let new = NewSubscription { prompt, limits, reason };
        let row = controlled(&front, move |control| control.subscribe(&caller, new)).await?;
        Ok((StatusCode::CREATED, json(&subscription_json(&row))).into_response())
    };
    filed.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    state: String,
    limits: Option<Vec<String>>,
    note: Option<String>,
}

impl Decision {
    fn answer(self) -> Result<Answer, &'static str> {
        let Decision { state, limits, note } = self;
        let accepted = match SubscriptionState::from_name(&state) {
            Some(SubscriptionState::Accepted) => true,
            Some(SubscriptionState::Refused) if limits.is_none() => false,
            Some(SubscriptionState::Refused) => {
                return Err("a refused subscription takes a note, and nothing else");
            }
            Some(SubscriptionState::Open | SubscriptionState::Ended) | None => {
                return Err("state is \"accepted\" or \"refused\"");
            }
        };
        Ok(Answer { accepted, limits, note })
    }
}

/// `POST /v1/prompt-subscriptions/{id}`: the owner's answer.
async fn decide(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    let decided = async {
        let caller = caller::authenticate(&front, &headers)?;
        let decision: Decision = read(&headers, body).await?;
        let answer = decision.answer().map_err(|why| Failed::parameter("state", why))?;
        let row = controlled(&front, move |control| {
            control.answer_subscription(Some(&caller), &id, answer)
        });
        Ok(json(&subscription_json(&row.await?)))
    };
    decided.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

/// `DELETE /v1/prompt-subscriptions/{id}`: the owner takes it back, or the subscriber gives it up.
async fn end(State(front): State<Front>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let ended = async {
        let caller = caller::authenticate(&front, &headers)?;
        let row = controlled(&front, move |control| control.end_subscription(Some(&caller), &id));
        Ok(json(&subscription_json(&row.await?)))
    };
    ended.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gift {
    prompt: String,
    account: Option<String>,
    #[serde(default)]
    offered: bool,
}

async fn give(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let Gift { prompt, account, offered } = crate::http::admin::read(&body)?;
    let told = json!({ "prompt": prompt, "account": account, "offered": offered });
    blocking(move || admin.control.give_prompt(&prompt, account.as_deref(), offered)).await?;
    Ok(ok(&told))
}

async fn all(State(admin): State<Admin>) -> Result<Response, Problem> {
    let rows = blocking(move || admin.reader.subscriptions(None)).await?;
    Ok(ok(&json!({ "data": rows.iter().map(subscription_json).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountWish {
    account: String,
    prompt: String,
    #[serde(default)]
    limits: Vec<String>,
    #[serde(default)]
    reason: String,
}

async fn subscribe_account(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let AccountWish { account, prompt, limits, reason } = crate::http::admin::read(&body)?;
    let new = NewSubscription { prompt, limits, reason };
    let row = blocking(move || admin.control.subscribe_account(&account, new)).await?;
    Ok((StatusCode::CREATED, ok(&subscription_json(&row))).into_response())
}

async fn admin_decide(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let decision: Decision = crate::http::admin::read(&body)?;
    let answer = decision.answer().map_err(|why| bad(why.to_owned()))?;
    let row = blocking(move || admin.control.answer_subscription(None, &id, answer)).await?;
    Ok(ok(&subscription_json(&row)))
}

async fn admin_end(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = blocking(move || admin.control.end_subscription(None, &id)).await?;
    Ok(ok(&subscription_json(&row)))
}
