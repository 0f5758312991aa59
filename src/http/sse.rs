//! An answered call to a response: headers that say what was done, and a body, whole or streamed.

use axum::body::Body;
use axum::response::Response;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tollgate_accounting::{Metric, Standing};

use super::{Failed, Front, ending, reading, stamp, view};
use crate::call::{Answered, Cached, Deferred, Origin, Reader, Reply, Streamed};
use crate::clock;
use crate::ledger::{self, CallId, KeptReply, KeyName};
use crate::tenants::Caller;

/// Says that a call was made before.
const REPEATED: HeaderName = HeaderName::from_static("x-tollgate-repeated");

/// Sees an answer on its way to the client: whole, or the pieces of a stream, whole frames each.
pub(super) type Watch = Box<dyn FnMut(&[u8]) + Send>;

/// The response to a call that has an answer.
pub(super) fn respond(front: &Front, caller: &Caller, id: CallId, answered: Answered) -> Response {
    watched(front, caller, id, answered, None)
}

/// The same, with someone who sees what goes to the client.
pub(super) fn watched(
    front: &Front,
    caller: &Caller,
    id: CallId,
    answered: Answered,
    mut watch: Option<Watch>,
) -> Response {
    let Answered { from, reply } = answered;
    let (body, kind, cost) = match reply {
        Reply::Whole { body, kind, settled } => {
            if let Some(watch) = &mut watch {
                watch(&body);
            }
            (Body::from(body), kind, Some(settled.charged.to_string()))
        }
        Reply::Again { pieces, settled } => {
            if let Some(watch) = &mut watch {
                pieces.iter().for_each(|piece| watch(piece));
            }
            let pieces = pieces.into_iter().map(Ok::<_, std::convert::Infallible>);
            let body = Body::from_stream(stream::iter(pieces));
            (body, "text/event-stream", Some(settled.charged.to_string()))
        }
        Reply::Stream(streamed) => (frames(streamed, watch), "text/event-stream", None),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    stamp(headers, Some(id));
    origin(headers, &from);
    if let Some(cost) = cost {
        put(headers, HeaderName::from_static("x-tollgate-cost-usd"), &cost);
    }
    rate_limits(headers, &front.worker.services.ledger.standing(caller.charged));
    response
}

/// The response, or without its body where the client has that already.
pub(super) fn unless_known(mut response: Response, known: Option<&str>) -> Response {
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let is_known = known.zip(tag).is_some_and(|(known, tag)| {
        known.split(',').map(str::trim).any(|k| k == "*" || k.trim_start_matches("W/") == tag)
    });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}

/// The body of a stream; an error breaks it off where a client can tell.
fn frames(streamed: Streamed, watch: Option<Watch>) -> Body {
    Body::from_stream(stream::unfold((streamed, watch), |(mut streamed, mut watch)| async move {
        let bytes = streamed.next().await?;
        if let (Some(watch), Ok(bytes)) = (&mut watch, &bytes) {
            watch(bytes);
        }
        Some((bytes, (streamed, watch)))
    }))
}

/// The answer of a call that was first made with the same idempotency key, while it comes in.
pub(super) fn joined(reader: Reader) -> Response {
    let (id, from) = (reader.id(), reader.from().clone());
    let mut response = Response::new(frames(Streamed::Shared(reader), None));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    stamp(headers, Some(id));
    origin(headers, &from);
    put(headers, REPEATED, "true");
    response
}

/// The answer that a call got when it was first made with its idempotency key.
pub(super) async fn repeat(front: &Front, name: KeyName) -> Result<Response, Failed> {
    let kept = kept(front, name).await?;
    let mut response = Response::new(Body::from(kept.body));
    let headers = response.headers_mut();
    put(headers, header::CONTENT_TYPE, &kept.content_type);
    stamp(headers, Some(kept.id));
    put(headers, REPEATED, "true");
    Ok(response)
}

/// What is kept under an idempotency key that was answered.
pub(super) async fn kept(front: &Front, name: KeyName) -> Result<KeptReply, Failed> {
    let ledger = front.worker.services.ledger.clone();
    let read = move |reader: &ledger::Reader| {
        // An answer given a moment ago may still be on its way to the file.
        let kept = reader.kept_reply(&name)?;
        if kept.is_none() && ledger.flush().is_ok() {
            return reader.kept_reply(&name);
        }
        Ok(kept)
    };
    let kept = reading(front, read).await?;
    kept.ok_or_else(|| Failed::internal(&"a kept answer is missing"))
}

fn origin(headers: &mut HeaderMap, from: &Origin) {
    let Origin { provider, model, attempts, max_output_tokens, dropped, cached, end, deferred } =
        from;
    put(headers, HeaderName::from_static("x-tollgate-provider"), provider);
    put(headers, HeaderName::from_static("x-tollgate-model"), model);
    put(headers, HeaderName::from_static("x-tollgate-attempts"), &attempts.to_string());
    if let Some(cap) = max_output_tokens {
        let name = HeaderName::from_static("x-tollgate-max-output-tokens");
        put(headers, name, &cap.to_string());
    }
    if let Some(cached) = cached {
        let word = match cached {
            Cached::Hit { age, left, tag, .. } => {
                put(headers, header::AGE, &age.to_string());
                put(headers, header::CACHE_CONTROL, &format!("private, max-age={left}"));
                put(headers, header::ETAG, tag);
                "hit"
            }
            Cached::Joined { .. } => "joined",
            Cached::Miss => "miss",
            Cached::Bypass => "bypass",
        };
        put(headers, HeaderName::from_static("x-tollgate-cache"), word);
        if let Some(saved) = cached.saved() {
            put(headers, HeaderName::from_static("x-tollgate-saved-usd"), &saved.to_string());
        }
    }
    if !dropped.is_empty() {
        put(headers, HeaderName::from_static("x-tollgate-dropped"), &dropped.join(", "));
    }
    if let Some(Deferred { waited, tier }) = deferred {
        let waited = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
        let tier = tier.map(|tier| format!(", tier={tier}")).unwrap_or_default();
        let told = format!("waited={}{tier}", view::thousandths(waited));
        put(headers, HeaderName::from_static("x-tollgate-deferred"), &told);
    }
    if let Some(end) = end {
        ending::headers(headers, end);
    }
}

/// OpenAI's headers, from the tightest limit of each kind on the caller's path.
fn rate_limits(headers: &mut HeaderMap, standings: &[Standing]) {
    let now = clock::now();
    let kinds: [(&[Metric], [&'static str; 3]); 2] = [
        (
            &[Metric::Requests],
            [
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ],
        ),
        (
            &[Metric::Tokens, Metric::InputTokens, Metric::OutputTokens],
            [
                "x-ratelimit-limit-tokens",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-tokens",
            ],
        ),
    ];
    for (metrics, [limit, remaining, reset]) in kinds {
        let mine = standings.iter().filter(|s| metrics.contains(&s.metric));
        let Some(tightest) = mine.min_by_key(|s| s.available) else { continue };
        put(headers, HeaderName::from_static(limit), &tightest.capacity.to_string());
        let left = tightest.available.max(0).to_string();
        put(headers, HeaderName::from_static(remaining), &left);
        let wait = tightest.resets_at.map_or(0, |at| at.micros().saturating_sub(now.micros()));
        put(headers, HeaderName::from_static(reset), &span(wait));
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A span as OpenAI writes it: `12ms`, `1.5s`, `6m0s`, `2h3m0s`.
fn span(micros: i64) -> String {
    let millis = micros.max(0) / 1000;
    let (seconds, minutes, hours) = (millis / 1000, millis / 60_000, millis / 3_600_000);
    match (hours, minutes, seconds) {
        (0, 0, 0) => format!("{millis}ms"),
        (0, 0, s) if millis % 1000 == 0 => format!("{s}s"),
        (0, 0, s) => format!("{s}.{:03}s", millis % 1000),
        (0, m, s) => format!("{m}m{}s", s % 60),
        (h, m, s) => format!("{h}h{}m{}s", m % 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_openai_does() {
        let cases = [
            (0, "0ms"),
            (12_000, "12ms"),
            (1_500_000, "1.500s"),
            (17_000_000, "17s"),
            (360_000_000, "6m0s"),
            (7_380_000_000, "2h3m0s"),
            (-5, "0ms"),
        ];
        for (micros, text) in cases {
            assert_eq!(span(micros), text);
        }
    }
}
