//! A budget of second attempts: however much is failing, a route's attempts stay near its calls. What
//! helps costs nothing: an attempt that succeeds gives back what it took.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a call puts in, and what an attempt after its first takes out: one for five.
const CALL: u64 = 1;
const ATTEMPT: u64 = 5;
/// There is always room for a few, and never for many.
const FIRST: u64 = 10 * ATTEMPT;
const MOST: u64 = 50 * ATTEMPT;

/// Attempts beyond the first that a route's calls may still make.
#[derive(Debug)]
pub struct RetryBudget(AtomicU64);

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget(AtomicU64::new(FIRST))
    }
}

impl RetryBudget {
    /// A call begins.
    pub fn call(&self) {
        self.put(CALL);
    }

    /// Takes one further attempt, if there is one.
    pub fn take(&self) -> bool {
        let take = |left: u64| left.checked_sub(ATTEMPT);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// A further attempt was worth it.
    pub fn give_back(&self) {
        self.put(ATTEMPT);
    }

    fn put(&self, units: u64) {
        let put = |left: u64| Some((left + units).min(MOST));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, put);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_everything_fails_attempts_stay_within_a_fifth_more_than_the_calls() {
        let budget = RetryBudget::default();
        let mut further = 0_u64;
        for _ in 0..10_000 {
            budget.call();
            further += (0..7).filter(|_| budget.take()).count() as u64;
        }
        assert!((2_000..=2_010).contains(&further), "{further}");
    }

    #[test]
    fn what_helps_is_never_used_up() {
        let budget = RetryBudget::default();
        for _ in 0..10_000 {
            assert!(budget.take());
            budget.give_back();
        }
    }
}
