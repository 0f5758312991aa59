//! The groups of an answer while it is summed. A group is a number for the names that do not depend on the
//! time and one for its stretch of time, so that what is read a million times compares no text.

use std::collections::HashMap;
use std::sync::Arc;

use super::ReportRow;
use super::group::{Clock, GroupBy, Span};
use crate::ledger::rollup::{Facet, QUARTER, Sums};

pub(super) struct Groups<'q> {
    by: &'q [GroupBy],
    clock: Clock,
    /// The length of time that is within one stretch whatever the zone, in microseconds.
    cut: i64,
    stretches: HashMap<i64, usize>,
    fixed: Names,
    times: Names,
    places: HashMap<[usize; 2], usize>,
    /// The group that was asked for last: roll-ups come in the order of time.
    last: Option<([usize; 2], usize)>,
    pub(super) sums: Vec<Sums>,
}

/// Lists of names with a number each.
#[derive(Default)]
struct Names {
    numbers: HashMap<Vec<Arc<str>>, usize>,
    all: Vec<Vec<Arc<str>>>,
}

impl Names {
    fn number(&mut self, names: Vec<Arc<str>>) -> usize {
        if let Some(number) = self.numbers.get(&names) {
            return *number;
        }
        let number = self.all.len();
        self.numbers.insert(names.clone(), number);
        self.all.push(names);
        number
    }
}

impl<'q> Groups<'q> {
    pub(super) fn new(by: &'q [GroupBy], clock: Clock) -> Groups<'q> {
        let minutes = by.contains(&GroupBy::Time(Span::Minute));
        Groups {
            by,
            clock,
            cut: if minutes { 60 * 1_000_000 } else { QUARTER },
            stretches: HashMap::new(),
            fixed: Names::default(),
            times: Names::default(),
            places: HashMap::new(),
            last: None,
            sums: Vec::new(),
        }
    }

    /// The number of a facet's names that do not depend on the time.
    pub(super) fn fixed(&mut self, facet: &Facet) -> usize {
        let fixed = self.by.iter().filter(|by| !by.is_time());
        self.fixed.number(fixed.map(|by| by.of(facet).into()).collect())
    }

    /// The place of a group's sums.
    pub(super) fn place(&mut self, fixed: usize, micros: i64) -> usize {
        let group = [fixed, self.stretch(micros)];
        if let Some((_, place)) = self.last.filter(|(last, _)| *last == group) {
            return place;
        }
        let place = *self.places.entry(group).or_insert_with(|| {
            self.sums.push(Sums::default());
            self.sums.len() - 1
        });
        self.last = Some((group, place));
        place
    }

    fn stretch(&mut self, micros: i64) -> usize {
        let Groups { by, clock, cut, stretches, times, .. } = self;
        let spans = by.iter().filter_map(|by| match by {
            GroupBy::Time(span) => Some(*span),
            _ => None,
        });
        *stretches
            .entry(micros.div_euclid(*cut))
            .or_insert_with(|| times.number(spans.map(|span| clock.name(span, micros)).collect()))
    }

    /// Without groups the answer is one row, of nothing if need be.
    pub(super) fn finish(self) -> Vec<ReportRow> {
        let Groups { by, fixed, times, places, mut sums, .. } = self;
        if by.is_empty() && sums.is_empty() {
            return vec![ReportRow::empty()];
        }
        let rows = places.into_iter().filter_map(|([group, stretch], place)| {
            let sums = std::mem::take(sums.get_mut(place)?);
            let (mut group, mut stretch) =
                (fixed.all.get(group)?.iter(), times.all.get(stretch)?.iter());
            let key = |by: &GroupBy| if by.is_time() { stretch.next() } else { group.next() };
            let keys = by.iter().filter_map(key).cloned().collect();
            Some(ReportRow { keys, sums })
        });
        rows.collect()
    }
}
