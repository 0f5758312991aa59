//! A price list in the form of genai-prices: rules, dated histories, tiers.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::{
    Class, Hours, Listed, PriceCard, PriceList, Rates, ServiceTier, Tier, Timestamp, UnitPrice,
};

use super::rule::Rule;
use crate::decimal;
use crate::http_date;

/// A list, ready to be asked.
#[derive(Debug)]
pub(super) struct Prices<'d> {
    source: &'d str,
    date: &'d str,
    providers: HashMap<&'d str, Provider<'d>>,
}

#[derive(Debug)]
struct Provider<'d> {
    models: Vec<Model<'d>>,
    /// The first model that takes a name by equality.
    by_name: HashMap<String, usize>,
    /// The models that take names by other rules, in order.
    by_rule: Vec<usize>,
    fallbacks: Vec<&'d str>,
}

#[derive(Debug)]
struct Model<'d> {
    id: &'d str,
    rule: Rule,
    context_window: Option<u64>,
    /// The last that holds is in force.
    history: Vec<Dated<'d>>,
}

#[derive(Debug)]
struct Dated<'d> {
    when: When,
    prices: HashMap<&'d str, Price<'d>>,
}

/// When a price holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    From(Timestamp),
    /// At some hours of each day.
    Daily(Hours),
}

/// A number as it is written, or a base and what it is above so many tokens.
#[derive(Debug)]
enum Price<'d> {
    Flat(&'d str),
    Tiered(&'d str, Vec<(u64, &'d str)>),
}

#[derive(Deserialize)]
struct WireProvider<'d> {
    #[serde(borrow)]
    id: &'d str,
    #[serde(borrow, default)]
    fallback_model_providers: Vec<&'d str>,
    #[serde(borrow)]
    models: Vec<WireModel<'d>>,
}

#[derive(Deserialize)]
struct WireModel<'d> {
    #[serde(borrow)]
    id: &'d str,
    #[serde(rename = "match")]
    rule: Rule,
    context_window: Option<u64>,
    #[serde(borrow)]
    prices: &'d RawValue,
}

#[derive(Deserialize)]
struct WireDated<'d> {
    #[serde(borrow)]
    constraint: Option<WireConstraint<'d>>,
    #[serde(borrow)]
    prices: HashMap<&'d str, &'d RawValue>,
}

#[derive(Deserialize)]
struct WireConstraint<'d> {
    start_date: Option<&'d str>,
    start_time: Option<&'d str>,
    end_time: Option<&'d str>,
}

#[derive(Deserialize)]
struct WireTiered<'d> {
    #[serde(borrow)]
    base: &'d RawValue,
    #[serde(borrow)]
    tiers: Vec<WireTier<'d>>,
}

#[derive(Deserialize)]
struct WireTier<'d> {
    start: u64,
    #[serde(borrow)]
    price: &'d RawValue,
}

/// What a list calls a price, the class it is for, and how many powers of ten its unit is from
/// pico-dollars apiece.
const KEYS: [(&str, Class, i32); 11] = [
    ("input_mtok", Class::Input, 6),
    ("cache_read_mtok", Class::CacheRead, 6),
    ("cache_write_mtok", Class::CacheWrite, 6),
    ("cache_write_1h_mtok", Class::CacheWriteLong, 6),
    ("input_audio_mtok", Class::AudioInput, 6),
    ("input_image_mtok", Class::ImageInput, 6),
    ("output_mtok", Class::Output, 6),
    ("output_reasoning_mtok", Class::Reasoning, 6),
    ("output_audio_mtok", Class::AudioOutput, 6),
    ("output_image_mtok", Class::ImageOutput, 6),
    ("web_searches_kcount", Class::WebSearch, 9),
];

impl<'d> Prices<'d> {
    /// Reads a list. Every price is checked now, so that none can turn out to be no price later.
    pub(super) fn read(
        source: &'d str,
        date: &'d str,
        json: &'d str,
    ) -> Result<Self, serde_json::Error> {
        let wire: Vec<WireProvider<'d>> = serde_json::from_str(json)?;
        let mut providers = HashMap::with_capacity(wire.len());
        for provider in wire {
            providers.insert(provider.id, Provider::read(provider)?);
        }
        Ok(Prices { source, date, providers })
    }

    pub(super) fn list(&self, provider: &str, model: &str) -> Option<PriceList> {
        let (name, found) = self.find(provider, model)?;
        let listed = found.history.iter().enumerate().filter_map(|(index, dated)| {
            let card = PriceCard {
                version: format!("{}/{}/{name}/{}/{index}", self.source, self.date, found.id),
                source: format!("{} of {}", self.source, self.date),
                effective_from: dated.when.since(),
                tiers: dated.tiers()?,
                per_request: dated.prices.get("requests_kcount").and_then(|p| unit(p.above(0), 9)),
            };
            // What stands first holds where nothing else does.
            let (from, hours) = match dated.when {
                When::From(start) if index > 0 => (start, None),
                When::Daily(hours) if index > 0 => (Timestamp::MIN, Some(hours)),
                When::Always | When::From(_) | When::Daily(_) => (Timestamp::MIN, None),
            };
            Some(Listed { tier: ServiceTier::Standard, from, hours, card: card.into() })
        });
        let list = PriceList::new(listed.collect());
        (!list.is_empty()).then_some(list)
    }

    /// When it was retrieved.
    pub(super) fn date(&self) -> &'d str {
        self.date
    }

    pub(super) fn context_window(&self, provider: &str, model: &str) -> Option<u64> {
        self.find(provider, model)?.1.context_window
    }

    pub(super) fn id(&self, provider: &str, model: &str) -> Option<&'d str> {
        Some(self.find(provider, model)?.1.id)
    }

    pub(super) fn of(&self, provider: &str) -> impl Iterator<Item = (&'d str, Option<u64>)> {
        let models = self.providers.get(provider).map_or(&[][..], |p| &p.models);
        models.iter().map(|m| (m.id, m.context_window))
    }

    pub(super) fn providers(&self) -> impl Iterator<Item = &'d str> {
        self.providers.keys().copied()
    }

    /// The model of that name, at the provider or at one whose models it serves.
    fn find(&self, provider: &str, model: &str) -> Option<(&'d str, &Model<'d>)> {
        let model = model.to_lowercase();
        let (name, own) = self.providers.get_key_value(provider)?;
        own.find(&model).map(|found| (*name, found)).or_else(|| {
            own.fallbacks.iter().find_map(|other| {
                let (name, other) = self.providers.get_key_value(other)?;
                Some((*name, other.find(&model)?))
            })
        })
    }
}

impl<'d> Provider<'d> {
    fn read(wire: WireProvider<'d>) -> Result<Self, serde_json::Error> {
        let models: Vec<Model<'d>> =
            wire.models.into_iter().map(Model::read).collect::<Result<_, _>>()?;
        let (mut by_name, mut by_rule) = (HashMap::new(), Vec::new());
        for (i, model) in models.iter().enumerate() {
            let (names, others) = model.rule.names();
            for name in names {
                by_name.entry(name.to_owned()).or_insert(i);
            }
            if others {
                by_rule.push(i);
            }
        }
        Ok(Provider { models, by_name, by_rule, fallbacks: wire.fallback_model_providers })
    }

    /// The first model whose rule takes the name.
    fn find(&self, name: &str) -> Option<&Model<'d>> {
        let named = self.by_name.get(name).copied();
        let before = |i: &usize| named.is_none_or(|named| *i < named);
        let ruled = self.by_rule.iter().copied().take_while(before);
        let ruled = ruled.into_iter().find(|i| self.models[*i].rule.takes(name));
        self.models.get(ruled.or(named)?)
    }
}

impl<'d> Model<'d> {
    fn read(wire: WireModel<'d>) -> Result<Self, serde_json::Error> {
        let text = wire.prices.get();
        let history = if text.starts_with('[') {
            let dated: Vec<WireDated<'d>> = serde_json::from_str(text)?;
            dated
                .into_iter()
                .map(|d| Dated::read(d.constraint, d.prices))
                .collect::<Result<_, _>>()?
        } else {
            vec![Dated::read(None, serde_json::from_str(text)?)?]
        };
        let rule = wire.rule.lowered();
        Ok(Model { id: wire.id, rule, context_window: wire.context_window, history })
    }
}

impl<'d> Dated<'d> {
    fn read(
        constraint: Option<WireConstraint<'d>>,
        wire: HashMap<&'d str, &'d RawValue>,
    ) -> Result<Self, serde_json::Error> {
        let mut prices = HashMap::with_capacity(wire.len());
        for (name, raw) in wire {
            if raw.get() != "null" {
                prices.insert(name, Price::read(name, raw)?);
            }
        }
        let when = match constraint {
            None => When::Always,
            Some(constraint) => {
                When::read(&constraint).ok_or_else(|| bad("a date that is none"))?
            }
        };
        Ok(Dated { when, prices })
    }

    /// A tier for each threshold any of the prices has; nothing where no token has a price.
    fn tiers(&self) -> Option<Vec<Tier>> {
        let mut starts: Vec<u64> = self.prices.values().flat_map(Price::starts).collect();
        starts.push(0);
        starts.sort_unstable();
        starts.dedup();
        let rates = |start: u64| {
            KEYS.iter().fold(Rates::new(), |rates, (name, class, places)| {
                let price = self.prices.get(name).and_then(|p| unit(p.above(start), *places));
                price.map_or(rates, |price| rates.with(*class, price))
            })
        };
        let tiers = starts.into_iter().map(|above_input_tokens| Tier {
            above_input_tokens,
            rates: rates(above_input_tokens),
        });
        let tiers: Vec<Tier> = tiers.collect();
        let first = tiers.first()?.rates;
        (first.get(Class::Input).is_some() || first.get(Class::Output).is_some()).then_some(tiers)
    }
}

impl<'d> Price<'d> {
    fn read(name: &str, raw: &'d RawValue) -> Result<Self, serde_json::Error> {
        let number = |raw: &'d RawValue| {
            let text = raw.get();
            // Units that have no class here are only checked to be numbers.
            let places =
                KEYS.iter().find(|(key, _, _)| *key == name).map_or(9, |(_, _, places)| *places);
            let price = unit(text, places);
            price.map(|_| text).ok_or_else(|| bad(&format!("a price of {text} for {name}")))
        };
        if !raw.get().starts_with('{') {
            return Ok(Price::Flat(number(raw)?));
        }
        let wire: WireTiered<'d> = serde_json::from_str(raw.get())?;
        let tiers = wire.tiers.into_iter().map(|tier| Ok((tier.start, number(tier.price)?)));
        let mut tiers = tiers.collect::<Result<Vec<_>, serde_json::Error>>()?;
        tiers.sort_by_key(|(start, _)| *start);
        Ok(Price::Tiered(number(wire.base)?, tiers))
    }

    fn starts(&self) -> impl Iterator<Item = u64> {
        let tiers = match self {
            Price::Flat(_) => &[][..],
            Price::Tiered(_, tiers) => tiers,
        };
        tiers.iter().map(|(start, _)| *start)
    }

    /// The price for more than so many tokens.
    fn above(&self, start: u64) -> &'d str {
        match self {
            Price::Flat(text) => text,
            Price::Tiered(base, tiers) => {
                tiers.iter().rev().find(|(from, _)| *from <= start).map_or(base, |(_, text)| text)
            }
        }
    }
}

/// A price apiece, to the nearest pico-dollar: sources carry digits of binary fractions and of thirds
/// behind it. What costs anything costs at least one.
pub(super) fn unit(text: &str, places: i32) -> Option<UnitPrice> {
    let (tenths, cut) = decimal::scaled(text, places + 1)?;
    let pico = u64::try_from((tenths + 5) / 10).ok()?;
    let some = tenths > 0 || cut;
    (tenths >= 0).then(|| UnitPrice::from_pico(if some { pico.max(1) } else { pico }))
}

impl When {
    fn read(wire: &WireConstraint<'_>) -> Option<When> {
        if let Some(date) = wire.start_date {
            return day(date).map(When::From);
        }
        Hours::new(second(wire.start_time?)?, second(wire.end_time?)?).map(When::Daily)
    }

    fn since(self) -> Timestamp {
        match self {
            When::From(start) => start,
            When::Always | When::Daily(_) => Timestamp::from_micros(0),
        }
    }
}

/// The first instant of a day, such as `2026-12-01`.
pub(super) fn day(date: &str) -> Option<Timestamp> {
    let mut parts = date.split('-').map(|n| n.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let micros = http_date::days(year, month, day).checked_mul(86_400_000_000)?;
    Some(Timestamp::from_micros(micros))
}

/// The second of the day of `hh:mm:ssZ`.
fn second(time: &str) -> Option<u32> {
    let mut parts = time.strip_suffix('Z')?.split(':').map(|n| n.parse::<u32>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    ((0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second))
        .then_some((hour * 60 + minute) * 60 + second)
}

fn bad(what: &str) -> serde_json::Error {
    serde::de::Error::custom(what)
}
