//! `POST /v1/images/generations` and `/v1/images/edits`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use tollgate_providers::Dialect;

use crate::http::{Front, calls};

pub(in crate::http) async fn generate(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    calls::media(&front, &headers, body, Dialect::OpenAiImages).await
}

pub(in crate::http) async fn edit(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    calls::media(&front, &headers, body, Dialect::OpenAiEdits).await
}
