//! `POST /v1/responses`, what it keeps, and `/v1/responses/input_tokens`. A kept response is its
//! account's own: to any other it does not exist. Reading one back asks no provider and costs nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tollgate_providers::{Dialect, responses};

use super::lists::{Rules, page_of};
use crate::call::{Operation, Prompted, input_tokens};
use crate::http::calls::Read;
use crate::http::query::pairs;
use crate::http::sse::Watch;
use crate::http::{Failed, Front, caller, json, prompts, reading, stamp};
use crate::ledger::{CallId, KeptResponse, Ledger, Reader};
use crate::tenants::Caller;

const DIALECT: Dialect = Dialect::OpenAiResponses;
/// Items of a page where the question does not say, and at most; OpenAI's own figures.
const LISTED: Rules = Rules { usual: 20, largest: 100, ordered: true };

pub(in crate::http) async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let id = CallId::new();
    let answer = async {
        let read = Read::of(&front, &headers, body, id).await?;
        create_of(&front, read).await
    };
    answer.await.unwrap_or_else(|failed: Failed| failed.response(DIALECT, Some(id)))
}

/// The same of a request that was read.
pub(in crate::http) async fn create_of(front: &Front, mut read: Read) -> Result<Response, Failed> {
    let Asked { body, dialect, kept } = asked(front, &mut read).await?;
    let request = dialect.decode_chat(&body, &read.bounds)?;
    let watch = kept.map(|items| {
        let ledger = front.worker.services.ledger.clone();
        keeper(ledger, read.caller.account.clone(), items)
    });
    read.watched(front, &Operation::Chat(Box::new(request)), watch).await
}

/// Counted here with the model's tokenizer, so it costs nothing and asks nobody.
pub(in crate::http) async fn count(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let mut read = Read::of(&front, &headers, body, CallId::new()).await?;
        let Asked { body, dialect, .. } = asked(&front, &mut read).await?;
        let request = dialect.decode_chat(&body, &read.bounds)?;
        let runtime = front.worker.services.runtime.load_full();
        let operation = Operation::Chat(Box::new(request));
        Ok(input_tokens(&runtime, &read.caller, &operation)?)
    };
    match answer.await {
        Ok(tokens) => json(&json!({ "object": "response.input_tokens", "input_tokens": tokens })),
        Err(failed) => Failed::response(failed, DIALECT, None),
    }
}

pub(in crate::http) async fn one(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let answer = async {
        let caller = caller::authenticate(&front, &headers)?;
        let stream =
            pairs(query.as_deref().unwrap_or("")).any(|(n, v)| n == "stream" && v == "true");
        if stream {
            return Err(Failed::parameter("stream", "a kept response is read whole"));
        }
        find(&front, &caller, &id).await
    };
    match answer.await {
        Ok(kept) => {
            let mut response = Response::new(Body::from(kept.body));
            let headers = response.headers_mut();
            let kind = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, kind);
            stamp(headers, None);
            response
        }
        Err(failed) => failed.response(DIALECT, None),
    }
}

pub(in crate::http) async fn delete(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let answer = async {
        let caller = caller::authenticate(&front, &headers)?;
        find(&front, &caller, &id).await?;
        let ledger = front.worker.services.ledger.clone();
        let (account, id) = (caller.account.clone(), id.clone());
        let forget = tokio::task::spawn_blocking(move || ledger.forget_response(account, id));
        match forget.await {
            Ok(done) => Ok(done?),
            Err(error) => Err(Failed::internal(&error)),
        }
    };
    match answer.await {
        Ok(()) => json(&json!({ "id": id, "object": "response", "deleted": true })),
        Err(failed) => Failed::response(failed, DIALECT, None),
    }
}

/// Only a response made in the background can be cancelled, and there are none here.
pub(in crate::http) async fn cancel(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let answer = async {
        let caller = caller::authenticate(&front, &headers)?;
        let kept = find(&front, &caller, &id).await?;
        let message =
            format!("{} was not made in the background, so it cannot be cancelled", kept.id);
        Err(Failed::parameter("response_id", message))
    };
    let answer: Result<(), Failed> = answer.await;
    answer.map_or_else(|failed| failed.response(DIALECT, None), |()| json(&json!({})))
}

pub(in crate::http) async fn input_items(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let answer = async {
        let caller = caller::authenticate(&front, &headers)?;
        // What to include changes nothing: every item is given whole.
        let include = |name: &str, _: &str| name.starts_with("include");
        let page = LISTED.read(query.as_deref().unwrap_or(""), include)?;
        let kept = find(&front, &caller, &id).await?;
        page_of(&page, responses::input_items(&kept.id, &kept.items))
    };
    match answer.await {
        Ok(list) => json(&list),
        Err(failed) => failed.response(DIALECT, None),
    }
}

/// The request that is to be made of a body.
struct Asked {
    body: Bytes,
    dialect: Dialect,
    /// All items that go into the response, if it is to be kept.
    kept: Option<String>,
}

/// Puts what a request continues before its own items, and a template it names in its place.
async fn asked(front: &Front, read: &mut Read) -> Result<Asked, Failed> {
    let whole = read.body.clone();
    let asked = responses::read(&whole, &read.bounds)?;
    let (mut items, store) = (asked.items(), asked.store);
    if let Some(previous) = &asked.previous {
        let kept = find(front, &read.caller, previous)
            .await
            .map_err(|failed| failed.param("previous_response_id"))?;
        items = responses::joined(&responses::conversation(&kept.items, &kept.body), &items);
        let body = asked.with_items(&items);
        if body.len() > read.most {
            return Err(Failed::too_large(read.most));
        }
        read.body = body.into();
    }
    let kept = store.then_some(items);
    let template = if asked.prompted {
        let prompt = responses::prompt(&read.body, &read.bounds)?;
        let (rendered, prompted) = prompts::from_prompt(front, &read.caller, &prompt, DIALECT)?;
        Some((rendered.body(prompt.stream, true, prompt.max_output_tokens), prompted))
    } else if let Some(name) = asked.model.as_deref().and_then(prompts::named) {
        let request = DIALECT.decode_chat(&read.body, &read.bounds)?;
        let (rendered, prompted) =
            prompts::from_chat(front, &read.caller, name, &request, DIALECT)?;
        Some((rendered.body(request.stream, true, request.max_output_tokens), prompted))
    } else {
        None
    };
    let Some((body, prompted)) = template else {
        return Ok(Asked { body: read.body.clone(), dialect: DIALECT, kept });
    };
    let echo = DIALECT.echo(&read.body);
    read.inbound.prompt = Some(Prompted { echo, ..prompted });
    Ok(Asked { body: body.into(), dialect: Dialect::OpenAiChat, kept })
}

async fn find(front: &Front, caller: &Caller, id: &str) -> Result<KeptResponse, Failed> {
    let ledger = front.worker.services.ledger.clone();
    let (account, name) = (caller.account.clone(), id.to_owned());
    let read = move |reader: &Reader| {
        // A response made a moment ago may still be on its way to the file.
        match reader.kept_response(&account, &name)? {
            None if ledger.flush().is_ok() => reader.kept_response(&account, &name),
            found => Ok(found),
        }
    };
    let found = reading(front, read).await?;
    found.ok_or_else(|| Failed::no_such("response", id))
}

/// Keeps the response when it passes: the whole body, or what a stream's last event holds.
fn keeper(ledger: Ledger, account: Arc<str>, items: String) -> Watch {
    let mut items = Some(items);
    Box::new(move |bytes| {
        let Some(response) = finished(bytes) else { return };
        let Some(items) = items.take() else { return };
        if let Some(id) = id_of(response) {
            let (body, account) = (response.to_owned(), account.clone());
            ledger.keep_response(account, KeptResponse { id, items, body });
        }
    })
}

/// The response in a whole body, or in the event that ends a stream.
fn finished(bytes: &[u8]) -> Option<&str> {
    #[derive(Deserialize)]
    struct Last<'a> {
        #[serde(borrow)]
        response: &'a RawValue,
    }
    if bytes.first() == Some(&b'{') {
        return std::str::from_utf8(bytes).ok();
    }
    let ends = ["completed", "incomplete", "failed"];
    let text = std::str::from_utf8(bytes).ok()?;
    let at = ends.iter().find_map(|end| text.find(&format!("event: response.{end}\n")))?;
    let data = text.get(at..)?.lines().find_map(|line| line.strip_prefix("data: "))?;
    serde_json::from_str::<Last<'_>>(data).ok().map(|last| last.response.get())
}

fn id_of(response: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    serde_json::from_str::<Named>(response).ok().map(|named| named.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_found_in_a_body_and_in_the_event_that_ends_a_stream() {
        let body = br#"{"id":"resp_1","output":[]}"#;
        assert_eq!(finished(body).and_then(id_of).as_deref(), Some("resp_1"));
        let stream = b"event: response.output_item.done\ndata: {\"type\":\"x\"}\n\n\
            event: response.incomplete\ndata: {\"type\":\"y\",\"response\":{\"id\":\"resp_2\"}}\n\n";
        assert_eq!(finished(stream), Some(r#"{"id":"resp_2"}"#));
        for other in [
            &b"event: response.created\ndata: {\"response\":{\"id\":\"r\"}}\n\n"[..],
            b": ping\n\n",
            b"\xff",
        ] {
            assert_eq!(finished(other), None);
        }
    }
}
