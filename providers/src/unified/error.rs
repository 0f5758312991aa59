//! The two kinds of error: what the caller does next is an enum, text is for people.

use std::fmt;

/// A request that cannot be understood or carried. Nothing was sent and nothing is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRequest {
    /// What is wrong, for the person who wrote the request.
    pub message: String,
    /// The field at fault, such as `messages[2].content`.
    pub param: Option<String>,
    /// A machine-readable reason.
    pub code: Option<&'static str>,
}

impl BadRequest {
    /// A request whose field `param` is at fault.
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        BadRequest { message: message.into(), param: Some(param.into()), code: None }
    }

    /// A request that is wrong as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        BadRequest { message: message.into(), param: None, code: None }
    }

    /// The same with a machine-readable reason.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The error as a client is told it.
    pub fn to_wire(&self) -> WireError {
        WireError {
            status: 400,
            kind: "invalid_request_error".into(),
            code: self.code.map(str::to_owned),
            param: self.param.clone(),
            message: self.message.clone(),
            extra: Vec::new(),
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadRequest {}

/// What kind of failure it was, whoever reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The provider refuses the request as it is.
    InvalidRequest,
    /// The prompt, or prompt and output together, exceed the model's context.
    ContextLength,
    /// A content policy forbids it.
    ContentPolicy,
    /// The operator's credential was refused.
    Authentication,
    /// The operator's credential may not do this.
    Permission,
    /// The operator's account at the provider is out of credit.
    Quota,
    /// Too many requests or tokens.
    RateLimit,
    /// The model or path does not exist there.
    NotFound,
    /// The provider is overloaded.
    Overloaded,
    /// The provider took too long.
    Timeout,
    /// The provider failed.
    Server,
    /// What came cannot be read as the provider's dialect.
    Malformed,
    /// A part of the reply was larger than allowed.
    TooLarge,
    /// The stream stopped before its end.
    Truncated,
}

impl ErrorKind {
    /// The name in logs, metrics and ledger rows.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidRequest => "invalid_request",
            ErrorKind::ContextLength => "context_length",
            ErrorKind::ContentPolicy => "content_policy",
            ErrorKind::Authentication => "authentication",
            ErrorKind::Permission => "permission",
            ErrorKind::Quota => "quota",
            ErrorKind::RateLimit => "rate_limit",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Server => "server",
            ErrorKind::Malformed => "malformed",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Truncated => "truncated",
        }
    }
}

/// A reply or stream that went wrong after the provider had accepted the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What happened, for people; the provider's own words where it had some, secrets taken out.
    pub message: String,
    /// The provider's code or type, where it gave one.
    pub code: Option<String>,
}

impl ProviderError {
    /// An error found by us rather than told by the provider.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ProviderError { kind, message: message.into(), code: None }
    }

    /// The error as a client is told it.
    pub fn to_wire(&self) -> WireError {
        let (status, kind) = match self.kind {
            ErrorKind::RateLimit => (429, "rate_limit_exceeded"),
            ErrorKind::InvalidRequest | ErrorKind::ContextLength | ErrorKind::ContentPolicy => {
                (400, "invalid_request_error")
            }
            ErrorKind::Overloaded => (503, "server_error"),
            ErrorKind::Timeout => (504, "server_error"),
            _ => (502, "server_error"),
        };
        WireError {
            status,
            kind: kind.into(),
            code: Some(
                self.code.clone().unwrap_or_else(|| format!("upstream_{}", self.kind.name())),
            ),
            param: None,
            message: self.message.clone(),
            extra: Vec::new(),
        }
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}

impl std::error::Error for ProviderError {}

/// What the caller does next about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try the same target again, after so many microseconds where the provider said how many.
    RetryAfter(Option<i64>),
    /// Try another target; this one will not answer this request.
    FallBack,
    /// Tell the client: no target would answer it.
    Reject,
    /// The target is misconfigured (credential, credit, path): try another, and take this one out of service.
    Broken,
}

/// A response that is not a success, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to do.
    pub next: Next,
    /// The provider's status.
    pub status: u16,
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What the client may read: the provider's own words with secrets taken out, or ours where its
    /// words are the operator's business.
    pub message: String,
    /// The provider's code or type.
    pub code: Option<String>,
    /// The field at fault, where the provider named one.
    pub param: Option<String>,
    /// The provider's own id of the request, for support.
    pub request_id: Option<String>,
}

impl Failure {
    /// The error as a client is told it once nothing else can be tried.
    pub fn to_wire(&self) -> WireError {
        let (status, kind) = match self.kind {
            ErrorKind::InvalidRequest | ErrorKind::ContextLength | ErrorKind::ContentPolicy => (
                if (400..500).contains(&self.status) { self.status } else { 400 },
                "invalid_request_error",
            ),
            ErrorKind::TooLarge => (413, "invalid_request_error"),
            ErrorKind::NotFound => (404, "invalid_request_error"),
            ErrorKind::RateLimit => (429, "rate_limit_exceeded"),
            ErrorKind::Overloaded => (503, "server_error"),
            ErrorKind::Timeout => (504, "server_error"),
            // The operator's credential is no business of the client's: to it, the gateway failed.
            ErrorKind::Authentication | ErrorKind::Permission | ErrorKind::Quota => {
                (502, "server_error")
            }
            // A conflict keeps its name: it is about the request, and may pass.
            ErrorKind::Server if self.status == 409 => (409, "invalid_request_error"),
            ErrorKind::Server | ErrorKind::Malformed | ErrorKind::Truncated => {
                (502, "server_error")
            }
        };
        WireError {
            status,
            kind: kind.into(),
            code: self.code.clone(),
            param: self.param.clone(),
            message: self.message.clone(),
            extra: Vec::new(),
        }
    }
}

/// An error as a client is to read it, before it takes the shape of a dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireError {
    /// The HTTP status.
    pub status: u16,
    /// The type in OpenAI's words, such as `invalid_request_error`.
    pub kind: String,
    /// A machine-readable reason.
    pub code: Option<String>,
    /// The field at fault.
    pub param: Option<String>,
    /// For people.
    pub message: String,
    /// More members of the error object.
    pub extra: Vec<(&'static str, serde_json::Value)>,
}
