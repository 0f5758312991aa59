//! What one key may still ask of a model: the provider's own limits as its answers tell them, and how
//! they fill up again.

use tollgate_providers::{RateLimit, RateLimits};

use super::{Leaves, Need};

/// The span a limit is taken to refill over where its answers do not say; providers count by the minute.
const MINUTE_US: u64 = 60_000_000;

/// What one key may ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowance {
    /// The provider asked to be left alone until then.
    pub(super) rests_until: u64,
    /// The provider refused the credential; it is shown again then.
    pub(super) refused_until: u64,
    /// In the order of [`NAMES`].
    levels: [Option<Level>; 4],
}

/// What a provider counts.
pub(super) const NAMES: [&str; 4] = ["requests", "tokens", "input_tokens", "output_tokens"];

/// A limit as last heard of. Both large providers fill theirs up continuously, as a token bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) limit: u64,
    remaining: u64,
    at: u64,
    /// Time in which one unit comes back.
    unit_ns: u64,
}

impl Level {
    pub(super) fn available(&self, now: u64) -> u64 {
        let back = now.saturating_sub(self.at).saturating_mul(1_000) / self.unit_ns.max(1);
        self.remaining.saturating_add(back).min(self.limit)
    }

    fn take(&mut self, units: u64, now: u64) {
        self.remaining = self.available(now).saturating_sub(units);
        self.at = now;
    }

    /// When so much is there; more than there can ever be is asked for once it is full.
    fn ready_at(&self, units: u64, now: u64) -> u64 {
        let short = units.min(self.limit).saturating_sub(self.available(now));
        now.saturating_add(short.saturating_mul(self.unit_ns).div_ceil(1_000))
    }
}

impl Allowance {
    /// Takes over what an answer says.
    pub(super) fn learn(&mut self, told: &RateLimits, now: u64) {
        let RateLimits { requests, tokens, input_tokens, output_tokens } = told;
        for (level, told) in
            self.levels.iter_mut().zip([requests, tokens, input_tokens, output_tokens])
        {
            if let Some(told) = told {
                *level = Some(read(told, *level, now));
            }
        }
    }

    /// Notes what a call is about to use, before its answer says so.
    pub(super) fn take(&mut self, need: Need, now: u64) {
        for (level, units) in self.levels.iter_mut().zip(units(need)) {
            if let Some(level) = level {
                level.take(units, now);
            }
        }
    }

    /// The first limit that has too little left, and when it has enough.
    pub(super) fn short(&self, need: Need, now: u64) -> Option<(&'static str, u64)> {
        let levels = self.levels.iter().zip(units(need)).zip(NAMES);
        let waits = levels.filter_map(|((level, units), name)| {
            let level = level.as_ref()?;
            let spared = match need.leaves {
                Leaves::Nothing => 0,
                Leaves::Quarter => level.limit / 4,
            };
            let at = level.ready_at(units.saturating_add(spared), now);
            (at > now).then_some((name, at))
        });
        waits.max_by_key(|(_, at)| *at)
    }

    /// What is left of the scarcest limit, in thousandths.
    pub(super) fn headroom(&self, now: u64) -> u64 {
        let left = self.levels.iter().flatten();
        let share = |level: &Level| level.available(now).saturating_mul(1_000) / level.limit.max(1);
        left.map(share).min().unwrap_or(1_000)
    }

    /// Every limit heard of: its name, its size, what is left.
    pub(super) fn levels(&self, now: u64) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
        let levels = NAMES.into_iter().zip(&self.levels);
        levels.filter_map(move |(name, level)| {
            let level = level.as_ref()?;
            Some((name, level.limit, level.available(now)))
        })
    }
}

fn units(need: Need) -> [u64; 4] {
    let Need { input_tokens, output_tokens, leaves: _ } = need;
    [1, input_tokens.saturating_add(output_tokens), input_tokens, output_tokens]
}

fn read(told: &RateLimit, before: Option<Level>, now: u64) -> Level {
    let limit = told.limit.or(before.map(|b| b.limit)).unwrap_or(told.remaining).max(1);
    let used = limit.saturating_sub(told.remaining);
    let unit_ns = match told.resets_in_us {
        Some(us) if used > 0 => us.saturating_mul(1_000) / used,
        _ => before.map_or(MINUTE_US * 1_000 / limit, |before| before.unit_ns),
    };
    Level { limit, remaining: told.remaining, at: now, unit_ns: unit_ns.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(limit: u64, remaining: u64, resets_in_us: u64) -> RateLimits {
        let requests =
            Some(RateLimit { limit: Some(limit), remaining, resets_in_us: Some(resets_in_us) });
        RateLimits { requests, ..RateLimits::default() }
    }

    const ONE: Need = Need { input_tokens: 10, output_tokens: 5, leaves: Leaves::Nothing };

    #[test]
    fn a_used_up_limit_fills_up_as_its_provider_says() {
        let mut key = Allowance::default();
        assert_eq!(key.short(ONE, 0), None);
        key.learn(&told(60, 0, 60_000_000), 0);
        assert_eq!(key.short(ONE, 0), Some(("requests", 1_000_000)));
        assert_eq!(key.short(ONE, 1_000_000), None);
        key.take(ONE, 1_000_000);
        assert_eq!(key.short(ONE, 1_000_000), Some(("requests", 2_000_000)));
    }

    #[test]
    fn a_burst_is_counted_before_the_answers_to_it_come() {
        let mut key = Allowance::default();
        key.learn(&told(100, 3, 60_000_000), 0);
        for _ in 0..3 {
            assert_eq!(key.short(ONE, 0), None);
            key.take(ONE, 0);
        }
        assert!(key.short(ONE, 0).is_some());
        assert_eq!(key.headroom(0), 0);
    }

    #[test]
    fn a_quarter_of_a_limit_is_left_to_the_more_urgent() {
        let mut key = Allowance::default();
        key.learn(&told(100, 26, 60_000_000), 0);
        let modest = Need { leaves: Leaves::Quarter, ..ONE };
        assert_eq!(key.short(modest, 0), None);
        key.take(modest, 0);
        assert!(key.short(modest, 0).is_some());
        assert_eq!(key.short(ONE, 0), None);
    }

    #[test]
    fn a_call_larger_than_the_limit_waits_until_it_is_full_and_then_goes() {
        let mut key = Allowance::default();
        let tokens = RateLimit { limit: Some(10), remaining: 0, resets_in_us: Some(10) };
        key.learn(&RateLimits { tokens: Some(tokens), ..RateLimits::default() }, 0);
        assert_eq!(key.short(ONE, 0), Some(("tokens", 10)));
        assert_eq!(key.short(ONE, 10), None);
    }
}
