//! `tollgate reconcile`: a provider's bill beside what we believe we owe it.

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::json;
use tollgate::cli::{Cell, Column, Exit, Format, Global, Output, ReconcileArgs, Table};
use tollgate::config::Snapshot;
use tollgate::ledger::{Billed, Compared, Reader};
use tollgate_accounting::{Markup, Money};

use super::{admin, bill, configuration, key};
use std::sync::Arc;

/// Lines that are sent to a running gateway at once.
const AT_ONCE: usize = 256;

/// How much drift is let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tolerance {
    Dollars(Money),
    /// Of what is billed, in hundredths of a percent.
    Share(i32),
}

pub(super) fn run(global: &Global, args: &ReconcileArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    if !snapshot.providers.contains_key(&args.provider) {
        bail!("the configuration has no provider {:?}", args.provider);
    }
    let tolerance = Tolerance::read(&args.tolerance)?;
    let mut lines = Vec::new();
    let mut seen = Vec::new();
    for file in &args.files {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        let digest = blake3::hash(text.as_bytes());
        if seen.contains(&digest) {
            bail!("{} is given twice", file.display());
        }
        seen.push(digest);
        lines.extend(bill::read(&text).with_context(|| file.display().to_string())?);
    }
    let compared = Reader::open(&snapshot.storage.path)?.reconcile(&args.provider, &lines)?;
    if args.book {
        book(global, &snapshot, &args.provider, &lines)?;
    }
    let format = Format::chosen(args.format, global);
    let total = Total::of(&compared)?;
    output.table(&table(&compared, &total), format)?;
    if args.book {
        output.remark("the differences in money are booked: owed and absorbed")?;
        return Ok(Exit::Good);
    }
    Ok(if total.within(tolerance) { Exit::Good } else { Exit::Found })
}

/// Books the bill, on the database where no gateway runs on it.
fn book(global: &Global, snapshot: &Arc<Snapshot>, provider: &str, lines: &[Billed]) -> Result<()> {
    let mut lines: Vec<Billed> = lines.iter().filter(|line| line.cost.is_some()).cloned().collect();
    if let Some(gateway) = key::open(global, snapshot)? {
        let booked = gateway.book_bill(provider, &lines);
        gateway.close();
        return Ok(booked.map(drop)?);
    }
    // Lines of one day belong together: what the bill does not name is on one of them.
    lines.sort_by(|a, b| a.day.cmp(&b.day));
    while !lines.is_empty() {
        let day = lines.get(AT_ONCE).map(|line| line.day.clone());
        let end = day.and_then(|day| lines.iter().position(|line| line.day == day));
        let rest = lines.split_off(end.filter(|end| *end > 0).unwrap_or(lines.len()));
        let wish: Vec<_> = lines
            .iter()
            .map(|line| {
                let cost = line.cost.unwrap_or_default().to_string();
                json!({ "day": line.day, "model": line.model, "cost_usd": cost })
            })
            .collect();
        let wish = json!({ "provider": provider, "lines": wish });
        admin::ask(snapshot, Method::POST, "/admin/bills", &wish)?;
        lines = rest;
    }
    Ok(())
}

impl Tolerance {
    fn read(text: &str) -> Result<Tolerance> {
        // A share is written as a markup is.
        let share = Markup::percent(text).map(|markup| Tolerance::Share(markup.share()));
        let dollars = || text.parse::<Money>().ok().map(Tolerance::Dollars);
        let found = share.or_else(dollars).filter(|tolerance| match tolerance {
            Tolerance::Dollars(money) => *money >= Money::ZERO,
            Tolerance::Share(share) => *share >= 0,
        });
        found.with_context(|| format!("{text:?} is no tolerance: write 0.05 (dollars) or 1%"))
    }
}

/// The sums of all lines; drift without its sign, so that one line does not make up for another.
#[derive(Default)]
struct Total {
    billed: Money,
    owed: Money,
    drift: Money,
    apart: Money,
    /// Tokens billed, and apart.
    tokens: [u128; 2],
    is_money: bool,
}

impl Total {
    fn of(compared: &[Compared]) -> Result<Total> {
        let mut total = Total::default();
        for line in compared {
            total.owed = total.owed.checked_add(line.owed)?;
            if let (Some(cost), Some(drift)) = (line.billed.cost, line.drift()?) {
                total.is_money = true;
                total.billed = total.billed.checked_add(cost)?;
                total.drift = total.drift.checked_add(drift)?;
                let apart =
                    if drift < Money::ZERO { Money::ZERO.checked_sub(drift)? } else { drift };
                total.apart = total.apart.checked_add(apart)?;
            }
            let sides = [
                (line.billed.input_tokens, line.input_tokens),
                (line.billed.output_tokens, line.output_tokens),
            ];
            for (billed, ours) in sides {
                if let Some(billed) = billed {
                    total.tokens[0] += u128::from(billed);
                    total.tokens[1] += u128::from(billed.abs_diff(ours));
                }
            }
        }
        Ok(total)
    }

    fn within(&self, tolerance: Tolerance) -> bool {
        let [billed, apart] = self.tokens;
        match tolerance {
            Tolerance::Dollars(most) => self.apart <= most && (self.is_money || apart == 0),
            Tolerance::Share(share) => {
                let within = |apart: i128, all: i128| apart * 10_000 <= all * i128::from(share);
                let money =
                    within(i128::from(self.apart.nanos()), i128::from(self.billed.nanos()).abs());
                let wide = |count: u128| i128::try_from(count).unwrap_or(i128::MAX / 1_000_000);
                money && (self.is_money || within(wide(apart), wide(billed)))
            }
        }
    }
}

fn table(compared: &[Compared], total: &Total) -> Table {
    let mut columns: Vec<Column> = ["day", "model"].map(Column::text).into();
    let numbers = [
        "billed_usd",
        "owed_usd",
        "drift_usd",
        "billed_input_tokens",
        "input_tokens",
        "billed_output_tokens",
        "output_tokens",
    ];
    columns.extend(numbers.map(Column::number));
    let mut table = Table::new(columns);
    let money = |money: Option<Money>| money.map_or(Cell::Null, Cell::Money);
    let count = |count: Option<u64>| count.map_or(Cell::Null, Cell::from);
    for line in compared {
        let billed = &line.billed;
        table.rows.push(vec![
            Cell::from(billed.day.as_str()),
            Cell::from(billed.model.as_str()),
            money(billed.cost),
            Cell::Money(line.owed),
            money(line.drift().ok().flatten()),
            count(billed.input_tokens),
            line.input_tokens.into(),
            count(billed.output_tokens),
            line.output_tokens.into(),
        ]);
    }
    let own = |money: Money| if total.is_money { Cell::Money(money) } else { Cell::Null };
    let mut sum = vec![Cell::from("total"), Cell::Null];
    sum.extend([own(total.billed), Cell::Money(total.owed), own(total.drift)]);
    sum.extend([Cell::Null, Cell::Null, Cell::Null, Cell::Null]);
    table.rows.push(sum);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_dollars_or_a_share() {
        let dollars = |nanos| Some(Tolerance::Dollars(Money::from_nanos(nanos)));
        let cases = [
            ("0", dollars(0)),
            ("$0.05", dollars(50_000_000)),
            ("1%", Some(Tolerance::Share(100))),
            ("-1%", None),
            ("-1", None),
            ("few", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Tolerance::read(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn drifts_of_two_lines_do_not_make_up_for_each_other() {
        let line = |cost: i64, owed: i64| Compared {
            billed: Billed {
                day: "2026-11-01".into(),
                model: "m".into(),
                cost: Some(Money::from_nanos(cost)),
                input_tokens: None,
                output_tokens: None,
            },
            owed: Money::from_nanos(owed),
            input_tokens: 0,
            output_tokens: 0,
        };
        let total = Total::of(&[line(100, 90), line(100, 110)]).unwrap();
        assert_eq!((total.drift, total.apart), (Money::ZERO, Money::from_nanos(20)));
        assert!(!total.within(Tolerance::Dollars(Money::from_nanos(19))));
        assert!(total.within(Tolerance::Dollars(Money::from_nanos(20))));
        assert!(total.within(Tolerance::Share(1_000)) && !total.within(Tolerance::Share(999)));
    }
}
