//! Calendar periods: the half-open [start, end) that holds an instant, for days, weeks and months
//! in an IANA zone. Periods tile time: no gap, no overlap, in any zone.

use jiff::ToSpan;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use crate::{Overflow, Timestamp};

/// The calendar that a quota follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Calendar {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the first of the next.
    Month,
    /// From this day (1 to 31) of a month to the same day of the next; in a month without that
    /// day, its last day stands in.
    MonthFrom(u8),
}

/// A stretch of time that includes its start and excludes its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    /// The first instant.
    pub start: Timestamp,
    /// The first instant after it; the start of the next period.
    pub end: Timestamp,
}

/// An IANA time zone, from the database that is compiled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Period {
    /// Whether the instant is in the period.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone(TimeZone::UTC);

    /// The zone of that name, `Europe/Berlin`.
    pub fn named(name: &str) -> Option<Zone> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        (!zone.is_unknown()).then_some(Zone(zone))
    }

    /// The period of `calendar` that holds `at`. Fails only beyond the years that a calendar
    /// covers.
    ///
    /// A boundary is the first instant whose local date is the boundary's date or later. So a
    /// midnight that the clocks skip is the first instant after the gap, one that happens twice is
    /// the earlier, and a date that a zone never had is an empty day.
    pub fn period(&self, calendar: Calendar, at: Timestamp) -> Result<Period, Overflow> {
        let instant = jiff::Timestamp::from_microsecond(at.micros()).map_err(|_| Overflow)?;
        let mut first = calendar.first_day(self.0.to_datetime(instant).date())?;
        let mut start = self.first_instant(first)?;
        // Where clocks go back over a midnight, the local date is older than the period for a
        // while; the instants decide, not the date.
        while at < start {
            first = calendar.first_day(first.yesterday().map_err(|_| Overflow)?)?;
            start = self.first_instant(first)?;
        }
        loop {
            let next = calendar.next_first_day(first)?;
            let end = self.first_instant(next)?;
            if at < end {
                return Ok(Period { start, end });
            }
            (first, start) = (next, end);
        }
    }

    fn first_instant(&self, date: Date) -> Result<Timestamp, Overflow> {
        let midnight = date.to_datetime(Time::midnight());
        let at = match self.0.to_ambiguous_timestamp(midnight).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(midnight),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(midnight),
            AmbiguousOffset::Gap { before, .. } => {
                // By the clock before the gap, midnight is at the transition or after it.
                let late = before.to_timestamp(midnight).map_err(|_| Overflow)?;
                let after = late.checked_add(1.nanosecond()).map_err(|_| Overflow)?;
                let gap = self.0.preceding(after).next();
                Ok(gap.map_or(late, |transition| transition.timestamp()))
            }
        };
        Ok(Timestamp::from_micros(at.map_err(|_| Overflow)?.as_microsecond()))
    }
}

impl Calendar {
    /// Whether the anchor is a day of a month.
    pub(crate) fn is_valid(self) -> bool {
        !matches!(self, Calendar::MonthFrom(day) if !(1..=31).contains(&day))
    }

    /// The first date of the period whose dates include `date`.
    fn first_day(self, date: Date) -> Result<Date, Overflow> {
        match self {
            Calendar::Day => Ok(date),
            Calendar::Week => {
                let since_monday = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(since_monday.days()).map_err(|_| Overflow)
            }
            Calendar::Month => Ok(date.first_of_month()),
            Calendar::MonthFrom(day) => {
                let this = clamped(date, day)?;
                if this <= date {
                    return Ok(this);
                }
                clamped(date.first_of_month().yesterday().map_err(|_| Overflow)?, day)
            }
        }
    }

    /// The first date of the period after the one that starts on `first`.
    fn next_first_day(self, first: Date) -> Result<Date, Overflow> {
        let next = match self {
            Calendar::Day => first.tomorrow(),
            Calendar::Week => first.checked_add(1.week()),
            Calendar::Month | Calendar::MonthFrom(_) => first.last_of_month().tomorrow(),
        };
        let next = next.map_err(|_| Overflow)?;
        match self {
            Calendar::MonthFrom(day) => clamped(next, day),
            _ => Ok(next),
        }
    }
}

/// The given day of the date's month, or the month's last.
fn clamped(date: Date, day: u8) -> Result<Date, Overflow> {
    let last = date.days_in_month();
    let day = i8::try_from(day).map_err(|_| Overflow)?.min(last);
    Date::new(date.year(), date.month(), day).map_err(|_| Overflow)
}
