//! What the endpoints that make calls have in common: the caller, the body, the call, the answer.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, header};
use tollgate_providers::{Dialect, Task, canonical_form};

use super::anthropic::version;
use super::sse::Watch;
use super::{Failed, Front, caller, prompts, sse};
use crate::call::{CallError, Operation, Served, serve};
use crate::ledger::CallId;

/// A chat completion in a dialect.
pub(super) async fn chat(
    front: &Front,
    headers: &HeaderMap,
    body: Body,
    dialect: Dialect,
) -> Response {
    let id = CallId::new();
    let answer = async {
        let read = Read::of(front, headers, body, id).await?;
        chat_of(front, headers, read, dialect).await
    };
    answer.await.unwrap_or_else(|failed: Failed| failed.response(dialect, Some(id)))
}

/// The same of a request that was read.
pub(super) async fn chat_of(
    front: &Front,
    headers: &HeaderMap,
    mut read: Read,
    dialect: Dialect,
) -> Result<Response, Failed> {
    let body = read.body.clone();
    let request = dialect.decode_chat(&body, &read.bounds)?;
    if dialect == Dialect::AnthropicMessages {
        version::check(headers, &request)?;
    }
    if let Some(name) = prompts::named(&request.model) {
        let (rendered, prompted) =
            prompts::from_chat(front, &read.caller, name, &request, dialect)?;
        let cap = request.max_output_tokens;
        let body = rendered.body(request.stream, request.include_usage, cap);
        read.inbound.prompt = Some(prompted);
        let request = Dialect::OpenAiChat.decode_chat(&body, &read.bounds)?;
        return read.serve(front, &Operation::Chat(Box::new(request))).await;
    }
    read.serve(front, &Operation::Chat(Box::new(request))).await
}

/// Embeddings in a dialect.
pub(super) async fn embeddings(
    front: &Front,
    headers: &HeaderMap,
    body: Body,
    dialect: Dialect,
) -> Response {
    let id = CallId::new();
    let answer = async {
        let read = Read::of(front, headers, body, id).await?;
        embeddings_of(front, read, dialect).await
    };
    answer.await.unwrap_or_else(|failed: Failed| failed.response(dialect, Some(id)))
}

/// The same of a request that was read.
pub(super) async fn embeddings_of(
    front: &Front,
    read: Read,
    dialect: Dialect,
) -> Result<Response, Failed> {
    let request = dialect.decode_embeddings(&read.body, &read.bounds)?;
    read.serve(front, &Operation::Embeddings(Box::new(request))).await
}

/// What is answered without writing.
pub(super) async fn task(front: &Front, headers: &HeaderMap, body: Body, task: Task) -> Response {
    let id = CallId::new();
    let answer = async {
        let read = Read::of(front, headers, body, id).await?;
        task_of(front, read, task).await
    };
    answer.await.unwrap_or_else(|failed: Failed| failed.response(Dialect::OpenAiChat, Some(id)))
}

/// The same of a request that was read.
pub(super) async fn task_of(front: &Front, read: Read, task: Task) -> Result<Response, Failed> {
    let request = Dialect::decode_task(&read.body, &read.bounds, task)?;
    read.serve(front, &Operation::Task(Box::new(request))).await
}

/// What is answered with something else than text, in a dialect that asks for it.
pub(super) async fn media(
    front: &Front,
    headers: &HeaderMap,
    body: Body,
    dialect: Dialect,
) -> Response {
    let id = CallId::new();
    let answer = async {
        let mut read = Read::of(front, headers, body, id).await?;
        if dialect.is_form() {
            // The same fields are the same request, whatever boundary they came with.
            read.body = canonical_form(&read.body)?.into();
        }
        let request = dialect.decode_media(&read.body, &read.bounds)?;
        read.serve(front, &Operation::Media(Box::new(request))).await
    };
    answer.await.unwrap_or_else(|failed: Failed| failed.response(Dialect::OpenAiChat, Some(id)))
}

/// A request whose caller is known and whose body is here.
pub(super) struct Read {
    pub(super) caller: std::sync::Arc<crate::tenants::Caller>,
    pub(super) inbound: crate::call::Inbound,
    pub(super) body: bytes::Bytes,
    pub(super) bounds: tollgate_providers::Bounds,
    /// The most bytes of a body.
    pub(super) most: usize,
    /// The tags of answers that the client has.
    known: Option<String>,
}

impl Read {
    pub(super) async fn of(
        front: &Front,
        headers: &HeaderMap,
        body: Body,
        id: CallId,
    ) -> Result<Read, Failed> {
        let caller = caller::authenticate(front, headers)?;
        let inbound = caller::inbound(headers, id)?;
        let (most, bounds) = {
            let runtime = front.worker.services.runtime.load();
            (runtime.max_body_bytes, runtime.bounds)
        };
        let body = caller::body(headers, body, most).await?;
        let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let known = known.map(str::to_owned);
        Ok(Read { caller, inbound, body, bounds, most, known })
    }

    /// A request that came in before, and in another way.
    pub(super) fn before(
        front: &Front,
        caller: std::sync::Arc<crate::tenants::Caller>,
        inbound: crate::call::Inbound,
        body: bytes::Bytes,
    ) -> Read {
        let runtime = front.worker.services.runtime.load();
        let (most, bounds) = (runtime.max_body_bytes, runtime.bounds);
        Read { caller, inbound, body, bounds, most, known: None }
    }

    /// Makes the call.
    pub(super) async fn serve(
        &self,
        front: &Front,
        operation: &Operation<'_>,
    ) -> Result<Response, Failed> {
        self.watched(front, operation, None).await
    }

    /// Makes the call; `watch` sees what of a new answer goes to the client.
    pub(super) async fn watched(
        &self,
        front: &Front,
        operation: &Operation<'_>,
        watch: Option<Watch>,
    ) -> Result<Response, Failed> {
        let served = serve(&front.worker, &self.caller, &self.inbound, operation).await;
        match served.map_err(|error| refused(front, operation, error))? {
            Served::Made(answered) => {
                let response = sse::watched(front, &self.caller, self.inbound.id, answered, watch);
                Ok(sse::unless_known(response, self.known.as_deref()))
            }
            Served::Repeated(name) => sse::repeat(front, name).await,
            Served::Joined(reader) => Ok(sse::joined(reader)),
        }
    }
}

/// A refusal of a name that comes to its end says so as an answer does.
fn refused(front: &Front, operation: &Operation<'_>, error: CallError) -> Failed {
    let unknown = matches!(
        error,
        CallError::NoModel { .. }
            | CallError::AmbiguousModel { .. }
            | CallError::ForbiddenModel { .. }
    );
    let failed = Failed::from(error);
    if unknown {
        return failed;
    }
    let route = front.worker.services.runtime.load().routes.find(operation.model());
    failed.ending(route.ok().and_then(|route| route.end.clone()).as_deref())
}
