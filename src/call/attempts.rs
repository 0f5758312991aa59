//! Walks a plan: send, classify, next or stop. Each attempt becomes a row. Nothing has reached the
//! client yet, so failing over is invisible to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_providers::{Encoded, Failure, Next};

use super::admit::{Ask, Candidate};
use super::operation::Operation;
use super::services::{Runtime, Site};
use super::{CallError, Inbound, Worker};
use crate::clock;
use crate::ledger::{OpenHold, Outcome, Stop};
use crate::upstream::{Answer, SendError};

/// All attempts of one call, retries included.
const MOST_ATTEMPTS: u32 = 8;
/// The longest wait before a retry at the same target; a provider that asks for more is left for the
/// next one.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The first backoff; it doubles with each retry.
const BACKOFF: Duration = Duration::from_millis(100);
/// The largest error body that is read.
const ERROR_BODY: usize = 64 * 1024;

/// An accepted request, and where it was accepted.
pub(super) struct Accepted<'p, 'r> {
    pub(super) answer: Answer,
    pub(super) site: &'p Arc<Site>,
    pub(super) candidate: &'p Candidate<'r>,
    pub(super) attempts: u32,
    /// Fields that could not be carried.
    pub(super) dropped: Vec<String>,
}

/// What comes after a failed attempt.
enum Step {
    Again(Duration),
    NextTarget,
    Stop,
}

/// Tries the plan's targets until one accepts the request. On failure the hold is settled.
pub(super) async fn walk<'p, 'r>(
    worker: &Worker,
    runtime: &'p Runtime,
    ask: &Ask<'p, 'r>,
    cap: Option<u64>,
    hold: OpenHold,
) -> Result<(OpenHold, Accepted<'p, 'r>), CallError> {
    let Ask { inbound, operation, plan, .. } = *ask;
    let mut attempts = 0;
    let mut last = None;
    'plan: for candidate in plan {
        let Some(site) = runtime.providers.get(candidate.target.provider) else { continue };
        let mut tries = 0;
        loop {
            let encoded = match operation.encode(site.adapter, &candidate.target.model, cap) {
                Ok(encoded) => with_dialect(encoded, site, operation, inbound),
                // This provider has no words for it; another may.
                Err(bad) => {
                    last.get_or_insert((CallError::BadRequest(bad), Outcome::Failed));
                    continue 'plan;
                }
            };
            if attempts >= MOST_ATTEMPTS {
                break 'plan;
            }
            if attempts > 0
                && let Err(stop) = hold.begin(candidate.attempt())
            {
                // The account pays for failed attempts, and cannot pay for one more.
                let outcome = last.map_or(Outcome::Failed, |(_, outcome)| outcome);
                hold.settle(outcome);
                return Err(stopped(stop));
            }
            attempts += 1;
            tries += 1;
            let dropped = encoded.dropped.clone();
            let began = Instant::now();
            let sent = worker.upstream.send(&hold, &site.endpoint, encoded).await;
            let (error, outcome, step) = match sent {
                Ok(answer) if answer.status.is_success() => {
                    hold.answered(answer.status.as_u16());
                    let waited = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    candidate.target.health.answered(waited);
                    return Ok((hold, Accepted { answer, site, candidate, attempts, dropped }));
                }
                Ok(answer) => {
                    hold.answered(answer.status.as_u16());
                    let failure = classify(site, answer).await;
                    let step = after(&failure, candidate, tries, site.max_retries);
                    (CallError::Provider { failure, attempts }, Outcome::Failed, step)
                }
                Err(error) => {
                    let step = match error {
                        SendError::NotSent(_) | SendError::Lost(_) if tries <= site.max_retries => {
                            Step::Again(backoff(tries))
                        }
                        _ => Step::NextTarget,
                    };
                    let late = matches!(error, SendError::Late(_));
                    let why = format!("{}: {error}", site.name);
                    (CallError::Unreachable { why, late, attempts }, Outcome::Unreachable, step)
                }
            };
            hold.give_up(outcome, &reason(&error));
            last = Some((error, outcome));
            match step {
                Step::Again(wait) => tokio::time::sleep(wait).await,
                Step::NextTarget => continue 'plan,
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

async fn classify(site: &Site, answer: Answer) -> Failure {
    let status = answer.status.as_u16();
    let headers = answer.headers;
    let patience = site.endpoint.idle_timeout();
    // An error whose body cannot be read is told by its status alone.
    let body = answer.body.collect(ERROR_BODY, patience).await.unwrap_or_default();
    let lookup = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    site.adapter.classify(status, &lookup, &body, clock::now())
}

fn after(failure: &Failure, candidate: &Candidate<'_>, tries: u32, max_retries: u32) -> Step {
    match failure.next {
        Next::Reject => Step::Stop,
        Next::FallBack | Next::Broken => Step::NextTarget,
        Next::RetryAfter(asked) => {
            let asked = asked.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
            if let Some(asked) = asked {
                let until = clock::now().saturating_plus(micros(asked)).micros();
                candidate.target.health.rest_until(u64::try_from(until).unwrap_or(0));
            }
            let wait = asked.unwrap_or_else(|| backoff(tries));
            if tries <= max_retries && wait <= LONGEST_WAIT {
                Step::Again(wait)
            } else {
                Step::NextTarget
            }
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Exponential, with full jitter (Brooker, "Exponential Backoff And Jitter", 2015): retries of many
/// callers spread over the interval rather than meet at its end.
fn backoff(tries: u32) -> Duration {
    let most = BACKOFF.saturating_mul(1 << tries.min(6)).min(LONGEST_WAIT);
    let mut bytes = [0; 4];
    // Without randomness the whole interval is waited.
    let share = getrandom::fill(&mut bytes).map_or(u32::MAX, |()| u32::from_le_bytes(bytes));
    let nanos = most.as_nanos() * u128::from(share) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Why an attempt was given up, as its row says it.
fn reason(error: &CallError) -> String {
    match error {
        CallError::Provider { failure, .. } => {
            format!("{} ({}): {}", failure.kind.name(), failure.status, failure.message)
        }
        CallError::Unreachable { why, .. } => why.clone(),
        other => format!("{other:?}"),
    }
}
