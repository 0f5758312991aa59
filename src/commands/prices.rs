//! `tollgate prices`: what is charged, by class and tier, and on whose word.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use tollgate::app;
use tollgate::cli::{Cell, Column, Exit, Format, Global, Output, PricesArgs, Table};
use tollgate::clock;
use tollgate::http::view::since;
use tollgate::routing::{NoRoute, Routes, Target};
use tollgate_accounting::{
    Class, Listed, Money, PriceList, Rates, Rounding, ServiceTier, Timestamp, UnitPrice,
};
use tollgate_providers::catalogue::Catalogue;

use super::configuration;

/// A model at a provider, and the cards it has now: of each service tier, and of some hours.
struct Priced {
    provider: String,
    model: String,
    cards: Vec<Listed>,
}

impl Priced {
    fn new(provider: &str, model: &str, list: Option<&PriceList>, now: Timestamp) -> Priced {
        let mut cards: Vec<Listed> = Vec::new();
        for one in list.into_iter().flat_map(PriceList::iter).filter(|one| one.from <= now) {
            // What stands later goes before what stands earlier, where both apply to the same calls.
            cards.retain(|old| {
                old.tier != one.tier || (one.hours.is_some() && one.hours != old.hours)
            });
            cards.push(one.clone());
        }
        Priced { provider: provider.to_owned(), model: model.to_owned(), cards }
    }
}

pub(super) fn run(global: &Global, args: &PricesArgs, output: &mut Output) -> Result<Exit> {
    let format = Format::chosen(args.format, global);
    let mut found = if args.all {
        catalogue(args.model.as_deref())
    } else {
        let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
        configured(&app::runtime(&snapshot)?.routes, args.model.as_deref())?
    };
    found.retain(|one| args.provider.as_ref().is_none_or(|provider| *provider == one.provider));
    if found.is_empty() {
        bail!("nothing is known by that name; `tollgate models --all` lists what is");
    }
    output.table(&table(&found, format), format)?;
    Ok(Exit::Good)
}

/// What the configuration charges: each model at a provider once.
fn configured(routes: &Routes, name: Option<&str>) -> Result<Vec<Priced>> {
    let now = clock::now();
    let priced = |target: &Target| {
        Priced::new(&target.provider_name, &target.model, target.prices.as_deref(), now)
    };
    if let Some(name) = name {
        return match routes.find(name) {
            Ok(route) => Ok(route.targets.iter().map(priced).collect()),
            Err(NoRoute::Ambiguous { full }) => {
                bail!("{name:?} is served by several providers: ask for {}", full.join(" or "))
            }
            Err(NoRoute::Unknown { nearest }) if nearest.is_empty() => {
                bail!("there is no model {name:?}; `tollgate models` lists what there is")
            }
            Err(NoRoute::Unknown { nearest }) => {
                bail!("there is no model {name:?}; did you mean {}?", nearest.join(" or "))
            }
        };
    }
    let mut seen = BTreeSet::new();
    let targets = routes.iter().flat_map(|(_, route)| &route.targets);
    let new = targets.filter(|t| seen.insert((t.provider_name.clone(), t.model.clone())));
    let mut all: Vec<Priced> = new.map(priced).collect();
    all.sort_by(|a, b| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)));
    Ok(all)
}

/// What is built in, under its sources' names.
fn catalogue(name: Option<&str>) -> Vec<Priced> {
    let (catalogue, now) = (Catalogue::builtin(), clock::now());
    let asked = |provider: &str, id: &str| {
        name.is_none_or(|name| name == id || name.split_once('/') == Some((provider, id)))
    };
    let mut all = Vec::new();
    for provider in catalogue.providers() {
        for info in catalogue.models(provider).iter().filter(|info| asked(provider, info.id)) {
            let list = catalogue.list(provider, info.id);
            all.push(Priced::new(provider, info.id, list.as_ref(), now));
        }
    }
    all
}

/// A row a tier. Prices are those listed: where one is missing, the class costs what its plainer class
/// costs.
fn table(found: &[Priced], format: Format) -> Table {
    let cards = || found.iter().flat_map(|one| &one.cards);
    let rates = || cards().flat_map(|one| &one.card.tiers);
    // A terminal shows the columns that say something; a program always gets them all.
    let shown = |class: &Class| {
        format != Format::Table || rates().any(|tier| tier.rates.get(*class).is_some())
    };
    let classes: Vec<Class> = Class::ALL.into_iter().filter(shown).collect();
    let fees = format != Format::Table || cards().any(|one| one.card.per_request.is_some());
    let tiers = format != Format::Table || cards().any(|one| one.tier != ServiceTier::Standard);
    let hours = format != Format::Table || cards().any(|one| one.hours.is_some());

    let mut columns = vec![Column::text("provider"), Column::text("model")];
    columns.extend(tiers.then(|| Column::text("tier")));
    columns.extend(hours.then(|| Column::text("hours_utc")));
    columns.push(Column::number("above_input_tokens"));
    columns.extend(classes.iter().map(|class| column(*class, format)));
    if fees {
        columns.push(match format {
            Format::Table => Column::number("request").in_unit("$/1000"),
            _ => Column::number("request_usd_per_thousand"),
        });
    }
    columns.extend(["version", "source", "since"].map(Column::text));
    let mut table = Table::new(columns);
    for Priced { provider, model, cards } in found {
        let names = || [Cell::from(provider.as_str()), Cell::from(model.as_str())];
        if cards.is_empty() {
            table.rows.push(names().into());
        }
        for (one, tier) in cards.iter().flat_map(|one| one.card.tiers.iter().map(move |t| (one, t)))
        {
            let card = &one.card;
            let mut row: Vec<Cell> = names().into();
            row.extend(tiers.then(|| one.tier.name().into()));
            row.extend(hours.then(|| one.hours.map_or(Cell::Null, |h| Cell::Text(h.to_string()))));
            row.push(tier.above_input_tokens.into());
            row.extend(classes.iter().map(|class| price(&tier.rates, *class)));
            if fees {
                row.push(card.per_request.map_or(Cell::Null, |fee| amount(fee, 1_000)));
            }
            row.push(card.version.as_str().into());
            row.push(card.source.as_str().into());
            row.push(since(card.effective_from).into());
            table.rows.push(row);
        }
    }
    table
}

fn column(class: Class, format: Format) -> Column {
    let (unit, long) = match class {
        Class::WebSearch => ("$/1000", "usd_per_thousand"),
        _ => ("$/million", "usd_per_million"),
    };
    match format {
        Format::Table => Column::number(class.name()).in_unit(unit),
        Format::Csv | Format::Json => Column::number(&format!("{}_{long}", class.name())),
    }
}

/// The listed price: of a million tokens, or of a thousand searches.
pub(super) fn price(rates: &Rates, class: Class) -> Cell {
    let units = if class == Class::WebSearch { 1_000 } else { 1_000_000 };
    rates.get(class).map_or(Cell::Null, |price| amount(price, units))
}

/// Exact, for a thousand of any whole number of pico-dollars are whole nano-dollars.
fn amount(price: UnitPrice, units: u64) -> Cell {
    let money = price.times(units).and_then(|pico| Money::from_pico(pico, Rounding::Up));
    money.map_or(Cell::Null, Cell::Money)
}

#[cfg(test)]
mod tests {
    use tollgate_accounting::{PriceCard, Tier};

    use super::*;

    fn priced() -> Vec<Priced> {
        let price = |text| UnitPrice::per_million(text).unwrap();
        let base = Rates::new()
            .with(Class::Input, price("0.075"))
            .with(Class::WebSearch, UnitPrice::per_unit("0.01").unwrap());
        let long = Rates::new().with(Class::Input, price("0.15"));
        let card = PriceCard {
            version: "v1".to_owned(),
            source: "a list".to_owned(),
            effective_from: Timestamp::from_micros(1_700_000_000_000_000),
            tiers: vec![
                Tier { above_input_tokens: 0, rates: base },
                Tier { above_input_tokens: 200_000, rates: long },
            ],
            per_request: None,
        };
        let list = PriceList::of(card.into());
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        vec![Priced::new("p", "m", Some(&list), now), Priced::new("p", "unpriced", None, now)]
    }

    #[test]
    fn a_tier_is_a_row_and_a_missing_price_is_not_zero() {
        let shown = table(&priced(), Format::Table).render(Format::Table);
        let expected = [
            " provider  model     above input tokens      input  web search  version  source  since",
            "                                         $/million      $/1000",
        ];
        assert!(shown.starts_with(&expected.join("\n")), "{shown}");
        let json = table(&priced(), Format::Json).render(Format::Json);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["rows"][0]["input_usd_per_million"], "0.075");
        assert_eq!(json["rows"][0]["web_search_usd_per_thousand"], "10");
        assert_eq!(json["rows"][0]["tier"], "standard");
        assert!(json["rows"][0]["hours_utc"].is_null());
        assert_eq!(json["rows"][0]["since"], "2023-11-14T22:13:20Z");
        assert_eq!(json["rows"][1]["above_input_tokens"], 200_000);
        assert_eq!(json["rows"][1]["input_usd_per_million"], "0.15");
        assert!(json["rows"][1]["output_usd_per_million"].is_null());
        assert!(json["rows"][2]["input_usd_per_million"].is_null());
        assert_eq!(json["rows"][2]["model"], "unpriced");
    }
}
