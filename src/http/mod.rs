//! The only module that knows axum and status codes. Decode, call, encode; nothing is decided here.

mod admin;
mod anthropic;
mod caller;
mod calls;
pub mod corrections;
mod ending;
mod error;
mod gemini;
mod handed;
mod lines;
mod openai;
mod own;
mod plans;
mod prompts;
mod purge;
mod query;
mod quote;
mod runs;
mod sse;
mod strangers;
mod targets;
pub mod view;

use std::sync::Arc;

/// The service that a plane is, for whoever accepts its connections.
pub use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tollgate_providers::Dialect;

pub use admin::{Admin, AdminKey, Prices, admin_routes};
pub use error::Failed;
pub use lines::BatchLines;
pub use strangers::Peer;
pub use targets::Watched;

use crate::batches::Batches;
use crate::call::Worker;
use crate::control::Control;
use crate::ledger::{CallId, Reader};
use crate::tenants::Strangers;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a handler has at hand.
#[derive(Clone)]
pub struct Front {
    /// This worker's services.
    pub worker: Worker,
    /// For reports.
    pub reader: Arc<Reader>,
    /// Runs, and requests for more.
    pub control: Arc<Control>,
    /// Files and batches.
    pub batches: Arc<Batches>,
    /// Addresses that show no valid credential.
    pub strangers: Arc<Strangers>,
}

/// The data plane.
pub fn routes(front: Front) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(openai::chat::create))
        .route("/v1/completions", post(openai::completions::create))
        .route("/v1/embeddings", post(openai::embeddings::create))
        .route("/v1/images/generations", post(openai::images::generate))
        .route("/v1/images/edits", post(openai::images::edit))
        .route("/v1/audio/speech", post(openai::audio::speak))
        .route("/v1/audio/transcriptions", post(openai::audio::transcribe))
        .route("/v1/audio/translations", post(openai::audio::translate))
        .route("/v1/moderations", post(openai::tasks::moderate))
        .route("/v1/rerank", post(openai::tasks::rank))
        // Where Cohere's clients ask.
        .route("/v2/rerank", post(openai::tasks::rank))
        .route("/v1/responses", post(openai::responses::create))
        .route("/v1/responses/input_tokens", post(openai::responses::count))
        .route("/v1/responses/{id}", get(openai::responses::one).delete(openai::responses::delete))
        .route("/v1/responses/{id}/cancel", post(openai::responses::cancel))
        .route("/v1/responses/{id}/input_items", get(openai::responses::input_items))
        .route("/v1/messages", post(anthropic::messages::create))
        .route("/v1/messages/count_tokens", post(anthropic::messages::count_tokens))
        .route("/v1/models", get(openai::models::list))
        // A model's id may hold slashes, percent-encoded or not.
        .route("/v1/models/{*id}", get(openai::models::one).post(gemini::generate::create))
        .route("/v1beta/models/{*id}", post(gemini::generate::create))
        .route("/v1/files", get(openai::files::list).post(openai::files::create))
        .route("/v1/files/{id}", get(openai::files::one).delete(openai::files::delete))
        .route("/v1/files/{id}/content", get(openai::files::content))
        .route("/v1/batches", get(openai::batches::list).post(openai::batches::create))
        .route("/v1/batches/{id}", get(openai::batches::one))
        .route("/v1/batches/{id}/cancel", post(openai::batches::cancel))
        .route("/v1/organization/costs", get(openai::organization::costs))
        .route("/v1/organization/usage/{kind}", get(openai::organization::usage))
        .route("/v1/usage/{id}", get(own::usage))
        .route("/v1/budgets", get(own::budgets))
        .route("/v1/prompts", get(prompts::list))
        .route("/v1/prompts/{name}", get(prompts::one).post(prompts::create))
        .route("/v1/openapi.json", get(prompts::openapi))
        .merge(prompts::shared::routes())
        .route("/v1/budgets/requests", get(own::list_requests).post(own::file_request))
        .route("/v1/runs", get(runs::list).post(runs::create))
        .route("/v1/runs/{id}", get(runs::one).delete(runs::stop))
        .route("/v1/quote", post(quote::create))
        .route("/", axum::routing::head(probe))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        // Bodies are bounded where they are read, by the configuration of the moment.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(front.strangers.clone(), strangers::count))
        .with_state(front)
}

/// What Claude Code asks before it sends anything.
async fn probe() -> StatusCode {
    StatusCode::OK
}

/// Any other path. Without a key it is a 401 like everything else, so paths cannot be felt out.
async fn nothing(State(front): State<Front>, headers: HeaderMap, uri: Uri) -> Response {
    let failed = match caller::authenticate(&front, &headers) {
        Ok(_) => Failed::not_found(uri.path()),
        Err(denied) => denied.into(),
    };
    failed.response(spoken(uri.path()), None)
}

/// The dialect of whoever asks for such a path.
fn spoken(path: &str) -> Dialect {
    if path.starts_with("/v1beta/") {
        Dialect::GeminiGenerateContent
    } else if path.starts_with("/v1/messages") {
        Dialect::AnthropicMessages
    } else {
        Dialect::OpenAiChat
    }
}

async fn wrong_method(
    State(front): State<Front>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let failed = match caller::authenticate(&front, &headers) {
        Ok(_) => Failed::method(method.as_str(), uri.path()),
        Err(denied) => denied.into(),
    };
    failed.response(spoken(uri.path()), None)
}

/// What every answer carries: its id, and that it is nobody else's to keep.
fn stamp(headers: &mut HeaderMap, id: Option<CallId>) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let id = id.unwrap_or_default().to_string();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// A JSON answer.
fn json(value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response =
                ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body)
                    .into_response();
            stamp(response.headers_mut(), None);
            response
        }
        Err(error) => Failed::internal(&error).response(Dialect::OpenAiChat, None),
    }
}

/// Runs a read of the ledger off the reactor.
async fn reading<T: Send + 'static>(
    front: &Front,
    read: impl FnOnce(&Reader) -> Result<T, crate::ledger::StoreError> + Send + 'static,
) -> Result<T, Failed> {
    let reader = front.reader.clone();
    match tokio::task::spawn_blocking(move || read(&reader)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Failed::internal(&error)),
        Err(error) => Err(Failed::internal(&error)),
    }
}
