//! How a target has been doing and what it may be asked now, as far as choosing needs to know. The time
//! is handed in, in microseconds since the epoch, so that a simulation runs the same code.

mod allowance;
mod breaker;
mod crowd;
mod latency;
mod permit;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tollgate_accounting::OutputSizes;

use allowance::Allowance;
use breaker::Switch;
use crowd::Crowd;
use latency::Latency;

pub use breaker::Breaker;
pub use permit::{Fault, Permit};

/// While a target has all its calls in flight, one is tried again after so long.
const FULL_AGAIN_US: u64 = 20_000;
/// A probe is given so long before others ask how it went.
const PROBED_AGAIN_US: u64 = 100_000;

/// A target's recent behaviour and its limits. A few plain numbers under a lock that is held for
/// nanoseconds.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    latency: Latency,
    switch: Switch,
    crowd: Crowd,
    /// One for each key; never empty.
    keys: Vec<Allowance>,
    /// The key that is looked at first, so that equals take turns.
    turn: usize,
    /// Attempts that were let in.
    asked: u64,
    /// Milliseconds to the first byte, as a distribution that forgets slowly.
    times: Option<Box<OutputSizes>>,
    /// How much of a prefix that should be in the provider's cache was, in thousandths.
    warmth: u64,
}

/// What a call is about to use of the provider's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Tokens in.
    pub input_tokens: u64,
    /// Tokens out, as many as are likely.
    pub output_tokens: u64,
    /// What the call has to leave for more urgent ones, of everything that is short.
    pub leaves: Leaves,
}

/// What a call leaves for more urgent ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing.
    #[default]
    Nothing,
    /// A quarter of what a target takes.
    Quarter,
}

/// Why a target is not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// Why.
    pub why: Unready,
    /// When it can be asked, as far as that can be told.
    pub until: u64,
}

/// What keeps a target from being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// It failed too often, and its breaker is open.
    Breaker,
    /// One call is on its way to see whether it is back.
    Probed,
    /// It asked to be left alone.
    Resting,
    /// It would refuse: too little is left of this limit of its own.
    Limit(&'static str),
    /// It refused our credential.
    Credential,
    /// It has as many calls in flight as it takes.
    Full,
}

/// A target as it is at one instant.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// Why it cannot be asked now, if it cannot.
    pub unready: Option<NotReady>,
    /// Whether a call would be the probe of a breaker that is half open.
    pub probe: bool,
    /// Microseconds to the first token; 0 where nothing is known.
    pub first_us: u64,
    /// Nanoseconds a token; 0 where nothing is known.
    pub token_ns: u64,
    /// Calls in flight.
    pub in_flight: u32,
    /// How much of an expected cached prefix turns out to be cached, in thousandths.
    pub warmth: u64,
}

impl View {
    /// Microseconds that a reply of so many tokens is likely to take.
    pub fn predicted_us(&self, output_tokens: u64) -> u64 {
        let writing = u128::from(self.token_ns) * u128::from(output_tokens) / 1_000;
        self.first_us.saturating_add(u64::try_from(writing).unwrap_or(u64::MAX))
    }
}

impl Default for Health {
    fn default() -> Health {
        Health::new(1)
    }
}

impl Health {
    /// Nothing known, of a target that is shown one of so many keys.
    pub fn new(keys: usize) -> Health {
        let keys = vec![Allowance::default(); keys.max(1)];
        let state = State {
            latency: Latency::default(),
            switch: Switch::default(),
            crowd: Crowd::default(),
            keys,
            turn: 0,
            asked: 0,
            times: None,
            warmth: 1_000,
        };
        Health { state: Mutex::new(state) }
    }

    /// How it is now, for a call that needs so much.
    pub fn view(&self, need: Need, now: u64) -> View {
        let state = self.lock();
        View {
            unready: state.unready(need, now),
            probe: state.switch.state(now) == Breaker::HalfOpen,
            first_us: state.latency.first_us(now),
            token_ns: state.latency.token_ns(now),
            in_flight: state.crowd.in_flight,
            warmth: state.warmth,
        }
    }

    /// Whether it has room for a call that can wait: one of low priority would be let in now.
    pub fn has_spare(&self, need: Need, now: u64) -> bool {
        self.lock().unready(Need { leaves: Leaves::Quarter, ..need }, now).is_none()
    }

    /// Learns how much of an expected cached prefix was cached.
    pub fn cached(&self, expected: u64, cached: u64) {
        let share = cached.min(expected).saturating_mul(1_000).checked_div(expected);
        if let Some(share) = share {
            let mut state = self.lock();
            state.warmth = (state.warmth * 3 + share) / 4;
        }
    }

    /// Everything, for people.
    pub fn report(&self, now: u64) -> Report {
        let state = self.lock();
        let key = |key: &Allowance| KeyReport {
            rests_until: Some(key.rests_until).filter(|at| *at > now),
            refused_until: Some(key.refused_until).filter(|at| *at > now),
            limits: key.levels(now).collect(),
        };
        Report {
            breaker: state.switch.state(now),
            first_us: state.latency.first_us(now),
            token_ns: state.latency.token_ns(now),
            in_flight: state.crowd.in_flight,
            most_in_flight: state.crowd.most,
            asked: state.asked,
            times: state.times.as_ref().and_then(|times| {
                let percentile = |percent| times.percentile(percent);
                Some([percentile(50)?, percentile(90)?, percentile(99)?])
            }),
            keys: state.keys.iter().map(key).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain stores only: a panic elsewhere leaves the numbers whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A target for people to look at. Instants in microseconds since the epoch.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its breaker.
    pub breaker: Breaker,
    /// Microseconds to the first token; 0 where nothing is known.
    pub first_us: u64,
    /// Nanoseconds a token; 0 where nothing is known.
    pub token_ns: u64,
    /// Calls in flight.
    pub in_flight: u32,
    /// The most at once, where it showed that it has a bound.
    pub most_in_flight: Option<u32>,
    /// Attempts that were let in since the start.
    pub asked: u64,
    /// Milliseconds to the first byte: the median, and what 90 and 99 of a hundred don't exceed.
    pub times: Option<[u64; 3]>,
    /// In the order of the configuration.
    pub keys: Vec<KeyReport>,
}

/// What one key may ask for.
#[derive(Clone, Debug)]
pub struct KeyReport {
    /// The provider asked to be left alone until then.
    pub rests_until: Option<u64>,
    /// The provider refused it; it is shown again then.
    pub refused_until: Option<u64>,
    /// The provider's limits as heard of: name, size, what is left.
    pub limits: Vec<(&'static str, u64, u64)>,
}

impl State {
    /// The key to be shown, or why there is none.
    fn ready(&self, need: Need, now: u64) -> Result<usize, NotReady> {
        self.closed(need, now).map_or_else(|| self.key(need, now), Err)
    }

    /// Why no key can be shown, without choosing one of those that can.
    fn unready(&self, need: Need, now: u64) -> Option<NotReady> {
        self.closed(need, now).or_else(|| {
            let ready = |key| why_not(key, need, now).is_none();
            let any = self.keys.iter().any(ready);
            if any { None } else { self.key(need, now).err() }
        })
    }

    /// Why the target is asked by nobody.
    fn closed(&self, need: Need, now: u64) -> Option<NotReady> {
        let not = |why, until| Some(NotReady { why, until });
        match self.switch.state(now) {
            Breaker::Open(until) => not(Unready::Breaker, until),
            Breaker::Probing => not(Unready::Probed, now + PROBED_AGAIN_US),
            Breaker::Closed | Breaker::HalfOpen if self.crowd.is_full(need.leaves) => {
                not(Unready::Full, now + FULL_AGAIN_US)
            }
            Breaker::Closed | Breaker::HalfOpen => None,
        }
    }

    /// The key with the most left; equals take turns.
    fn key(&self, need: Need, now: u64) -> Result<usize, NotReady> {
        let mut best: Option<(u64, usize)> = None;
        let mut soonest: Option<NotReady> = None;
        for offset in 0..self.keys.len() {
            let at = (self.turn + offset) % self.keys.len();
            let Some(key) = self.keys.get(at) else { continue };
            match why_not(key, need, now) {
                Some(not) if soonest.is_none_or(|s| not.until < s.until) => soonest = Some(not),
                Some(_) => {}
                None => {
                    let headroom = key.headroom(now);
                    if best.is_none_or(|(most, _)| headroom > most) {
                        best = Some((headroom, at));
                    }
                }
            }
        }
        match (best, soonest) {
            (Some((_, at)), _) => Ok(at),
            (None, Some(not)) => Err(not),
            (None, None) => Ok(0),
        }
    }
}

fn why_not(key: &Allowance, need: Need, now: u64) -> Option<NotReady> {
    let not = |why, until| Some(NotReady { why, until });
    if key.refused_until > now {
        return not(Unready::Credential, key.refused_until);
    }
    if key.rests_until > now {
        return not(Unready::Resting, key.rests_until);
    }
    let (name, until) = key.short(need, now)?;
    not(Unready::Limit(name), until)
}

#[cfg(test)]
mod tests;
