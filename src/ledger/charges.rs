//! What tenants were charged, line by line: each class of tokens at its price, and what lies between
//! the sum of the lines and the charge. The sum of both is the charge of the rows, to the pico-dollar.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{params_from_iter, types::Value};
use tollgate_accounting::{Class, CostLine, PriceCard, ServiceTier, Timestamp};

use super::report::{Filter, Reader};
use super::rollup::Facet;
use super::{StoreError, cards, entry::COLUMNS, entry::Entry};

/// Microseconds of a day.
const DAY: i64 = 86_400 * 1_000_000;
/// Pico-dollars of a nano-dollar.
const PICO: i128 = 1_000;

/// Whose, where and when: the same for the lines and differences of one day (UTC).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The first microsecond of the day since the Unix epoch.
    pub day: i64,
    /// The tenant's path.
    pub account: Arc<str>,
    /// The provider.
    pub provider: Arc<str>,
    /// Its model.
    pub model: Arc<str>,
    /// The caller's tags, as canonical `a=1,b=2`.
    pub tags: Option<Arc<str>>,
}

/// What is priced at one price; `class` is none for a fee on each request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// Where.
    pub place: Place,
    /// The class's name, or `request`.
    pub class: &'static str,
    /// The version of the price card.
    pub card: Arc<str>,
    /// The tier the provider says it was processed in; standard where it says none that is known.
    pub tier: ServiceTier,
    /// The card's price is that of calls with more input tokens than this.
    pub above: u64,
    /// The price of one, in pico-dollars.
    pub unit_pico: u64,
}

/// Why a charge is not the sum of its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Apart {
    /// The operator's part.
    Markup,
    /// Owed to the provider, and not charged.
    Absorbed,
    /// A row's cost is a whole number of nano-dollars.
    Rounding,
    /// A row without lines: a correction, or a cost that no price card gives.
    Unlisted,
}

impl Apart {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Apart::Markup => "markup",
            Apart::Absorbed => "absorbed by the operator",
            Apart::Rounding => "rounding to nano-dollars",
            Apart::Unlisted => "correction",
        }
    }
}

/// Charges of a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charges {
    /// How many, and what that comes to in pico-dollars.
    pub lines: BTreeMap<Item, (u64, i128)>,
    /// In pico-dollars.
    pub differences: BTreeMap<(Place, Apart), i128>,
}

impl Charges {
    /// What it all comes to, in pico-dollars.
    pub fn pico(&self) -> i128 {
        let lines: i128 = self.lines.values().map(|(_, pico)| pico).sum();
        lines + self.differences.values().sum::<i128>()
    }

    fn add(&mut self, entry: &Entry, card: Option<&PriceCard>) {
        let Entry { charged, owed, markup, absorbed, .. } = entry;
        // What the operator paid alone is no tenant's.
        if charged.nanos() == 0 && absorbed == owed {
            return;
        }
        let place = Place {
            day: entry.received_at.micros().div_euclid(DAY).saturating_mul(DAY),
            account: entry.account.clone(),
            provider: entry.provider.clone(),
            model: entry.model.clone(),
            tags: entry.tags.clone(),
        };
        let above = card.and_then(|card| card.threshold(&entry.usage).ok()).unwrap_or_default();
        let tier = entry.tier.as_deref().and_then(ServiceTier::reported).unwrap_or_default();
        let lines = card.filter(|_| !entry.usage.is_empty());
        let lines = lines.and_then(|card| card.lines(&entry.usage).ok()).unwrap_or_default();
        let mut listed = 0_i128;
        for CostLine { class, quantity, unit_price, pico } in &lines {
            listed += pico;
            let class = class.map_or("request", Class::name);
            let (card, unit_pico) = (entry.card.clone(), unit_price.pico());
            let item = Item { place: place.clone(), class, card, tier, above, unit_pico };
            let (count, sum) = self.lines.entry(item).or_default();
            *count = count.saturating_add(*quantity);
            *sum += pico;
        }
        let rest = i128::from(owed.nanos()) * PICO - listed;
        let why = if lines.is_empty() { Apart::Unlisted } else { Apart::Rounding };
        let parts = [
            (why, rest),
            (Apart::Markup, i128::from(markup.nanos()) * PICO),
            (Apart::Absorbed, -i128::from(absorbed.nanos()) * PICO),
        ];
        for (why, pico) in parts.into_iter().filter(|(_, pico)| *pico != 0) {
            *self.differences.entry((place.clone(), why)).or_default() += pico;
        }
    }
}

impl Reader {
    /// The charges of rows, read one by one: a period of a large ledger takes its time.
    pub fn charges(&self, filter: &Filter) -> Result<Charges, StoreError> {
        self.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let (condition, mut values) = filter.below(4);
            let bound = |at: Option<Timestamp>, none: i64| at.map_or(none, Timestamp::micros);
            let mut all: Vec<Value> = vec![
                bound(filter.from, i64::MIN).into(),
                bound(filter.to, i64::MAX).into(),
                bound(filter.as_of, i64::MAX).into(),
            ];
            all.append(&mut values);
            let sql = format!(
                "SELECT {COLUMNS} FROM entries
                 WHERE received_at >= ?1 AND received_at < ?2 AND at < ?3
                 AND kind <> 'change' AND {condition}"
            );
            let mut statement = transaction.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(all))?;
            let mut known: HashMap<Arc<str>, Option<PriceCard>> = HashMap::new();
            let mut charges = Charges::default();
            while let Some(row) = rows.next()? {
                let entry = Entry::read(row, 0)?;
                if !filter.passes(&Facet::of(&entry)) {
                    continue;
                }
                if !known.contains_key(&entry.card) {
                    known.insert(entry.card.clone(), cards::load(&transaction, &entry.card)?);
                }
                charges.add(&entry, known.get(&entry.card).and_then(Option::as_ref));
            }
            Ok(charges)
        })
    }
}

/// Pico-dollars as decimal dollars, without zeros at the end.
pub fn dollars(pico: i128) -> String {
    const ONE: u128 = 1_000_000_000_000;
    let (sign, size) = (if pico < 0 { "-" } else { "" }, pico.unsigned_abs());
    let (whole, rest) = (size / ONE, size % ONE);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{rest:012}");
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pico_dollars_are_written_exactly() {
        let cases = [
            (0, "0"),
            (1, "0.000000000001"),
            (-2_500_000_000_000, "-2.5"),
            (1_000_000_000_000, "1"),
            (1_000_000_000_010, "1.00000000001"),
        ];
        for (pico, text) in cases {
            assert_eq!(dollars(pico), text);
        }
    }
}
