//! Calls whose client can wait (`x-tollgate-deadline: 600; defer`). Until half of their time is over they
//! are of low priority and wait for room, and where a target has a cheaper tier that is served live they
//! are asked for in that. The other half is kept for having them as any other call, so that waiting never
//! loses the answer.

use std::sync::Arc;
use std::time::Duration;

use tollgate_accounting::{PriceList, RefusalKind, ServiceTier, Timestamp};
use tollgate_providers::{ErrorKind, Failure};

use super::Inbound;
use super::attempts::left;
use super::load::{InFlight, Load};
use super::retries::backoff;
use crate::clock;
use crate::ledger::Refused;
use crate::tenants::{Caller, Priority};

/// How often a call is asked for in the cheaper tier at one target.
const CHEAPER_TRIES: u32 = 4;
/// The longest wait between two of them, where the provider names none.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often room is looked for that any call in flight may give back.
const PEEK: Duration = Duration::from_millis(50);

/// What a call that could wait did meanwhile; told to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// From its receipt until the attempt that was answered.
    pub waited: Duration,
    /// The tier it was then asked for in, where that was ours to choose.
    pub tier: Option<ServiceTier>,
}

impl Inbound {
    /// Whether the client can wait until its deadline.
    pub(super) fn waits(&self) -> bool {
        self.defer && self.deadline.is_some()
    }

    /// How long it may still wait for the cheaper way; none where that is over, or was never asked for.
    pub(super) fn may_wait(&self) -> Option<Duration> {
        let whole = self.deadline?.micros().saturating_sub(self.received_at.micros());
        let half = self.received_at.saturating_plus(whole / 2);
        let rest = clock::until(half);
        (self.waits() && !rest.is_zero()).then_some(rest)
    }
}

/// The cheaper tier of a model that its provider serves live, if its list has one.
pub(super) fn cheaper(prices: &PriceList, at: Timestamp) -> Option<ServiceTier> {
    const SOME: u64 = 1_000;
    let bound = |tier| prices.at(tier, at).and_then(|card| card.bound(SOME, SOME).ok());
    let flex = bound(ServiceTier::Flex)?;
    (flex < bound(ServiceTier::Standard)?).then_some(ServiceTier::Flex)
}

/// A place among the gateway's calls, waited for by one that can wait.
pub(super) async fn enter(
    load: &Arc<Load>,
    most: u32,
    caller: &Caller,
    inbound: &Inbound,
) -> Option<InFlight> {
    loop {
        let place = load.enter(most, inbound.priority(caller));
        if place.is_some() || !inbound.waits() || left(inbound)? <= PEEK {
            return place;
        }
        tokio::time::sleep(PEEK).await;
    }
}

/// How long a call that can wait waits for a limit that refuses it now, if that passes in time.
pub(super) fn pause(refused: &Refused, inbound: &Inbound) -> Option<Duration> {
    let Refused::Limit(refusal) = refused else { return None };
    let RefusalKind::Later { retry_at } = refusal.kind else { return None };
    let left = left(inbound).filter(|_| inbound.waits())?;
    let wait = clock::until(retry_at);
    // What calls in flight hold may be given back at any time.
    let wait = if refusal.held > 0 { wait.min(PEEK) } else { wait }.max(PEEK);
    (wait < left).then_some(wait)
}

/// What comes after a refusal in the cheaper tier: how long to wait before it is asked for there again,
/// or nothing, where it is asked for as any other. What says nothing of the tier is left to others.
pub(super) enum After {
    Again(Duration),
    Standard,
    Usual,
}

pub(super) fn after(
    failure: &Failure,
    asked: Option<Duration>,
    tries: u32,
    inbound: &Inbound,
) -> After {
    match failure.kind {
        ErrorKind::ContextLength
        | ErrorKind::ContentPolicy
        | ErrorKind::Authentication
        | ErrorKind::Quota
        | ErrorKind::Permission => After::Usual,
        ErrorKind::RateLimit | ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Server => {
            // Each wait is twice as long as the one before.
            let wait = asked.unwrap_or_else(|| backoff(tries + 2).min(LONGEST_PAUSE));
            let in_time = inbound.may_wait().is_some_and(|rest| wait < rest);
            if in_time && tries < CHEAPER_TRIES { After::Again(wait) } else { After::Standard }
        }
        // It may be the tier that is refused.
        _ => After::Standard,
    }
}

/// Whether a refusal in the cheaper tier is one of that tier's room, and none of the target's.
pub(super) fn is_of_tier(failure: &Failure) -> bool {
    matches!(failure.kind, ErrorKind::RateLimit | ErrorKind::Overloaded)
}

/// A call that can wait is of low priority for as long as it does.
pub(super) fn priority(inbound: &Inbound, own: Priority) -> Priority {
    if inbound.may_wait().is_some() { Priority::Low } else { own }
}
