//! Read-only sums over the ledger. A report is the sum of its rows at one instant, never a counter.

mod group;
mod groups;
mod sum;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;
use rusqlite::Connection;
use tollgate_accounting::{Money, PriceCard, Timestamp};

pub use group::{BadGroup, GroupBy, Span};

use super::entry::{COLUMNS, CallId, Entry};
use super::rollup::{Measure, Sums, Times};
use super::{KeyRow, StoreError};
use super::{cards, directory, store};

/// Connections kept open for readers.
const KEPT: usize = 4;

/// Reads the ledger beside its writer, in this process or another.
pub struct Reader {
    path: PathBuf,
    kept: Mutex<Vec<Connection>>,
}

/// Which rows a report sums.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This account and everything below it.
    pub account: Option<String>,
    /// Calls received at or after.
    pub from: Option<Timestamp>,
    /// Calls received before.
    pub to: Option<Timestamp>,
    /// Only rows of these groups: each must be one of its list.
    pub only: Vec<(GroupBy, Vec<String>)>,
    /// Rows written before: a statement as it was then, without later corrections.
    pub as_of: Option<Timestamp>,
}

/// A question to the ledger.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which rows.
    pub filter: Filter,
    /// A row for each of these, in this order.
    pub by: Vec<GroupBy>,
    /// The zone of days, weeks and months.
    pub zone: TimeZone,
    /// Only so many groups, the dearest; the rest is one row, `Other`.
    pub top: Option<usize>,
    /// Whether anybody wants to know how long calls took; to read that is most of the work.
    pub times: bool,
}

impl Question {
    /// All groups, in UTC.
    pub fn new(filter: Filter, by: Vec<GroupBy>) -> Question {
        Question { filter, by, zone: TimeZone::UTC, top: None, times: true }
    }

    /// The same without the times of calls.
    pub fn untimed(self) -> Question {
        Question { times: false, ..self }
    }
}

/// One group's sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// The group, in the order of the question.
    pub keys: Vec<Arc<str>>,
    pub(super) sums: Sums,
}

impl ReportRow {
    /// A group that had nothing.
    pub fn empty() -> ReportRow {
        ReportRow { keys: Vec::new(), sums: Sums::default() }
    }

    /// Takes in another group's sums.
    pub fn merge(&mut self, other: &ReportRow) {
        self.sums.merge(&other.sums);
    }

    /// A count of it.
    pub fn count(&self, measure: Measure) -> i64 {
        self.sums.get(measure)
    }

    /// An amount of it.
    pub fn money(&self, measure: Measure) -> Money {
        Money::from_nanos(self.sums.get(measure))
    }

    /// From receipt to settlement, over its calls; of nothing where the question left times out.
    pub fn latency(&self) -> &Times {
        &self.sums.latency
    }

    /// From receipt to the provider's first byte, over its calls that had one.
    pub fn first_byte(&self) -> &Times {
        &self.sums.first_byte
    }
}

impl Reader {
    /// A reader of the ledger at `path`, which must exist.
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        let first = store::open_reader(path)?;
        Ok(Reader { path: path.to_owned(), kept: Mutex::new(vec![first]) })
    }

    /// Sums by group, the dearest first; with time groups, in the order of time.
    pub fn report(&self, question: &Question) -> Result<Vec<ReportRow>, StoreError> {
        self.read(|connection| {
            // One transaction, so that all of it is of one instant.
            let transaction = connection.unchecked_transaction()?;
            sum::answer(&transaction, question)
        })
    }

    /// Every row of one call, in order.
    pub fn call(&self, id: CallId) -> Result<Vec<Entry>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM entries WHERE id = ?1 ORDER BY seq");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([id.0.to_be_bytes()], |row| Entry::read(row, 0))?;
            rows.collect()
        })
    }

    /// A price card as it stood when it was first used.
    pub fn card(&self, version: &str) -> Result<Option<PriceCard>, StoreError> {
        self.read(|connection| cards::load(connection, version))
    }

    /// All credentials.
    pub fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        self.read(directory::keys)
    }

    /// What was learned of that kind, as (name, value).
    pub fn learned(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT name, value FROM learned WHERE kind = ?1")?;
            let rows = statement.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// Limits added while running, as (account, text).
    pub fn extra_limits(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read(directory::extra_limits)
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = kept.map_or_else(|| store::open_reader(&self.path), Ok)?;
        let result = read(&connection)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(connection);
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests;
