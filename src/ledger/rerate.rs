//! Re-rating: what calls of a range would have cost at the prices configured now, and the corrections
//! that make it so. A second run finds nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, types::Value};
use tollgate_accounting::{
    Charge, Money, Overflow, PriceCard, PriceError, PriceList, Rounding, ServiceTier, Timestamp,
};

use super::adjust::{AdjustError, Adjustment, adjustment, legs};
use super::entry::{COLUMNS, Entry, Outcome};
use super::settlement::passed_on;
use super::{CallId, Ledger, Reader, StoreError, cards};

/// Rows read at once.
const PAGE: u32 = 1_000;

/// Which calls are rated anew.
#[derive(Clone, Debug)]
pub struct Range {
    /// Received at or after.
    pub from: Timestamp,
    /// Received before.
    pub to: Timestamp,
    /// Of this account and everything below it.
    pub account: Option<String>,
    /// Of this model, by the provider's name or as it was asked for.
    pub model: Option<String>,
}

/// What was found, and done unless it was only looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rerated {
    /// Rows looked at.
    pub rows: u64,
    /// By account, provider, model, old card and new card.
    pub differences: BTreeMap<[Arc<str>; 5], Difference>,
    /// Rows left as they are, by the reason.
    pub skipped: BTreeMap<&'static str, u64>,
}

/// What changed for rows that have the same account, model and cards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// How many.
    pub rows: u64,
    /// The sum of the differences of their legs.
    pub legs: Charge,
}

/// What a model at a provider costs now.
pub type PricesOf<'p> = dyn Fn(&str, &str) -> Option<PriceList> + 'p;

/// A row with its corrections so far.
struct Rated {
    entry: Entry,
    adjustments: Vec<Entry>,
    /// The card of the row.
    old: Option<PriceCard>,
}

impl Ledger {
    /// Rates a range anew and books the differences.
    pub fn rerate(
        &self,
        reader: &Reader,
        range: &Range,
        prices: &PricesOf<'_>,
    ) -> Result<Rerated, AdjustError> {
        self.correcting(|| {
            // What is still on its way to the file is looked at too.
            self.flush()?;
            fold(reader, range, prices, |adjustments| self.adjust(reader, adjustments))
        })
    }
}

impl Reader {
    /// What rating a range anew would change.
    pub fn rerate(&self, range: &Range, prices: &PricesOf<'_>) -> Result<Rerated, AdjustError> {
        fold(self, range, prices, |_| Ok(()))
    }
}

fn fold(
    reader: &Reader,
    range: &Range,
    prices: &PricesOf<'_>,
    mut write: impl FnMut(Vec<Adjustment>) -> Result<(), AdjustError>,
) -> Result<Rerated, AdjustError> {
    let mut found = Rerated::default();
    let mut lists: HashMap<(Arc<str>, Arc<str>), Option<PriceList>> = HashMap::new();
    let mut after = 0;
    loop {
        let page = page(reader, range, after)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = *last;
        let mut adjustments = Vec::new();
        for (_, rated) in page {
            found.rows += 1;
            let entry = &rated.entry;
            let place = (entry.provider.clone(), entry.model.clone());
            let list =
                lists.entry(place).or_insert_with_key(|(provider, model)| prices(provider, model));
            match rated.anew(list.as_ref()) {
                Err(why) => *found.skipped.entry(why).or_default() += 1,
                Ok(None) => {}
                Ok(Some((card, difference))) => {
                    let old = rated.card_now();
                    let key = [
                        &entry.account,
                        &entry.provider,
                        &entry.model,
                        &old,
                        &card.version.as_str().into(),
                    ];
                    let sum = found.differences.entry(key.map(Arc::clone)).or_default();
                    sum.rows += 1;
                    sum.legs = sum.legs.plus(&difference)?;
                    let why = format!("re-rated from {old} to {}", card.version);
                    let entry = adjustment(entry, &difference, &card.version, why);
                    adjustments.push(Adjustment { entry, card: Some(card) });
                }
            }
        }
        if !adjustments.is_empty() {
            write(adjustments)?;
        }
    }
}

impl Rated {
    /// The card that holds now and what it changes; nothing where it changes nothing.
    fn anew(
        &self,
        list: Option<&PriceList>,
    ) -> Result<Option<(Arc<PriceCard>, Charge)>, &'static str> {
        let entry = &self.entry;
        if entry.usage.is_empty() {
            return Ok(None);
        }
        let booked = legs([entry]).ok_or("its legs do not balance")?;
        let old = self.old.as_ref().ok_or("its price card is missing")?;
        if rate(entry, old) != Ok(booked) {
            return Err("its amounts do not follow from its card: it was settled at what it held");
        }
        let tier = entry.tier.as_deref().and_then(ServiceTier::reported).unwrap_or_default();
        let card = list.and_then(|list| list.charged(tier, entry.received_at));
        let card = card.ok_or("its model has no price now")?;
        let new = rate(entry, card).map_err(|_| "its tokens have no price now")?;
        let current = legs(self.adjustments.iter().chain([entry])).ok_or("its legs do not fit")?;
        let difference = new.minus(&current).map_err(|Overflow| "its legs do not fit")?;
        Ok((difference != Charge::ZERO).then(|| (card.clone(), difference)))
    }

    /// The card it was last rated by.
    fn card_now(&self) -> Arc<str> {
        self.adjustments.last().unwrap_or(&self.entry).card.clone()
    }
}

/// The legs of a row on a card: those of `settlement`, from what the row keeps.
fn rate(entry: &Entry, card: &PriceCard) -> Result<Charge, PriceError> {
    let owed = card.cost(&entry.usage, Rounding::HalfEven)?;
    if entry.posted_input == 0 && entry.posted_output == 0 && entry.charged == Money::ZERO {
        return Ok(Charge::absorbed_attempt(owed));
    }
    let charged = match entry.outcome {
        Outcome::Cut => passed_on(entry.usage, entry.delivered_output),
        _ => entry.usage,
    };
    let base = card.cost(&charged, Rounding::HalfEven)?;
    let pays = entry.terms.unwrap_or_default().price_call(base, Rounding::HalfEven)?;
    let absorbed = Charge::absorbed_attempt(owed.checked_sub(base)?);
    Ok(Charge::priced(base, pays)?.plus(&absorbed)?)
}

/// The next rows behind `after`, with their places in the ledger.
fn page(reader: &Reader, range: &Range, after: i64) -> Result<Vec<(i64, Rated)>, StoreError> {
    let Range { from, to, account, model } = range;
    let mut conditions = String::from(
        "seq > ?1 AND kind <> 'adjustment' AND received_at >= ?2 AND received_at < ?3",
    );
    let mut values: Vec<Value> = vec![after.into(), from.micros().into(), to.micros().into()];
    if let Some(account) = account {
        values.push(account.clone().into());
        conditions
            .push_str(" AND (account = ?4 OR (account >= ?4 || '/' AND account < ?4 || '0'))");
    }
    if let Some(model) = model {
        values.push(model.clone().into());
        let at = values.len();
        conditions.push_str(&format!(" AND (model = ?{at} OR asked_model = ?{at})"));
    }
    let sql =
        format!("SELECT seq, {COLUMNS} FROM entries WHERE {conditions} ORDER BY seq LIMIT {PAGE}");
    reader.read(|connection| {
        let mut statement = connection.prepare_cached(&sql)?;
        let values = rusqlite::params_from_iter(values);
        let rows = statement.query_map(values, |row| Ok((row.get(0)?, Entry::read(row, 1)?)))?;
        let rows = rows.collect::<rusqlite::Result<Vec<(i64, Entry)>>>()?;
        let rated = rows.into_iter().map(|(seq, entry)| {
            let old = cards::load(connection, &entry.card)?;
            let adjustments = adjustments(connection, entry.id, entry.attempt)?;
            Ok((seq, Rated { entry, adjustments, old }))
        });
        rated.collect()
    })
}

fn adjustments(connection: &Connection, id: CallId, attempt: u32) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE id = ?1 AND kind = 'adjustment' AND attempt = ?2 ORDER BY seq"
    ))?;
    let rows = statement
        .query_map(rusqlite::params![id.0.to_be_bytes(), attempt], |row| Entry::read(row, 0))?;
    rows.collect()
}
