//! An instant, given to the core by its caller: nothing in this crate reads a clock.

use std::fmt;

use crate::Overflow;

/// One second in microseconds.
pub const SECOND: i64 = 1_000_000;
/// One minute in microseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// One hour in microseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// Twenty-four hours in microseconds. A calendar day can be shorter or longer.
pub const DAY: i64 = 24 * HOUR;

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest instant; "never" where an instant is needed.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// That many microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds after the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The instant `micros` later.
    pub fn plus(self, micros: i64) -> Result<Timestamp, Overflow> {
        self.0.checked_add(micros).map(Timestamp).ok_or(Overflow)
    }

    /// The instant `micros` earlier.
    pub fn minus(self, micros: i64) -> Result<Timestamp, Overflow> {
        self.0.checked_sub(micros).map(Timestamp).ok_or(Overflow)
    }

    /// Microseconds from `earlier` to this instant; negative if it is later.
    pub fn since(self, earlier: Timestamp) -> Result<i64, Overflow> {
        self.0.checked_sub(earlier.0).ok_or(Overflow)
    }

    /// The instant `micros` later, or [`Timestamp::MAX`]: for a deadline, the end of time is as
    /// good as anything beyond it.
    #[must_use]
    pub const fn saturating_plus(self, micros: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; the bare number where no calendar reaches.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_move_and_compare_with_checks() {
        let at = Timestamp::from_micros(5);
        assert_eq!(at.plus(SECOND), Ok(Timestamp(1_000_005)));
        assert_eq!(at.minus(6), Ok(Timestamp(-1)));
        assert_eq!(at.since(Timestamp(7)), Ok(-2));
        assert_eq!(Timestamp::MAX.plus(1), Err(Overflow));
        assert_eq!(Timestamp::MIN.minus(1), Err(Overflow));
        assert_eq!(Timestamp::MAX.since(Timestamp::MIN), Err(Overflow));
        assert_eq!(Timestamp::MAX.saturating_plus(1), Timestamp::MAX);
        assert_eq!(at.saturating_plus(1).micros(), 6);
        assert_eq!(DAY, 86_400_000_000);
    }

    #[test]
    fn an_instant_prints_as_rfc_3339() {
        assert_eq!(Timestamp(1_766_000_000_000_000).to_string(), "2025-12-17T19:33:20Z");
        assert_eq!(Timestamp::MAX.to_string(), "9223372036854775807us");
    }
}
