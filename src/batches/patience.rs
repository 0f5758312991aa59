//! How long a batch waits for its provider, and what ends that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tollgate_accounting::DAY;

use super::errands::Trouble;
use super::work::{End, Shop, Work};
use crate::clock;

/// How long after its own time a batch is asked for at its provider.
const LAST: i64 = DAY;
/// After that what is held is settled at what is known of it, also where nobody gave the batch up: the
/// gateway may have been down.
pub(super) const GRACE_MICROS: i64 = 8 * DAY;

/// A batch's two ends: it is called off, or its time is over.
pub(super) struct Ends {
    pub(super) quit: CancellationToken,
    pub(super) over: Instant,
}

impl Work {
    /// When the provider is asked no more.
    pub(super) fn last(&self) -> Instant {
        Instant::now() + clock::until(self.row.expires_at.saturating_plus(LAST))
    }

    /// Which end has come, if one has.
    pub(super) fn ended(&self, ends: &Ends) -> Option<End> {
        if self.shop.shutdown.is_cancelled() {
            return Some(End::Stopped);
        }
        if ends.quit.is_cancelled() {
            return Some(End::Cancelled);
        }
        (Instant::now() >= ends.over).then_some(End::Expired)
    }

    pub(super) async fn end(&self, ends: &Ends) -> End {
        tokio::select! {
            biased;
            () = self.shop.shutdown.cancelled() => End::Stopped,
            () = ends.quit.cancelled() => End::Cancelled,
            () = sleep_until(ends.over) => End::Expired,
        }
    }

    /// Waits so long, unless an end comes before.
    pub(super) async fn pause(&self, wait: Duration, ends: &Ends) -> Option<End> {
        tokio::time::timeout(wait, self.end(ends)).await.ok()
    }

    /// Waits so long; whether the gateway ends.
    pub(super) async fn wait_for_shutdown(&self, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.shop.shutdown.cancelled() => true,
            () = sleep(wait) => false,
        }
    }

    pub(super) fn tell(&self, trouble: &Trouble) {
        let why = trouble.why();
        tracing::warn!(why, batch = self.row.id, "a batch's provider is asked again later");
    }

    pub(super) fn waits(&self) -> Waits {
        let (first, longest) = self.shop.batches.settings().poll;
        Waits { next: first, longest }
    }
}

/// A batch that waits for its provider leaves its place to others.
pub(super) struct Seat(Arc<Shop>);

impl Seat {
    pub(super) fn take(shop: &Arc<Shop>) -> Seat {
        shop.waiting.fetch_add(1, Ordering::Relaxed);
        shop.batches.wake.notify_one();
        Seat(shop.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits that double up to the longest.
pub(super) struct Waits {
    next: Duration,
    longest: Duration,
}

impl Waits {
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.longest);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_the_longest() {
        let seconds = Duration::from_secs;
        let mut waits = Waits { next: seconds(5), longest: seconds(60) };
        let taken: Vec<u64> = (0..6).map(|_| waits.next().as_secs()).collect();
        assert_eq!(taken, [5, 10, 20, 40, 60, 60]);
    }
}
