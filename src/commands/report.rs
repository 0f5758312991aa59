//! `tollgate report`.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use jiff::tz::TimeZone;
use tollgate::cli::{
    Cell, Chart, Column, Exit, Format, Global, Output, ReportArgs, ReportFormat, Table, When, svg,
    terminal,
};
use tollgate::clock;
use tollgate::config::Snapshot;
use tollgate::http::view::{Figure, measures, thousandths};
use tollgate::ledger::{Filter, GroupBy, Measure, Question, Reader, ReportRow};
use tollgate_accounting::Timestamp;

use super::{configuration, focus};

/// What a comparison shows of the period before.
const COMPARED: [Measure; 4] =
    [Measure::Requests, Measure::InputTokens, Measure::OutputTokens, Measure::Charged];
/// Bars of a chart that is drawn into a file, at most.
const MOST_BARS: usize = 400;
/// What a terminal shows whatever it is; other columns only where they say something.
const ALWAYS: [&str; 4] = ["requests", "input_tokens", "output_tokens", "charged_usd"];

pub(super) fn run(global: &Global, args: ReportArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let zone = zone(&args, &snapshot);
    let instant = |when: Option<When>| when.map(|w| w.resolve(clock::now(), &zone)).transpose();
    let filter = Filter {
        from: instant(args.from)?,
        to: instant(args.to)?,
        account: args.account,
        only: Vec::new(),
        as_of: instant(args.as_of)?,
    };
    if !snapshot.storage.path.exists() {
        bail!("there is no ledger at {}: nothing was served yet", snapshot.storage.path.display());
    }
    let reader = Reader::open(&snapshot.storage.path)?;
    if args.format == Some(ReportFormat::Focus) {
        focus::run(&reader, &filter, &snapshot, output)?;
        return Ok(Exit::Good);
    }
    let format = Format::chosen(args.format.and_then(ReportFormat::of_rows), global);
    let zone = TimeZone::get(&zone).with_context(|| format!("there is no zone {zone}"))?;
    // A chart is of what was charged.
    let times = args.format != Some(ReportFormat::Chart);
    let question = Question { filter, by: args.by, zone, top: args.top, times };
    let rows = reader.report(&question)?;
    let chart = chart(&rows, &question.by);
    if let Some(file) = &args.plot {
        if chart.places.len() > MOST_BARS {
            bail!(
                "{} bars cannot be told apart: ask by a longer time, or for --top N",
                chart.places.len()
            );
        }
        std::fs::write(file, svg(&chart))
            .with_context(|| format!("cannot write {}", file.display()))?;
        output.remark(&format!("drawn into {}", file.display()))?;
    }
    if args.format == Some(ReportFormat::Chart) {
        for line in terminal(&chart) {
            output.line(&line)?;
        }
        return Ok(Exit::Good);
    }
    let before = if args.compare { Some(before(&reader, &question)?) } else { None };
    output.table(&table(&rows, before.as_deref(), &question.by, format), format)?;
    Ok(Exit::Good)
}

/// What was charged, as bars: over time where the rows are by time, else one for each row.
fn chart(rows: &[ReportRow], by: &[GroupBy]) -> Chart {
    let time = by.iter().position(|by| matches!(by, GroupBy::Time(_)));
    let point = |row: &ReportRow| {
        let others = row.keys.iter().enumerate().filter(|(at, _)| Some(*at) != time);
        let others: Vec<&str> = others.map(|(_, key)| &**key).collect();
        let charged = row.money(Measure::Charged).nanos();
        match time.and_then(|at| row.keys.get(at)) {
            Some(time) => (time.to_string(), others.join(" / "), charged),
            None => (others.join(" / "), String::new(), charged),
        }
    };
    let by: Vec<String> = by.iter().map(GroupBy::to_string).collect();
    let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
    Chart::new(format!("Charged{by}, in dollars"), &rows.iter().map(point).collect::<Vec<_>>())
}

/// The zone of dates without one: as asked, else the account's.
fn zone(args: &ReportArgs, snapshot: &Snapshot) -> String {
    let account = args.account.as_deref();
    let found = snapshot.accounts.iter().find(|a| Some(a.path.as_str()) == account);
    let zone = args.timezone.clone().or_else(|| found.map(|a| a.timezone.clone()));
    zone.unwrap_or_else(|| "UTC".to_owned())
}

/// The same question about the period before: as many months where it is of whole months, else as long.
fn before(reader: &Reader, question: &Question) -> Result<Vec<ReportRow>> {
    if question.by.iter().any(|by| matches!(by, GroupBy::Time(_))) {
        bail!("--compare has no place for groups of time: they are other times in each period");
    }
    let from = question.filter.from.context("--compare wants --from")?;
    let to = question.filter.to.unwrap_or_else(clock::now);
    let begin = earlier(from, to, &question.zone)?;
    let mut question = Question { top: None, ..question.clone().untimed() };
    (question.filter.from, question.filter.to) = (Some(begin), Some(from));
    Ok(reader.report(&question)?)
}

fn earlier(from: Timestamp, to: Timestamp, zone: &TimeZone) -> Result<Timestamp> {
    let local = |at: Timestamp| -> Result<jiff::ZonedDateTime> {
        Ok(jiff::Timestamp::from_microsecond(at.micros())?.to_zoned_datetime(zone.clone()))
    };
    let (first, end) = (local(from)?, local(to)?);
    let begins_month = |at: &jiff::ZonedDateTime| -> Result<bool> {
        Ok(at.first_of_month()?.start_of_day()? == *at)
    };
    if begins_month(&first)? && begins_month(&end)? {
        let months = (i32::from(end.year()) - i32::from(first.year())) * 12
            + i32::from(end.month())
            - i32::from(first.month());
        let begin = first.checked_sub(jiff::Span::new().months(months))?;
        return Ok(Timestamp::from_micros(begin.timestamp().as_microsecond()));
    }
    let length = to.micros().saturating_sub(from.micros());
    Ok(Timestamp::from_micros(from.micros().saturating_sub(length)))
}

/// Rows as a table, with what the period before had beside them. Used by the demo as well.
pub(super) fn table(
    rows: &[ReportRow],
    before: Option<&[ReportRow]>,
    by: &[GroupBy],
    format: Format,
) -> Table {
    let mut columns: Vec<Column> = by.iter().map(|by| Column::text(&by.to_string())).collect();
    let figures: Vec<Vec<(&str, Figure)>> =
        rows.iter().map(|row| measures(row).collect()).collect();
    let says = |at: usize| {
        figures.iter().any(|row| match row.get(at) {
            Some((_, Figure::Count(count))) => count.unwrap_or(0) != 0,
            Some((_, Figure::Share(share))) => share.is_some(),
            Some((_, Figure::Money(money))) => money.nanos() != 0,
            None => false,
        })
    };
    // A terminal shows the columns that say something; a program always gets them all.
    let empty = ReportRow::empty();
    let names: Vec<&str> = measures(&empty).map(|(name, _)| name).collect();
    let shown = |at: &usize| {
        let name = names.get(*at).copied().unwrap_or_default();
        let rare = name.ends_with("_ms") && name != "latency_p50_ms" && name != "latency_p95_ms";
        format != Format::Table || ALWAYS.contains(&name) || says(*at) && !rare
    };
    let shown: Vec<usize> = (0..names.len()).filter(shown).collect();
    columns.extend(shown.iter().filter_map(|at| names.get(*at)).map(|name| Column::number(name)));
    let earlier: HashMap<&[Arc<str>], &ReportRow> =
        before.into_iter().flatten().map(|row| (row.keys.as_slice(), row)).collect();
    if before.is_some() {
        columns.extend(COMPARED.map(|m| Column::number(&format!("before_{}", m.name()))));
    }
    let mut table = Table::new(columns);
    for (row, figures) in rows.iter().zip(&figures) {
        let keys = row.keys.iter().map(|key| Cell::Text(key.to_string()));
        let picked =
            shown.iter().filter_map(|at| figures.get(*at)).map(|(_, figure)| cell(*figure));
        let mut cells: Vec<Cell> = keys.chain(picked).collect();
        if before.is_some() {
            let was = earlier.get(row.keys.as_slice()).copied().unwrap_or(&empty);
            cells.extend(COMPARED.map(|measure| {
                if measure.is_money() {
                    Cell::Money(was.money(measure))
                } else {
                    Cell::Integer(was.count(measure).into())
                }
            }));
        }
        table.rows.push(cells);
    }
    table
}

fn cell(figure: Figure) -> Cell {
    match figure {
        Figure::Count(Some(count)) => Cell::Integer(count.into()),
        Figure::Count(None) => Cell::Null,
        Figure::Share(Some(share)) => Cell::Decimal(thousandths(share)),
        Figure::Share(None) => Cell::Null,
        Figure::Money(money) => Cell::Money(money),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_micros(at.as_microsecond())
    }

    #[test]
    fn whole_months_are_compared_with_whole_months_and_anything_else_with_its_length() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let cases = [
            ("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", "2026-01-31T23:00:00Z"),
            ("2026-03-31T22:00:00Z", "2026-05-31T22:00:00Z", "2026-01-31T23:00:00Z"),
            ("2026-03-10T00:00:00Z", "2026-03-12T00:00:00Z", "2026-03-08T00:00:00Z"),
        ];
        for (from, to, expected) in cases {
            assert_eq!(earlier(at(from), at(to), &zone).unwrap(), at(expected), "{from}");
        }
    }
}
