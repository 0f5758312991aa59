//! Read-only sums over the ledger. A report is the sum of its rows at one instant, never a counter.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, Row, params_from_iter, types::Value};
use tollgate_accounting::{Money, PriceCard, Timestamp};

use super::entry::{COLUMNS, CallId, Entry};
use super::{KeyRow, StoreError};
use super::{cards, directory, store};

/// Connections kept open for readers.
const KEPT: usize = 4;

/// Reads the ledger beside its writer, in this process or another.
pub struct Reader {
    path: PathBuf,
    kept: Mutex<Vec<Connection>>,
}

/// What a report is split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// The tenant's path.
    Account,
    /// The provider's model.
    Model,
    /// The model as asked for.
    AskedModel,
    /// The provider.
    Provider,
    /// The prompt template.
    Prompt,
    /// The credential.
    Key,
    /// The caller's tags.
    Tag,
    /// The operation.
    Endpoint,
    /// How it ended.
    Outcome,
    /// The day (UTC) the call came in.
    Day,
    /// The hour (UTC) the call came in.
    Hour,
    /// The minute (UTC) the call came in.
    Minute,
}

impl GroupBy {
    /// All of them, by name.
    pub const ALL: [(&'static str, GroupBy); 12] = [
        ("account", GroupBy::Account),
        ("model", GroupBy::Model),
        ("asked_model", GroupBy::AskedModel),
        ("provider", GroupBy::Provider),
        ("prompt", GroupBy::Prompt),
        ("key", GroupBy::Key),
        ("tag", GroupBy::Tag),
        ("endpoint", GroupBy::Endpoint),
        ("outcome", GroupBy::Outcome),
        ("day", GroupBy::Day),
        ("hour", GroupBy::Hour),
        ("minute", GroupBy::Minute),
    ];

    /// The name on the command line and in a row.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, by)| *by == self).map_or("", |(name, _)| name)
    }

    /// The grouping of that name.
    pub fn from_name(name: &str) -> Option<GroupBy> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, by)| *by)
    }

    const fn sql(self) -> &'static str {
        match self {
            GroupBy::Account => "account",
            GroupBy::Model => "model",
            GroupBy::AskedModel => "asked_model",
            GroupBy::Provider => "provider",
            GroupBy::Prompt => "coalesce(prompt, '')",
            GroupBy::Key => "key",
            GroupBy::Tag => "coalesce(tags, '')",
            GroupBy::Endpoint => "endpoint",
            GroupBy::Outcome => "outcome",
            GroupBy::Day => "strftime('%Y-%m-%d', received_at / 1000000, 'unixepoch')",
            GroupBy::Minute => "strftime('%Y-%m-%dT%H:%MZ', received_at / 1000000, 'unixepoch')",
            GroupBy::Hour => "strftime('%Y-%m-%dT%H:00Z', received_at / 1000000, 'unixepoch')",
        }
    }
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
    /// Only this operation.
    pub endpoint: Option<String>,
    /// Rows written before: a statement as it was then, without later corrections.
    pub as_of: Option<Timestamp>,
}

/// One group's sums. Tokens are those posted: what the tenant was charged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// The group, in the order of the question.
    pub keys: Vec<String>,
    /// Calls.
    pub requests: u64,
    /// Rows: every attempt of every call.
    pub attempts: u64,
    /// Calls that did not complete.
    pub incomplete: u64,
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Of these, read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Of these, written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// Of these, reasoning.
    pub reasoning_tokens: u64,
    /// Calls with a count that is neither reported nor exactly tokenized.
    pub estimated: u64,
    /// What tenants pay.
    pub charged: Money,
    /// What providers are owed.
    pub owed: Money,
    /// Owed, but paid by no tenant.
    pub absorbed: Money,
    /// Paid by tenants beyond what is owed: charged = owed - absorbed + markup.
    pub markup: Money,
}

/// Sums are taken over rows that carry a tenant's charge; an attempt given up has only money owed.
const SUMS: &str = "
    coalesce(sum(requests), 0), coalesce(sum(kind <> 'adjustment'), 0),
    coalesce(sum(kind NOT IN ('attempt', 'adjustment') AND outcome <> 'completed'), 0),
    coalesce(sum(posted_input), 0),
    coalesce(sum(iif(posted_input > 0, cache_read, 0)), 0),
    coalesce(sum(iif(posted_input > 0, coalesce(cache_write, 0) + coalesce(cache_write_long, 0), 0)), 0),
    coalesce(sum(posted_output), 0),
    coalesce(sum(iif(posted_output > 0, reasoning, 0)), 0),
    coalesce(sum(kind <> 'attempt' AND
        (input_provenance = 'estimated' OR output_provenance = 'estimated')), 0),
    coalesce(sum(charged), 0), coalesce(sum(owed), 0), coalesce(sum(absorbed), 0),
    coalesce(sum(markup), 0)";

impl Reader {
    /// A reader of the ledger at `path`, which must exist.
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        let first = store::open_reader(path)?;
        Ok(Reader { path: path.to_owned(), kept: Mutex::new(vec![first]) })
    }

    /// Sums by group, the dearest first; with time groups, in the order of time.
    pub fn report(&self, filter: &Filter, by: &[GroupBy]) -> Result<Vec<ReportRow>, StoreError> {
        let groups: Vec<&str> = by.iter().map(|g| g.sql()).collect();
        let (conditions, values) = filter.sql();
        let keys = groups.iter().map(|g| format!("{g}, ")).collect::<String>();
        let group = if groups.is_empty() {
            String::new()
        } else {
            let by_time =
                by.iter().position(|g| matches!(g, GroupBy::Day | GroupBy::Hour | GroupBy::Minute));
            let order = by_time.map_or(String::new(), |at| format!("{}, ", at + 1));
            let charged = groups.len() + 10;
            format!(" GROUP BY {} ORDER BY {order}{charged} DESC, 1", groups.join(", "))
        };
        let sql = format!("SELECT {keys}{SUMS} FROM entries WHERE {conditions}{group}");
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params_from_iter(values), |row| ReportRow::read(row, groups.len()))?;
            rows.collect()
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

impl Filter {
    fn sql(&self) -> (String, Vec<Value>) {
        let Filter { account, from, to, endpoint, as_of } = self;
        // A decision about an account is no call.
        let mut conditions = vec!["kind <> 'change'".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        let mut with = |condition: &str, value: Value| {
            values.push(value);
            conditions.push(condition.replace('?', &format!("?{}", values.len())));
        };
        if let Some(account) = account {
            // `/` is followed by `0` in ASCII: this range is the account's own subtree.
            with(
                "(account = ? OR (account >= ? || '/' AND account < ? || '0'))",
                account.clone().into(),
            );
        }
        if let Some(from) = from {
            with("received_at >= ?", from.micros().into());
        }
        if let Some(to) = to {
            with("received_at < ?", to.micros().into());
        }
        if let Some(endpoint) = endpoint {
            with("endpoint = ?", endpoint.clone().into());
        }
        if let Some(as_of) = as_of {
            with("at < ?", as_of.micros().into());
        }
        (conditions.join(" AND "), values)
    }
}

impl ReportRow {
    fn read(row: &Row<'_>, keys: usize) -> rusqlite::Result<ReportRow> {
        let count = |at: usize| -> rusqlite::Result<u64> {
            let value: i64 = row.get(keys + at)?;
            u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, value))
        };
        let money = |at: usize| row.get(keys + at).map(Money::from_nanos);
        Ok(ReportRow {
            keys: (0..keys).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?,
            requests: count(0)?,
            attempts: count(1)?,
            incomplete: count(2)?,
            input_tokens: count(3)?,
            cache_read_tokens: count(4)?,
            cache_write_tokens: count(5)?,
            output_tokens: count(6)?,
            reasoning_tokens: count(7)?,
            estimated: count(8)?,
            charged: money(9)?,
            owed: money(10)?,
            absorbed: money(11)?,
            markup: money(12)?,
        })
    }
}
