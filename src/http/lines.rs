//! The lines of batches as calls: the same steps as a request's, with the answer a client would get.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::HeaderMap;
use http_body_util::BodyExt;
use serde::Deserialize;
use tollgate_providers::{Dialect, Encoded, Task};

use super::calls::{self, Read};
use super::{Failed, Front, REQUEST_ID, handed, openai, prompts};
use crate::batches::{
    Again, Asking, Call, Calls, Endpoint, Given, HoldTerms, Holding, Made, Making,
};
use crate::call::{CacheUse, Inbound};
use crate::clock;
use crate::ledger::{CallId, Handover, KeyName, OpenHold};
use crate::tenants::{Caller, Denied, Priority};

/// Makes the lines of batches.
#[derive(Clone)]
pub struct BatchLines(Arc<Front>);

impl BatchLines {
    /// With these services.
    pub fn new(front: Front) -> BatchLines {
        BatchLines(Arc::new(front))
    }

    fn caller(&self, key: &str) -> Result<Arc<Caller>, Denied> {
        caller(&self.0, key)
    }
}

/// Who a line's credential is.
pub(super) fn caller(front: &Front, key: &str) -> Result<Arc<Caller>, Denied> {
    front.worker.services.directory.of_key(key, clock::now())
}

/// What is known of a line besides its body.
pub(super) fn inbound(call: &Call, id: CallId) -> Inbound {
    Inbound {
        id,
        received_at: clock::now(),
        tags: Some(call.tags.clone()),
        deadline: None,
        defer: false,
        key: Some(call.name.clone()),
        priority: Some(Priority::Low),
        require: Vec::new(),
        cache: CacheUse::Allowed,
        prompt: None,
        dialect_headers: Vec::new(),
    }
}

impl Calls for BatchLines {
    fn check(&self, key: &str, model: &str) -> Result<(), (&'static str, String)> {
        let refused = |message: String| ("model_not_found", message);
        let caller =
            self.caller(key).map_err(|_| ("invalid_api_key", "its key is over".to_owned()))?;
        if prompts::named(model).is_some() {
            // Whether it takes these inputs is seen when it is rendered.
            return Ok(());
        }
        let runtime = self.0.worker.services.runtime.load();
        let known = runtime.routes.find(model).is_ok() && caller.models.allows(model);
        let message = || format!("there is no model {model:?} that this account may use");
        if known { Ok(()) } else { Err(refused(message())) }
    }

    fn make(&self, call: Call) -> Making {
        let lines = self.clone();
        Box::pin(async move { lines.made(call).await })
    }

    fn most_body(&self) -> usize {
        self.0.worker.services.runtime.load().max_body_bytes
    }

    fn place(&self, key: &str, endpoint: Endpoint, model: &str) -> Option<(Arc<str>, Arc<str>)> {
        handed::place(&self.0, key, endpoint, model)
    }

    fn hold(&self, call: Call, to: Handover, terms: HoldTerms) -> Holding {
        let lines = self.clone();
        Box::pin(async move {
            let id = CallId::new();
            match handed::hold(&lines.0, &call, id, (&to, terms)) {
                Ok(()) => Ok(()),
                Err(failed) => Err(told(failed.response(dialect(call.endpoint), Some(id))).await),
            }
        })
    }

    fn written(&self, call: &Call, hold: &OpenHold, to: &Handover) -> Result<Vec<u8>, String> {
        handed::written(&self.0, call, hold, to).map_err(|failed| failed.words().to_owned())
    }

    fn ask(&self, to: &Handover, question: Encoded) -> Asking {
        Box::pin(handed::ask(self.0.clone(), to.clone(), question))
    }

    fn settle(&self, line: KeyName, to: Handover, given: Given) -> Making {
        let lines = self.clone();
        Box::pin(async move {
            let (id, failed) = handed::settle(&lines.0, &line, &to, &given);
            match (failed, given) {
                (Some(failed), _) => told(failed.response(Dialect::OpenAiChat, id)).await,
                (None, Given::Answer(_, body)) => {
                    let request = id.map(|id| id.to_string()).unwrap_or_default();
                    Made { status: 200, request, body, again: None, lost: false }
                }
                (None, _) => Made::lost(),
            }
        })
    }
}

/// In whose words a line's errors are.
fn dialect(endpoint: Endpoint) -> Dialect {
    match endpoint {
        Endpoint::Responses => Dialect::OpenAiResponses,
        _ => Dialect::OpenAiChat,
    }
}

impl BatchLines {
    async fn made(&self, call: Call) -> Made {
        let (id, endpoint) = (CallId::new(), call.endpoint);
        let answer = self.answer(call, id).await;
        told(answer.unwrap_or_else(|failed| failed.response(dialect(endpoint), Some(id)))).await
    }

    async fn answer(&self, call: Call, id: CallId) -> Result<Response, Failed> {
        let front = &*self.0;
        let caller = self.caller(&call.key)?;
        let inbound = inbound(&call, id);
        let Call { endpoint, body, .. } = call;
        let read = Read::before(front, caller, inbound, body);
        let none = HeaderMap::new();
        match endpoint {
            Endpoint::Chat => calls::chat_of(front, &none, read, Dialect::OpenAiChat).await,
            Endpoint::Completions => {
                calls::chat_of(front, &none, read, Dialect::OpenAiCompletions).await
            }
            Endpoint::Embeddings => {
                calls::embeddings_of(front, read, Dialect::OpenAiEmbeddings).await
            }
            Endpoint::Responses => openai::responses::create_of(front, read).await,
            Endpoint::Moderations => calls::task_of(front, read, Task::Moderate).await,
        }
    }
}

/// What a response says, to who has until tomorrow.
async fn told(response: Response) -> Made {
    #[derive(Default, Deserialize)]
    struct Told {
        error: Option<Why>,
    }
    #[derive(Deserialize)]
    struct Why {
        code: Option<String>,
        #[serde(default)]
        attempts: u32,
    }
    let (head, body) = response.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let request = text(REQUEST_ID.as_str()).unwrap_or_default().to_owned();
    let status = head.status.as_u16();
    // A reply that is whole is in memory already.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let why = if status < 400 { None } else { serde_json::from_slice::<Told>(&body).ok() };
    let why = why.unwrap_or_default().error;
    let code = why.as_ref().and_then(|why| why.code.as_deref()).unwrap_or_default();
    let lost = matches!(code, "idempotent_answer_lost" | "idempotency_key_in_flight");
    let passes = matches!(status, 429 | 503 | 529) && text("x-should-retry") != Some("false");
    let again = passes.then(|| Again {
        after: Duration::from_millis(
            text("retry-after-ms").and_then(|ms| ms.parse().ok()).unwrap_or(1_000),
        ),
        asked: why.is_some_and(|why| why.attempts > 0),
    });
    Made { status, request, body, again, lost }
}
