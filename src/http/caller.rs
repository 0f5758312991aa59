//! A request's head and body to a caller and an inbound call. Identity comes from a credential alone.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use tollgate_accounting::Timestamp;

use super::{Failed, Front};
use crate::call::{CacheUse, Inbound, well_formed_key};
use crate::clock;
use crate::ledger::CallId;
use crate::tenants::{Caller, Denied, Priority};

/// The most tags of a call, and the most bytes of them.
const MOST_TAGS: usize = 16;
const MOST_TAG_BYTES: usize = 512;
/// Headers that say which variant of its dialect a client speaks.
const DIALECT_HEADERS: [&str; 2] = ["anthropic-version", "anthropic-beta"];
/// When the client stops waiting.
const DEADLINE: &str = "x-tollgate-deadline";
/// What targets must be tagged with to be asked.
pub(super) const REQUIRE: &str = "x-tollgate-require";
/// The run that a key of its account acts as.
const RUN: &str = "x-tollgate-run";
/// A body of unknown length begins with this much room.
const FIRST_ROOM: usize = 8 * 1024;

/// Who calls. `Authorization: Bearer` is what OpenAI's and newer Anthropic clients send, `x-api-key`
/// what older ones do, `x-goog-api-key` Google's.
pub(super) fn authenticate(front: &Front, headers: &HeaderMap) -> Result<Arc<Caller>, Denied> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let shown = bearer.or_else(|| text("x-api-key")).or_else(|| text("x-goog-api-key"));
    let directory = &front.worker.services.directory;
    let now = clock::now();
    let found = directory.authenticate(shown, now).and_then(|caller| match text(RUN) {
        Some(name) => directory.run(&caller, name, now),
        None => Ok(caller),
    });
    found.inspect_err(|denied| tracing::debug!(?denied, "a credential was refused"))
}

/// The call as its head describes it.
pub(super) fn inbound(headers: &HeaderMap, id: CallId) -> Result<Inbound, Failed> {
    let received_at = clock::now();
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let tags = text("x-tollgate-tags").map(tags).transpose()?.flatten();
    let (deadline, defer) = waits(headers, received_at)?;
    let key = text("idempotency-key").map(key).transpose()?;
    let priority = text("x-tollgate-priority").map(priority).transpose()?;
    let require = text(REQUIRE).map_or(Ok(Vec::new()), require)?;
    let cache = text("x-tollgate-cache").map_or(Ok(CacheUse::Allowed), cache)?;
    let dialect_headers = DIALECT_HEADERS
        .iter()
        .filter_map(|name| Some((*name, text(name)?.to_owned())))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    Ok(Inbound {
        id,
        received_at,
        tags,
        deadline,
        defer,
        key,
        priority,
        require,
        cache,
        prompt: None,
        dialect_headers,
    })
}

/// The body, if it is plain and within the limit.
pub(super) async fn body(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Failed> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(Failed::compressed(encoding.to_str().unwrap_or("?")));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > most) {
        return Err(Failed::too_large(most));
    }
    let mut body = body;
    let mut whole = BytesMut::new();
    let mut only: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Failed::unread()) };
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + only.as_ref().map_or(0, Bytes::len) + data.len() > most {
            return Err(Failed::too_large(most));
        }
        // Most bodies arrive in one piece, which is used as it came.
        if only.is_none() && whole.is_empty() {
            only = Some(data);
            continue;
        }
        if let Some(first) = only.take() {
            whole.reserve(length.unwrap_or(FIRST_ROOM).max(first.len()));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(only.unwrap_or_else(|| whole.freeze()))
}

/// `b=2, a=1` as `a=1,b=2`: sorted, so that equal tags are one group in a report.
pub(super) fn tags(text: &str) -> Result<Option<Arc<str>>, Failed> {
    let bad = |why: &str| Failed::parameter("x-tollgate-tags", format!("x-tollgate-tags {why}"));
    if text.len() > MOST_TAG_BYTES {
        return Err(bad("is longer than 512 bytes"));
    }
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("is not name=value,..."))?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || pairs.iter().any(|(have, _)| *have == name) {
            return Err(bad("has an empty or repeated name"));
        }
        pairs.push((name, value));
    }
    if pairs.len() > MOST_TAGS {
        return Err(bad("has more than 16 tags"));
    }
    pairs.sort_unstable();
    let joined: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    Ok((!joined.is_empty()).then(|| joined.join(",").into()))
}

fn key(text: &str) -> Result<Arc<str>, Failed> {
    let message = "idempotency-key takes 1 to 255 visible characters";
    well_formed_key(text).ok_or_else(|| Failed::parameter("idempotency-key", message))
}

fn priority(text: &str) -> Result<Priority, Failed> {
    Priority::named(text.trim()).ok_or_else(|| {
        let message = "x-tollgate-priority takes low, normal or high";
        Failed::parameter("x-tollgate-priority", message)
    })
}

/// `region:eu, no-training`, sorted, so that equal lists are one in the cache.
pub(super) fn require(text: &str) -> Result<Vec<Arc<str>>, Failed> {
    let bad = |why: &str| Failed::parameter(REQUIRE, format!("{REQUIRE} {why}"));
    if text.len() > MOST_TAG_BYTES {
        return Err(bad("is longer than 512 bytes"));
    }
    let mut tags: Vec<Arc<str>> = Vec::new();
    for tag in text.split(',').map(str::trim) {
        if tag.is_empty() {
            return Err(bad("has an empty tag"));
        }
        tags.push(tag.into());
    }
    tags.sort_unstable();
    tags.dedup();
    if tags.len() > MOST_TAGS {
        return Err(bad("has more than 16 tags"));
    }
    Ok(tags)
}

fn cache(text: &str) -> Result<CacheUse, Failed> {
    match text.trim() {
        "no-store" => Ok(CacheUse::NoStore),
        "refresh" => Ok(CacheUse::Refresh),
        "only" => Ok(CacheUse::Only),
        _ => {
            let message = "x-tollgate-cache takes no-store, refresh or only";
            Err(Failed::parameter("x-tollgate-cache", message))
        }
    }
}

/// When the client stops waiting, and whether it can wait until then.
pub(super) fn waits(
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<(Option<Timestamp>, bool), Failed> {
    let Some(value) = headers.get(DEADLINE) else { return Ok((None, false)) };
    let (at, defer) = deadline(value.to_str().unwrap_or(""), now)?;
    Ok((Some(at), defer))
}

/// Seconds from now, or an instant in RFC 3339; `; defer` behind it says that the client can wait so long.
fn deadline(text: &str, now: Timestamp) -> Result<(Timestamp, bool), Failed> {
    let name = DEADLINE;
    let bad = || {
        let takes =
            "takes seconds or an RFC 3339 instant, and behind it `; defer` from who can wait";
        Failed::parameter(name, format!("{name} {takes}"))
    };
    let (text, defer) = match text.split_once(';') {
        None => (text, false),
        Some((text, word)) if word.trim().eq_ignore_ascii_case("defer") => (text, true),
        Some(_) => return Err(bad()),
    };
    let at = match text.trim().parse::<u32>() {
        Ok(seconds) => now.saturating_plus(i64::from(seconds) * 1_000_000),
        Err(_) => {
            let instant: jiff::Timestamp = text.trim().parse().map_err(|_| bad())?;
            Timestamp::from_micros(instant.as_microsecond())
        }
    };
    if at <= now {
        return Err(Failed::parameter(name, format!("{name} has passed")));
    }
    Ok((at, defer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_canonical() {
        let cases = [
            ("b=2, a=1", Some("a=1,b=2")),
            ("a=1,b=2", Some("a=1,b=2")),
            ("", None),
            ("a=", Some("a=")),
        ];
        for (text, expected) in cases {
            assert_eq!(tags(text).ok().flatten().as_deref(), expected, "{text}");
        }
        for bad in ["a", "=1", "a=1,a=2"] {
            assert!(tags(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_deadline_is_seconds_or_an_instant_and_lies_ahead() {
        let now = Timestamp::from_micros(1_000_000);
        let at = |micros, defer| Some((Timestamp::from_micros(micros), defer));
        assert_eq!(deadline("2", now).ok(), at(3_000_000, false));
        assert_eq!(deadline(" 2 ; Defer", now).ok(), at(3_000_000, true));
        assert_eq!(deadline("1970-01-01T00:00:09Z", now).ok(), at(9_000_000, false));
        assert_eq!(deadline("1970-01-01T00:00:09Z;defer", now).ok(), at(9_000_000, true));
        let bad = ["", "soon", "-1", "0", "1970-01-01T00:00:00Z", "; defer", "9;", "9; later"];
        for bad in bad.into_iter().chain(["0; defer", "9; defer; defer"]) {
            assert!(deadline(bad, now).is_err(), "{bad}");
        }
    }
}
