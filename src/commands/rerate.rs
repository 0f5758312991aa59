//! `tollgate rerate`: on the database where no gateway runs on it, else through the running one.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use tollgate::app::{self, Gateway};
use tollgate::cli::{Cell, Column, Exit, Format, Global, Output, RerateArgs, Table};
use tollgate::clock;
use tollgate::config::Snapshot;
use tollgate::http::corrections::rerated;
use tollgate::ledger::{Range, Reader};
use tollgate_accounting::{DAY, Money, Timestamp};

use super::{admin, configuration, key};

const NAMES: [&str; 5] = ["account", "provider", "model", "from_card", "to_card"];
const LEGS: [&str; 4] = ["charged_usd", "owed_usd", "markup_usd", "absorbed_usd"];

/// Who does it.
enum Way<'s> {
    /// Nobody changes anything.
    Look(Reader),
    /// This process, which has the ledger.
    Here(Gateway),
    /// The gateway that runs.
    There(&'s Snapshot),
}

pub(super) fn run(global: &Global, args: &RerateArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let (from, to) =
        (args.from.resolve(clock::now(), "UTC")?, args.to.resolve(clock::now(), "UTC")?);
    if from >= to {
        bail!("the range ends before it begins");
    }
    let way = if args.dry_run {
        Way::Look(Reader::open(&snapshot.storage.path)?)
    } else {
        key::open(global, &snapshot)?.map_or(Way::There(&snapshot), Way::Here)
    };
    let mut found = Found::default();
    let days = u64::try_from((to.micros() - from.micros()) / DAY + 1).unwrap_or(1);
    let progress = output.progress(days, "rating");
    let mut begin = from;
    // A day at a time, so that each step is short for whoever serves calls beside it.
    while begin < to {
        let end = begin.saturating_plus(DAY).min(to);
        let (account, model) = (args.account.clone(), args.model.clone());
        let result = way.rerate(&snapshot, Range { from: begin, to: end, account, model });
        let result = result.and_then(|value| found.add(&value));
        if let Err(error) = result {
            way.close();
            return Err(error);
        }
        progress.step();
        begin = end;
    }
    drop(progress);
    way.close();
    let format = Format::chosen(args.format, global);
    output.table(&found.table(), format)?;
    let done = if args.dry_run { "would be corrected" } else { "corrected" };
    output.remark(&format!("{} rows looked at, {} {done}", found.rows, found.changed()))?;
    for (reason, rows) in &found.skipped {
        output.remark(&format!("{rows} rows left as they are: {reason}"))?;
    }
    Ok(Exit::Good)
}

impl Way<'_> {
    fn rerate(&self, snapshot: &Snapshot, range: Range) -> Result<Value> {
        let prices = |provider: &str, model: &str| app::price_list(snapshot, provider, model);
        match self {
            Way::Look(reader) => Ok(rerated(&reader.rerate(&range, &prices)?)),
            Way::Here(gateway) => Ok(rerated(&gateway.rerate(&range)?)),
            Way::There(snapshot) => {
                let Range { from, to, account, model } = range;
                let at = |at: Timestamp| at.to_string();
                let wish =
                    json!({ "from": at(from), "to": at(to), "account": account, "model": model });
                admin::ask(snapshot, Method::POST, "/admin/rerate", &wish)
            }
        }
    }

    fn close(self) {
        if let Way::Here(gateway) = self {
            gateway.close();
        }
    }
}

/// The answers of all days.
#[derive(Default)]
struct Found {
    rows: u64,
    /// Rows and legs by names.
    differences: BTreeMap<[String; 5], (u64, [Money; 4])>,
    skipped: BTreeMap<String, u64>,
}

impl Found {
    fn add(&mut self, day: &Value) -> Result<()> {
        let list = |name: &str| day[name].as_array().cloned().unwrap_or_default();
        self.rows += day["rows"].as_u64().unwrap_or(0);
        for one in list("skipped") {
            let reason = one["reason"].as_str().unwrap_or_default().to_owned();
            *self.skipped.entry(reason).or_default() += one["rows"].as_u64().unwrap_or(0);
        }
        for one in list("differences") {
            let names = NAMES.map(|name| one[name].as_str().unwrap_or_default().to_owned());
            let (rows, legs) = self.differences.entry(names).or_default();
            *rows += one["rows"].as_u64().unwrap_or(0);
            for (sum, name) in legs.iter_mut().zip(LEGS) {
                let leg = one[name].as_str().context("an answer without its amounts")?;
                *sum = sum.checked_add(leg.parse()?)?;
            }
        }
        Ok(())
    }

    fn changed(&self) -> u64 {
        self.differences.values().map(|(rows, _)| rows).sum()
    }

    fn table(&self) -> Table {
        let mut columns: Vec<Column> = NAMES.iter().map(|name| Column::text(name)).collect();
        columns.push(Column::number("rows"));
        columns.extend(LEGS.iter().map(|name| Column::number(name)));
        let mut table = Table::new(columns);
        for (names, (rows, legs)) in &self.differences {
            let mut row: Vec<Cell> = names.iter().map(|name| Cell::from(name.as_str())).collect();
            row.push((*rows).into());
            row.extend(legs.iter().map(|leg| Cell::Money(*leg)));
            table.rows.push(row);
        }
        table
    }
}
