//! Every failure to a status, a code and words for the client. The private cause goes to the log.

mod refusal;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tollgate_accounting::Money;
use tollgate_providers::{BadRequest, Dialect, Next, WireError};

pub(super) use refusal::amount;

use super::strangers::Unauthenticated;
use crate::batches::BatchError;
use crate::call::CallError;
use crate::clock;
use crate::control::ControlError;
use crate::ledger::{CallId, Refused, Used};
use crate::prompts::RenderError;
use crate::routing::{End, NotReady, Unready};
use crate::tenants::Denied;

/// The longest wait a client is told to sit out. Beyond it some SDKs hang (anthropic-python sleeps for
/// any value) and others hammer (openai-node ignores more than 60 s), so the refusal is final instead.
const LONGEST_WAIT_MICROS: i64 = 60 * 1_000_000;

/// A failure on its way to the client.
pub struct Failed {
    /// Boxed, for it is large and failures are few.
    wire: Box<WireError>,
    headers: Vec<(HeaderName, String)>,
    /// Whether it is about the credential; see `strangers`.
    unauthenticated: bool,
}

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

impl Failed {
    fn new(status: StatusCode, kind: &str, code: &str, message: impl Into<String>) -> Failed {
        let wire = WireError {
            status: status.as_u16(),
            kind: kind.to_owned(),
            code: Some(code.to_owned()),
            message: message.into(),
            ..WireError::default()
        };
        Failed::of(wire)
    }

    fn of(wire: WireError) -> Failed {
        Failed { wire: Box::new(wire), headers: Vec::new(), unauthenticated: false }
    }

    fn invalid(status: StatusCode, code: &str, message: impl Into<String>) -> Failed {
        Failed::new(status, "invalid_request_error", code, message)
    }

    /// The same about a field of the request.
    pub(super) fn param(mut self, param: &str) -> Failed {
        self.wire.param = Some(param.to_owned());
        self
    }

    fn final_word(mut self) -> Failed {
        self.headers.push((SHOULD_RETRY, "false".to_owned()));
        self
    }

    fn retry_after(mut self, micros: i64) -> Failed {
        let millis = micros.max(0).saturating_add(999) / 1000;
        self.headers.push((RETRY_AFTER_MS, millis.to_string()));
        self.headers.push((header::RETRY_AFTER, ((millis + 999) / 1000).to_string()));
        self
    }

    /// The address showed too many wrong credentials lately.
    pub(super) fn stranger(wait: i64) -> Failed {
        let message = "this address showed too many wrong credentials: wait, then try a valid one";
        let code = "too_many_refusals";
        Failed::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", code, message)
            .retry_after(wait)
            .final_word()
    }

    /// A body of our own routes makes no sense.
    pub(super) fn body(why: &str) -> Failed {
        Failed::invalid(StatusCode::BAD_REQUEST, "invalid_body", why)
    }

    /// No route is called that.
    pub fn not_found(path: &str) -> Failed {
        let message = format!("there is nothing at {path}");
        Failed::invalid(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The route exists, for other methods.
    pub fn method(method: &str, path: &str) -> Failed {
        let message = format!("{path} does not take {method}");
        Failed::invalid(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// Not in the state that it is in.
    pub(super) fn conflict(message: String) -> Failed {
        Failed::invalid(StatusCode::CONFLICT, "conflict", message).final_word()
    }

    /// Nothing of the caller's is called that.
    pub fn no_such(what: &str, name: &str) -> Failed {
        let message = format!("there is no {what} {name}");
        Failed::invalid(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// No prompt that the caller may run is called that.
    pub(super) fn no_prompt(name: &str, known: &[&str]) -> Failed {
        const SHOWN: usize = 12;
        let some = known.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
        let some = if some.is_empty() { "there are none".to_owned() } else { some };
        let message = format!("there is no prompt {name:?}; served here: {some}");
        Failed::invalid(StatusCode::NOT_FOUND, "prompt_not_found", message).param("prompt")
    }

    /// A prompt's reply did not keep to its schema, and neither did the second; both are charged.
    pub(super) fn output(prompt: &str, wrong: &str, calls: &[String], cost: Money) -> Failed {
        let message = format!("the reply to {prompt} does not keep to its output schema: {wrong}");
        let code = "output_schema_mismatch";
        let mut failed = Failed::new(StatusCode::BAD_GATEWAY, "server_error", code, message);
        failed.wire.extra = vec![("calls", json!(calls)), ("cost_usd", cost.to_string().into())];
        failed.final_word()
    }

    /// The body is larger than allowed.
    pub fn too_large(most: usize) -> Failed {
        let message = format!("the request body is larger than {most} bytes");
        Failed::invalid(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// The body is compressed.
    pub fn compressed(encoding: &str) -> Failed {
        let message =
            format!("a request body with content-encoding {encoding:?} is not read; send it plain");
        Failed::invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message)
    }

    /// The body did not arrive whole.
    pub fn unread() -> Failed {
        Failed::invalid(StatusCode::BAD_REQUEST, "incomplete_body", "the request body broke off")
    }

    /// A header or query parameter makes no sense.
    pub fn parameter(name: &str, message: impl Into<String>) -> Failed {
        Failed::invalid(StatusCode::BAD_REQUEST, "invalid_parameter", message).param(name)
    }

    /// Something of ours failed; the log has the cause.
    pub fn internal(cause: &dyn std::fmt::Display) -> Failed {
        tracing::error!(%cause, "a request failed inside the gateway");
        let message = "the gateway failed; its log has the cause";
        Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message)
    }

    /// The same, saying how the name that was asked for comes to its end.
    pub(super) fn ending(mut self, end: Option<&End>) -> Failed {
        if let Some(end) = end {
            let mut told = http::HeaderMap::new();
            super::ending::headers(&mut told, end);
            let told = told
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.to_str().ok()?.to_owned())));
            self.headers.extend(told);
        }
        self
    }

    /// What is wrong, for people.
    pub fn words(&self) -> &str {
        &self.wire.message
    }

    /// The error object that a client of OpenAI's dialect would get, and the status it would come with.
    pub(super) fn told(&self) -> (u16, Value) {
        let body = Dialect::OpenAiChat.encode_error(&self.wire);
        let mut told: Value = serde_json::from_slice(&body).unwrap_or_default();
        (self.wire.status, told["error"].take())
    }

    /// The response in the shape of the dialect that was spoken.
    pub fn response(self, dialect: Dialect, id: Option<CallId>) -> Response {
        let body = dialect.encode_error(&self.wire);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(self.wire.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        super::stamp(headers, id);
        if self.unauthenticated {
            response.extensions_mut().insert(Unauthenticated);
        }
        response
    }
}

impl From<Denied> for Failed {
    /// One and the same answer, whatever was wrong with the credential.
    fn from(denied: Denied) -> Failed {
        if denied == Denied::Run {
            let message = "x-tollgate-run names no open run of this account";
            return Failed::invalid(StatusCode::FORBIDDEN, "run_not_open", message);
        }
        let message = "no valid API key was given: send one of this gateway's keys as \
            `Authorization: Bearer <key>` or `x-api-key: <key>`";
        let failed = Failed::invalid(StatusCode::UNAUTHORIZED, "invalid_api_key", message);
        Failed { unauthenticated: true, ..failed }
    }
}

impl From<ControlError> for Failed {
    fn from(error: ControlError) -> Failed {
        let (status, code) = match &error {
            ControlError::NoAccount(_)
            | ControlError::NoKey(_)
            | ControlError::NoLimit { .. }
            | ControlError::NoPlan { .. }
            | ControlError::NoSuch { .. } => (StatusCode::NOT_FOUND, "not_found"),
            ControlError::BadLimit { .. }
            | ControlError::NotMore { .. }
            | ControlError::NothingToRaise { .. } => (StatusCode::BAD_REQUEST, "bad_limit"),
            ControlError::Expired => (StatusCode::BAD_REQUEST, "expired"),
            ControlError::OnlyForKeys => (StatusCode::FORBIDDEN, "not_for_runs"),
            ControlError::TooMuch(_) => (StatusCode::UNPROCESSABLE_ENTITY, "too_much"),
            ControlError::Conflict(_) | ControlError::Decided { .. } => {
                (StatusCode::CONFLICT, "conflict")
            }
            ControlError::Ledger(_) | ControlError::Random(_) | ControlError::Store(_) => {
                return Failed::internal(&error);
            }
        };
        Failed::invalid(status, code, error.to_string())
    }
}

impl From<BatchError> for Failed {
    fn from(error: BatchError) -> Failed {
        let (status, code) = match error {
            BatchError::Full(_) => (StatusCode::FORBIDDEN, "file_quota_exceeded"),
            BatchError::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_batches"),
            BatchError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "file_too_large"),
            BatchError::Ledger(refused) => return refused.into(),
            BatchError::Store(_)
            | BatchError::Io(_)
            | BatchError::Random(_)
            | BatchError::Broken(_) => return Failed::internal(&error),
        };
        Failed::invalid(status, code, error.to_string()).final_word()
    }
}

impl From<BadRequest> for Failed {
    fn from(bad: BadRequest) -> Failed {
        Failed::of(bad.to_wire())
    }
}

impl From<RenderError> for Failed {
    fn from(error: RenderError) -> Failed {
        let code = match error {
            RenderError::Inputs(_) => "invalid_inputs",
            RenderError::Template { .. } => "template_failed",
        };
        Failed::invalid(StatusCode::BAD_REQUEST, code, error.to_string()).param("inputs")
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Failed {
        match error {
            CallError::BadRequest(bad) => bad.into(),
            CallError::NoModel { model, nearest } => {
                let near = match nearest.as_slice() {
                    [] => "GET /v1/models lists what there is".to_owned(),
                    near => format!("did you mean {}?", near.join(" or ")),
                };
                let message = format!("there is no model {model:?}: {near}");
                Failed::invalid(StatusCode::NOT_FOUND, "model_not_found", message).param("model")
            }
            CallError::AmbiguousModel { model, full } => {
                let message = format!(
                    "{model:?} is served by several providers: ask for {}",
                    full.join(" or ")
                );
                Failed::invalid(StatusCode::BAD_REQUEST, "model_ambiguous", message).param("model")
            }
            CallError::ForbiddenModel { model } => {
                let message = format!("this account may not use the model {model:?}");
                Failed::invalid(StatusCode::FORBIDDEN, "model_not_allowed", message).param("model")
            }
            CallError::Sunset { model, successor } => {
                let instead = successor.map_or(String::new(), |name| format!(": ask for {name:?}"));
                let message = format!("the model {model:?} is no longer served{instead}");
                Failed::invalid(StatusCode::GONE, "model_sunset", message).param("model")
            }
            CallError::Untagged { model, why } => {
                let message =
                    format!("this call may go to no target of {model:?}: one of them {why}");
                Failed::invalid(StatusCode::FORBIDDEN, "provider_not_allowed", message)
                    .param("model")
            }
            CallError::CannotDo { model, endpoint } => {
                let message = format!("no provider of {model:?} does {endpoint}");
                Failed::invalid(StatusCode::BAD_REQUEST, "unsupported_operation", message)
                    .param("model")
            }
            CallError::Unpriced { target } => {
                let message = format!(
                    "{target} has no price, so its cost cannot be held: the operator adds one \
                     under [prices.\"{target}\"] or configures a ceiling"
                );
                Failed::invalid(StatusCode::BAD_REQUEST, "model_unpriced", message).param("model")
            }
            CallError::NotCached => Failed::invalid(
                StatusCode::GATEWAY_TIMEOUT,
                "not_cached",
                "no answer is kept for this request, and x-tollgate-cache asks for no other",
            )
            .final_word(),
            CallError::NotReady { not, why } => not_ready(not, &why),
            CallError::Ceiling { why, passes: true } => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Failed::new(status, "server_error", "latency_ceiling", why).retry_after(1_000_000)
            }
            CallError::Ceiling { why, passes: false } => {
                Failed::invalid(StatusCode::BAD_REQUEST, "price_ceiling", why)
            }
            CallError::Overloaded => Failed::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "server_error",
                "overloaded",
                "the gateway has as many calls in flight as it takes of this priority",
            )
            .retry_after(1_000_000),
            CallError::KeyUsed(used) => used.into(),
            CallError::Stopped => {
                let message = "the run was stopped, or its time is over";
                Failed::invalid(StatusCode::FORBIDDEN, "run_not_open", message).final_word()
            }
            CallError::Refused(refused) => refused.into(),
            CallError::Provider { failure, attempts } => {
                let mut wire = failure.to_wire();
                wire.extra.push(("attempts", attempts.into()));
                let failed = Failed::of(wire);
                match failure.next {
                    Next::RetryAfter(Some(wait)) if wait <= LONGEST_WAIT_MICROS => {
                        failed.retry_after(wait)
                    }
                    Next::RetryAfter(Some(_)) => failed.final_word(),
                    Next::RetryAfter(None) | Next::FallBack | Next::Reject | Next::Broken => failed,
                }
            }
            CallError::Unreachable { why, late, attempts } => {
                tracing::warn!(why, attempts, "no provider answered");
                let (status, code, message) = if late {
                    (
                        StatusCode::GATEWAY_TIMEOUT,
                        "upstream_timeout",
                        "the provider did not answer in time",
                    )
                } else {
                    (
                        StatusCode::BAD_GATEWAY,
                        "upstream_unreachable",
                        "the provider could not be reached",
                    )
                };
                let mut failed = Failed::new(status, "server_error", code, message);
                failed.wire.extra.push(("attempts", attempts.into()));
                failed
            }
            CallError::Garbled(error) => Failed::of(error.to_wire()),
        }
    }
}

impl From<Used> for Failed {
    fn from(used: Used) -> Failed {
        match used {
            Used::Differently => Failed::invalid(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this idempotency key was used for another request",
            ),
            Used::InFlight(id) | Used::Answered(id) => {
                let message = format!("{id} was sent with this idempotency key and is in flight");
                Failed::invalid(StatusCode::CONFLICT, "idempotency_key_in_flight", message)
                    .retry_after(1_000_000)
            }
            Used::Lost(id) => {
                let message = format!(
                    "{id} was sent with this idempotency key and charged, and its answer was lost \
                     when the gateway ended: send another key to have it made again"
                );
                Failed::invalid(StatusCode::CONFLICT, "idempotent_answer_lost", message)
                    .final_word()
            }
        }
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Failed {
        let unavailable = |code, message: &str| {
            Failed::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", code, message)
                .retry_after(1_000_000)
        };
        match refused {
            Refused::Limit(refusal) => refusal::limit(&refusal),
            Refused::Busy => unavailable("ledger_busy", "the gateway is behind with its records"),
            Refused::DiskFull => unavailable("ledger_full", "the gateway's disk is full"),
            Refused::InDoubt => unavailable("ledger_in_doubt", "the gateway is restarting"),
            Refused::Closing => unavailable("shutting_down", "the gateway is shutting down"),
            Refused::KeyUsed(used) => used.into(),
            Refused::Uncountable => Failed::invalid(
                StatusCode::BAD_REQUEST,
                "cost_out_of_range",
                "what this call may cost is out of range",
            ),
        }
    }
}

/// No provider is asked, for none would serve the call now: a limit of theirs is told as one.
fn not_ready(not: NotReady, why: &str) -> Failed {
    tracing::warn!(why, "no provider can be asked now");
    let mut failed = match not.why {
        Unready::Resting | Unready::Limit(_) => Failed::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            "upstream_rate_limit",
            "every provider of this model is at its own rate limit now",
        ),
        Unready::Breaker | Unready::Probed | Unready::Credential | Unready::Full => Failed::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "upstream_unavailable",
            "no provider of this model can be asked now",
        ),
    };
    failed.wire.extra.push(("attempts", 0.into()));
    let now = u64::try_from(clock::now().micros()).unwrap_or(0);
    let wait = i64::try_from(not.until.saturating_sub(now)).unwrap_or(i64::MAX);
    if wait <= LONGEST_WAIT_MICROS { failed.retry_after(wait) } else { failed.final_word() }
}
