//! How a target has been doing, as far as choosing needs to know. Read and written without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// A target's recent behaviour.
#[derive(Debug, Default)]
pub struct Health {
    /// Moving average of the time to the first byte, in microseconds; 0 before the first.
    first_byte_us: AtomicU64,
    /// When it may be tried again after it asked to be left alone, in microseconds since the epoch.
    not_before: AtomicU64,
}

impl Health {
    /// Notes an answer. The average moves an eighth of the way, and at once to a slower answer: a
    /// slow target is noticed immediately and forgiven gradually (the "peak EWMA" of Finagle).
    pub fn answered(&self, first_byte_us: u64) {
        let before = self.first_byte_us.load(Ordering::Relaxed);
        let after = if before == 0 || first_byte_us > before {
            first_byte_us.max(1)
        } else {
            before - (before - first_byte_us) / 8
        };
        self.first_byte_us.store(after, Ordering::Relaxed);
    }

    /// The average time to the first byte; 0 where nothing is known, so that it gets tried.
    pub fn first_byte_us(&self) -> u64 {
        self.first_byte_us.load(Ordering::Relaxed)
    }

    /// Notes that the target is not to be asked before that instant.
    pub fn rest_until(&self, micros: u64) {
        self.not_before.fetch_max(micros, Ordering::Relaxed);
    }

    /// Whether it asked to be left alone at that instant.
    pub fn rests(&self, now_micros: u64) -> bool {
        self.not_before.load(Ordering::Relaxed) > now_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgiven_gradually() {
        let health = Health::default();
        health.answered(100);
        health.answered(900);
        assert_eq!(health.first_byte_us(), 900);
        health.answered(100);
        assert_eq!(health.first_byte_us(), 800);
    }

    #[test]
    fn a_rest_is_never_shortened() {
        let health = Health::default();
        health.rest_until(50);
        health.rest_until(20);
        assert!(health.rests(49));
        assert!(!health.rests(50));
    }
}
