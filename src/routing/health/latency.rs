//! How soon a target answers, as a moving figure that believes bad news at once and good news slowly.

/// Silence after which a figure is half of what it was: a target that is left alone because it was slow
/// is tried again some time.
const HALF_LIFE_US: u64 = 10_000_000;
/// A whole reply is taken to spend as long on its prompt as on so many tokens, until streams have shown
/// how long that takes.
const PROMPT_AS_TOKENS: u64 = 32;

/// Time to the first token, and per token after it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    first_us: Peak,
    token_ns: Peak,
    /// Whether the time to the first token was seen, rather than derived from whole replies.
    streamed: bool,
}

impl Latency {
    /// A stream began so long after it was asked for.
    pub(super) fn first(&mut self, us: u64, now: u64) {
        if !self.streamed {
            self.first_us = Peak::default();
            self.streamed = true;
        }
        self.first_us.observe(us, now);
    }

    /// A reply of so many tokens was whole so long after it was asked for, `first` of it before its
    /// first token where that is known.
    pub(super) fn whole(&mut self, tokens: u64, us: u64, first: Option<u64>, now: u64) {
        let ns = us.saturating_mul(1_000);
        match first {
            Some(first) if tokens > 1 => {
                let writing = ns.saturating_sub(first.saturating_mul(1_000));
                self.token_ns.observe(writing / (tokens - 1), now);
            }
            Some(_) => {}
            None => {
                let token = ns / tokens.saturating_add(PROMPT_AS_TOKENS);
                self.token_ns.observe(token, now);
                if !self.streamed {
                    self.first_us.observe(token * PROMPT_AS_TOKENS / 1_000, now);
                }
            }
        }
    }

    /// Microseconds to the first token; 0 where nothing is known.
    pub(super) fn first_us(&self, now: u64) -> u64 {
        self.first_us.at(now)
    }

    /// Nanoseconds a token; 0 where nothing is known.
    pub(super) fn token_ns(&self, now: u64) -> u64 {
        self.token_ns.at(now)
    }
}

/// The "peak EWMA" of Finagle's load balancer: up at once, down by an eighth of the way.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    value: u64,
    at: u64,
}

impl Peak {
    fn observe(&mut self, sample: u64, now: u64) {
        let before = self.at(now);
        self.value = if before == 0 || sample > before {
            sample.max(1)
        } else {
            before - (before - sample).div_ceil(8)
        };
        self.at = now;
    }

    /// The figure now: halved for each half-life of silence, along straight lines between.
    fn at(&self, now: u64) -> u64 {
        let silent = now.saturating_sub(self.at);
        let (halvings, rest) = (silent / HALF_LIFE_US, silent % HALF_LIFE_US);
        let value = u32::try_from(halvings).ok().and_then(|n| self.value.checked_shr(n));
        let value = value.unwrap_or(0).min(u64::MAX / (HALF_LIFE_US * 2));
        value * (HALF_LIFE_US * 2 - rest) / (HALF_LIFE_US * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgiven_gradually() {
        let mut peak = Peak::default();
        for (sample, expected) in [(100, 100), (900, 900), (100, 800), (100, 712)] {
            peak.observe(sample, 5);
            assert_eq!(peak.at(5), expected);
        }
    }

    #[test]
    fn what_is_not_heard_of_is_believed_ever_less() {
        let mut peak = Peak::default();
        peak.observe(1_000, 0);
        let after = [0, 5, 10, 15, 20, 1_000].map(|seconds| peak.at(seconds * 1_000_000));
        assert_eq!(after, [1_000, 750, 500, 375, 250, 0]);
    }

    #[test]
    fn a_stream_shows_both_parts_and_a_whole_reply_their_sum() {
        let mut streams = Latency::default();
        streams.first(200_000, 1);
        streams.whole(101, 1_200_000, Some(200_000), 1);
        assert_eq!((streams.first_us(1), streams.token_ns(1)), (200_000, 10_000_000));

        let mut whole = Latency::default();
        whole.whole(68, 1_000_000, None, 1);
        assert_eq!((whole.first_us(1), whole.token_ns(1)), (320_000, 10_000_000));
        whole.first(50_000, 1);
        assert_eq!(whole.first_us(1), 50_000);
    }
}
