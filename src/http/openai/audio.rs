//! `POST /v1/audio/speech`, `/v1/audio/transcriptions` and `/v1/audio/translations`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use tollgate_providers::Dialect;

use crate::http::{Front, calls};

pub(in crate::http) async fn speak(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    calls::media(&front, &headers, body, Dialect::OpenAiSpeech).await
}

pub(in crate::http) async fn transcribe(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    calls::media(&front, &headers, body, Dialect::OpenAiTranscriptions).await
}

pub(in crate::http) async fn translate(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    calls::media(&front, &headers, body, Dialect::OpenAiTranslations).await
}
