//! Answers a question: whole quarters of an hour from the roll-ups, what is left at the edges, and
//! anything finer, from the rows themselves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, Row, params, params_from_iter, types::Value};

use super::group::{Clock, GroupBy, Span};
use super::{Filter, Question, ReportRow};
use crate::ledger::entry::{COLUMNS, Entry};
use crate::ledger::rollup::{FACETS, Facet, Measure, QUARTER, Sums, columns};

/// The group of all that are not among the dearest.
const OTHER: &str = "Other";

pub(super) fn answer(
    connection: &Connection,
    question: &Question,
) -> rusqlite::Result<Vec<ReportRow>> {
    let Question { filter, by, zone, top } = question;
    let mut groups = Groups { by, clock: Clock::new(zone.clone()), sums: HashMap::new() };
    let from = filter.from.map_or(i64::MIN, |at| at.micros());
    let to = filter.to.map_or(i64::MAX, |at| at.micros());
    let [first, end] = [whole(from), to.div_euclid(QUARTER)];
    // A report by the minute has no use for quarters, and a roll-up forgets when its rows were written.
    if by.contains(&GroupBy::Time(Span::Minute)) || filter.as_of.is_some() || first >= end {
        rows(connection, filter, [from, to], &mut groups)?;
    } else {
        rows(connection, filter, [from, first.saturating_mul(QUARTER)], &mut groups)?;
        rolled(connection, filter, [first, end], &mut groups)?;
        let behind = end.saturating_mul(QUARTER);
        if to != i64::MAX && behind < to {
            rows(connection, filter, [behind, to], &mut groups)?;
        }
    }
    let mut answer = groups.finish();
    if let Some(top) = top {
        answer = dearest(answer, by, *top);
    }
    sort(&mut answer, by);
    Ok(answer)
}

/// The first quarter that begins at or after an instant.
fn whole(micros: i64) -> i64 {
    let quarter = micros.div_euclid(QUARTER);
    if micros.rem_euclid(QUARTER) == 0 { quarter } else { quarter + 1 }
}

struct Groups<'q> {
    by: &'q [GroupBy],
    clock: Clock,
    sums: HashMap<Vec<Arc<str>>, Sums>,
}

impl Groups<'_> {
    /// The sums of a group; `fixed` are the names that do not depend on the time.
    fn at(&mut self, fixed: &[Arc<str>], micros: i64) -> &mut Sums {
        let mut keys = fixed.to_vec();
        for (key, by) in keys.iter_mut().zip(self.by) {
            if let GroupBy::Time(span) = by {
                *key = self.clock.name(*span, micros);
            }
        }
        self.sums.entry(keys).or_default()
    }

    fn fixed(&self, facet: &Facet) -> Vec<Arc<str>> {
        self.by.iter().map(|by| by.of(facet).into()).collect()
    }

    /// Without groups the answer is one row, of nothing if need be.
    fn finish(mut self) -> Vec<ReportRow> {
        if self.by.is_empty() {
            self.sums.entry(Vec::new()).or_default();
        }
        self.sums.into_iter().map(|(keys, sums)| ReportRow { keys, sums }).collect()
    }
}

/// Adds the roll-ups of whole quarters, one facet after the other.
fn rolled(
    connection: &Connection,
    filter: &Filter,
    [first, end]: [i64; 2],
    groups: &mut Groups<'_>,
) -> rusqlite::Result<()> {
    let by_time = groups.by.iter().any(GroupBy::is_time);
    let (condition, values) = filter.below(1);
    let facets: Vec<(i64, Facet)> = {
        let sql = format!("SELECT id, {FACETS} FROM facets WHERE {condition}");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement
            .query_map(params_from_iter(values), |row| Ok((row.get(0)?, Facet::read(row, 1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let columns = columns();
    let sql = format!(
        "SELECT quarter, {columns} FROM rollups WHERE facet = ?1 AND quarter >= ?2 AND quarter < ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    for (id, facet) in facets.iter().filter(|(_, facet)| filter.passes(facet)) {
        let fixed = groups.fixed(facet);
        let mut rows = statement.query(params![id, first, end])?;
        let mut all = Sums::default();
        let mut any = false;
        while let Some(row) = rows.next()? {
            any = true;
            let sums = if by_time {
                let quarter: i64 = row.get(0)?;
                groups.at(&fixed, quarter.saturating_mul(QUARTER))
            } else {
                &mut all
            };
            sums.add_row(row, 1)?;
        }
        if any && !by_time {
            groups.at(&fixed, 0).merge(&all);
        }
    }
    Ok(())
}

/// Adds rows that came in at or after the first instant and before the second.
fn rows(
    connection: &Connection,
    filter: &Filter,
    [from, to]: [i64; 2],
    groups: &mut Groups<'_>,
) -> rusqlite::Result<()> {
    if from >= to || from == i64::MIN && to < 0 {
        return Ok(());
    }
    let (condition, mut values) = filter.below(4);
    let as_of = filter.as_of.map_or(i64::MAX, |at| at.micros());
    let sql = format!(
        "SELECT {COLUMNS} FROM entries WHERE received_at >= ?1 AND received_at < ?2 AND {condition}
             AND kind <> 'change'
             AND seq <= (SELECT up_to FROM rolled) AND at < ?3"
    );
    let mut all: Vec<Value> = vec![from.into(), to.into(), as_of.into()];
    all.append(&mut values);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(all))?;
    while let Some(row) = rows.next()? {
        let entry = read(row)?;
        let facet = Facet::of(&entry);
        if filter.passes(&facet) {
            let fixed = groups.fixed(&facet);
            groups.at(&fixed, entry.received_at.micros()).add_entry(&entry);
        }
    }
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Entry::read(row, 0)
}

impl Filter {
    /// The condition that a row or facet is of the account or below it; its values begin at `?next`.
    pub(in crate::ledger) fn below(&self, next: usize) -> (String, Vec<Value>) {
        match &self.account {
            None => ("1".to_owned(), Vec::new()),
            // `/` is followed by `0` in ASCII: this range is the account's own subtree.
            Some(account) => (
                format!(
                    "(account = ?{next} OR (account >= ?{next} || '/' AND account < ?{next} || '0'))"
                ),
                vec![account.clone().into()],
            ),
        }
    }

    /// Whether rows of a facet are of the groups that are wanted.
    pub(in crate::ledger) fn passes(&self, facet: &Facet) -> bool {
        self.only.iter().all(|(by, wanted)| wanted.iter().any(|one| one == by.of(facet)))
    }
}

/// Keeps the dearest groups over all times; the rest is `Other`, for each time.
fn dearest(answer: Vec<ReportRow>, by: &[GroupBy], top: usize) -> Vec<ReportRow> {
    let place = |keys: &[Arc<str>]| -> Vec<Arc<str>> {
        let fixed = keys.iter().zip(by).filter(|(_, by)| !by.is_time());
        fixed.map(|(key, _)| key.clone()).collect()
    };
    let mut totals: HashMap<Vec<Arc<str>>, i64> = HashMap::new();
    for row in &answer {
        let total = totals.entry(place(&row.keys)).or_default();
        *total = total.saturating_add(row.count(Measure::Charged));
    }
    let mut ranked: Vec<_> = totals.into_iter().collect();
    ranked.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
    let kept: HashSet<Vec<Arc<str>>> = ranked.into_iter().take(top).map(|(keys, _)| keys).collect();
    let (mut out, rest): (Vec<_>, Vec<_>) =
        answer.into_iter().partition(|row| kept.contains(&place(&row.keys)));
    let mut others: HashMap<Vec<Arc<str>>, Sums> = HashMap::new();
    for ReportRow { mut keys, sums } in rest {
        for (key, _) in keys.iter_mut().zip(by).filter(|(_, by)| !by.is_time()) {
            *key = OTHER.into();
        }
        others.entry(keys).or_default().merge(&sums);
    }
    out.extend(others.into_iter().map(|(keys, sums)| ReportRow { keys, sums }));
    out
}

/// By time first; then the dearest, `Other` behind them.
fn sort(answer: &mut [ReportRow], by: &[GroupBy]) {
    let time = by.iter().position(GroupBy::is_time);
    answer.sort_by(|a, b| {
        let when = |row: &ReportRow| time.and_then(|at| row.keys.get(at).cloned());
        let other = |row: &ReportRow| row.keys.iter().any(|key| &**key == OTHER);
        let dear = |row: &ReportRow| std::cmp::Reverse(row.count(Measure::Charged));
        let order = |row: &ReportRow| (when(row), other(row), dear(row));
        order(a).cmp(&order(b)).then_with(|| a.keys.cmp(&b.keys))
    });
}
