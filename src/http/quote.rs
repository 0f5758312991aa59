//! `POST /v1/quote`: what a call would cost, and which limits it would meet. Nothing happens.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use tollgate_providers::Dialect;

use super::query::pairs;
use super::{Failed, Front, caller, json, view};
use crate::call::{quote, required};
use crate::clock;

/// The body is any request as the client would send it.
pub(super) async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Response {
    match answer(&front, &headers, query.as_deref().unwrap_or(""), body).await {
        Ok(value) => json(&value),
        Err(failed) => failed.response(Dialect::OpenAiChat, None),
    }
}

async fn answer(
    front: &Front,
    headers: &HeaderMap,
    query: &str,
    body: Body,
) -> Result<serde_json::Value, Failed> {
    let caller = caller::authenticate(front, headers)?;
    let services = &front.worker.services;
    let runtime = services.runtime.load_full();
    let body = caller::body(headers, body, runtime.max_body_bytes).await?;
    let endpoint = pairs(query).find(|(name, _)| name == "endpoint").map(|(_, value)| value);
    let asked = quote::Asked::of(&body, &runtime.bounds, endpoint.as_deref())?;
    let operation = asked.operation(&runtime.bounds)?;
    let tags = headers.get(caller::REQUIRE).map(|value| value.to_str().unwrap_or(""));
    let tags = required(&caller, &tags.map_or(Ok(Vec::new()), caller::require)?);
    let (_, defer) = caller::waits(headers, clock::now())?;
    let asked = (&operation, &*tags, defer);
    let quote = quote::quote(&runtime, &services.sizes, &caller, asked, |facets, ask| {
        let now = clock::now();
        services.ledger.with_book(|book| book.trial(now, caller.charged, facets, ask))
    })?;
    Ok(view::quote(&caller.charged_path, &operation, quote))
}
