//! Where a period's use is heading: how fast it is used, and what it comes to if it goes on like that.

use crate::{DAY, Period, Timestamp};

/// The part of a period, one in so many, that is taken to have passed at the least: the first call of a
/// month foretells nothing yet.
const LEAST: i128 = 100;

/// What a period comes to if use goes on as it has since the period began. Counts are those of the limit:
/// nano-dollars for cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The period.
    pub period: Period,
    /// Used in twenty-four hours.
    pub per_day: i64,
    /// How fast it is used, in thousandths of the speed that uses the limit up as the period ends. 2,000
    /// is twice as fast: it is used up in half of the time. `None` for a limit of nothing.
    pub burn_permille: Option<i64>,
    /// Used by the period's end.
    pub at_end: i64,
    /// When the limit is used up, where that is before the period's end.
    pub exhausted_at: Option<Timestamp>,
}

impl Forecast {
    /// Of so much used by `now` of a limit of `capacity`. `None` for a period that has no length or does
    /// not hold `now`.
    pub fn of(used: i64, capacity: i64, period: Period, now: Timestamp) -> Option<Forecast> {
        let length = i128::from(period.end.since(period.start).ok()?);
        if !period.contains(now) || length <= 0 {
            return None;
        }
        let passed = i128::from(now.since(period.start).ok()?).max(length / LEAST).max(1);
        let used = i128::from(used.max(0));
        let whole = |value: i128| i64::try_from(value).unwrap_or(i64::MAX);
        // Both factors are below 2^63, so no product leaves its 127 bits.
        let at_end = (used * length / passed).max(used);
        let capacity = i128::from(capacity);
        let burn = (capacity > 0).then(|| whole(at_end.saturating_mul(1_000) / capacity));
        let exhausted_at = if used >= capacity {
            Some(now)
        } else {
            let takes = (capacity * passed).checked_div(used).map(whole);
            takes.map(|micros| period.start.saturating_plus(micros))
        };
        Some(Forecast {
            period,
            per_day: whole(used * i128::from(DAY) / passed),
            burn_permille: burn,
            at_end: whole(at_end),
            exhausted_at: exhausted_at.map(|at| at.max(now)).filter(|at| *at < period.end),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HOUR;

    const PERIOD: Period =
        Period { start: Timestamp::from_micros(0), end: Timestamp::from_micros(10 * DAY) };

    fn at(days: i64) -> Timestamp {
        Timestamp::from_micros(days * DAY)
    }

    fn of(used: i64, capacity: i64, now: Timestamp) -> Forecast {
        Forecast::of(used, capacity, PERIOD, now).unwrap()
    }

    #[test]
    fn use_goes_on_as_it_has() {
        let even = of(500, 1_000, at(5));
        assert_eq!((even.per_day, even.burn_permille, even.at_end), (100, Some(1_000), 1_000));
        assert_eq!(even.exhausted_at, None, "it is used up with the period, not before");
        let twice = of(400, 1_000, at(2));
        assert_eq!((twice.burn_permille, twice.at_end), (Some(2_000), 2_000));
        assert_eq!(twice.exhausted_at, Some(at(5)));
        let half = of(250, 1_000, at(5));
        assert_eq!((half.burn_permille, half.at_end, half.exhausted_at), (Some(500), 500, None));
    }

    #[test]
    fn nothing_used_foretells_nothing_and_all_used_is_used_up_now() {
        let none = of(0, 1_000, at(5));
        assert_eq!((none.per_day, none.at_end, none.exhausted_at), (0, 0, None));
        assert_eq!(of(1_200, 1_000, at(5)).exhausted_at, Some(at(5)));
        assert_eq!(
            (of(0, 0, at(5)).burn_permille, of(0, 0, at(5)).exhausted_at),
            (None, Some(at(5)))
        );
        assert_eq!(of(-5, 1_000, at(5)).at_end, 0, "corrections can leave less than nothing");
    }

    #[test]
    fn the_first_call_of_a_period_is_no_trend() {
        // A tenth of a day of ten is the least that counts as passed.
        assert_eq!(of(10, 1_000, Timestamp::from_micros(1)).at_end, 1_000);
        assert_eq!(of(10, 1_000, Timestamp::from_micros(HOUR)).at_end, 1_000);
    }

    #[test]
    fn no_number_overflows_and_what_is_used_is_never_foretold_as_less() {
        let numbers = [0, 1, 999, i64::MAX / 2, i64::MAX];
        for used in numbers {
            for capacity in numbers {
                for micros in [0, 1, 10 * DAY - 1] {
                    let now = Timestamp::from_micros(micros);
                    let told = of(used, capacity, now);
                    assert!(told.at_end >= used && told.exhausted_at.is_none_or(|at| at >= now));
                }
            }
        }
        let long = Period { start: Timestamp::MIN, end: Timestamp::MAX };
        assert_eq!(Forecast::of(1, 1, long, at(0)), None, "a period whose length cannot be told");
        assert_eq!(Forecast::of(1, 1, PERIOD, at(10)), None, "after its end");
    }
}
