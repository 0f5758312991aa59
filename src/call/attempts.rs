//! Walks a plan: send, classify, next or stop. Each attempt becomes a row. Nothing has reached the
//! client yet, so failing over is invisible to it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tollgate_accounting::ServiceTier;
use tollgate_providers::{Encoded, ErrorKind, Failure, Next, RateLimits, retry_after};

use super::admit::Ask;
use super::defer;
use super::hedge::{self, Finish, Ready};
use super::lanes::{self, Ride, Sent};
use super::operation::Operation;
use super::planning::{Candidate, Role, micros};
use super::retries::{Retries, Turns};
use super::services::{Runtime, Site};
use super::soon::{Patience, Turn};
use super::{CallError, Inbound, Worker};
use crate::clock;
use crate::ledger::{Beside, OpenHold, Outcome, Stop};
use crate::routing::{Fault, Leaves, Need, Permit};
use crate::tenants::Priority;
use crate::upstream::{Answer, SendError};

/// All attempts of one call, retries included.
pub(super) const MOST_ATTEMPTS: u32 = 8;
/// The largest error body that is read.
pub(super) const ERROR_BODY: usize = 64 * 1024;

/// An attempt in flight.
pub(super) struct Runner<'p, 'r> {
    pub(super) candidate: &'p Candidate<'r>,
    pub(super) site: &'p Arc<Site>,
    /// The place at the target.
    pub(super) permit: Permit,
    /// Fields that could not be carried.
    pub(super) dropped: Vec<String>,
}

/// An accepted request, and where it was accepted.
pub(super) struct Accepted<'p, 'r> {
    pub(super) answer: Answer,
    pub(super) site: &'p Arc<Site>,
    pub(super) candidate: &'p Candidate<'r>,
    /// The place at the target; given back when the reply is over.
    pub(super) permit: Permit,
    pub(super) attempts: u32,
    /// Fields that could not be carried.
    pub(super) dropped: Vec<String>,
    /// The cheaper tier it was asked for in.
    pub(super) cheaper: Option<ServiceTier>,
    /// How long its client waited until it was asked, where it can wait.
    pub(super) waited: Option<Duration>,
}

/// What comes after a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Again(Duration),
    NextTarget,
    /// On to the targets that are kept for this.
    To(Role),
    Stop,
}

/// Tries the plan's targets until one accepts the request. On failure the hold is settled.
pub(super) async fn walk<'p, 'r>(
    worker: &Worker,
    runtime: &'p Runtime,
    ask: &Ask<'p, 'r>,
    cap: Option<u64>,
    hold: OpenHold,
    turn: Option<Turn>,
) -> Result<(OpenHold, Accepted<'p, 'r>), CallError> {
    let Ask { inbound, operation, plan, route, .. } = *ask;
    let budget = &*route.budget;
    let mut turn = turn;
    budget.call();
    let (mut attempts, mut halved, mut patience) = (0, 0, Patience::of(inbound));
    // What can wait is no storm: its attempts are few, and far between.
    let spares = |attempts: u32| attempts > 0 && !inbound.waits();
    let (mut last, mut waited) = (None, None);
    let mut turns = Turns::of(plan, Role::Planned);
    'plan: while let Some(mut candidate) = turns.next() {
        let (mut tries, mut cheaper) = (0, candidate.cheaper);
        loop {
            let Some(site) = runtime.providers.get(candidate.target.provider) else {
                continue 'plan;
            };
            let encoded = match operation.encode(site.adapter, &candidate.target.model, cap) {
                Ok(mut encoded) => {
                    let tier = cheaper.filter(|_| inbound.may_wait().is_some());
                    cheaper = tier.filter(|tier| encoded.ask_tier(tier.name()));
                    with_dialect(encoded, site, operation, inbound)
                }
                // This provider has no words for it; another may.
                Err(bad) => {
                    last.get_or_insert((CallError::BadRequest(bad), Outcome::Failed));
                    continue 'plan;
                }
            };
            if attempts >= MOST_ATTEMPTS || (spares(attempts) && !budget.take()) {
                break 'plan;
            }
            // The plan is a moment old: the target may have asked to be left alone since.
            let need = need(candidate, ask);
            let entered = candidate.target.health.enter(need, micros(clock::now()));
            let permit = match entered {
                Ok(permit) => {
                    drop(turn.take());
                    permit
                }
                Err(not) => {
                    if spares(attempts) {
                        budget.give_back();
                    }
                    if !turns.others()
                        && let Some(wait) = patience.spend(&not, inbound)
                    {
                        tokio::time::sleep(wait).await;
                        continue;
                    }
                    let why = format!("{} {not}", candidate.target.name());
                    last.get_or_insert((CallError::NotReady { not, why }, Outcome::Unreachable));
                    continue 'plan;
                }
            };
            // The hold was taken with the first place's attempt in it.
            let is_first = plan.first().is_some_and(|first| std::ptr::eq(first, candidate));
            if (attempts > 0 || !is_first)
                && let Err(stop) = hold.begin(candidate.attempt())
            {
                // The account pays for failed attempts, and cannot pay for one more.
                let outcome = last.map_or(Outcome::Failed, |(_, outcome)| outcome);
                hold.settle(outcome);
                return Err(stopped(stop));
            }
            attempts += 1;
            tries += 1;
            if tries > 1 {
                permit.same_call_again();
            }
            let dropped = encoded.dropped.clone();
            let runner = Runner { candidate, site, permit, dropped };
            let Finish { runner, sent, hedged } = if let Some(after) = hedge_after(ask) {
                let first = Ready { runner, encoded };
                let rival = || rival(runtime, ask, cap, &mut turns, attempts);
                hedge::race(worker, inbound, &hold, first, (after, budget), rival).await
            } else {
                let ride = Ride {
                    rules: runtime.lanes.as_ref(),
                    hold: &hold,
                    site,
                    credential: runner.permit.key(),
                    account: &ask.caller.account,
                    target: candidate.target,
                    stays: ask.stays,
                    operation,
                    tokens: candidate.input.tokens,
                    encoded,
                };
                let most = if cheaper.is_some() { inbound.may_wait() } else { left(inbound) };
                waited = inbound.waits().then(|| clock::since(inbound.received_at));
                let sent = within(most, lanes::send(worker, ride)).await;
                let sent = sent.unwrap_or_else(|late| Sent::alone(Err(late)));
                Finish { runner, sent, hedged: None }
            };
            attempts += u32::from(hedged.is_some());
            let Runner { candidate: decider, site, permit, dropped } = runner;
            if !std::ptr::eq(decider, candidate) {
                (candidate, tries) = (decider, 1);
            }
            halved += sent.before;
            if sent.told {
                permit.same_call_again();
            }
            let retries = Retries::of(site, inbound);
            let (error, outcome, step) = match sent.answer {
                Ok(answer) if answer.status.is_success() => {
                    hold.answered(answer.status.as_u16());
                    // What helped costs nothing; a hedge that was outrun did not help.
                    if spares(attempts - 1) && hedged != Some(false) {
                        budget.give_back();
                    }
                    let now = clock::now();
                    permit.accepted(operation.stream(), micros(now));
                    permit.limits(&RateLimits::read(&lookup(&answer.headers), now), micros(now));
                    let attempts = attempts + halved;
                    let accepted = Accepted {
                        answer,
                        site,
                        candidate,
                        permit,
                        attempts,
                        dropped,
                        cheaper,
                        waited,
                    };
                    return Ok((hold, accepted));
                }
                Ok(answer) => {
                    hold.answered(answer.status.as_u16());
                    let (failure, asked) = classify(site, answer, &permit, cheaper).await;
                    let deferred = match cheaper {
                        Some(_) => defer::after(&failure, asked, tries, inbound),
                        None => defer::After::Usual,
                    };
                    let step = match deferred {
                        defer::After::Again(wait) => Step::Again(wait),
                        defer::After::Standard => {
                            cheaper = None;
                            Step::Again(Duration::ZERO)
                        }
                        defer::After::Usual => after(&failure, candidate, &turns, tries, &retries),
                    };
                    let attempts = attempts + halved;
                    (CallError::Provider { failure, attempts }, Outcome::Failed, step)
                }
                Err(error) => {
                    // Its tier was too slow, or it cannot be told; it is had as any other then.
                    let slow = cheaper.take().is_some() && matches!(error, SendError::Late(_));
                    let (late, step) = if slow {
                        (true, Step::Again(Duration::ZERO))
                    } else {
                        unanswered(&error, inbound, &permit, tries, &retries)
                    };
                    let why = format!("{}: {error}", site.name);
                    (CallError::Unreachable { why, late, attempts }, Outcome::Unreachable, step)
                }
            };
            hold.give_up(outcome, &reason(&error));
            last = Some((error, outcome));
            match step {
                Step::Again(wait) if left(inbound).is_none_or(|left| wait < left) => {
                    drop(permit);
                    tokio::time::sleep(wait).await;
                }
                Step::Again(_) | Step::NextTarget => continue 'plan,
                Step::To(role) => {
                    turns = Turns::of(plan, role);
                    continue 'plan;
                }
                Step::Stop => break 'plan,
            }
        }
    }
    let (error, outcome) = last.unwrap_or_else(|| {
        let why = "no target is configured".to_owned();
        (CallError::Unreachable { why, late: false, attempts }, Outcome::Unreachable)
    });
    hold.settle(outcome);
    Err(error)
}

fn stopped(stop: Stop) -> CallError {
    match stop {
        Stop::Refused(refused) => refused.into(),
        Stop::Closed => CallError::Unreachable {
            why: "the call's deadline has passed".to_owned(),
            late: true,
            attempts: 0,
        },
    }
}

/// How long the client still waits; none where it set no deadline.
pub(super) fn left(inbound: &Inbound) -> Option<Duration> {
    let us = inbound.deadline?.micros().saturating_sub(clock::now().micros());
    Some(Duration::from_micros(u64::try_from(us).unwrap_or(0)))
}

/// What a call takes of a target now; one that waited for as long as it may leaves nothing to others.
fn need(candidate: &Candidate<'_>, ask: &Ask<'_, '_>) -> Need {
    let waited = ask.inbound.waits() && ask.inbound.priority(ask.caller) > Priority::Low;
    let leaves = if waited { Leaves::Nothing } else { candidate.need.leaves };
    Need { leaves, ..candidate.need }
}

/// One deadline spans all attempts: each has what is left of it.
pub(super) async fn within<T>(
    left: Option<Duration>,
    send: impl Future<Output = T>,
) -> Result<T, SendError> {
    match left {
        Some(left) => tokio::time::timeout(left, send).await.map_err(|_| SendError::Late(left)),
        None => Ok(send.await),
    }
}

/// After how long without an answer the next target is asked as well, if it is: for chats and embeddings
/// of clients that wait. What is sent at most once, or together with others, is not, nor what can wait.
fn hedge_after(ask: &Ask<'_, '_>) -> Option<Duration> {
    let of_line = ask.keyed.is_some_and(|keyed| keyed.name.is_of_line());
    let hedged = matches!(ask.operation, Operation::Chat(_) | Operation::Embeddings(_));
    ask.route.hedge_after.filter(|_| hedged && !of_line && !ask.inbound.waits())
}

/// The next target, ready to be asked beside another, if there is one that can be asked at once and the
/// route's budget allows for it.
fn rival<'p, 'r>(
    runtime: &'p Runtime,
    ask: &Ask<'p, 'r>,
    cap: Option<u64>,
    turns: &mut Turns<'p, 'r>,
    attempts: u32,
) -> Option<Ready<'p, 'r>> {
    let candidate = turns.peek()?;
    let site = runtime.providers.get(candidate.target.provider)?;
    let encoded = ask.operation.encode(site.adapter, &candidate.target.model, cap).ok()?;
    let encoded = with_dialect(encoded, site, ask.operation, ask.inbound);
    if attempts >= MOST_ATTEMPTS {
        return None;
    }
    let permit = candidate.target.health.enter(candidate.need, micros(clock::now())).ok()?;
    if !ask.route.budget.take() {
        return None;
    }
    turns.next();
    let dropped = encoded.dropped.clone();
    Some(Ready { runner: Runner { candidate, site, permit, dropped }, encoded })
}

/// An attempt failed beside another, which is left to answer the call.
pub(super) async fn gave_up(
    inbound: &Inbound,
    runner: &Runner<'_, '_>,
    attempt: &Beside<'_>,
    answer: Result<Answer, SendError>,
) {
    let Runner { site, permit, .. } = runner;
    let (error, outcome) = match answer {
        Ok(answer) => {
            attempt.answered(answer.status.as_u16());
            let (failure, _) = classify(site, answer, permit, None).await;
            (CallError::Provider { failure, attempts: 1 }, Outcome::Failed)
        }
        Err(error) => {
            let retries = Retries::none();
            let (late, _) = unanswered(&error, inbound, permit, 1, &retries);
            let why = format!("{}: {error}", site.name);
            (CallError::Unreachable { why, late, attempts: 1 }, Outcome::Unreachable)
        }
    };
    attempt.give_up(outcome, &reason(&error));
}

/// What an attempt without an answer means: whether it was late, and what comes next.
fn unanswered(
    error: &SendError,
    inbound: &Inbound,
    permit: &Permit,
    tries: u32,
    retries: &Retries,
) -> (bool, Step) {
    let now = micros(clock::now());
    let late = matches!(error, SendError::Late(_));
    if left(inbound).is_some_and(|left| left.is_zero()) {
        // The client's patience says nothing of the target.
        return (true, Step::Stop);
    }
    permit.failed(if late { Fault::Overloaded(None) } else { Fault::Broken(None) }, now);
    match error {
        SendError::NotSent(_) | SendError::Lost(_) if tries <= retries.most => {
            (late, Step::Again(retries.pause(tries)))
        }
        _ => (late, Step::NextTarget),
    }
}

/// A client's own version and beta headers go along to a provider of its dialect.
fn with_dialect(
    mut encoded: Encoded,
    site: &Site,
    operation: &Operation<'_>,
    inbound: &Inbound,
) -> Encoded {
    if site.adapter.dialect() == operation.dialect() {
        for (name, value) in &inbound.dialect_headers {
            encoded.headers.retain(|(have, _)| have != name);
            encoded.headers.push((name, value.clone()));
        }
    }
    encoded
}

pub(super) fn lookup(headers: &HeaderMap) -> impl Fn(&str) -> Option<String> {
    |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

/// Understands a refusal, and notes what it says of the target; with it comes how long the target asked
/// to be left alone.
async fn classify(
    site: &Site,
    answer: Answer,
    permit: &Permit,
    cheaper: Option<ServiceTier>,
) -> (Failure, Option<Duration>) {
    let status = answer.status.as_u16();
    let headers = answer.headers;
    let patience = site.endpoint.idle_timeout();
    // An error whose body cannot be read is told by its status alone.
    let body = answer.body.collect(ERROR_BODY, patience).await.unwrap_or_default();
    let lookup = lookup(&headers);
    let now = clock::now();
    let failure = site.adapter.classify(status, &lookup, &body, now);
    permit.limits(&RateLimits::read(&lookup, now), micros(now));
    let wait = match failure.next {
        Next::RetryAfter(wait) => wait,
        Next::FallBack | Next::Reject | Next::Broken => retry_after(&lookup, now),
    };
    let wait = wait.and_then(|us| u64::try_from(us).ok());
    let of_tier = cheaper.is_some() && defer::is_of_tier(&failure);
    permit.failed(if of_tier { Fault::Request } else { fault(&failure, wait) }, micros(now));
    (failure, wait.map(Duration::from_micros))
}

fn fault(failure: &Failure, wait: Option<u64>) -> Fault {
    match failure.kind {
        ErrorKind::RateLimit => Fault::Rate(wait),
        ErrorKind::Overloaded | ErrorKind::Timeout => Fault::Overloaded(wait),
        ErrorKind::Server if failure.status == 409 => Fault::Request,
        ErrorKind::Server | ErrorKind::Malformed | ErrorKind::Truncated => Fault::Broken(wait),
        ErrorKind::Authentication | ErrorKind::Quota => Fault::Credential(wait),
        // One request may be forbidden (a filter before the provider, a feature) and the next not: no
        // tenant's request may close the target to the others.
        ErrorKind::Permission
        | ErrorKind::InvalidRequest
        | ErrorKind::ContextLength
        | ErrorKind::ContentPolicy
        | ErrorKind::NotFound
        | ErrorKind::TooLarge => Fault::Request,
    }
}

fn after(
    failure: &Failure,
    candidate: &Candidate<'_>,
    turns: &Turns<'_, '_>,
    tries: u32,
    retries: &Retries,
) -> Step {
    match failure.kind {
        ErrorKind::ContextLength if turns.has(Role::ContextLength) => {
            return Step::To(Role::ContextLength);
        }
        ErrorKind::ContentPolicy if turns.has(Role::ContentPolicy) => {
            return Step::To(Role::ContentPolicy);
        }
        _ => {}
    }
    // Another key may do at once what this one may not.
    let again = tries <= retries.most;
    let view = || candidate.target.health.view(candidate.need, micros(clock::now()));
    let other_key = candidate.target.keys > 1 && again && view().unready.is_none();
    match failure.next {
        Next::Reject => Step::Stop,
        Next::Broken if other_key => Step::Again(Duration::ZERO),
        Next::FallBack | Next::Broken => Step::NextTarget,
        Next::RetryAfter(Some(_)) if other_key => Step::Again(Duration::ZERO),
        // It is left alone for as long as it asked, and so long is waited only for want of another.
        Next::RetryAfter(Some(_)) if turns.others() => Step::NextTarget,
        Next::RetryAfter(asked) => {
            let asked = asked.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
            let wait = asked.unwrap_or_else(|| retries.pause(tries));
            if again && wait <= retries.longest { Step::Again(wait) } else { Step::NextTarget }
        }
    }
}

/// Why an attempt was given up, as its row says it.
pub(super) fn reason(error: &CallError) -> String {
    match error {
        CallError::Provider { failure, .. } => {
            format!("{} ({}): {}", failure.kind.name(), failure.status, failure.message)
        }
        CallError::Unreachable { why, .. } => why.clone(),
        other => format!("{other:?}"),
    }
}
