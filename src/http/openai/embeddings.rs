//! `POST /v1/embeddings`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use tollgate_providers::Dialect;

use crate::call::{Operation, Served, serve};
use crate::http::{Failed, Front, caller, sse};
use crate::ledger::CallId;

const DIALECT: Dialect = Dialect::OpenAiEmbeddings;

pub(in crate::http) async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let id = CallId::new();
    answer(&front, &headers, body, id).await.unwrap_or_else(|f| f.response(DIALECT, Some(id)))
}

async fn answer(
    front: &Front,
    headers: &HeaderMap,
    body: Body,
    id: CallId,
) -> Result<Response, Failed> {
    let caller = caller::authenticate(front, headers)?;
    let inbound = caller::inbound(headers, id)?;
    let (most, bounds) = {
        let runtime = front.worker.services.runtime.load();
        (runtime.max_body_bytes, runtime.bounds)
    };
    let body = caller::body(headers, body, most).await?;
    let request = Operation::Embeddings(Box::new(DIALECT.decode_embeddings(&body, &bounds)?));
    match serve(&front.worker, &caller, &inbound, &request).await? {
        Served::Made(answered) => Ok(sse::respond(front, &caller, id, answered)),
        Served::Repeated(name) => sse::repeat(front, name).await,
    }
}
