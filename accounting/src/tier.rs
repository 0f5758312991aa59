//! Service tiers and hours of the day: the same model at another price, and the list that says which
//! card applies when.

use std::fmt;
use std::sync::Arc;

use crate::{PriceCard, Timestamp};

/// How urgently a provider processes a call. Prices differ by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceTier {
    /// What is had by asking for nothing.
    #[default]
    Standard,
    /// Within a day, as part of a batch.
    Batch,
    /// When there is room.
    Flex,
    /// Before others.
    Priority,
}

/// A span of every day in UTC, from the first second up to the last, not including it. It may pass
/// midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hours {
    from: u32,
    to: u32,
}

/// A card and when it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// To calls of this tier.
    pub tier: ServiceTier,
    /// To calls that come in from this instant on.
    pub from: Timestamp,
    /// To calls that come in at these hours; at all where there are none.
    pub hours: Option<Hours>,
    /// What they cost.
    pub card: Arc<PriceCard>,
}

/// Every card of one model at one provider. Of those that apply to a call, the last holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceList(Vec<Listed>);

impl ServiceTier {
    /// All of them.
    pub const ALL: [ServiceTier; 4] =
        [ServiceTier::Standard, ServiceTier::Batch, ServiceTier::Flex, ServiceTier::Priority];

    /// The name, as in a configuration and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            ServiceTier::Standard => "standard",
            ServiceTier::Batch => "batch",
            ServiceTier::Flex => "flex",
            ServiceTier::Priority => "priority",
        }
    }

    /// The tier that a provider means by a name, in a request or a reply: OpenAI's `default`,
    /// Groq's `on_demand`, Gemini's `STANDARD`. `auto` is none: it leaves the choice open.
    pub fn reported(name: &str) -> Option<ServiceTier> {
        if ["default", "on_demand", "standard_only"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
            return Some(ServiceTier::Standard);
        }
        ServiceTier::ALL.into_iter().find(|tier| name.eq_ignore_ascii_case(tier.name()))
    }
}

impl Hours {
    /// From one second of the day to another; none where they are the same or beyond the day.
    pub fn new(from: u32, to: u32) -> Option<Hours> {
        (from < 86_400 && to < 86_400 && from != to).then_some(Hours { from, to })
    }

    /// Reads `16:30-00:30`.
    pub fn parse(text: &str) -> Option<Hours> {
        let (from, to) = text.split_once('-')?;
        Hours::new(second(from.trim())?, second(to.trim())?)
    }

    /// Whether the instant lies within them.
    pub fn hold(self, at: Timestamp) -> bool {
        let second = at.micros().div_euclid(1_000_000).rem_euclid(86_400);
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        if to < from { second >= from || second < to } else { (from..to).contains(&second) }
    }
}

impl PriceList {
    /// A list; what stands later goes before what stands earlier.
    pub const fn new(listed: Vec<Listed>) -> PriceList {
        PriceList(listed)
    }

    /// One card for every call.
    pub fn of(card: Arc<PriceCard>) -> PriceList {
        let tier = ServiceTier::Standard;
        PriceList(vec![Listed { tier, from: Timestamp::MIN, hours: None, card }])
    }

    /// The card of a call of that tier that comes in at that instant.
    pub fn at(&self, tier: ServiceTier, at: Timestamp) -> Option<&Arc<PriceCard>> {
        let applies = |one: &&Listed| {
            one.tier == tier && one.from <= at && one.hours.is_none_or(|hours| hours.hold(at))
        };
        self.0.iter().rev().find(applies).map(|one| &one.card)
    }

    /// The card of a call that was processed in that tier. Where the tier has none: what is slower is
    /// never dearer, so its calls cost as standard ones; a faster one has no price.
    pub fn charged(&self, tier: ServiceTier, at: Timestamp) -> Option<&Arc<PriceCard>> {
        let standard = || (tier != ServiceTier::Priority).then(|| self.standard(at)).flatten();
        self.at(tier, at).or_else(standard)
    }

    /// The card of a call that asks for nothing.
    pub fn standard(&self, at: Timestamp) -> Option<&Arc<PriceCard>> {
        self.at(ServiceTier::Standard, at)
    }

    /// The cards that may apply to a call that asks for that tier (or for `auto`, which is none), the
    /// one it asks for first: a provider without room for it processes it as a standard one. Empty
    /// where what is asked for has no price.
    pub fn may_apply(&self, asked: Option<ServiceTier>, at: Timestamp) -> Vec<Arc<PriceCard>> {
        let mut cards = Vec::with_capacity(2);
        let mut add = |card: Option<&Arc<PriceCard>>| {
            if let Some(card) = card.filter(|card| !cards.contains(*card)) {
                cards.push(Arc::clone(card));
            }
        };
        match asked {
            Some(tier) => match self.charged(tier, at) {
                None => return cards,
                card => add(card),
            },
            None => add(self.standard(at)),
        }
        add(self.standard(at));
        if asked.is_none() {
            [ServiceTier::Flex, ServiceTier::Priority]
                .into_iter()
                .for_each(|t| add(self.at(t, at)));
        }
        cards
    }

    /// Whether there is no card at all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every card, with when it applies.
    pub fn iter(&self) -> impl Iterator<Item = &Listed> {
        self.0.iter()
    }

    /// The same list with each card changed, such as in its version.
    #[must_use]
    pub fn map(&self, change: impl Fn(&Listed) -> PriceCard) -> PriceList {
        let each = |one: &Listed| Listed { card: Arc::new(change(one)), ..one.clone() };
        PriceList(self.0.iter().map(each).collect())
    }
}

impl fmt::Display for ServiceTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |second: u32| format!("{:02}:{:02}", second / 3600, second / 60 % 60);
        write!(f, "{}-{}", time(self.from), time(self.to))
    }
}

/// The second of the day of `hh:mm`.
fn second(time: &str) -> Option<u32> {
    let (hour, minute) = time.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 3600 + minute * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(tier: ServiceTier, from: i64, hours: Option<&str>, name: &str) -> Listed {
        let card = PriceCard {
            version: name.to_owned(),
            source: String::new(),
            effective_from: Timestamp::from_micros(from),
            tiers: Vec::new(),
            per_request: None,
        };
        let hours = hours.map(|text| Hours::parse(text).unwrap());
        Listed { tier, from: Timestamp::from_micros(from), hours, card: Arc::new(card) }
    }

    /// That time of the fourth day.
    fn at(hour: i64, minute: i64) -> Timestamp {
        Timestamp::from_micros(((3 * 24 + hour) * 60 + minute) * 60_000_000)
    }

    #[test]
    fn providers_names_are_understood_and_auto_is_none() {
        let table = [
            ("default", Some(ServiceTier::Standard)),
            ("STANDARD", Some(ServiceTier::Standard)),
            ("on_demand", Some(ServiceTier::Standard)),
            ("flex", Some(ServiceTier::Flex)),
            ("Priority", Some(ServiceTier::Priority)),
            ("batch", Some(ServiceTier::Batch)),
            ("auto", None),
            ("scale", None),
            ("", None),
        ];
        for (name, tier) in table {
            assert_eq!(ServiceTier::reported(name), tier, "{name}");
        }
        assert!(ServiceTier::ALL.iter().all(|t| ServiceTier::reported(t.name()) == Some(*t)));
        assert!(ServiceTier::ALL.iter().all(|t| t.to_string() == t.name()));
    }

    #[test]
    fn hours_may_pass_midnight_and_end_before_their_end() {
        let night = Hours::parse("16:30-00:30").unwrap();
        let cases =
            [(16, 29, false), (16, 30, true), (23, 59, true), (0, 29, true), (0, 30, false)];
        for (hour, minute, within) in cases {
            assert_eq!(night.hold(at(hour, minute)), within, "{hour}:{minute}");
            let day = Hours::parse("00:30-16:30").unwrap();
            assert_eq!(day.hold(at(hour, minute)), !within, "{hour}:{minute}");
        }
        assert_eq!(night.to_string(), "16:30-00:30");
        for bad in
            ["", "16:30", "24:00-01:00", "01:60-03:00", "1:00-2:00", "01:00-01:00", "+1:00-02:00"]
        {
            assert_eq!(Hours::parse(bad), None, "{bad}");
        }
        assert_eq!(Hours::new(0, 86_400), None);
    }

    #[test]
    fn the_last_card_of_the_tier_that_holds_is_the_one_charged() {
        let list = PriceList::new(vec![
            listed(ServiceTier::Standard, 0, None, "old"),
            listed(ServiceTier::Standard, 1_000, None, "new"),
            listed(ServiceTier::Standard, 1_000, Some("16:30-00:30"), "night"),
            listed(ServiceTier::Priority, 1_000, None, "priority"),
        ]);
        let name = |tier, at| list.charged(tier, at).map(|card| card.version.as_str());
        assert_eq!(name(ServiceTier::Standard, Timestamp::from_micros(999)), Some("old"));
        assert_eq!(name(ServiceTier::Standard, at(12, 0)), Some("new"));
        assert_eq!(name(ServiceTier::Standard, at(20, 0)), Some("night"));
        assert_eq!(name(ServiceTier::Priority, at(20, 0)), Some("priority"));
        // A slower tier without a price of its own is not dearer; a faster one has no price.
        assert_eq!(name(ServiceTier::Flex, at(20, 0)), Some("night"));
        assert_eq!(name(ServiceTier::Priority, Timestamp::from_micros(999)), None);
    }

    #[test]
    fn a_list_whose_cards_are_changed_keeps_when_they_apply() {
        let list = PriceList::new(vec![
            listed(ServiceTier::Standard, 0, None, "day"),
            listed(ServiceTier::Flex, 1_000, Some("16:30-00:30"), "night"),
        ]);
        let renamed = list.map(|one| PriceCard {
            version: format!("{}@2", one.card.version),
            ..(*one.card).clone()
        });
        let seen: Vec<_> = renamed
            .iter()
            .map(|one| (one.tier, one.from.micros(), one.hours, one.card.version.as_str()))
            .collect();
        let night = Hours::parse("16:30-00:30");
        assert_eq!(
            seen,
            [
                (ServiceTier::Standard, 0, None, "day@2"),
                (ServiceTier::Flex, 1_000, night, "night@2")
            ]
        );
    }

    #[test]
    fn a_call_may_be_processed_as_asked_or_as_standard_and_auto_as_anything() {
        let list = PriceList::new(vec![
            listed(ServiceTier::Standard, 0, None, "standard"),
            listed(ServiceTier::Flex, 0, None, "flex"),
            listed(ServiceTier::Batch, 0, None, "batch"),
        ]);
        let names = |list: &PriceList, asked| -> Vec<String> {
            list.may_apply(asked, at(1, 0)).iter().map(|card| card.version.clone()).collect()
        };
        assert_eq!(names(&list, Some(ServiceTier::Standard)), ["standard"]);
        assert_eq!(names(&list, Some(ServiceTier::Flex)), ["flex", "standard"]);
        assert_eq!(names(&list, Some(ServiceTier::Priority)), [""; 0]);
        assert_eq!(names(&list, None), ["standard", "flex"]);
        let one = PriceList::of(listed(ServiceTier::Standard, 0, None, "one").card);
        assert_eq!(names(&one, Some(ServiceTier::Batch)), ["one"]);
        assert!(PriceList::default().is_empty() && !one.is_empty());
    }
}
