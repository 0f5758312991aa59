//! Periods tile time in every zone, and begin where people expect it.

use std::sync::OnceLock;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;
use tollgate_accounting::{Calendar, DAY, HOUR, Period, Timestamp, Zone};

const FROM: i64 = 631_152_000_000_000; // 1990
const TO: i64 = 2_240_524_800_000_000; // 2041

fn zones() -> &'static [String] {
    static ZONES: OnceLock<Vec<String>> = OnceLock::new();
    ZONES.get_or_init(|| {
        let database = TimeZoneDatabase::bundled();
        let names = database.available().map(|name| name.to_string());
        names.filter(|name| Zone::named(name).is_some()).collect()
    })
}

fn local_date(zone: &TimeZone, at: Timestamp) -> Date {
    zone.to_datetime(jiff::Timestamp::from_microsecond(at.micros()).unwrap()).date()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// The instant's period holds it, meets its neighbours, and begins with the first instant of a
/// local date.
fn check(name: &str, calendar: Calendar, micros: i64) -> Period {
    let zone = Zone::named(name).unwrap();
    let period = zone.period(calendar, at(micros)).unwrap();
    let Period { start, end } = period;
    assert!(period.contains(at(micros)), "{name} {calendar:?} {micros}: {period:?}");
    let last = at(end.micros() - 1);
    let before = at(start.micros() - 1);
    assert_eq!(zone.period(calendar, start), Ok(period), "{name} {calendar:?}");
    assert_eq!(zone.period(calendar, last), Ok(period), "{name} {calendar:?}");
    assert_eq!(zone.period(calendar, end).unwrap().start, end, "{name} {calendar:?}");
    assert_eq!(zone.period(calendar, before).unwrap().end, start, "{name} {calendar:?}");
    let zone = TimeZone::get(name).unwrap();
    assert!(local_date(&zone, before) < local_date(&zone, start), "{name} {calendar:?} {start}");
    period
}

#[test]
fn days_tile_time_around_every_change_of_every_zone_for_fifty_years() {
    let mut changes = 0;
    for name in zones() {
        let zone = TimeZone::get(name).unwrap();
        let from = jiff::Timestamp::from_microsecond(FROM).unwrap();
        for change in zone.following(from).map(|change| change.timestamp().as_microsecond()) {
            if change > TO {
                break;
            }
            changes += 1;
            for micros in [change - 1, change, change + 1, change + DAY, change - DAY] {
                check(name, Calendar::Day, micros);
            }
        }
    }
    assert!(changes > 10_000, "only {changes} changes");
}

#[test]
fn the_days_and_months_of_a_year_add_up_in_every_zone() {
    for name in zones() {
        let zone = Zone::named(name).unwrap();
        for (calendar, most) in [(Calendar::Month, 13), (Calendar::Week, 54)] {
            let mut period = zone.period(calendar, at(FROM + 36 * 365 * DAY)).unwrap();
            let year = period.start.micros() + 365 * DAY;
            let mut count = 0;
            while period.end.micros() < year {
                let next = zone.period(calendar, period.end).unwrap();
                assert_eq!(next.start, period.end, "{name}");
                (period, count) = (next, count + 1);
            }
            assert!(count >= most - 3 && count <= most, "{name}: {count} of {calendar:?}");
        }
    }
}

#[test]
fn a_boundary_is_the_first_instant_of_its_date() {
    // Zone, an instant, the period's start and end, all in UTC.
    let table = [
        // Plain days, and days of 23 and 25 hours.
        ("UTC", Calendar::Day, "2026-11-24T07:00Z", "2026-11-24T00:00Z", "2026-11-25T00:00Z"),
        (
            "Europe/Berlin",
            Calendar::Day,
            "2026-03-29T12:00Z",
            "2026-03-28T23:00Z",
            "2026-03-29T22:00Z",
        ),
        (
            "Europe/Berlin",
            Calendar::Day,
            "2026-10-25T12:00Z",
            "2026-10-24T22:00Z",
            "2026-10-25T23:00Z",
        ),
        // Midnight is skipped: the day begins at one.
        (
            "America/Sao_Paulo",
            Calendar::Day,
            "2018-11-04T12:00Z",
            "2018-11-04T03:00Z",
            "2018-11-05T02:00Z",
        ),
        // Midnight comes twice: the day begins with the first.
        (
            "America/Havana",
            Calendar::Day,
            "2024-11-03T12:00Z",
            "2024-11-03T04:00Z",
            "2024-11-04T05:00Z",
        ),
        // Clocks go back over midnight: eleven in the evening comes again within the next day.
        (
            "America/Sao_Paulo",
            Calendar::Day,
            "2018-02-18T02:30Z",
            "2018-02-17T02:00Z",
            "2018-02-18T03:00Z",
        ),
        // A date that Samoa never had.
        (
            "Pacific/Apia",
            Calendar::Day,
            "2011-12-30T09:59Z",
            "2011-12-29T10:00Z",
            "2011-12-30T10:00Z",
        ),
        (
            "Pacific/Apia",
            Calendar::Day,
            "2011-12-30T10:00Z",
            "2011-12-30T10:00Z",
            "2011-12-31T10:00Z",
        ),
        // Weeks from Monday.
        ("UTC", Calendar::Week, "2026-11-29T23:59Z", "2026-11-23T00:00Z", "2026-11-30T00:00Z"),
        ("UTC", Calendar::Week, "2026-11-30T00:00Z", "2026-11-30T00:00Z", "2026-12-07T00:00Z"),
        // Months, leap or not, and days that not every month has.
        ("UTC", Calendar::Month, "2028-02-29T12:00Z", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
        ("UTC", Calendar::Month, "2026-12-31T12:00Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        (
            "UTC",
            Calendar::MonthFrom(31),
            "2027-02-10T00:00Z",
            "2027-01-31T00:00Z",
            "2027-02-28T00:00Z",
        ),
        (
            "UTC",
            Calendar::MonthFrom(31),
            "2027-02-28T00:00Z",
            "2027-02-28T00:00Z",
            "2027-03-31T00:00Z",
        ),
        (
            "UTC",
            Calendar::MonthFrom(30),
            "2028-02-29T00:00Z",
            "2028-02-29T00:00Z",
            "2028-03-30T00:00Z",
        ),
        (
            "UTC",
            Calendar::MonthFrom(15),
            "2026-01-14T23:59Z",
            "2025-12-15T00:00Z",
            "2026-01-15T00:00Z",
        ),
        (
            "UTC",
            Calendar::MonthFrom(1),
            "2026-01-14T23:59Z",
            "2026-01-01T00:00Z",
            "2026-02-01T00:00Z",
        ),
    ];
    for (name, calendar, micros, start, end) in table {
        let [micros, start, end] = [micros, start, end].map(|text| {
            let text = text.replace('Z', ":00Z");
            at(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
        });
        let found = check(name, calendar, micros.micros());
        assert_eq!(found, Period { start, end }, "{name} {calendar:?} {micros}: {found:?}");
    }
}

#[test]
fn a_midnight_in_a_gap_that_began_before_it_is_the_end_of_the_gap() {
    // Toronto, 1919-03-30: half past eleven in the evening became half past midnight.
    let micros = -1_601_753_400_000_000;
    let found = Zone::named("America/Toronto").unwrap().period(Calendar::Day, at(micros)).unwrap();
    assert_eq!(found.start, at(micros));
    assert_eq!(found.end, at(micros + 23 * HOUR + HOUR / 2));
}

#[test]
fn names_that_are_no_zone_and_years_without_a_calendar_are_refused() {
    for name in ["", "Mars/Olympus", "Etc/Unknown", "UTC+1", "Europe/Berlin\0"] {
        assert_eq!(Zone::named(name), None, "{name}");
    }
    assert_eq!(Zone::named("utc"), Some(Zone::UTC));
    for calendar in [Calendar::Day, Calendar::Week, Calendar::Month, Calendar::MonthFrom(31)] {
        assert!(Zone::UTC.period(calendar, Timestamp::MAX).is_err());
        assert!(Zone::UTC.period(calendar, Timestamp::MIN).is_err());
        for micros in [253_402_207_200_999_999, -377_705_023_201_000_000] {
            // The calendar's last and first instant: no panic, whatever the answer.
            let _ = Zone::UTC.period(calendar, at(micros));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn periods_tile_time_in_any_zone(
        zone in 0_usize..10_000,
        micros in FROM..TO,
        kind in 0_u8..4,
        day in 1_u8..=31,
    ) {
        let calendar = match kind {
            0 => Calendar::Day,
            1 => Calendar::Week,
            2 => Calendar::Month,
            _ => Calendar::MonthFrom(day),
        };
        check(&zones()[zone % zones().len()], calendar, micros);
    }
}
