//! The attempts of an open call that are over, as text in its hold's row: a call that is settled after
//! a crash has a row for each of them, as it would have had without one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tollgate_accounting::{Class, Money, PriceCard, Provenance, Timestamp, Usage};

use super::entry::{Counted, Outcome};
use super::settlement::{Attempt, Reach};

/// An attempt as it is written.
#[derive(Serialize, Deserialize)]
struct Row {
    provider: String,
    model: String,
    tier: Option<String>,
    why: Option<String>,
    card: String,
    input: u64,
    input_provenance: String,
    reach: String,
    status: Option<u16>,
    error: Option<String>,
    usage: Vec<(String, u64)>,
    reported_cost: Option<i64>,
    output_seen: u64,
    output_delivered: u64,
    output_exact: bool,
    first_byte_at: Option<i64>,
    ended: Option<String>,
}

/// The attempts as text; nothing where there are none.
pub(super) fn encode(attempts: &[Attempt]) -> rusqlite::Result<Option<String>> {
    if attempts.is_empty() {
        return Ok(None);
    }
    let rows: Vec<Row> = attempts.iter().map(row).collect();
    let text = serde_json::to_string(&rows);
    text.map(Some).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn row(attempt: &Attempt) -> Row {
    let Attempt {
        provider,
        model,
        tier,
        why,
        card,
        prices: _,
        input,
        reach,
        status,
        error,
        reported,
        reported_cost,
        output_seen,
        output_delivered,
        output_exact,
        first_byte_at,
        // An answer that was kept is a call's only attempt.
        saved: _,
        ended,
    } = attempt;
    Row {
        provider: provider.to_string(),
        model: model.to_string(),
        tier: tier.as_deref().map(str::to_owned),
        why: why.as_deref().map(str::to_owned),
        card: card.version.clone(),
        input: input.tokens,
        input_provenance: input.provenance.name().to_owned(),
        reach: reach.name().to_owned(),
        status: *status,
        error: error.as_deref().map(str::to_owned),
        usage: reported.iter().map(|(class, count)| (class.name().to_owned(), count)).collect(),
        reported_cost: reported_cost.map(Money::nanos),
        output_seen: *output_seen,
        output_delivered: *output_delivered,
        output_exact: *output_exact,
        first_byte_at: first_byte_at.map(Timestamp::micros),
        ended: ended.map(|ended| ended.name().to_owned()),
    }
}

/// The attempts that the text tells of; `card` finds a price card by its version.
///
/// # Errors
/// Says what of it no ledger can have written.
pub(super) fn decode(
    text: &str,
    mut card: impl FnMut(&str) -> rusqlite::Result<Option<PriceCard>>,
) -> rusqlite::Result<Result<Vec<Attempt>, String>> {
    let rows: Vec<Row> = match serde_json::from_str(text) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(format!("earlier attempts: {error}"))),
    };
    let mut attempts = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(card) = card(&row.card)? else {
            return Ok(Err(format!("the price card {} is missing", row.card)));
        };
        match attempt(row, card) {
            Some(attempt) => attempts.push(attempt),
            None => return Ok(Err("earlier attempts: a name that means nothing".to_owned())),
        }
    }
    Ok(Ok(attempts))
}

fn attempt(row: Row, card: PriceCard) -> Option<Attempt> {
    let input =
        Counted { tokens: row.input, provenance: Provenance::from_name(&row.input_provenance)? };
    let mut reported = Usage::new();
    for (class, count) in &row.usage {
        reported.set(Class::from_name(class)?, *count);
    }
    let ended = match &row.ended {
        Some(name) => Some(Outcome::from_name(name)?),
        None => None,
    };
    let new = Attempt::new(
        row.provider.into(),
        row.model.into(),
        Arc::new(card),
        input,
        row.output_exact,
    );
    Some(Attempt {
        tier: row.tier.map(Arc::from),
        reach: Reach::from_name(&row.reach)?,
        status: row.status,
        error: row.error.map(Arc::from),
        reported,
        reported_cost: row.reported_cost.map(Money::from_nanos),
        output_seen: row.output_seen,
        output_delivered: row.output_delivered,
        first_byte_at: row.first_byte_at.map(Timestamp::from_micros),
        ended,
        ..new.because(row.why.map(Arc::from))
    })
}

#[cfg(test)]
mod tests {
    use tollgate_accounting::{Rates, Tier};

    use super::*;

    fn card(version: &str) -> PriceCard {
        PriceCard {
            version: version.to_owned(),
            source: "a test".to_owned(),
            effective_from: Timestamp::from_micros(0),
            tiers: vec![Tier { above_input_tokens: 0, rates: Rates::new() }],
            per_request: None,
        }
    }

    fn full() -> Attempt {
        let input = Counted { tokens: 7, provenance: Provenance::Tokenized };
        let card = Arc::new(card("one@1"));
        Attempt {
            tier: Some("flex".into()),
            reach: Reach::Accepted,
            status: Some(200),
            error: Some("it broke off".into()),
            reported: Usage::new().with(Class::Input, 5).with(Class::CacheRead, 2),
            reported_cost: Some(Money::from_nanos(11)),
            output_seen: 4,
            output_delivered: 3,
            first_byte_at: Some(Timestamp::from_micros(9)),
            ended: Some(Outcome::Truncated),
            ..Attempt::new("a".into(), "m".into(), card, input, true)
                .because(Some("cheapest".into()))
        }
    }

    #[test]
    fn an_attempt_is_read_as_it_was_written() {
        let input = Counted { tokens: 1, provenance: Provenance::Estimated };
        let bare = Attempt::new("b".into(), "n".into(), Arc::new(card("two@1")), input, false);
        let all = [full(), bare];
        let text = encode(&all).unwrap().unwrap();
        let read = decode(&text, |version| Ok(Some(card(version)))).unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{all:?}"));
        assert_eq!(encode(&[]).unwrap(), None);
    }

    #[test]
    fn what_no_ledger_wrote_is_refused() {
        let text = encode(&[full()]).unwrap().unwrap();
        let read = |text: &str| decode(text, |version| Ok(Some(card(version)))).unwrap();
        for (from, to) in [("accepted", "arrived"), ("truncated", "torn"), ("cache_read", "cash")] {
            assert!(text.contains(from), "{text}");
            assert!(read(&text.replace(from, to)).is_err());
        }
        assert!(read("[{").is_err());
        assert!(decode(&text, |_| Ok(None)).unwrap().is_err());
    }
}
