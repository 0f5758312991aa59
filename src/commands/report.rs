//! `tollgate report`.

use anyhow::{Context, Result, bail};
use tollgate::cli::{Cell, Column, Exit, Format, Global, Output, ReportArgs, Table, When};
use tollgate::clock;
use tollgate::config::Snapshot;
use tollgate::ledger::{Filter, GroupBy, Reader, ReportRow};

use super::configuration;

pub(super) fn run(global: &Global, args: ReportArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let format = Format::chosen(args.format, global);
    let zone = zone(&args, &snapshot);
    let instant = |when: Option<When>| when.map(|w| w.resolve(clock::now(), &zone)).transpose();
    let filter = Filter {
        from: instant(args.from)?,
        to: instant(args.to)?,
        account: args.account,
        endpoint: None,
        as_of: instant(args.as_of)?,
    };
    let mut by = Vec::new();
    for group in &args.by {
        let name = group.name();
        by.push(GroupBy::from_name(name).with_context(|| format!("no report is by {name}"))?);
    }
    if !snapshot.storage.path.exists() {
        bail!("there is no ledger at {}: nothing was served yet", snapshot.storage.path.display());
    }
    let rows = Reader::open(&snapshot.storage.path)?.report(&filter, &by)?;
    let names: Vec<&str> = by.iter().map(|group| group.name()).collect();
    output.table(&table(&rows, &names, format), format)?;
    Ok(Exit::Good)
}

/// The zone of dates without one: as asked, else the account's.
fn zone(args: &ReportArgs, snapshot: &Snapshot) -> String {
    let account = args.account.as_deref();
    let found = snapshot.accounts.iter().find(|a| Some(a.path.as_str()) == account);
    let zone = args.timezone.clone().or_else(|| found.map(|a| a.timezone.clone()));
    zone.unwrap_or_else(|| "UTC".to_owned())
}

/// Used by the demo as well.
pub(super) fn table(rows: &[ReportRow], by: &[&str], format: Format) -> Table {
    let mut columns: Vec<Column> = by.iter().map(|name| Column::text(name)).collect();
    let numbers = [
        "requests",
        "attempts",
        "incomplete",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
        "estimated",
        "charged_usd",
        "owed_usd",
        "absorbed_usd",
        "markup_usd",
    ];
    // A terminal shows the columns that say something; a program always gets them all.
    let cells: Vec<Vec<Cell>> = rows.iter().map(cells).collect();
    let always = ["requests", "input_tokens", "output_tokens", "charged_usd"];
    let nonzero = |at: usize| {
        cells.iter().any(|row| match row.get(at) {
            Some(Cell::Integer(count)) => *count != 0,
            Some(Cell::Money(money)) => money.nanos() != 0,
            _ => false,
        })
    };
    let shown: Vec<usize> = (0..numbers.len())
        .filter(|at| format != Format::Table || always.contains(&numbers[*at]) || nonzero(*at))
        .collect();
    columns.extend(shown.iter().map(|at| Column::number(numbers[*at])));
    let mut table = Table::new(columns);
    for (row, cells) in rows.iter().zip(&cells) {
        let keys = row.keys.iter().map(|key| Cell::Text(key.clone()));
        let picked = shown.iter().filter_map(|at| cells.get(*at).cloned());
        table.rows.push(keys.chain(picked).collect());
    }
    table
}

fn cells(row: &ReportRow) -> Vec<Cell> {
    // Exhaustive, so that a new sum gets its column.
    let ReportRow {
        keys: _,
        requests,
        attempts,
        incomplete,
        input_tokens,
        cache_read_tokens,
        cache_write_tokens,
        output_tokens,
        reasoning_tokens,
        estimated,
        charged,
        owed,
        absorbed,
        markup,
    } = row;
    let counts = [
        requests,
        attempts,
        incomplete,
        input_tokens,
        cache_read_tokens,
        cache_write_tokens,
        output_tokens,
        reasoning_tokens,
        estimated,
    ];
    let counts = counts.into_iter().map(|count| Cell::Integer(i128::from(*count)));
    counts.chain([charged, owed, absorbed, markup].map(|money| Cell::Money(*money))).collect()
}
