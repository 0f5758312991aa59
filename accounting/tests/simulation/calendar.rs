//! An own calendar for UTC and for one zone with summer time, from the rules and not from a
//! database.

use tollgate_accounting::{Calendar, DAY, HOUR};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Utc,
    /// Central European Time: an hour ahead, two from the last Sunday of March, 01:00 UTC, to the
    /// last Sunday of October, 01:00 UTC.
    Berlin,
}

impl Place {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Utc => "UTC",
            Place::Berlin => "Europe/Berlin",
        }
    }

    /// The calendar period that holds the instant, in microseconds.
    pub(crate) fn period(self, calendar: Calendar, at: i64) -> (i64, i64) {
        let day = (at + self.offset(at)).div_euclid(DAY);
        let (year, month, of_month) = date(day);
        let month_index = year * 12 + month - 1;
        let (first, next) = match calendar {
            Calendar::Day => (day, day + 1),
            // Day 0 was a Thursday.
            Calendar::Week => {
                let monday = (day + 3).div_euclid(7) * 7 - 3;
                (monday, monday + 7)
            }
            Calendar::Month => (first_of(month_index), first_of(month_index + 1)),
            Calendar::MonthFrom(anchor) => {
                let anchored = |index: i64| {
                    let length = first_of(index + 1) - first_of(index);
                    first_of(index) + i64::from(anchor).min(length) - 1
                };
                let starts = anchored(month_index) < first_of(month_index) + of_month;
                let index = if starts { month_index } else { month_index - 1 };
                (anchored(index), anchored(index + 1))
            }
        };
        (self.midnight(first), self.midnight(next))
    }

    /// Clocks change at 2 or 3 in the morning: midnight has the offset of the evening before.
    fn midnight(self, day: i64) -> i64 {
        day * DAY - self.offset(day * DAY - 4 * HOUR)
    }

    fn offset(self, at: i64) -> i64 {
        if self == Place::Utc {
            return 0;
        }
        let (year, ..) = date(at.div_euclid(DAY));
        let last_sunday = |next_month: i64| {
            let last = first_of(year * 12 + next_month) - 1;
            (last - (last + 4).rem_euclid(7)) * DAY + HOUR
        };
        if (last_sunday(3)..last_sunday(10)).contains(&at) { 2 * HOUR } else { HOUR }
    }
}

/// Year, month and day of month of a day since the epoch, counted by hand.
fn date(day: i64) -> (i64, i64, i64) {
    let mut year = 1970 + day.div_euclid(366);
    while first_of((year + 1) * 12) <= day {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && first_of(year * 12 + month) <= day {
        month += 1;
    }
    (year, month, day - first_of(year * 12 + month - 1) + 1)
}

/// The day since the epoch on which a month begins, by its number since the year 0.
fn first_of(index: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let leap_days = |before: i64| (before - 1) / 4 - (before - 1) / 100 + (before - 1) / 400;
    let days = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
    days + BEFORE[month as usize] + i64::from(is_leap && month > 1)
}
