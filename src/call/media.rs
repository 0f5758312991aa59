//! Calls whose answers are not text: what one can come to is foreseen by rule, not counted as it comes.

use std::sync::Arc;

use tokio::sync::oneshot;
use tollgate_providers::unified::Answer;

use super::attempts::left;
use super::operation::Operation;
use super::together::Detached;
use super::{CallError, Inbound, Making, Served, Worker};
use crate::routing::{Route, Target};
use crate::tenants::Caller;

/// The most output tokens of a piece at that target: by the rule for its model, else what the operator
/// says of the name. Nothing where neither says, or nothing is known of its input; such a call is not made.
pub(super) fn most_output(
    operation: &Operation<'_>,
    route: &Route,
    target: &Target,
) -> Option<u64> {
    let Operation::Media(request) = operation else { return Some(0) };
    request.most_input(&target.counted_as, &|text| target.family.count(text))?;
    request.most_output(&target.counted_as).or(route.max_output_tokens)
}

/// Whether the call is billed in tokens there, so that a price for tokens of any model is one for it.
pub(super) fn in_tokens(operation: &Operation<'_>, target: &Target) -> bool {
    match operation {
        Operation::Media(request) => request.in_tokens(&target.counted_as),
        _ => true,
    }
}

/// How the answer is read.
pub(super) fn answer(operation: &Operation<'_>, target: &Target) -> Option<Answer> {
    match operation {
        Operation::Media(request) => Some(request.answer(&target.counted_as)),
        _ => None,
    }
}

/// The most of any target that a call on this route may be sent to.
pub(super) fn most_of_all(operation: &Operation<'_>, route: &Route) -> u64 {
    let kept = route.on_context_length.iter().chain(&route.on_content_policy);
    let all = route.targets.iter().chain(kept);
    all.filter_map(|target| most_output(operation, route, target)).max().unwrap_or(0)
}

/// What a provider at work on it has made by our count, before it says anything: the most that it can.
/// Nothing for what is counted as it comes.
pub(super) fn foreseen(operation: &Operation<'_>, route: &Route, target: &Target) -> Option<u64> {
    let most = most_output(operation, route, target).filter(|_| operation.is_media())?;
    Some(most.saturating_mul(operation.choices()))
}

/// Makes the call whether or not its client waits for the end: what is made is billed, whoever is there
/// to take it, so the provider's word on it is waited for.
pub(super) async fn serve(
    worker: &Worker,
    caller: &Arc<Caller>,
    inbound: &Inbound,
    operation: &Operation<'_>,
    making: Making,
) -> Result<Served, CallError> {
    let bounds = making.runtime.bounds;
    // The client's patience is its own, and not the call's.
    let own = Inbound { deadline: None, ..inbound.clone() };
    let call = Detached::new(worker, caller.clone(), own, operation, bounds);
    let (made, answer) = oneshot::channel();
    let stop = worker.services.stop.clone();
    worker.services.drains.tasks.spawn(async move {
        let mut nobody = None;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            served = call.run(making, &mut nobody) => drop(made.send(served)),
        }
    });
    let answer = async { answer.await.unwrap_or(Err(CallError::Stopped)) };
    match left(inbound) {
        None => answer.await,
        Some(left) => tokio::time::timeout(left, answer).await.unwrap_or_else(|_| {
            let why = "the call's deadline has passed; it goes on, and is charged".to_owned();
            Err(CallError::Unreachable { why, late: true, attempts: 1 })
        }),
    }
}
