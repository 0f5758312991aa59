//! `tollgate report --format focus`: charges as the FinOps Open Cost and Usage Specification (FOCUS,
//! version 1.4) has its Cost and Usage dataset. One row per account, tags, model, class of tokens, price
//! and day; what lies between the lines and the charge is a row of its own.
//!
//! Days and billing periods are in UTC, as the specification's date format asks.

mod rules;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use jiff::tz::TimeZone;
use serde_json::Value;
use tollgate::cli::{Cell, Column, Format, Output, Table};
use tollgate::config::Snapshot;
use tollgate::ledger::{Apart, Charges, Filter, Item, Place, Reader, dollars};
use tollgate_accounting::ServiceTier;

const DAY: i64 = 86_400 * 1_000_000;

/// The columns, in the order of the specification; the last is our own.
const COLUMNS: [&str; 35] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_PriceVersion",
];

/// Who makes out the bill.
const ISSUER: &str = "Tollgate";

/// Prints the charges, once they keep to the specification's rules.
pub(super) fn run(
    reader: &Reader,
    filter: &Filter,
    snapshot: &Snapshot,
    output: &mut Output,
) -> Result<()> {
    let rows = rows(&reader.charges(filter)?, snapshot)?;
    let broken = rules::check(&COLUMNS, &rows);
    if !broken.is_empty() {
        bail!("the export breaks the specification:\n  {}", broken.join("\n  "));
    }
    let mut table = Table::new(COLUMNS.iter().map(|name| Column::text(name)).collect());
    table.rows =
        rows.into_iter().map(|row| COLUMNS.into_iter().zip(row).map(cell).collect()).collect();
    output.table(&table, Format::Csv)?;
    Ok(())
}

/// A value; none is null.
type Field = Option<String>;

fn cell((column, field): (&str, Field)) -> Cell {
    match field {
        None => Cell::Null,
        Some(digits) if rules::DECIMALS.contains(&column) => Cell::Decimal(digits),
        Some(text) => Cell::Text(text),
    }
}

fn rows(charges: &Charges, snapshot: &Snapshot) -> Result<Vec<Vec<Field>>> {
    let mut rows = Vec::with_capacity(charges.lines.len() + charges.differences.len());
    for (item, (count, pico)) in &charges.lines {
        rows.push(usage(item, *count, *pico, snapshot)?);
    }
    for ((place, why), pico) in &charges.differences {
        rows.push(difference(place, *why, *pico, snapshot)?);
    }
    Ok(rows)
}

fn usage(item: &Item, count: u64, pico: i128, snapshot: &Snapshot) -> Result<Vec<Field>> {
    let Item { place, class, card, tier, above, unit_pico } = item;
    let sku = format!("{}/{}", place.provider, place.model);
    let mut price = format!("{sku}/{class}");
    let mut details = BTreeMap::from([
        ("x_ServiceTier", Value::from(tier.name())),
        ("x_TokenClass", Value::from(*class)),
    ]);
    if *tier != ServiceTier::Standard {
        price.push_str(&format!("/{tier}"));
    }
    if *above > 0 {
        price.push_str(&format!("/above-{above}"));
        details.insert("x_AboveInputTokens", Value::from(above.to_string()));
    }
    let details = serde_json::to_string(&details)?;
    let unit = match *class {
        "request" => "Requests",
        "web_search" => "Searches",
        _ => "Tokens",
    };
    let what = format!("{} {} of {sku}", class.replace('_', " "), unit.to_lowercase());
    let (count, cost) = (Some(count.to_string()), dollars(pico));
    common(place, snapshot, "Usage", "Usage-Based", &what, &cost, |column| match column {
        "ConsumedQuantity" | "PricingQuantity" => count.clone(),
        "ConsumedUnit" | "PricingUnit" => Some(unit.to_owned()),
        "ListUnitPrice" => Some(dollars(i128::from(*unit_pico))),
        // Every price stands in a card before the call comes.
        "PricingCategory" => Some("Standard".to_owned()),
        "SkuId" => Some(sku.clone()),
        "SkuMeter" => Some(class.replace('_', " ")),
        "SkuPriceDetails" => Some(details.clone()),
        "SkuPriceId" => Some(price.clone()),
        "x_PriceVersion" => Some(card.to_string()),
        _ => None,
    })
}

/// `a=1,b=2` as a JSON object.
fn object(tags: &str) -> Result<String> {
    let pairs: BTreeMap<&str, &str> =
        tags.split(',').filter_map(|pair| pair.split_once('=')).collect();
    Ok(serde_json::to_string(&pairs)?)
}

fn difference(place: &Place, why: Apart, pico: i128, snapshot: &Snapshot) -> Result<Vec<Field>> {
    let what = format!("{} of {}/{}", why.name(), place.provider, place.model);
    common(place, snapshot, "Adjustment", "One-Time", &what, &dollars(pico), |_| None)
}

/// A row of what all rows have, and `own` for the columns that only some have.
fn common(
    place: &Place,
    snapshot: &Snapshot,
    category: &str,
    frequency: &str,
    what: &str,
    cost: &str,
    own: impl Fn(&str) -> Field,
) -> Result<Vec<Field>> {
    let Place { day, account, provider, model, tags } = place;
    let tenant = account.split('/').next().unwrap_or_default();
    let name = |path: &str| {
        let found = snapshot.accounts.iter().find(|account| account.path == path);
        found.and_then(|account| account.name.clone()).unwrap_or_else(|| path.to_owned())
    };
    let start = jiff::Timestamp::from_microsecond(*day)?;
    let month = start.to_zoned_datetime(TimeZone::UTC).first_of_month()?;
    let next = month.checked_add(jiff::Span::new().months(1))?;
    let at = |time: jiff::Timestamp| Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let text = |text: &str| Some(text.to_owned());
    // The tenant itself is the billing account, and no sub account of it.
    let sub = Some(&**account).filter(|account| *account != tenant);
    let tags = tags.as_deref().map(object).transpose()?;
    let field = |column: &str| {
        Ok(match column {
            "BilledCost" | "ContractedCost" | "EffectiveCost" | "ListCost" => text(cost),
            "BillingAccountId" => text(tenant),
            "BillingAccountName" => Some(name(tenant)),
            "BillingCurrency" => text("USD"),
            "BillingPeriodStart" => at(month.timestamp()),
            "BillingPeriodEnd" => at(next.timestamp()),
            "ChargeCategory" => text(category),
            "ChargeDescription" => text(what),
            "ChargeFrequency" => text(frequency),
            "ChargePeriodStart" => at(start),
            "ChargePeriodEnd" => at(jiff::Timestamp::from_microsecond(day.saturating_add(DAY))?),
            "HostProviderName" | "ServiceProviderName" => text(provider),
            "InvoiceIssuerName" => text(ISSUER),
            "ServiceCategory" => text("AI and Machine Learning"),
            "ServiceName" => text(model),
            "ServiceSubcategory" => text("Generative AI"),
            "SubAccountId" => sub.map(str::to_owned),
            "SubAccountName" => sub.map(name),
            "Tags" => tags.clone(),
            other => own(other),
        })
    };
    COLUMNS.iter().map(|column| field(column)).collect()
}
