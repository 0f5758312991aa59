//! Calls that wait a moment for a provider's own limit, where refusing them would only bring them back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::attempts::left;
use super::planning::micros;
use super::{CallError, Inbound};
use crate::clock;
use crate::routing::{NotReady, Unready};

/// The longest such wait in all.
const LONGEST: Duration = Duration::from_secs(2);
/// Calls that may wait at once; more are refused.
const MOST: usize = 1024;

/// How much longer a call waits.
pub(super) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Patience {
        Patience(LONGEST)
    }
}

impl Patience {
    /// How long to wait for that, if it is worth it. A breaker is not waited for: its target has failed,
    /// and may again.
    pub(super) fn spend(&mut self, not: &NotReady, inbound: &Inbound) -> Option<Duration> {
        let passes = match not.why {
            Unready::Resting | Unready::Limit(_) | Unready::Full => true,
            Unready::Breaker | Unready::Probed | Unready::Credential => false,
        };
        let wait = Duration::from_micros(not.until.saturating_sub(micros(clock::now())));
        let wait = wait.max(Duration::from_millis(1));
        if !passes || left(inbound).is_some_and(|left| wait >= left) {
            return None;
        }
        self.0 = self.0.checked_sub(wait)?;
        Some(wait)
    }
}

/// Calls that wait a moment.
#[derive(Default)]
pub(super) struct Waiting(AtomicUsize);

/// A place among them.
struct Place<'w>(&'w Waiting);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Plans until there is a target, as long as one is to be asked soon.
    pub(super) async fn plan<T>(
        &self,
        inbound: &Inbound,
        plan: impl Fn() -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut patience = Patience::default();
        let mut place = None;
        loop {
            let error = match plan() {
                Err(error @ CallError::NotReady { .. }) => error,
                other => return other,
            };
            let CallError::NotReady { not, .. } = &error else { return Err(error) };
            let Some(wait) = patience.spend(not, inbound) else { return Err(error) };
            if place.is_none() {
                place = Some(self.enter().ok_or(error)?);
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn enter(&self) -> Option<Place<'_>> {
        let place = Place(self);
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        (before < MOST).then_some(place)
    }
}
