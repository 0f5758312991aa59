//! `POST /v1/messages` and `POST /v1/messages/count_tokens`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderName};
use serde_json::json;
use tollgate_providers::Dialect;

use crate::call::{Operation, input_tokens};
use crate::http::anthropic::version;
use crate::http::{Failed, Front, caller, calls, json};

const DIALECT: Dialect = Dialect::AnthropicMessages;
const CAP: &[u8] = b"\"max_tokens\"";
/// Where Anthropic's SDKs look for the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

pub(in crate::http) async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    named(calls::chat(&front, &headers, body, DIALECT).await)
}

/// Counted here with the model's tokenizer, so it costs nothing and asks nobody.
pub(in crate::http) async fn count_tokens(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    named(match count(&front, &headers, body).await {
        Ok(tokens) => json(&json!({ "input_tokens": tokens })),
        Err(failed) => failed.response(DIALECT, None),
    })
}

async fn count(front: &Front, headers: &HeaderMap, body: Body) -> Result<u64, Failed> {
    let caller = caller::authenticate(front, headers)?;
    let runtime = front.worker.services.runtime.load_full();
    let body = caller::body(headers, body, runtime.max_body_bytes).await?;
    let body = capped(&body);
    let request = DIALECT.decode_chat(&body, &runtime.bounds)?;
    version::check(headers, &request)?;
    Ok(input_tokens(&runtime, &caller, &Operation::Chat(Box::new(request)))?)
}

/// A request to count has no `max_tokens`, which a message must have; it changes no count.
fn capped(body: &[u8]) -> Vec<u8> {
    let mut out = body.to_vec();
    let has_cap = body.windows(CAP.len()).any(|name| name == CAP);
    if let (false, Some(brace)) = (has_cap, body.iter().position(|byte| *byte == b'{')) {
        out.splice(brace + 1..brace + 1, b"\"max_tokens\":1,".iter().copied());
    }
    out
}

fn named(mut response: Response) -> Response {
    if let Some(id) = response.headers().get("x-request-id").cloned() {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
