//! How a line becomes a call. The calls themselves are made where all others are; what is here is the
//! seam to them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tollgate_accounting::Timestamp;
use tollgate_providers::Encoded;

use crate::ledger::{Handover, KeyName, OpenHold};
use crate::upstream::{Answer, SendError};

/// Where the lines of a batch may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/responses`
    Responses,
    /// `/v1/moderations`
    Moderations,
}

impl Endpoint {
    const ALL: [Endpoint; 5] = [
        Endpoint::Chat,
        Endpoint::Completions,
        Endpoint::Embeddings,
        Endpoint::Responses,
        Endpoint::Moderations,
    ];

    /// The endpoint at a path.
    pub fn named(path: &str) -> Option<Endpoint> {
        Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }

    /// Its path.
    pub const fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Completions => "/v1/completions",
            Endpoint::Embeddings => "/v1/embeddings",
            Endpoint::Responses => "/v1/responses",
            Endpoint::Moderations => "/v1/moderations",
        }
    }

    /// The operation that its calls are, by which their idempotency keys are known.
    pub const fn operation(self) -> &'static str {
        match self {
            Endpoint::Chat | Endpoint::Completions | Endpoint::Responses => "chat.completions",
            Endpoint::Embeddings => "embeddings",
            Endpoint::Moderations => "moderations",
        }
    }

    /// All paths, for people.
    pub fn paths() -> String {
        Endpoint::ALL.map(Endpoint::path).join(", ")
    }
}

/// A line to be called.
#[derive(Clone, Debug)]
pub struct Call {
    /// The credential's id.
    pub key: Arc<str>,
    /// Where it goes.
    pub endpoint: Endpoint,
    /// The tags of its row, canonical.
    pub tags: Arc<str>,
    /// Its idempotency key, which no client can send.
    pub name: Arc<str>,
    /// The request.
    pub body: Bytes,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Made {
    /// The status a client would have seen.
    pub status: u16,
    /// The call's id.
    pub request: String,
    /// The body a client would have seen.
    pub body: Bytes,
    /// That it may be made later, and when.
    pub again: Option<Again>,
    /// That it was in flight when the gateway ended: it is charged, and has no answer.
    pub lost: bool,
}

impl Made {
    /// That nobody knows what became of it.
    pub fn lost() -> Made {
        let (request, body) = (String::new(), Bytes::new());
        Made { status: 0, request, body, again: None, lost: true }
    }
}

/// A call that may be made later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// After so long.
    pub after: Duration,
    /// Whether a provider was asked, and was not ready.
    pub asked: bool,
}

/// A future call.
pub type Making = Pin<Box<dyn Future<Output = Made> + Send>>;

/// Whether a line is held; else what a client would have seen.
pub type Holding = Pin<Box<dyn Future<Output = Result<(), Made>> + Send>>;

/// The head of a provider's answer with its body to come, and how long each piece of that may take.
pub type Asking = Pin<Box<dyn Future<Output = Result<(Answer, Duration), SendError>> + Send>>;

/// How a line is held that is to be handed over.
#[derive(Clone, Copy, Debug)]
pub struct HoldTerms {
    /// When the hold is settled, whatever became of it.
    pub until: Timestamp,
    /// Whether its output is capped lower where the most does not fit, by the account's own terms.
    pub may_be_lowered: bool,
}

/// What a provider's batch says of one line.
#[derive(Clone, Debug)]
pub enum Given {
    /// A status and a body.
    Answer(u16, Bytes),
    /// It did not run; why.
    NotRun(String),
    /// Nobody can say.
    Lost,
}

/// Makes calls.
pub trait Calls: Send + Sync {
    /// Whether a credential may ask for a model; else a code and words.
    ///
    /// # Errors
    /// Where it may not.
    fn check(&self, key: &str, model: &str) -> Result<(), (&'static str, String)>;

    /// Makes a call.
    fn make(&self, call: Call) -> Making;

    /// The largest body.
    fn most_body(&self) -> usize;

    /// The provider and its model that a credential's batch of lines for that model is handed over to, if
    /// it is.
    fn place(&self, key: &str, endpoint: Endpoint, model: &str) -> Option<(Arc<str>, Arc<str>)>;

    /// Holds a line that is to be handed over.
    fn hold(&self, call: Call, to: Handover, terms: HoldTerms) -> Holding;

    /// A line that is held, as its provider reads it.
    ///
    /// # Errors
    /// Where it cannot be written any more; why.
    fn written(&self, call: &Call, hold: &OpenHold, to: &Handover) -> Result<Vec<u8>, String>;

    /// Asks the provider of a handover.
    fn ask(&self, to: &Handover, question: Encoded) -> Asking;

    /// Settles a line that was handed over by what became of it, unless it is settled.
    fn settle(&self, line: KeyName, to: Handover, given: Given) -> Making;
}
