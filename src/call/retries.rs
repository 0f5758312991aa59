//! Who is asked next, and whether and when a target is asked again.

use std::time::Duration;

use super::Inbound;
use super::attempts::{MOST_ATTEMPTS, left};
use super::planning::{Candidate, Role};
use super::services::Site;

/// The longest wait before a retry at the same target; a provider that asks for more is left for the
/// next one.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The first backoff; it doubles with each retry.
const BACKOFF: Duration = Duration::from_millis(100);

/// How often a target is asked again, and after how long.
pub(super) struct Retries {
    pub(super) most: u32,
    pub(super) longest: Duration,
    /// How long the client still waits, where it can.
    patience: Option<Duration>,
}

impl Retries {
    pub(super) fn of(site: &Site, inbound: &Inbound) -> Retries {
        match left(inbound).filter(|_| inbound.waits()) {
            Some(left) => Retries { most: MOST_ATTEMPTS, longest: left, patience: Some(left) },
            None => Retries { most: site.max_retries, longest: LONGEST_WAIT, patience: None },
        }
    }

    /// Of what is not asked again.
    pub(super) fn none() -> Retries {
        Retries { most: 0, longest: LONGEST_WAIT, patience: None }
    }

    /// The wait before another attempt. Those of a call that can wait are spread over what it has.
    pub(super) fn pause(&self, tries: u32) -> Duration {
        let spread = self.patience.filter(|_| tries > 2).map_or(Duration::ZERO, |left| left / 6);
        backoff(tries).max(spread)
    }
}

/// The candidates of one role, one after the other.
pub(super) struct Turns<'p, 'r> {
    plan: &'p [Candidate<'r>],
    role: Role,
    at: usize,
}

impl<'p, 'r> Turns<'p, 'r> {
    pub(super) fn of(plan: &'p [Candidate<'r>], role: Role) -> Turns<'p, 'r> {
        Turns { plan, role, at: 0 }
    }

    pub(super) fn next(&mut self) -> Option<&'p Candidate<'r>> {
        let rest = self.plan.get(self.at..)?;
        let found = rest.iter().position(|candidate| candidate.role == self.role)?;
        self.at += found + 1;
        rest.get(found)
    }

    /// The one whose turn comes next.
    pub(super) fn peek(&self) -> Option<&'p Candidate<'r>> {
        let rest = self.plan.get(self.at..)?;
        rest.iter().find(|candidate| candidate.role == self.role)
    }

    /// Whether there is another after the one whose turn it is.
    pub(super) fn others(&self) -> bool {
        self.peek().is_some()
    }

    /// Whether some are kept for that, and it is not their turn already.
    pub(super) fn has(&self, role: Role) -> bool {
        self.role != role && self.plan.iter().any(|candidate| candidate.role == role)
    }
}

/// Exponential, with full jitter (Brooker, "Exponential Backoff And Jitter", 2015): retries of many
/// callers spread over the interval rather than meet at its end.
pub(super) fn backoff(tries: u32) -> Duration {
    let most = BACKOFF.saturating_mul(1 << tries.min(6)).min(LONGEST_WAIT);
    let mut bytes = [0; 4];
    // Without randomness the whole interval is waited.
    let share = getrandom::fill(&mut bytes).map_or(u32::MAX, |()| u32::from_le_bytes(bytes));
    let nanos = most.as_nanos() * u128::from(share) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
