//! `POST /v1beta/models/{model}:{method}` and the same on `/v1`: `generateContent`,
//! `streamGenerateContent`, `countTokens`, `embedContent`, `batchEmbedContents`.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tollgate_providers::{Dialect, gemini_body, gemini_embed_body};

use crate::call::{Operation, input_tokens};
use crate::http::calls::Read;
use crate::http::query::pairs;
use crate::http::{Failed, Front, json};
use crate::ledger::CallId;

const DIALECT: Dialect = Dialect::GeminiGenerateContent;
const KEY: &str = "x-goog-api-key";

pub(in crate::http) async fn create(
    State(front): State<Front>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    mut headers: HeaderMap,
    body: Body,
) -> Response {
    let id = CallId::new();
    let mut events = false;
    for (name, value) in pairs(query.as_deref().unwrap_or("")) {
        match (name.as_str(), value.as_str()) {
            ("alt", "sse") => events = true,
            // Older clients send the key in the address.
            ("key", key) if !headers.contains_key(KEY) => {
                if let Ok(key) = HeaderValue::from_str(key) {
                    headers.insert(KEY, key);
                }
            }
            _ => {}
        }
    }
    let answer = async {
        let mut read = Read::of(&front, &headers, body, id).await?;
        let (model, method) = path.rsplit_once(':').ok_or_else(|| Failed::not_found(&path))?;
        match method {
            "generateContent" | "streamGenerateContent" => {
                let stream = method == "streamGenerateContent";
                read.body = gemini_body(&read.body, &read.bounds, model, stream)?.into();
                let request = DIALECT.decode_chat(&read.body, &read.bounds)?;
                let response = read.serve(&front, &Operation::Chat(Box::new(request))).await?;
                Ok(if stream && !events { listed(response) } else { response })
            }
            "countTokens" => {
                let asked = counted(&read.body);
                let body = asked.map_or(&read.body[..], |raw| raw.get().as_bytes());
                let body = gemini_body(body, &read.bounds, model, false)?;
                let request = DIALECT.decode_chat(&body, &read.bounds)?;
                let runtime = front.worker.services.runtime.load_full();
                let operation = Operation::Chat(Box::new(request));
                let tokens = input_tokens(&runtime, &read.caller, &operation)?;
                Ok(json(&json!({ "totalTokens": tokens })))
            }
            "embedContent" | "batchEmbedContents" => {
                let dialect = match method {
                    "embedContent" => Dialect::GeminiEmbedContent,
                    _ => Dialect::GeminiBatchEmbedContents,
                };
                read.body = gemini_embed_body(&read.body, &read.bounds, model)?.into();
                let request = dialect.decode_embeddings(&read.body, &read.bounds)?;
                read.serve(&front, &Operation::Embeddings(Box::new(request))).await
            }
            _ => Err(Failed::not_found(&path)),
        }
    };
    answer.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, Some(id)))
}

/// The request to count, where it stands in one of its own.
fn counted(body: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, default, rename = "generateContentRequest")]
        request: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Wire<'_>>(body).ok()?.request
}

/// A stream as Google writes it to those who don't ask for events: a JSON array that grows.
fn listed(response: Response) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let kind = HeaderValue::from_static("application/json");
    head.headers.insert(header::CONTENT_TYPE, kind);
    let mut before: &[u8] = b"[";
    let elements = body.into_data_stream().map(move |frames| {
        let mut out = Vec::new();
        for data in frames.as_deref().unwrap_or_default().split(|byte| *byte == b'\n') {
            if let Some(json) = data.strip_prefix(b"data: ") {
                out.extend_from_slice(before);
                out.extend_from_slice(json.trim_ascii());
                before = b",\r\n";
            }
        }
        Ok::<Bytes, Infallible>(Bytes::from(out))
    });
    let end = stream::once(async { Ok(Bytes::from_static(b"]")) });
    Response::from_parts(head, Body::from_stream(elements.chain(end)))
}
