//! `POST /v1/completions`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use tollgate_providers::Dialect;

use crate::http::{Front, calls};

pub(in crate::http) async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    calls::chat(&front, &headers, body, Dialect::OpenAiCompletions).await
}
