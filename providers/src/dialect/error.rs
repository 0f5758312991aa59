//! Errors in each dialect's shape.

use super::json::Object;
use crate::unified::WireError;

/// `{"error":{"message","type","param","code",…}}`.
pub(crate) fn openai(error: &WireError, out: &mut Vec<u8>) {
    let mut top = Object::open(out);
    let mut inner = top.object("error");
    openai_members(error, &mut inner);
    inner.close();
    top.close();
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
