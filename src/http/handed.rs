//! Lines of batches that are handed over to their provider, as calls: held, written and settled with the
//! same steps as a request, without being sent by themselves.

use std::sync::Arc;
use std::time::Duration;

use tollgate_accounting::Metric;
use tollgate_providers::{Dialect, Encoded};

use super::lines::{caller, inbound};
use super::{Failed, Front, prompts};
use crate::batches::{Call, Endpoint, Given, HoldTerms};
use crate::call::{Operation, handed};
use crate::ledger::{CallId, Handover, KeyName, OpenHold};
use crate::upstream::{Answer, SendError};

/// Where a batch of such lines is handed over. Only what its provider reads as its client wrote it is, and
/// only where no limit counts calls that go on: lines that wait for a day would use that up.
pub(super) fn place(
    front: &Front,
    key: &str,
    endpoint: Endpoint,
    model: &str,
) -> Option<(Arc<str>, Arc<str>)> {
    let same = matches!(endpoint, Endpoint::Chat | Endpoint::Embeddings);
    let plain = same && prompts::named(model).is_none();
    let caller = caller(front, key).ok().filter(|_| plain)?;
    let limits = front.worker.services.ledger.standing(caller.charged);
    let free = limits.iter().all(|limit| limit.metric != Metric::Concurrency);
    free.then(|| handed::place(&front.worker.services.runtime.load(), model)).flatten()
}

/// Holds a line.
pub(super) fn hold(
    front: &Front,
    call: &Call,
    id: CallId,
    (to, terms): (&Handover, HoldTerms),
) -> Result<(), Failed> {
    let caller = caller(front, &call.key)?;
    let inbound = inbound(call, id);
    let services = &front.worker.services;
    let held = with(front, call, |operation| {
        let terms = (terms.until, terms.may_be_lowered);
        handed::hold(services, &caller, &inbound, operation, (to, terms)).map_err(Failed::from)
    });
    held?
}

/// A held line as its provider reads it.
pub(super) fn written(
    front: &Front,
    call: &Call,
    hold: &OpenHold,
    to: &Handover,
) -> Result<Vec<u8>, Failed> {
    let runtime = front.worker.services.runtime.load();
    let written = with(front, call, |operation| {
        handed::written(&runtime, operation, hold, to).map_err(Failed::from)
    });
    written?
}

/// Runs something with what a line asks for.
fn with<T>(front: &Front, call: &Call, run: impl FnOnce(&Operation<'_>) -> T) -> Result<T, Failed> {
    let bounds = front.worker.services.runtime.load().bounds;
    let operation = if call.endpoint == Endpoint::Embeddings {
        let request = Dialect::OpenAiEmbeddings.decode_embeddings(&call.body, &bounds)?;
        Operation::Embeddings(Box::new(request))
    } else {
        Operation::Chat(Box::new(Dialect::OpenAiChat.decode_chat(&call.body, &bounds)?))
    };
    Ok(run(&operation))
}

/// Asks the provider, with the first of its keys: what was made with one key only that one sees.
pub(super) async fn ask(
    front: Arc<Front>,
    to: Handover,
    question: Encoded,
) -> Result<(Answer, Duration), SendError> {
    let runtime = front.worker.services.runtime.load_full();
    let site = handed::site(&runtime, &to).ok_or_else(|| {
        SendError::NotSent(format!("there is no provider {} that has batches", to.provider))
    })?;
    let answer = front.worker.upstream.send(&to, &site.endpoint, 0, question).await?;
    Ok((answer, site.endpoint.idle_timeout()))
}

/// Settles a line; its call, and what is wrong with its answer.
pub(super) fn settle(
    front: &Front,
    line: &KeyName,
    to: &Handover,
    given: &Given,
) -> (Option<CallId>, Option<Failed>) {
    let given = match given {
        Given::Answer(status, body) => handed::Given::Answer(*status, body),
        Given::NotRun(why) => handed::Given::NotRun(why),
        Given::Lost => handed::Given::Lost,
    };
    match handed::settle(&front.worker.services, line, to, given) {
        None => (None, None),
        Some((id, ended)) => (Some(id), ended.err().map(Failed::from)),
    }
}
