//! `[prices."provider/model"]` and `unknown_price`: what models cost, in decimals that are never
//! rounded. A table is one price, with those of some hours and of other service tiers inside it; a
//! list of tables is a history, dated by `effective_from`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{civil::Date, tz::TimeZone};
use tollgate_accounting::{
    Class, Hours, Listed, PriceCard, PriceList, Rates, ServiceTier, Tier, Timestamp,
};
use toml::de::DeValue;

use super::{
    reader::{Field, Section, did_you_mean},
    snapshot::{Prices, Provider, UnknownPrice},
};

/// The rates by their key; tokens per million, searches each.
const RATES: [(&str, Class); 11] = [
    ("input", Class::Input),
    ("cache_read", Class::CacheRead),
    ("cache_write", Class::CacheWrite),
    ("cache_write_1h", Class::CacheWriteLong),
    ("audio_input", Class::AudioInput),
    ("image_input", Class::ImageInput),
    ("output", Class::Output),
    ("reasoning", Class::Reasoning),
    ("audio_output", Class::AudioOutput),
    ("image_output", Class::ImageOutput),
    ("web_search", Class::WebSearch),
];

/// Every price card, by provider and model.
pub(super) fn prices(root: &Section<'_>, providers: &BTreeMap<String, Provider>) -> Prices {
    let mut prices = Prices::default();
    for (key, field) in root.section("prices").iter().flat_map(Section::rest) {
        let Some((provider, model)) = key.split_once('/') else {
            let help = Some("write [prices.\"provider/model\"]");
            field.key_error("not a provider and a model", help);
            continue;
        };
        if !providers.contains_key(provider) {
            let known: Vec<&str> = providers.keys().map(String::as_str).collect();
            let message = format!("there is no provider `{provider}`");
            field.key_error(&message, did_you_mean(provider, &known).as_deref());
        }
        let cards = cards(&field);
        let models = prices.0.entry(provider.to_owned()).or_default();
        models.insert(model.to_owned(), cards);
    }
    prices
}

/// The history of one model, ascending; within one date, first what always holds.
fn cards(field: &Field<'_>) -> PriceList {
    let mut dated = Vec::new();
    if matches!(field.value, DeValue::Array(_)) {
        for item in field.list().into_iter().flatten() {
            let cards = item.section().and_then(|table| listed(&table));
            dated.extend(cards.map(|(from, cards)| (from, item, cards)));
        }
    } else if let Some(table) = field.section() {
        let cards = listed(&table).map(|(_, cards)| cards);
        return PriceList::new(cards.unwrap_or_default());
    }
    dated.sort_by_key(|(from, ..)| *from);
    for two in dated.windows(2) {
        if two[0].0 == two[1].0 {
            two[1].1.error::<()>("two prices hold from the same instant");
        }
    }
    PriceList::new(dated.into_iter().flat_map(|(.., cards)| cards).collect())
}

/// What a table says: the usual price, and beside it those of some hours and of other service tiers,
/// all from the same date on.
fn listed(table: &Section<'_>) -> Option<(Timestamp, Vec<Listed>)> {
    let from = table.get("effective_from").map(|field| instant(&field));
    let usual = card(table, None);
    let mut others = Vec::new();
    for item in table.get("hours").and_then(|field| field.list()).into_iter().flatten() {
        let Some(section) = item.section() else { continue };
        let hours = section.require("utc", "it says when: \"16:30-00:30\"");
        let hours = hours.and_then(|field| {
            let help = "write \"16:30-00:30\": from and to, in UTC, each day";
            Hours::parse(field.text()?)
                .map_or_else(|| field.error_help("not a span of hours", help), Some)
        });
        let at = card(&section, usual.as_ref());
        section.done();
        others.push(hours.zip(at).map(|(hours, card)| (ServiceTier::Standard, Some(hours), card)));
    }
    for tier in [ServiceTier::Batch, ServiceTier::Flex, ServiceTier::Priority] {
        let Some(section) = table.section(tier.name()) else { continue };
        let own = card(&section, usual.as_ref());
        section.done();
        others.push(own.map(|card| (tier, None, card)));
    }
    table.done();
    let from = from.unwrap_or(Some(Timestamp::MIN))?;
    let all = std::iter::once(usual.map(|card| (ServiceTier::Standard, None, card))).chain(others);
    let all: Option<Vec<Listed>> = all
        .map(|one| {
            let (tier, hours, mut card) = one?;
            card.effective_from = from;
            card.version = match hours {
                Some(hours) => format!("configuration@{hours}"),
                None if tier == ServiceTier::Standard => "configuration".to_owned(),
                None => format!("configuration@{tier}"),
            };
            Some(Listed { tier, from, hours, card: Arc::new(card) })
        })
        .collect();
    Some((from, all?))
}

/// One price. What is of certain hours or another tier has all its rates said, and the usual price's
/// source and fee unless it says otherwise.
fn card(table: &Section<'_>, usual: Option<&PriceCard>) -> Option<PriceCard> {
    let per_request = table.get("per_request").map(|field| field.per_unit());
    let source = table.get("source").map(|field| field.text().map(str::to_owned));
    let base = rates(table, Rates::new());
    let tiers = tiers(table, base);
    table.require("input", "a free model costs \"0\"")?;
    let source = source.flatten().or_else(|| usual.map(|usual| usual.source.clone()));
    Some(PriceCard {
        version: String::new(),
        source: source.unwrap_or_else(|| "configuration".to_owned()),
        effective_from: Timestamp::MIN,
        tiers: tiers?,
        per_request: per_request.unwrap_or_else(|| usual.and_then(|usual| usual.per_request)),
    })
}

/// The rates of a table, over those of the tier below.
fn rates(table: &Section<'_>, below: Rates) -> Rates {
    let mut rates = below;
    for (key, class) in RATES {
        let Some(field) = table.get(key) else { continue };
        let price = if class == Class::WebSearch { field.per_unit() } else { field.per_million() };
        if let Some(price) = price {
            rates.set(class, price);
        }
    }
    rates
}

/// `tiers = [{ above_input_tokens = 200000, input = "5" }]`: a tier says what differs from the one
/// below it.
fn tiers(table: &Section<'_>, base: Rates) -> Option<Vec<Tier>> {
    let mut tiers = vec![Tier { above_input_tokens: 0, rates: base }];
    let Some(field) = table.get("tiers") else { return Some(tiers) };
    let mut good = true;
    for item in field.list()? {
        match tier(&item, tiers.last()) {
            Some(tier) => tiers.push(tier),
            None => good = false,
        }
    }
    good.then_some(tiers)
}

fn tier(item: &Field<'_>, below: Option<&Tier>) -> Option<Tier> {
    let table = item.section()?;
    let above = table.require("above_input_tokens", "it says where the tier begins");
    let rates = rates(&table, below.map_or(Rates::new(), |below| below.rates));
    table.done();
    let above_input_tokens = above?.whole(1..=u64::from(u32::MAX))?;
    if below.is_some_and(|below| below.above_input_tokens >= above_input_tokens) {
        return item.error("tiers must ascend");
    }
    Some(Tier { above_input_tokens, rates })
}

/// When something begins to hold: a date, which begins at midnight UTC, or an instant.
pub(super) fn instant(field: &Field<'_>) -> Option<Timestamp> {
    let text = match field.value {
        DeValue::String(text) => text.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        _ => return field.expected("a date"),
    };
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let midnight = text.parse::<Date>().ok()?.to_zoned_datetime(TimeZone::UTC).ok()?;
        Some(midnight.timestamp())
    });
    match instant {
        Some(instant) => Some(Timestamp::from_micros(instant.as_microsecond())),
        None => field.error_help("not a date", "write \"2026-11-01\" or \"2026-11-01T00:00:00Z\""),
    }
}

/// `unknown_price = "refuse"`, or a table of rates to charge instead.
pub(super) fn unknown_price(root: &Section<'_>) -> UnknownPrice {
    let Some(field) = root.get("unknown_price") else { return UnknownPrice::Refuse };
    if matches!(field.value, DeValue::String(_)) {
        return field.choice(&[("refuse", UnknownPrice::Refuse)]).unwrap_or(UnknownPrice::Refuse);
    }
    let Some(table) = field.section() else { return UnknownPrice::Refuse };
    for side in ["input", "output"] {
        table.require(side, "a ceiling has a rate for each side");
    }
    let rates = rates(&table, Rates::new());
    table.done();
    UnknownPrice::Ceiling(rates)
}
