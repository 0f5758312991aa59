//! What a response that is no success means: the status, the headers, and what the body says.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Timestamp;

use crate::http_date;
use crate::rate_limits::span;
use crate::redact::redact;
use crate::unified::{ErrorKind, Failure, HeaderLookup, Next, ProviderError, Text};

/// The most of a body that is passed on in a message.
const MESSAGE_CAP: usize = 2_000;

/// The shapes an error body has in the field, all at once.
#[derive(Deserialize, Default)]
struct WireBody<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct WireError<'a> {
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    param: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

/// What an error body says.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) param: Option<String>,
}

/// Understands a response that is no success.
pub(crate) fn classify(
    status: u16,
    headers: &HeaderLookup<'_>,
    body: &[u8],
    now: Timestamp,
) -> Failure {
    let said = read(body);
    let kind = kind_of(status, &said);
    let wait = retry_after(headers, now)
        .or_else(|| retry_delay(body))
        .or_else(|| (kind == ErrorKind::RateLimit).then(|| try_again(&said.message))?);
    let next = match kind {
        ErrorKind::RateLimit | ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Server => {
            Next::RetryAfter(wait)
        }
        ErrorKind::Quota | ErrorKind::Authentication | ErrorKind::Permission => Next::Broken,
        // Another target may have the model, or a longer context.
        ErrorKind::NotFound | ErrorKind::ContextLength => Next::FallBack,
        ErrorKind::Malformed | ErrorKind::TooLarge | ErrorKind::Truncated => Next::FallBack,
        ErrorKind::InvalidRequest | ErrorKind::ContentPolicy => Next::Reject,
    };
    let message = match kind {
        // Whose account it is, and what is wrong with it, is between the operator and the provider.
        ErrorKind::Authentication | ErrorKind::Permission => {
            "the provider refused the gateway's credential".to_owned()
        }
        ErrorKind::Quota => "the gateway's account at the provider is out of credit".to_owned(),
        _ if said.message.is_empty() => format!("the provider answered with status {status}"),
        _ => said.message,
    };
    let code = match kind {
        ErrorKind::ContextLength => Some("context_length_exceeded".to_owned()),
        ErrorKind::Authentication | ErrorKind::Permission | ErrorKind::Quota => {
            Some(format!("upstream_{}", kind.name()))
        }
        _ => said.code.or(said.kind),
    };
    let request_id =
        ["x-request-id", "request-id", "apim-request-id"].into_iter().find_map(headers);
    Failure { next, status, kind, message, code, param: said.param, request_id }
}

/// The error that a frame or a body with status 200 tells.
pub(crate) fn told(error: &str) -> ProviderError {
    let said = read_error(error);
    let status = said.code.as_deref().and_then(|code| code.parse().ok());
    let kind = match kind_of(status.unwrap_or(500), &said) {
        ErrorKind::InvalidRequest if status.is_none() => ErrorKind::Server,
        kind => kind,
    };
    let message = match kind {
        ErrorKind::Authentication | ErrorKind::Permission | ErrorKind::Quota => {
            "the provider refused the gateway's account".to_owned()
        }
        _ if said.message.is_empty() => "the provider reports an error".to_owned(),
        _ => said.message,
    };
    ProviderError { kind, message, code: said.code.or(said.kind) }
}

/// How long the provider asks to wait, in microseconds.
pub fn retry_after(headers: &HeaderLookup<'_>, now: Timestamp) -> Option<i64> {
    let millis = headers("retry-after-ms").and_then(|v| micros(&v, 1_000));
    millis.or_else(|| {
        let value = headers("retry-after")?;
        micros(&value, 1_000_000).or_else(|| {
            let at = http_date::parse(value.trim())?.checked_mul(1_000_000)?;
            Some(at.saturating_sub(now.micros()).max(0))
        })
    })
}

/// Google says how long to wait in the body: `"retryDelay": "12.5s"`.
fn retry_delay(body: &[u8]) -> Option<i64> {
    let body = body.get(..body.len().min(1 << 16))?;
    let at = memchr::memmem::find(body, b"\"retryDelay\"")?;
    let mut quoted = std::str::from_utf8(body.get(at..)?).ok()?.splitn(5, '"').skip(3);
    micros(quoted.next()?.strip_suffix('s')?, 1_000_000)
}

/// OpenAI says it in words: "Please try again in 6m0s."
fn try_again(message: &str) -> Option<i64> {
    let (_, rest) = message.split_once("try again in ")?;
    let word = rest.split_whitespace().next()?.trim_end_matches('.');
    // Without its unit the number could be anything.
    word.ends_with('s').then(|| i64::try_from(span(word)?).ok())?
}

/// A number of units as microseconds. Fractions are in use.
fn micros(value: &str, unit: i64) -> Option<i64> {
    let places = if unit == 1_000 { 3 } else { 6 };
    let (micros, cut) = crate::decimal::scaled(value.trim(), places)?;
    let micros = i64::try_from(micros + i128::from(cut)).ok()?;
    (0..=i64::MAX / 2).contains(&micros).then_some(micros)
}

fn kind_of(status: u16, said: &Said) -> ErrorKind {
    let code = said.code.as_deref().unwrap_or_default();
    let kind = said.kind.as_deref().unwrap_or_default();
    let is = |words: &[&str]| words.iter().any(|w| *w == code || *w == kind);
    let text = said.message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|p| text.contains(p));
    if is(&["context_length_exceeded", "string_above_max_length", "request_too_large"])
        || (matches!(status, 400 | 413 | 422)
            && says(&[
                "context length",
                "context window",
                "prompt is too long",
                "maximum context",
                "input token count",
                "too many tokens",
                "reduce the length",
                "input is too long",
                "input tokens exceeded",
            ]))
    {
        return ErrorKind::ContextLength;
    }
    if is(&["content_filter", "content_policy_violation", "responsible_ai_policy_violation"])
        || is(&["ResponsibleAIPolicyViolation", "moderation_blocked", "invalid_prompt"])
    {
        return ErrorKind::ContentPolicy;
    }
    if is(&[
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "enforced_spend_limit_reached",
    ]) || (status == 400 && says(&["credit balance is too low"]))
    {
        return ErrorKind::Quota;
    }
    if says(&["api key not valid", "api key expired"]) {
        return ErrorKind::Authentication;
    }
    if is(&["overloaded_error", "engine_overloaded", "UNAVAILABLE"]) {
        return ErrorKind::Overloaded;
    }
    if is(&["rate_limit_error", "rate_limit_exceeded", "RESOURCE_EXHAUSTED"]) {
        return ErrorKind::RateLimit;
    }
    match status {
        401 => ErrorKind::Authentication,
        402 => ErrorKind::Quota,
        403 => ErrorKind::Permission,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        413 => ErrorKind::TooLarge,
        425 | 429 => ErrorKind::RateLimit,
        503 | 529 => ErrorKind::Overloaded,
        // A conflict passes; a redirect or a switch of protocols is nothing we asked for.
        409 | 500.. => ErrorKind::Server,
        400..=499 => ErrorKind::InvalidRequest,
        _ => ErrorKind::Server,
    }
}

/// Reads an error body in any of the shapes in the field.
pub(crate) fn read(body: &[u8]) -> Said {
    let body = body.get(..body.len().min(1 << 20)).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    // Google wraps the error of a stream in an array.
    let object =
        text.trim().strip_prefix('[').map_or(text.trim(), |t| t.trim_end_matches(']').trim());
    let Ok(wire) = serde_json::from_str::<WireBody<'_>>(object) else {
        // No page of a proxy is passed on; a line of plain text is.
        let plain = !text.trim_start().starts_with('<') && text.trim().lines().count() == 1;
        let message = if plain { clean(text.trim()) } else { String::new() };
        return Said { message, ..Said::default() };
    };
    match wire.error {
        Some(raw) if raw.get() != "null" => read_error(raw.get()),
        _ => {
            let (message, code, kind) = (wire.message.or(wire.detail), wire.code, wire.kind);
            Said {
                message: message.map(plain).unwrap_or_default(),
                code: code.and_then(word),
                kind: kind.and_then(word),
                param: None,
            }
        }
    }
}

fn read_error(json: &str) -> Said {
    let Ok(wire) = serde_json::from_str::<WireError<'_>>(json) else {
        let message = serde_json::from_str::<Text<'_>>(json).map(|t| clean(&t)).unwrap_or_default();
        return Said { message, ..Said::default() };
    };
    Said {
        message: wire.message.map(plain).unwrap_or_default(),
        code: wire.code.and_then(word),
        kind: wire.kind.and_then(word).or(wire.status.and_then(word)),
        param: wire.param.and_then(word),
    }
}

/// A string as it is, or a word for a number; nothing for anything longer.
fn word(raw: &RawValue) -> Option<String> {
    let text = match raw.get() {
        "null" => return None,
        quoted if quoted.starts_with('"') => serde_json::from_str::<String>(quoted).ok()?,
        other => other.to_owned(),
    };
    (!text.is_empty() && text.len() <= 120).then(|| redact(&text))
}

fn plain(raw: &RawValue) -> String {
    match serde_json::from_str::<Text<'_>>(raw.get()) {
        Ok(text) => clean(&text),
        Err(_) if raw.get() == "null" => String::new(),
        Err(_) => clean(raw.get()),
    }
}

/// The text without secrets, cut to what a message should hold.
fn clean(text: &str) -> String {
    let mut text = redact(text);
    if text.len() > MESSAGE_CAP {
        let cut = (0..=MESSAGE_CAP).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}
