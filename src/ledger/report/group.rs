//! What a report is split by: one list of names for the command line, the admin plane and the rows.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::ledger::rollup::{Facet, QUARTER};

/// What a report is split by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupBy {
    /// The tenant's path, or so many steps of it from the top.
    Account(Option<usize>),
    /// The provider's model.
    Model,
    /// The model as asked for.
    AskedModel,
    /// The provider.
    Provider,
    /// The prompt template, with its version.
    Prompt,
    /// The credential.
    Key,
    /// All of the caller's tags, or the value of one.
    Tag(Option<Arc<str>>),
    /// The operation.
    Endpoint,
    /// How it ended.
    Outcome,
    /// The service tier that the provider says it was processed in; empty where it says none.
    ServiceTier,
    /// A stretch of time by when the call came in, in the report's zone.
    Time(Span),
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, by its Monday.
    Week,
    /// A month.
    Month,
}

/// The names without a detail behind them.
const NAMES: [(&str, GroupBy); 15] = [
    ("account", GroupBy::Account(None)),
    ("model", GroupBy::Model),
    ("asked_model", GroupBy::AskedModel),
    ("provider", GroupBy::Provider),
    ("prompt", GroupBy::Prompt),
    ("key", GroupBy::Key),
    ("tag", GroupBy::Tag(None)),
    ("endpoint", GroupBy::Endpoint),
    ("outcome", GroupBy::Outcome),
    ("service_tier", GroupBy::ServiceTier),
    ("minute", GroupBy::Time(Span::Minute)),
    ("hour", GroupBy::Time(Span::Hour)),
    ("day", GroupBy::Time(Span::Day)),
    ("week", GroupBy::Time(Span::Week)),
    ("month", GroupBy::Time(Span::Month)),
];

/// No report is split by that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no report is by {0:?}; it is account or account:DEPTH, tag or tag:NAME, {names}", names = plain())]
pub struct BadGroup(String);

fn plain() -> String {
    let plain = NAMES.iter().map(|(name, _)| *name).filter(|n| !["account", "tag"].contains(n));
    plain.collect::<Vec<_>>().join(", ")
}

impl FromStr for GroupBy {
    type Err = BadGroup;

    fn from_str(text: &str) -> Result<GroupBy, BadGroup> {
        let bad = || BadGroup(text.to_owned());
        match text.split_once(':') {
            None => NAMES
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, by)| by.clone())
                .ok_or_else(bad),
            Some(("account", depth)) => {
                let depth = depth.parse().ok().filter(|depth| (1..=64).contains(depth));
                depth.map(|depth| GroupBy::Account(Some(depth))).ok_or_else(bad)
            }
            Some(("tag", name)) if !name.is_empty() => Ok(GroupBy::Tag(Some(name.into()))),
            Some(_) => Err(bad()),
        }
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupBy::Account(Some(depth)) => write!(f, "account:{depth}"),
            GroupBy::Tag(Some(name)) => write!(f, "tag:{name}"),
            plain => {
                let name = NAMES.iter().find(|(_, by)| by == plain).map_or("", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

impl GroupBy {
    pub(super) fn is_time(&self) -> bool {
        matches!(self, GroupBy::Time(_))
    }

    /// The group of a roll-up, but for its time.
    pub(super) fn of<'f>(&self, facet: &'f Facet) -> &'f str {
        match self {
            GroupBy::Account(None) => &facet.account,
            GroupBy::Account(Some(depth)) => {
                let end = facet.account.match_indices('/').nth(depth - 1).map(|(at, _)| at);
                end.and_then(|end| facet.account.get(..end)).unwrap_or(&facet.account)
            }
            GroupBy::Model => &facet.model,
            GroupBy::AskedModel => &facet.asked_model,
            GroupBy::Provider => &facet.provider,
            GroupBy::Prompt => facet.prompt.as_deref().unwrap_or(""),
            GroupBy::Key => &facet.key,
            GroupBy::Tag(None) => facet.tags.as_deref().unwrap_or(""),
            GroupBy::Tag(Some(name)) => {
                let pairs = facet.tags.as_deref().unwrap_or("").split(',');
                let mut named = pairs.filter_map(|pair| pair.split_once('='));
                named.find(|(have, _)| *have == &**name).map_or("", |(_, value)| value)
            }
            GroupBy::Endpoint => &facet.endpoint,
            GroupBy::Outcome => facet.outcome.name(),
            GroupBy::ServiceTier => facet.tier.as_deref().unwrap_or(""),
            GroupBy::Time(_) => "",
        }
    }
}

/// Names stretches of time in a zone, each worked out once.
pub(super) struct Clock {
    zone: TimeZone,
    /// By where the time is cut: quarters, or minutes.
    known: HashMap<(Span, i64), Arc<str>>,
}

impl Clock {
    pub(super) fn new(zone: TimeZone) -> Clock {
        Clock { zone, known: HashMap::new() }
    }

    /// The stretch that an instant lies in: `2026-11-24`, `2026-11-24T09:00+01:00`, `2026-11`.
    pub(super) fn name(&mut self, span: Span, micros: i64) -> Arc<str> {
        let cut = if span == Span::Minute { 60 * 1_000_000 } else { QUARTER };
        let at = micros.div_euclid(cut);
        let zone = &self.zone;
        let name = || label(zone, span, at.saturating_mul(cut));
        self.known.entry((span, at)).or_insert_with(name).clone()
    }
}

fn label(zone: &TimeZone, span: Span, micros: i64) -> Arc<str> {
    let Ok(at) = jiff::Timestamp::from_microsecond(micros) else { return "".into() };
    let local = at.to_zoned_datetime(zone.clone());
    let offset = || match local.offset().seconds() {
        0 => "Z".to_owned(),
        _ => local.strftime("%:z").to_string(),
    };
    let text = match span {
        Span::Minute => format!("{}{}", local.strftime("%Y-%m-%dT%H:%M"), offset()),
        Span::Hour => format!("{}{}", local.strftime("%Y-%m-%dT%H:00"), offset()),
        Span::Day => local.date().to_string(),
        Span::Week => {
            let past = i64::from(local.weekday().to_monday_zero_offset());
            let monday = local.date().checked_sub(jiff::Span::new().days(past));
            monday.unwrap_or(local.date()).to_string()
        }
        Span::Month => local.strftime("%Y-%m").to_string(),
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_reads_as_it_is_written() {
        for (name, by) in &NAMES {
            assert_eq!((name.parse().as_ref(), &*by.to_string()), (Ok(by), *name));
        }
        for text in ["account:2", "tag:team"] {
            assert_eq!(text.parse::<GroupBy>().unwrap().to_string(), text);
        }
        for bad in ["", "colour", "account:0", "account:x", "tag:", "day:2"] {
            assert!(bad.parse::<GroupBy>().is_err(), "{bad}");
        }
    }

    #[test]
    fn stretches_are_those_of_the_zone() {
        let at = 1_793_656_200_000_000; // 2026-11-02T21:50:00Z, a Monday
        let cases = [
            ("UTC", Span::Hour, "2026-11-02T21:00Z"),
            ("Asia/Kolkata", Span::Hour, "2026-11-03T03:00+05:30"),
            ("Asia/Kolkata", Span::Day, "2026-11-03"),
            ("America/New_York", Span::Day, "2026-11-02"),
            ("UTC", Span::Week, "2026-11-02"),
            ("UTC", Span::Month, "2026-11"),
            ("UTC", Span::Minute, "2026-11-02T21:50Z"),
        ];
        for (zone, span, expected) in cases {
            let mut clock = Clock::new(TimeZone::get(zone).unwrap());
            assert_eq!(&*clock.name(span, at), expected, "{zone} {span:?}");
        }
    }
}
