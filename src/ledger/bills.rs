//! A provider's bill beside what we believe we owe it, day by day and model by model; and differences
//! booked on the provider's side: owed and absorbed change, no tenant is charged.

use std::collections::BTreeMap;

use tollgate_accounting::{Charge, Money, Overflow, Timestamp, Usage};

use super::adjust::{AdjustError, Adjustment, adjustment};
use super::entry::{Entry, Kind, Outcome};
use super::{CallId, Ledger, Reader, StoreError};
use crate::clock;

/// The model of a line that is about all of them.
pub const ALL_MODELS: &str = "*";

/// One line of a bill: a day (UTC) and a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billed {
    /// `2026-11-24`.
    pub day: String,
    /// As the bill names it; [`ALL_MODELS`] where it does not tell models apart.
    pub model: String,
    /// What is to be paid, where the bill is about money.
    pub cost: Option<Money>,
    /// Input tokens, cached ones included, where it is about tokens.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
}

/// A line of the bill and what the ledger has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// What is billed; of a day and model that we have and the bill has not, nothing.
    pub billed: Billed,
    /// What we believe we owe, corrections included.
    pub owed: Money,
    /// Input tokens of our rows.
    pub input_tokens: u64,
    /// Output tokens of our rows.
    pub output_tokens: u64,
}

impl Compared {
    /// What is billed beyond what we believe we owe; nothing where the bill is about tokens only.
    pub fn drift(&self) -> Result<Option<Money>, Overflow> {
        self.billed.cost.map(|cost| cost.checked_sub(self.owed)).transpose()
    }
}

/// What we have of one day and model.
#[derive(Clone, Copy, Default)]
struct Ours {
    owed: Money,
    input: u64,
    output: u64,
}

impl Reader {
    /// Lays a bill beside the ledger. Days that the bill says nothing of are left out; on the others,
    /// models that only we know of are lines of nothing billed.
    pub fn reconcile(&self, provider: &str, bill: &[Billed]) -> Result<Vec<Compared>, AdjustError> {
        let lines = together(bill)?;
        let mut ours: BTreeMap<(String, String), Ours> = BTreeMap::new();
        let mut days: Vec<&String> = lines.iter().map(|line| &line.day).collect();
        days.dedup();
        for day in days {
            for (model, found) in self.owed_on(provider, day)? {
                let line = place(&lines, day, &model).unwrap_or(&model).to_owned();
                let sum = ours.entry((day.clone(), line)).or_default();
                sum.owed = sum.owed.checked_add(found.owed)?;
                sum.input = sum.input.checked_add(found.input).ok_or(Overflow)?;
                sum.output = sum.output.checked_add(found.output).ok_or(Overflow)?;
            }
        }
        let mut compared = Vec::with_capacity(lines.len());
        for billed in lines {
            let found =
                ours.remove(&(billed.day.clone(), billed.model.clone())).unwrap_or_default();
            compared.push(Compared::new(billed, found));
        }
        let is_money = compared.iter().any(|line| line.billed.cost.is_some());
        for ((day, model), found) in ours {
            let none = is_money.then_some(Money::ZERO);
            let tokens = (!is_money).then_some(0);
            let billed =
                Billed { day, model, cost: none, input_tokens: tokens, output_tokens: tokens };
            compared.push(Compared::new(billed, found));
        }
        compared.sort_by(|a, b| {
            (&a.billed.day, &a.billed.model).cmp(&(&b.billed.day, &b.billed.model))
        });
        Ok(compared)
    }

    fn owed_on(&self, provider: &str, day: &str) -> Result<Vec<(String, Ours)>, StoreError> {
        let Some(start) = midnight(day) else { return Ok(Vec::new()) };
        let end = start.saturating_plus(tollgate_accounting::DAY);
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT model, sum(owed),
                    sum(coalesce(input, 0) + coalesce(cache_read, 0) + coalesce(cache_write, 0)
                      + coalesce(cache_write_long, 0) + coalesce(audio_input, 0)
                      + coalesce(image_input, 0)),
                    sum(coalesce(output, 0) + coalesce(reasoning, 0) + coalesce(audio_output, 0)
                      + coalesce(image_output, 0))
                 FROM entries WHERE provider = ?1 AND received_at >= ?2 AND received_at < ?3
                 GROUP BY model",
            )?;
            let values = rusqlite::params![provider, start.micros(), end.micros()];
            let rows = statement.query_map(values, |row| {
                let owed = Money::from_nanos(row.get(1)?);
                Ok((row.get(0)?, Ours { owed, input: row.get(2)?, output: row.get(3)? }))
            })?;
            rows.collect()
        })
    }
}

impl Ledger {
    /// Books the drift of every line about money: what is billed is owed from then on, and absorbed.
    /// The same bill again finds no drift and books nothing.
    pub fn book_bill(
        &self,
        reader: &Reader,
        provider: &str,
        bill: &[Billed],
    ) -> Result<Vec<Compared>, AdjustError> {
        self.correcting(|| {
            self.flush()?;
            let compared = reader.reconcile(provider, bill)?;
            let mut adjustments = Vec::new();
            for line in &compared {
                let Some(drift) = line.drift()?.filter(|drift| *drift != Money::ZERO) else {
                    continue;
                };
                let legs = Charge::absorbed_attempt(drift);
                let Compared { billed: Billed { day, model, cost, .. }, owed, .. } = line;
                let cost = cost.unwrap_or_default();
                let why = format!("the bill of {day} says ${cost} where ${owed} was owed");
                let entry = adjustment(&of_bill(provider, day, model), &legs, "bill", why);
                adjustments.push(Adjustment { entry, card: None });
            }
            self.adjust(reader, adjustments)?;
            Ok(compared)
        })
    }
}

impl Compared {
    fn new(billed: Billed, ours: Ours) -> Compared {
        let Ours { owed, input: input_tokens, output: output_tokens } = ours;
        Compared { billed, owed, input_tokens, output_tokens }
    }
}

/// The lines of one day and model as one: bills have a line for each kind of token.
fn together(bill: &[Billed]) -> Result<Vec<Billed>, Overflow> {
    let mut lines: BTreeMap<(&str, &str), Billed> = BTreeMap::new();
    let tokens = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => a.checked_add(b).ok_or(Overflow).map(Some),
        (a, b) => Ok(a.or(b)),
    };
    for line in bill {
        let Some(sum) = lines.get_mut(&(&*line.day, &*line.model)) else {
            lines.insert((&line.day, &line.model), line.clone());
            continue;
        };
        sum.cost = match (sum.cost, line.cost) {
            (Some(a), Some(b)) => Some(a.checked_add(b)?),
            (a, b) => a.or(b),
        };
        sum.input_tokens = tokens(sum.input_tokens, line.input_tokens)?;
        sum.output_tokens = tokens(sum.output_tokens, line.output_tokens)?;
    }
    Ok(lines.into_values().collect())
}

/// The line of that day that a model of ours belongs to: of its own name, of its name with a date
/// behind it (`gpt-4o` is billed as `gpt-4o-2024-08-06`), or of all models.
fn place<'l>(lines: &'l [Billed], day: &str, model: &str) -> Option<&'l str> {
    let of_day = || lines.iter().filter(|line| line.day == day).map(|line| line.model.as_str());
    let dated = |name: &&str| {
        let rest = name.strip_prefix(model).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| {
            rest.len() >= 8 && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        })
    };
    let exact = of_day().find(|name| *name == model);
    exact.or_else(|| of_day().find(dated)).or_else(|| of_day().find(|name| *name == ALL_MODELS))
}

/// A row of no call and no tenant, in the middle of the day it is about.
fn of_bill(provider: &str, day: &str, model: &str) -> Entry {
    let noon =
        midnight(day).unwrap_or(Timestamp::MIN).saturating_plus(tollgate_accounting::DAY / 2);
    Entry {
        id: CallId::new(),
        attempt: 1,
        kind: Kind::Adjustment,
        at: clock::now(),
        received_at: noon,
        account: "".into(),
        key: "".into(),
        endpoint: "reconcile".into(),
        asked_model: model.into(),
        provider: provider.into(),
        model: model.into(),
        prompt: None,
        tags: None,
        stream: false,
        outcome: Outcome::Completed,
        status: None,
        error: None,
        requests: 0,
        usage: Usage::new(),
        input_provenance: None,
        output_provenance: None,
        counted_input: 0,
        delivered_output: 0,
        posted_input: 0,
        posted_output: 0,
        tier: None,
        why: None,
        reported_cost: None,
        cache: None,
        terms: None,
        card: "bill".into(),
        charged: Money::ZERO,
        owed: Money::ZERO,
        markup: Money::ZERO,
        absorbed: Money::ZERO,
        saved: Money::ZERO,
        held: Money::ZERO,
        first_byte_us: None,
        total_us: 0,
    }
}

/// The first instant of a date, UTC.
fn midnight(day: &str) -> Option<Timestamp> {
    let date: jiff::civil::Date = day.parse().ok()?;
    let start = date.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_micros(start.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(day: &str, model: &str, nanos: i64) -> Billed {
        let cost = Some(Money::from_nanos(nanos));
        Billed {
            day: day.into(),
            model: model.into(),
            cost,
            input_tokens: None,
            output_tokens: None,
        }
    }

    #[test]
    fn a_model_is_on_the_line_of_its_name_its_dated_name_or_all() {
        let lines = [
            line("2026-11-01", "gpt-4o-2024-08-06", 1),
            line("2026-11-01", "gpt-4o-mini", 1),
            line("2026-11-01", ALL_MODELS, 1),
            line("2026-11-02", "o3", 1),
        ];
        let cases = [
            ("2026-11-01", "gpt-4o", Some("gpt-4o-2024-08-06")),
            ("2026-11-01", "gpt-4o-mini", Some("gpt-4o-mini")),
            ("2026-11-01", "o3", Some(ALL_MODELS)),
            ("2026-11-02", "o3", Some("o3")),
            ("2026-11-02", "gpt-4o", None),
        ];
        for (day, model, expected) in cases {
            assert_eq!(place(&lines, day, model), expected, "{day} {model}");
        }
    }

    #[test]
    fn lines_of_one_day_and_model_are_summed() {
        let mut tokens = line("2026-11-01", "m", 0);
        (tokens.cost, tokens.input_tokens) = (None, Some(5));
        let bill = [line("2026-11-01", "m", 3), line("2026-11-01", "m", 4), tokens];
        let sum = together(&bill).unwrap();
        assert_eq!(
            (sum.len(), sum[0].cost, sum[0].input_tokens),
            (1, Some(Money::from_nanos(7)), Some(5))
        );
        let most = line("2026-11-01", "m", i64::MAX);
        assert_eq!(together(&[most.clone(), most]), Err(Overflow));
    }
}
