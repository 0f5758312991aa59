//! Whether roll-ups are the sums of their rows, in memory that does not grow with the ledger.
//!
//! Every roll-up has a random weight, fresh for each audit; a print is the sum of weight times value,
//! over rows on one side and over roll-ups on the other. Both are linear, so they are equal where the
//! sums are, and where a sum differs they agree only by a chance of 2^-64 or less.

use std::collections::HashMap;

use rusqlite::Connection;

use super::{FACETS, Facet, HOUR, Hour, MEASURES, Measure, QUARTER, QUARTERS, Sums, Times};
use crate::ledger::entry::{Entry, Kind};

/// Roll-ups that are summed before they are weighed.
const OPEN: usize = 20_000;

/// The prints of one side.
pub(in crate::ledger) struct Prints {
    key: [u8; 32],
    up_to: i64,
    open: HashMap<(Facet, i64), Sums>,
    /// One a measure, then one for each of the two histograms.
    sums: [u128; MEASURES + 2],
}

impl Prints {
    /// Prints of the rows that the roll-ups should have.
    pub(in crate::ledger) fn of_rows(connection: &Connection) -> rusqlite::Result<Prints> {
        let mut key = [0; 32];
        // Without randomness the weights are still as good as random to whoever wrote the file before.
        if getrandom::fill(&mut key).is_err() {
            key = *blake3::hash(&crate::clock::now().micros().to_le_bytes()).as_bytes();
        }
        let up_to = connection.query_row("SELECT up_to FROM rolled", [], |row| row.get(0))?;
        Ok(Prints { key, up_to, open: HashMap::new(), sums: [0; MEASURES + 2] })
    }

    /// Adds a row, unless it came after the roll-ups.
    pub(in crate::ledger) fn add(&mut self, seq: i64, entry: &Entry) {
        if seq > self.up_to || entry.kind == Kind::Change {
            return;
        }
        let quarter = entry.received_at.micros().div_euclid(QUARTER);
        self.open.entry((Facet::of(entry), quarter)).or_default().add_entry(entry);
        if self.open.len() > OPEN {
            self.weigh();
        }
    }

    /// The first measure whose roll-ups are not the sums of the rows; none where all are.
    pub(in crate::ledger) fn disagree(
        mut self,
        connection: &Connection,
    ) -> rusqlite::Result<Option<&'static str>> {
        let last = connection.query_row("SELECT max(seq) FROM entries", [], |row| row.get(0));
        // Rows of an older schema's file are added at its next start; until then they are behind.
        if last.map(|last: Option<i64>| last.unwrap_or(0))? < self.up_to {
            return Ok(Some("last row"));
        }
        self.weigh();
        let key = self.key;
        let mut rolled = Prints { key, up_to: 0, open: HashMap::new(), sums: [0; MEASURES + 2] };
        let facets: HashMap<i64, Facet> = {
            let mut statement = connection.prepare(&format!("SELECT id, {FACETS} FROM facets"))?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, Facet::read(row, 1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let sql = format!("SELECT facet, hour, {HOUR} FROM rollups");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Some(facet) = facets.get(&row.get(0)?) else { return Ok(Some("facets")) };
            let first = row.get::<_, i64>(1)?.saturating_mul(QUARTERS as i64);
            for (quarter, sums) in (first..).zip(Hour::read(row, 2, true)?.all()?) {
                sums.into_iter().for_each(|sums| rolled.put(facet, quarter, &sums));
            }
        }
        let names = Measure::ALL.into_iter().map(Measure::column).chain(["latency", "first_byte"]);
        let pairs = self.sums.iter().zip(&rolled.sums);
        Ok(names.zip(pairs).find(|(_, (rows, rolled))| rows != rolled).map(|(name, _)| name))
    }

    fn weigh(&mut self) {
        for ((facet, quarter), sums) in std::mem::take(&mut self.open) {
            self.put(&facet, quarter, &sums);
        }
    }

    fn put(&mut self, facet: &Facet, quarter: i64, sums: &Sums) {
        let weight = self.weight(facet, quarter);
        let values = sums.measures.iter().map(|value| i128::from(*value).cast_unsigned());
        let times = [&sums.latency, &sums.first_byte].map(|times| self.times(times));
        for (print, value) in self.sums.iter_mut().zip(values.chain(times)) {
            *print = print.wrapping_add(weight.wrapping_mul(value));
        }
    }

    fn weight(&self, facet: &Facet, quarter: i64) -> u128 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&quarter.to_le_bytes());
        for part in facet.parts() {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        first(&hasher)
    }

    fn times(&self, times: &Times) -> u128 {
        let weighed = times.seen().iter().map(|(bin, count)| {
            let mut hasher = blake3::Hasher::new_keyed(&self.key);
            hasher.update(&[*bin]);
            first(&hasher).wrapping_mul(u128::from(*count))
        });
        weighed.fold(0, u128::wrapping_add)
    }
}

fn first(hasher: &blake3::Hasher) -> u128 {
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    u128::from_le_bytes(bytes)
}
