//! How many calls a target takes at once. There is no bound until it shows that it has one; from then
//! on the bound goes down by a quarter when it struggles, and up by one for each round that it does
//! not ("additive increase, multiplicative decrease", Chiu and Jain 1989).

use super::Leaves;

/// The bound never goes below this.
const FEWEST: u32 = 4;
/// A bound that has grown so large is none.
const MANY: u32 = 4_096;
/// Signs of struggle within this time are one: they are of calls that were sent before the first.
const ONE_SIGN_US: u64 = 200_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crowd {
    pub(super) in_flight: u32,
    /// The most at once; `None` while it never struggled.
    pub(super) most: Option<u32>,
    /// Calls that went well since the bound last grew.
    well: u32,
    deaf_until: u64,
}

impl Crowd {
    pub(super) fn is_full(&self, leaves: Leaves) -> bool {
        let taken = match leaves {
            Leaves::Nothing => self.in_flight,
            // A third more of three quarters is all of it.
            Leaves::Quarter => self.in_flight.saturating_add(self.in_flight.div_ceil(3)),
        };
        self.most.is_some_and(|most| taken >= most)
    }

    pub(super) fn enter(&mut self) {
        self.in_flight += 1;
    }

    pub(super) fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(super) fn went_well(&mut self) {
        let Some(most) = self.most else { return };
        self.well += 1;
        if self.well >= most {
            self.well = 0;
            self.most = Some(most + 1).filter(|most| *most < MANY);
        }
    }

    pub(super) fn struggled(&mut self, now: u64) {
        if now < self.deaf_until {
            return;
        }
        self.deaf_until = now.saturating_add(ONE_SIGN_US);
        self.well = 0;
        let had = self.most.unwrap_or(self.in_flight).min(self.in_flight.max(FEWEST));
        self.most = Some((had - had.div_ceil(4)).max(FEWEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_appears_with_the_first_struggle_and_grows_by_one_a_round() {
        let mut crowd = Crowd::default();
        (0..100).for_each(|_| crowd.enter());
        assert!(!crowd.is_full(Leaves::Nothing));
        crowd.struggled(0);
        assert_eq!(crowd.most, Some(75));
        crowd.struggled(ONE_SIGN_US - 1);
        assert_eq!(crowd.most, Some(75), "one sign");
        (0..25).for_each(|_| crowd.leave());
        assert!(crowd.is_full(Leaves::Nothing));
        (0..75).for_each(|_| crowd.went_well());
        assert_eq!(crowd.most, Some(76));
        (0..40).for_each(|n| crowd.struggled(ONE_SIGN_US * (n + 1)));
        assert_eq!(crowd.most, Some(FEWEST));
    }

    #[test]
    fn a_quarter_is_left_to_the_more_urgent() {
        for (most, fits) in [(4, 3), (8, 6), (100, 75)] {
            let mut crowd = Crowd { most: Some(most), ..Crowd::default() };
            let mut entered = 0;
            while !crowd.is_full(Leaves::Quarter) {
                crowd.enter();
                entered += 1;
            }
            assert_eq!(entered, fits, "of {most}");
            assert!(!crowd.is_full(Leaves::Nothing));
        }
    }
}
