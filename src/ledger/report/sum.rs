//! Answers a question: whole quarters of an hour from the roll-ups, what is left at the edges, and
//! anything finer, from the rows themselves.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, params_from_iter, types::Value};

use super::group::{Clock, GroupBy, Span};
use super::groups::Groups;
use super::{Filter, Question, ReportRow};
use crate::ledger::entry::{COLUMNS, Entry};
use crate::ledger::rollup::{FACETS, Facet, HOUR, Hour, Measure, QUARTER, QUARTERS, Sums};

/// The group of all that are not among the dearest.
const OTHER: &str = "Other";

pub(super) fn answer(
    connection: &Connection,
    question: &Question,
) -> rusqlite::Result<Vec<ReportRow>> {
    let Question { filter, by, zone, top, times } = question;
    let mut groups = Groups::new(by, Clock::new(zone.clone()));
    let from = filter.from.map_or(i64::MIN, |at| at.micros());
    let to = filter.to.map_or(i64::MAX, |at| at.micros());
    let [first, end] = [whole(from), to.div_euclid(QUARTER)];
    // A report by the minute has no use for quarters, and a roll-up forgets when its rows were written.
    if by.contains(&GroupBy::Time(Span::Minute)) || filter.as_of.is_some() || first >= end {
        rows(connection, filter, [from, to], &mut groups)?;
    } else {
        rows(connection, filter, [from, first.saturating_mul(QUARTER)], &mut groups)?;
        rolled(connection, filter, [first, end], *times, &mut groups)?;
        let behind = end.saturating_mul(QUARTER);
        if to != i64::MAX && behind < to {
            rows(connection, filter, [behind, to], &mut groups)?;
        }
    }
    let mut answer = groups.finish();
    if !times {
        // Rows at the edges have told theirs, and a part of them is none.
        for row in &mut answer {
            (row.sums.latency, row.sums.first_byte) = Default::default();
        }
    }
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

/// Adds the roll-ups of whole quarters, one facet after the other; those of one group together.
fn rolled(
    connection: &Connection,
    filter: &Filter,
    [first, end]: [i64; 2],
    times: bool,
    groups: &mut Groups<'_>,
) -> rusqlite::Result<()> {
    let (condition, values) = filter.below(1);
    let mut facets: Vec<(usize, i64)> = Vec::new();
    let sql = format!("SELECT id, {FACETS} FROM facets WHERE {condition}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let facet = Facet::read(row, 1)?;
        if filter.passes(&facet) {
            facets.push((groups.fixed(&facet), row.get(0)?));
        }
    }
    facets.sort_unstable();
    let quarters = QUARTERS as i64;
    let hours = [first.div_euclid(quarters), (end - 1).div_euclid(quarters)];
    let sql =
        format!("SELECT hour, {HOUR} FROM rollups WHERE facet = ?1 AND hour BETWEEN ?2 AND ?3");
    let mut statement = connection.prepare_cached(&sql)?;
    for (fixed, id) in facets {
        let mut rows = statement.query([id, hours[0], hours[1]])?;
        while let Some(row) = rows.next()? {
            let begin = row.get::<_, i64>(0)?.saturating_mul(quarters);
            let hour = Hour::read(row, 1, times)?;
            let mut places = [None; QUARTERS];
            for quarter in hour.quarters() {
                let at = begin.saturating_add(quarter as i64);
                if let Some(place) = places.get_mut(quarter).filter(|_| (first..end).contains(&at))
                {
                    *place = Some(groups.place(fixed, at.saturating_mul(QUARTER)));
                }
            }
            hour.add_to(&mut groups.sums, places)?;
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
        let entry = Entry::read(row, 0)?;
        let facet = Facet::of(&entry);
        if filter.passes(&facet) {
            let fixed = groups.fixed(&facet);
            let place = groups.place(fixed, entry.received_at.micros());
            groups.sums.get_mut(place).into_iter().for_each(|sums| sums.add_entry(&entry));
        }
    }
    Ok(())
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
    let mut names: Vec<Arc<str>> = Vec::new();
    if let Some(time) = time {
        let known: HashSet<&Arc<str>> =
            answer.iter().filter_map(|row| row.keys.get(time)).collect();
        names.extend(known.into_iter().cloned());
        names.sort_unstable();
    }
    let ranks: HashMap<&str, usize> =
        names.iter().enumerate().map(|(at, name)| (&**name, at)).collect();
    answer.sort_by_cached_key(|row| {
        let when = time.and_then(|at| ranks.get(&**row.keys.get(at)?).copied());
        let other = row.keys.iter().any(|key| &**key == OTHER);
        (when, other, Reverse(row.count(Measure::Charged)), row.keys.clone())
    });
}
