//! Errors in each dialect's shape.

use super::json::{Object, array};
use crate::unified::WireError;

/// `{"error":{"message","type","param","code",…}}`.
pub(crate) fn openai(error: &WireError, out: &mut Vec<u8>) {
    let mut top = Object::open(out);
    let mut inner = top.object("error");
    openai_members(error, &mut inner);
    inner.close();
    top.close();
}

/// The same as an event of a stream.
pub(crate) fn openai_event(error: &WireError, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    openai(error, out);
    out.extend_from_slice(b"\n\n");
}

/// `"message","type","param","code",…`.
pub(crate) fn openai_members(error: &WireError, inner: &mut Object<'_>) {
    let WireError { status: _, kind, code, param, message, extra } = error;
    inner.str("message", message).str("type", kind);
    inner.value("param", param).value("code", code);
    for (name, value) in extra {
        inner.value(name, value);
    }
}

/// `{"type":"error","error":{"type","message",…}}`.
pub(crate) fn anthropic(error: &WireError, out: &mut Vec<u8>) {
    let WireError { status, kind, code, param, message, extra } = error;
    let mut top = Object::open(out);
    top.str("type", "error");
    let mut inner = top.object("error");
    inner.str("type", anthropic_kind(*status, kind)).str("message", message);
    if code.is_some() || param.is_some() || !extra.is_empty() {
        let mut details = inner.object("details");
        if let Some(code) = code {
            details.str("error_code", code);
        }
        if let Some(param) = param {
            details.str("param", param);
        }
        for (name, value) in extra {
            details.value(name, value);
        }
        details.close();
    }
    inner.close();
    top.close();
}

fn anthropic_kind(status: u16, kind: &str) -> &'static str {
    match (status, kind) {
        (_, "insufficient_quota") => "billing_error",
        (401, _) => "authentication_error",
        (402, _) => "billing_error",
        (403, _) => "permission_error",
        (404, _) => "not_found_error",
        (409, _) => "conflict_error",
        (413, _) => "request_too_large",
        (429, _) => "rate_limit_error",
        (408 | 504, _) => "timeout_error",
        (503 | 529, _) => "overloaded_error",
        (500.., _) => "api_error",
        _ => "invalid_request_error",
    }
}

/// `{"error":{"code","message","status","details"}}`, the rest as metadata of one detail.
pub(crate) fn google(error: &WireError, out: &mut Vec<u8>) {
    let WireError { status, kind, code, param, message, extra } = error;
    let mut top = Object::open(out);
    let mut inner = top.object("error");
    inner.num("code", u64::from(*status)).str("message", message);
    inner.str("status", google_status(*status));
    array(inner.key("details"), [()], |out, ()| {
        let mut detail = Object::open(out);
        detail.str("@type", "type.googleapis.com/google.rpc.ErrorInfo");
        detail.str("reason", code.as_deref().unwrap_or(kind)).str("domain", "tollgate");
        // Its values are strings.
        let mut metadata = detail.object("metadata");
        metadata.str("type", kind);
        if let Some(param) = param {
            metadata.str("param", param);
        }
        for (name, value) in extra {
            match value.as_str() {
                Some(text) => metadata.str(name, text),
                None => metadata.str(name, &value.to_string()),
            };
        }
        metadata.close();
        detail.close();
    });
    inner.close();
    top.close();
}

const fn google_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        501 => "UNIMPLEMENTED",
        502 | 503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}
