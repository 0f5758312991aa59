//! `POST /v1/moderations` and `POST /v1/rerank`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use tollgate_providers::Task;

use crate::http::{Front, calls};

pub(in crate::http) async fn moderate(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    calls::task(&front, &headers, body, Task::Moderate).await
}

pub(in crate::http) async fn rank(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    calls::task(&front, &headers, body, Task::Rank).await
}
