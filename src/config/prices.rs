//! `[prices."provider/model"]` and `unknown_price`: what models cost, in decimals that are never
//! rounded. A table is one price; a list of tables is a history, dated by `effective_from`.

use std::collections::BTreeMap;

use jiff::{civil::Date, tz::TimeZone};
use tollgate_accounting::{Class, PriceCard, Rates, Tier, Timestamp};
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

/// The history of one model, ascending.
fn cards(field: &Field<'_>) -> Vec<PriceCard> {
    let mut dated = Vec::new();
    if matches!(field.value, DeValue::Array(_)) {
        for item in field.list().into_iter().flatten() {
            dated.extend(item.section().and_then(|table| card(table)).map(|card| (item, card)));
        }
    } else if let Some(table) = field.section() {
        return card(table).into_iter().collect();
    }
    dated.sort_by_key(|(_, card)| card.effective_from);
    for two in dated.windows(2) {
        if two[0].1.effective_from == two[1].1.effective_from {
            two[1].0.error::<()>("two prices hold from the same instant");
        }
    }
    dated.into_iter().map(|(_, card)| card).collect()
}

fn card(table: Section<'_>) -> Option<PriceCard> {
    let effective_from = table.get("effective_from").map(|field| instant(&field));
    let per_request = table.get("per_request").map(|field| field.per_unit());
    let source = table.get("source").map(|field| field.text());
    let base = rates(&table, Rates::new());
    let tiers = tiers(&table, base);
    let input = table.require("input", "a free model costs \"0\"");
    table.done();
    input?;
    Some(PriceCard {
        version: "configuration".to_owned(),
        source: source.flatten().unwrap_or("configuration").to_owned(),
        effective_from: effective_from.unwrap_or(Some(Timestamp::MIN))?,
        tiers: tiers?,
        per_request: per_request.unwrap_or(None),
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

/// When a price begins to hold: a date, which begins at midnight UTC, or an instant.
fn instant(field: &Field<'_>) -> Option<Timestamp> {
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
