//! The right to send one attempt to a target. It is given back by being dropped, so a call that is
//! abandoned anywhere leaves neither a place taken nor a probe pending.

use std::sync::Arc;

use tollgate_providers::RateLimits;

use super::{Health, Need, NotReady};

/// How long a credential that was refused is not shown again.
const REFUSED_US: u64 = 30_000_000;
/// How long a key rests whose provider refused it for its rate without saying how long.
const UNTOLD_REST_US: u64 = 250_000;

/// How an attempt failed, as far as the target's health is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It asks for fewer calls; to be left alone for so many microseconds, where it said how long.
    Rate(Option<u64>),
    /// It is overloaded, or did not answer in time; to be left alone for so long, where it said.
    Overloaded(Option<u64>),
    /// It failed; to be left alone for so long, where it said.
    Broken(Option<u64>),
    /// It refused our credential; to be left alone for so long, where it said.
    Credential(Option<u64>),
    /// It refused this request, and is well.
    Request,
}

/// The right to send one attempt.
#[derive(Debug)]
pub struct Permit {
    health: Arc<Health>,
    /// Which of the provider's keys is to be shown.
    key: usize,
    probe: bool,
    entered: u64,
    /// When the first token of a stream came.
    first: std::sync::OnceLock<u64>,
    /// Whether the target's answer was noted.
    told: std::sync::atomic::AtomicBool,
}

impl Health {
    /// Takes a place at the target for a call that needs so much.
    ///
    /// # Errors
    /// Says why it cannot be asked now, and until when.
    pub fn enter(self: &Arc<Health>, need: Need, now: u64) -> Result<Permit, NotReady> {
        let mut state = self.lock();
        let key = state.ready(need, now)?;
        let probe = state.switch.enter(now).unwrap_or(false);
        state.crowd.enter();
        state.asked += 1;
        state.turn = key + 1;
        if let Some(allowance) = state.keys.get_mut(key) {
            allowance.take(need, now);
        }
        drop(state);
        Ok(Permit {
            health: self.clone(),
            key,
            probe,
            entered: now,
            first: std::sync::OnceLock::new(),
            told: std::sync::atomic::AtomicBool::new(false),
        })
    }
}

impl Permit {
    /// Which of the provider's keys is to be shown.
    pub fn key(&self) -> usize {
        self.key
    }

    /// This is the same call as an attempt before: a second failure of it says nothing new, so that one
    /// request, which a target may fail at whenever it is sent, cannot open the breaker to all others.
    pub fn same_call_again(&self) {
        if !self.probe {
            let _told = self.tell();
        }
    }

    /// The target accepted the request; `streamed` says that its first token is what came.
    pub fn accepted(&self, streamed: bool, now: u64) {
        let mut state = self.health.lock();
        if self.tell() {
            state.switch.succeeded(self.probe);
        }
        state.crowd.went_well();
        let us = now.saturating_sub(self.entered);
        state.times.get_or_insert_default().observe(us / 1_000);
        if streamed {
            let _ = self.first.set(us);
            state.latency.first(us, now);
        }
    }

    /// The reply is whole.
    pub fn finished(&self, output_tokens: u64, now: u64) {
        let us = now.saturating_sub(self.entered);
        let first = self.first.get().copied();
        self.health.lock().latency.whole(output_tokens, us, first, now);
    }

    /// The attempt failed.
    pub fn failed(&self, fault: Fault, now: u64) {
        let first = self.tell();
        let mut state = self.health.lock();
        let rest = match fault {
            Fault::Rate(rest) => Some(rest.unwrap_or(UNTOLD_REST_US)),
            Fault::Overloaded(rest) | Fault::Broken(rest) | Fault::Credential(rest) => rest,
            Fault::Request => None,
        };
        if matches!(fault, Fault::Rate(None) | Fault::Overloaded(_)) {
            state.crowd.struggled(now);
        }
        match fault {
            Fault::Overloaded(_) | Fault::Broken(_) if first => {
                state.switch.failed(self.probe, now);
            }
            // It answers, so it is up.
            Fault::Request | Fault::Rate(_) | Fault::Credential(_) if first => {
                state.switch.succeeded(self.probe);
            }
            _ => {}
        }
        if let Some(key) = state.keys.get_mut(self.key) {
            if let Some(rest) = rest {
                key.rests_until = key.rests_until.max(now.saturating_add(rest));
            }
            if matches!(fault, Fault::Credential(_)) {
                key.refused_until = now.saturating_add(REFUSED_US);
            }
        }
    }

    /// Takes over what an answer says of the provider's limits.
    pub fn limits(&self, told: &RateLimits, now: u64) {
        if *told != RateLimits::default()
            && let Some(key) = self.health.lock().keys.get_mut(self.key)
        {
            key.learn(told, now);
        }
    }

    /// Learns how much of an expected cached prefix was cached.
    pub fn cached(&self, expected: u64, cached: u64) {
        self.health.cached(expected, cached);
    }

    /// Whether this is the first that is told of the attempt.
    fn tell(&self) -> bool {
        !self.told.swap(true, std::sync::atomic::Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let told = !self.tell();
        let mut state = self.health.lock();
        state.crowd.leave();
        if !told {
            state.switch.left(self.probe);
        }
    }
}
