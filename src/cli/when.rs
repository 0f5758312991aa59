//! A time as people type it: a date, an instant, a word, or a distance from now. What it means is
//! decided later, when the zone is known.

use std::{fmt, str::FromStr};

use jiff::{
    Span,
    civil::{Date, Time},
    tz::{TimeZone, TimeZoneDatabase},
};
use tollgate_accounting::{Calendar, HOUR, MINUTE, Timestamp, Zone};

/// A time that was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `2026-11-01T09:30:00Z`.
    Instant(Timestamp),
    /// `2026-11-01`: its first instant.
    Date(Date),
    /// `now`.
    Now,
    /// `today`, `week` or `month`: the first instant of the current one.
    Start(Calendar),
    /// `yesterday`: its first instant.
    Yesterday,
    /// `-7d`, `+2w`: so many days before or after now, at the same local time.
    Days(i64),
    /// `-12h`, `+90m`: so much before or after now.
    Micros(i64),
}

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadWhen {
    /// It cannot be read.
    Unreadable,
    /// It lies where no calendar reaches.
    OutOfRange,
}

impl When {
    /// The instant that is meant, in a zone. Of a date whose midnight is skipped or doubled it is
    /// the first.
    pub fn resolve(self, now: Timestamp, zone_name: &str) -> Result<Timestamp, BadWhen> {
        let out = BadWhen::OutOfRange;
        let zone = Zone::named(zone_name).ok_or(out)?;
        let tz = TimeZoneDatabase::bundled().get(zone_name).map_err(|_| out)?;
        match self {
            When::Instant(instant) => Ok(instant),
            When::Now => Ok(now),
            When::Date(date) => first_instant(date, &zone, tz),
            When::Start(calendar) => Ok(zone.period(calendar, now).map_err(|_| out)?.start),
            When::Yesterday => {
                let yesterday = local(now, tz.clone())?.date().yesterday().map_err(|_| out)?;
                first_instant(yesterday, &zone, tz)
            }
            When::Micros(micros) => now.plus(micros).map_err(|_| out),
            When::Days(days) => {
                let days = Span::new().try_days(days).map_err(|_| out)?;
                let there = local(now, tz)?.checked_add(days).map_err(|_| out)?;
                Ok(Timestamp::from_micros(there.timestamp().as_microsecond()))
            }
        }
    }
}

fn local(at: Timestamp, tz: TimeZone) -> Result<jiff::ZonedDateTime, BadWhen> {
    let instant =
        jiff::Timestamp::from_microsecond(at.micros()).map_err(|_| BadWhen::OutOfRange)?;
    Ok(instant.to_zoned_datetime(tz))
}

/// The day's period is found through its noon, which no zone skips.
fn first_instant(date: Date, zone: &Zone, tz: TimeZone) -> Result<Timestamp, BadWhen> {
    let out = BadWhen::OutOfRange;
    let noon = date.to_datetime(Time::constant(12, 0, 0, 0));
    let noon = tz.to_timestamp(noon).map_err(|_| out)?.as_microsecond();
    Ok(zone.period(Calendar::Day, Timestamp::from_micros(noon)).map_err(|_| out)?.start)
}

impl FromStr for When {
    type Err = BadWhen;

    fn from_str(text: &str) -> Result<When, BadWhen> {
        match text {
            "now" => return Ok(When::Now),
            "today" => return Ok(When::Start(Calendar::Day)),
            "yesterday" => return Ok(When::Yesterday),
            "week" => return Ok(When::Start(Calendar::Week)),
            "month" => return Ok(When::Start(Calendar::Month)),
            _ => {}
        }
        if let Some(distance) = text.strip_prefix(['-', '+']) {
            return read_distance(distance, if text.starts_with('-') { -1 } else { 1 });
        }
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Ok(When::Instant(Timestamp::from_micros(instant.as_microsecond())));
        }
        // A longer text may be a date and a time without a zone, of which the time would be lost.
        let is_date = text.len() == "2026-11-01".len();
        let date = text.parse::<Date>().ok().filter(|_| is_date);
        date.map(When::Date).ok_or(BadWhen::Unreadable)
    }
}

fn read_distance(text: &str, sign: i64) -> Result<When, BadWhen> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(BadWhen::Unreadable)?;
    let (number, unit) = text.split_at(unit_at);
    let number: i64 = number.parse().map_err(|_| BadWhen::Unreadable)?;
    let (make, size): (fn(i64) -> When, i64) = match unit {
        "m" => (When::Micros, MINUTE),
        "h" => (When::Micros, HOUR),
        "d" => (When::Days, 1),
        "w" => (When::Days, 7),
        _ => return Err(BadWhen::Unreadable),
    };
    number.checked_mul(sign * size).map(make).ok_or(BadWhen::OutOfRange)
}

impl fmt::Display for BadWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadWhen::Unreadable => {
                "not a time; write 2026-11-01, 2026-11-01T09:30:00Z, now, today, yesterday, week, \
                 month, -7d or -12h"
            }
            BadWhen::OutOfRange => "a time that no calendar reaches",
        })
    }
}

impl std::error::Error for BadWhen {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn a_time_means_what_the_zone_says() {
        let now = "2026-11-24T10:30:00Z";
        let cases = [
            ("2026-11-01", "UTC", now, "2026-11-01T00:00:00Z"),
            ("2026-11-01", "Europe/Berlin", now, "2026-10-31T23:00:00Z"),
            ("2026-11-01T09:30:00+02:00", "UTC", now, "2026-11-01T07:30:00Z"),
            ("now", "Asia/Tokyo", now, now),
            ("today", "Europe/Berlin", now, "2026-11-23T23:00:00Z"),
            ("today", "Pacific/Auckland", now, "2026-11-23T11:00:00Z"),
            ("yesterday", "UTC", now, "2026-11-23T00:00:00Z"),
            ("week", "UTC", now, "2026-11-23T00:00:00Z"),
            ("month", "America/New_York", now, "2026-11-01T04:00:00Z"),
            ("-7d", "UTC", now, "2026-11-17T10:30:00Z"),
            ("-2w", "UTC", now, "2026-11-10T10:30:00Z"),
            ("-90m", "UTC", now, "2026-11-24T09:00:00Z"),
            ("+30d", "UTC", now, "2026-12-24T10:30:00Z"),
            // The clocks went back on 25 October: seven days before is the same local time.
            ("-7d", "Europe/Berlin", "2026-10-26T10:30:00Z", "2026-10-19T09:30:00Z"),
            ("-168h", "Europe/Berlin", "2026-10-26T10:30:00Z", "2026-10-19T10:30:00Z"),
            // Havana has no midnight on this day, and two on the other.
            ("2026-03-08", "America/Havana", now, "2026-03-08T05:00:00Z"),
            ("2026-11-01", "America/Havana", now, "2026-11-01T04:00:00Z"),
        ];
        for (text, zone, now, expected) in cases {
            let when: When = text.parse().unwrap();
            assert_eq!(when.resolve(at(now), zone), Ok(at(expected)), "{text} in {zone}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let cases = [
            "",
            "tomorrowish",
            "2026-13-01",
            "2026-02-30",
            "2026-11-01T09:30:00",
            "-",
            "-7",
            "-7y",
            "--7d",
            "7d",
            "-99999999999999999999d",
            "+9223372036854775807w",
            "2026-11-01 ",
        ];
        for text in cases {
            assert!(text.parse::<When>().is_err(), "{text:?}");
        }
        let far: When = "+7000000d".parse().unwrap();
        assert_eq!(far.resolve(at("2026-11-24T10:30:00Z"), "UTC"), Err(BadWhen::OutOfRange));
    }
}
