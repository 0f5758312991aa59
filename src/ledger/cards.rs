//! Price cards as text in the ledger's own file, so that every statement can be recomputed from it.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use tollgate_accounting::{Class, PriceCard, Rates, Tier, Timestamp, UnitPrice};

use crate::clock;

/// A card as it is written: unit prices in pico-dollars.
#[derive(Serialize, Deserialize)]
struct Row {
    source: String,
    effective_from: i64,
    tiers: Vec<RowTier>,
    per_request: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct RowTier {
    above_input_tokens: u64,
    rates: Vec<(String, u64)>,
}

/// Writes the card unless its version is there already. A version carries a digest of its card (see
/// `routing`), so one version is one card.
pub(super) fn store(connection: &Connection, card: &PriceCard) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO cards (version, card, first_used) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![card.version, encode(card)?, clock::now().micros()])
        .map(drop)
}

/// A card as text, for whoever keeps it elsewhere.
pub fn card_text(card: &PriceCard) -> Option<String> {
    encode(card).ok()
}

/// The card of that version from its text.
pub fn card_of_text(version: &str, text: &str) -> Option<PriceCard> {
    decode(version, text).ok()
}

/// The card of that version, as it was when it was first used.
pub(super) fn load(connection: &Connection, version: &str) -> rusqlite::Result<Option<PriceCard>> {
    let text: Option<String> = connection
        .prepare_cached("SELECT card FROM cards WHERE version = ?1")?
        .query_row([version], |row| row.get(0))
        .optional()?;
    text.map(|text| decode(version, &text)).transpose()
}

fn encode(card: &PriceCard) -> rusqlite::Result<String> {
    let PriceCard { version: _, source, effective_from, tiers, per_request } = card;
    let tiers = tiers.iter().map(|tier| RowTier {
        above_input_tokens: tier.above_input_tokens,
        rates: Class::ALL
            .into_iter()
            .filter_map(|c| Some((c.name().to_owned(), tier.rates.get(c)?.pico())))
            .collect(),
    });
    let row = Row {
        source: source.clone(),
        effective_from: effective_from.micros(),
        tiers: tiers.collect(),
        per_request: per_request.map(UnitPrice::pico),
    };
    serde_json::to_string(&row).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn decode(version: &str, text: &str) -> rusqlite::Result<PriceCard> {
    let unreadable = |e: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, e)
    };
    let row: Row = serde_json::from_str(text).map_err(|e| unreadable(Box::new(e)))?;
    let mut tiers = Vec::with_capacity(row.tiers.len());
    for tier in row.tiers {
        let mut rates = Rates::new();
        for (name, pico) in tier.rates {
            let class = Class::from_name(&name)
                .ok_or_else(|| unreadable(format!("no class is named {name:?}").into()))?;
            rates.set(class, UnitPrice::from_pico(pico));
        }
        tiers.push(Tier { above_input_tokens: tier.above_input_tokens, rates });
    }
    Ok(PriceCard {
        version: version.to_owned(),
        source: row.source,
        effective_from: Timestamp::from_micros(row.effective_from),
        tiers,
        per_request: row.per_request.map(UnitPrice::from_pico),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_reads_back_as_it_was_written() {
        let rates = Rates::new()
            .with(Class::Input, UnitPrice::from_pico(2_500_000))
            .with(Class::Output, UnitPrice::from_pico(10_000_000));
        let card = PriceCard {
            version: "test/1".into(),
            source: "a test".into(),
            effective_from: Timestamp::from_micros(7),
            tiers: vec![
                Tier { above_input_tokens: 0, rates },
                Tier { above_input_tokens: 200_000, rates },
            ],
            per_request: Some(UnitPrice::from_pico(1)),
        };
        let text = encode(&card).unwrap();
        assert_eq!(decode("test/1", &text).unwrap(), card);
    }
}
