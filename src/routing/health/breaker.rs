//! A breaker: after enough failures a target is left alone for a while, and then one call is let
//! through to see whether it is back.

/// Failures in a row that open it.
const IN_A_ROW: u32 = 5;
/// It opens as well when half of so many last answers were failures.
const LOOKED_AT: u32 = 20;
/// How long it stays open first. It doubles with each probe that fails.
const FIRST_REST_US: u64 = 1_000_000;
const LONGEST_REST_US: u64 = 30_000_000;

/// Whether a target may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// It may.
    Closed,
    /// It failed, and is left alone until that instant (microseconds since the epoch).
    Open(u64),
    /// The rest is over: one call may go and see.
    HalfOpen,
    /// One call is on its way to see.
    Probing,
}

impl Breaker {
    /// The name in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Breaker::Closed => "closed",
            Breaker::Open(_) => "open",
            Breaker::HalfOpen | Breaker::Probing => "half_open",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Switch {
    in_a_row: u32,
    /// The last answers, the newest in the lowest bit; a failure is 1.
    last: u32,
    answers: u32,
    /// How often it opened without closing; 0 is closed.
    openings: u32,
    until: u64,
    probing: bool,
}

impl Switch {
    pub(super) fn state(&self, now: u64) -> Breaker {
        match self.openings {
            0 => Breaker::Closed,
            _ if self.probing => Breaker::Probing,
            _ if now < self.until => Breaker::Open(self.until),
            _ => Breaker::HalfOpen,
        }
    }

    /// Takes the way through, if there is one; the answer says whether it is the probe's.
    pub(super) fn enter(&mut self, now: u64) -> Option<bool> {
        match self.state(now) {
            Breaker::Closed => Some(false),
            Breaker::Open(_) | Breaker::Probing => None,
            Breaker::HalfOpen => {
                self.probing = true;
                Some(true)
            }
        }
    }

    pub(super) fn succeeded(&mut self, probe: bool) {
        // What was sent before it opened says nothing about now.
        if self.openings > 0 && !probe {
            return;
        }
        if probe {
            *self = Switch::default();
        }
        self.in_a_row = 0;
        self.note(0);
    }

    pub(super) fn failed(&mut self, probe: bool, now: u64) {
        if self.openings > 0 && !probe {
            return;
        }
        self.in_a_row += 1;
        self.note(1);
        let half = self.answers >= LOOKED_AT
            && (self.last & ((1 << LOOKED_AT) - 1)).count_ones() * 2 >= LOOKED_AT;
        if probe || half || self.in_a_row >= IN_A_ROW {
            let rest = FIRST_REST_US << self.openings.min(5);
            self.until = now.saturating_add(rest.min(LONGEST_REST_US));
            self.openings += 1;
            self.probing = false;
        }
    }

    /// A call left without an answer of either kind.
    pub(super) fn left(&mut self, probe: bool) {
        if probe {
            self.probing = false;
        }
    }

    fn note(&mut self, failure: u32) {
        self.last = self.last << 1 | failure;
        self.answers = self.answers.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn opened() -> Switch {
        let mut switch = Switch::default();
        (0..IN_A_ROW).for_each(|_| switch.failed(false, 0));
        switch
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_decides() {
        let mut switch = opened();
        assert_eq!(switch.state(SECOND - 1), Breaker::Open(SECOND));
        assert_eq!(switch.enter(SECOND - 1), None);
        assert_eq!(switch.enter(SECOND), Some(true));
        assert_eq!(switch.enter(SECOND), None, "one probe at a time");
        switch.failed(true, SECOND);
        assert_eq!(switch.state(2 * SECOND), Breaker::Open(3 * SECOND));
        assert_eq!(switch.enter(3 * SECOND), Some(true));
        switch.succeeded(true);
        assert_eq!(switch.enter(3 * SECOND), Some(false));
    }

    #[test]
    fn a_probe_that_leaves_without_an_answer_makes_way_for_the_next() {
        let mut switch = opened();
        assert_eq!(switch.enter(SECOND), Some(true));
        switch.left(true);
        assert_eq!(switch.enter(SECOND), Some(true));
    }

    #[test]
    fn half_of_the_last_answers_open_it_and_a_few_do_not() {
        for (every, opens) in [(2, true), (3, false)] {
            let mut switch = Switch::default();
            for n in 0..100 {
                if n % every == 0 {
                    switch.failed(false, 0);
                } else {
                    switch.succeeded(false);
                }
            }
            assert_eq!(switch.state(0) != Breaker::Closed, opens, "one in {every}");
        }
    }

    #[test]
    fn answers_to_what_was_sent_before_change_nothing_while_it_is_open() {
        let mut switch = opened();
        switch.succeeded(false);
        switch.failed(false, 500_000);
        assert_eq!(switch.state(0), Breaker::Open(SECOND));
    }
}
