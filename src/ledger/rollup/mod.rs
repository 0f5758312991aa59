//! Roll-ups: sums of rows by what they have in common and a quarter of an hour. They are kept in the
//! transaction of the rows they sum, so a report from them is a report of the rows.

mod hour;
mod prints;
mod times;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use tollgate_accounting::{Class, Provenance};

use super::entry::{COLUMNS, Entry, Kind, Lookup, Outcome};

#[cfg(test)]
pub(super) use hour::Quarters;
pub(super) use hour::{COLUMNS as HOUR, Hour, pack};
pub(super) use prints::Prints;
pub use times::Times;

/// Microseconds of a quarter of an hour, by which times are cut.
pub(super) const QUARTER: i64 = 900 * 1_000_000;
/// Quarters in an hour, which lie in one row.
pub(super) const QUARTERS: usize = 4;
/// Rows that are added in one step of catching up.
const STEP: i64 = 20_000;
/// Facets whose numbers are remembered; beyond it they are looked up anew.
const MOST_KNOWN: usize = 50_000;

/// What a report sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Calls.
    Requests,
    /// Rows: every attempt of every call.
    Attempts,
    /// Calls that did not complete.
    Incomplete,
    /// Of these, those that neither the client nor a limit ended.
    Errors,
    /// Input tokens, cached ones included. Tokens are those posted: what the tenant is charged for.
    InputTokens,
    /// Of these, read from the provider's cache.
    CacheReadTokens,
    /// Of these, written to the provider's cache.
    CacheWriteTokens,
    /// Output tokens, reasoning included.
    OutputTokens,
    /// Of these, reasoning.
    ReasoningTokens,
    /// Calls whose counts are all the provider's own.
    Reported,
    /// Calls with a count of ours, exact, and none that is estimated.
    Tokenized,
    /// Calls with an estimated count.
    Estimated,
    /// Calls that the gateway's own cache answered, or an identical call in flight.
    CacheHits,
    /// Calls that it could have answered, and did not have the answer.
    CacheMisses,
    /// What tenants pay.
    Charged,
    /// What providers are owed.
    Owed,
    /// The part of the charge that is the operator's.
    Markup,
    /// Owed, but paid by no tenant.
    Absorbed,
    /// What calls would have cost had a cache not answered.
    Saved,
}

/// How many measures there are.
pub(super) const MEASURES: usize = Measure::ALL.len();

impl Measure {
    /// All of them, in the order of a report's columns.
    pub const ALL: [Measure; 19] = [
        Measure::Requests,
        Measure::Attempts,
        Measure::Incomplete,
        Measure::Errors,
        Measure::InputTokens,
        Measure::CacheReadTokens,
        Measure::CacheWriteTokens,
        Measure::OutputTokens,
        Measure::ReasoningTokens,
        Measure::Reported,
        Measure::Tokenized,
        Measure::Estimated,
        Measure::CacheHits,
        Measure::CacheMisses,
        Measure::Charged,
        Measure::Owed,
        Measure::Markup,
        Measure::Absorbed,
        Measure::Saved,
    ];

    /// The column of `rollups`.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Measure::Requests => "requests",
            Measure::Attempts => "attempts",
            Measure::Incomplete => "incomplete",
            Measure::Errors => "errors",
            Measure::InputTokens => "input_tokens",
            Measure::CacheReadTokens => "cache_read_tokens",
            Measure::CacheWriteTokens => "cache_write_tokens",
            Measure::OutputTokens => "output_tokens",
            Measure::ReasoningTokens => "reasoning_tokens",
            Measure::Reported => "reported",
            Measure::Tokenized => "tokenized",
            Measure::Estimated => "estimated",
            Measure::CacheHits => "cache_hits",
            Measure::CacheMisses => "cache_misses",
            Measure::Charged => "charged",
            Measure::Owed => "owed",
            Measure::Markup => "markup",
            Measure::Absorbed => "absorbed",
            Measure::Saved => "saved",
        }
    }

    /// The name in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Charged => "charged_usd",
            Measure::Owed => "owed_usd",
            Measure::Markup => "markup_usd",
            Measure::Absorbed => "absorbed_usd",
            Measure::Saved => "saved_usd",
            count => count.column(),
        }
    }

    /// Whether it is money, in nano-dollars, rather than a count.
    pub const fn is_money(self) -> bool {
        self as usize >= Measure::Charged as usize
    }
}

/// What rows of one roll-up have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Facet {
    pub(super) account: Arc<str>,
    pub(super) key: Arc<str>,
    pub(super) endpoint: Cow<'static, str>,
    pub(super) asked_model: Arc<str>,
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) prompt: Option<Arc<str>>,
    pub(super) tags: Option<Arc<str>>,
    pub(super) outcome: Outcome,
    pub(super) tier: Option<Arc<str>>,
}

/// The columns of `facets` behind its number, in the order of `parts`.
pub(super) const FACETS: &str =
    "account, key, endpoint, asked_model, provider, model, prompt, tags, outcome, tier";

impl Facet {
    pub(super) fn of(entry: &Entry) -> Facet {
        Facet {
            account: entry.account.clone(),
            key: entry.key.clone(),
            endpoint: entry.endpoint.clone(),
            asked_model: entry.asked_model.clone(),
            provider: entry.provider.clone(),
            model: entry.model.clone(),
            prompt: entry.prompt.clone(),
            tags: entry.tags.clone(),
            outcome: entry.outcome,
            tier: entry.tier.clone(),
        }
    }

    pub(super) fn parts(&self) -> [&str; 10] {
        let Facet { account, key, endpoint, asked_model, provider, model, outcome, .. } = self;
        let [prompt, tags, tier] =
            [&self.prompt, &self.tags, &self.tier].map(|part| part.as_deref().unwrap_or(""));
        [account, key, endpoint, asked_model, provider, model, prompt, tags, outcome.name(), tier]
    }

    /// Reads `FACETS`, beginning at a column.
    pub(super) fn read(row: &Row<'_>, from: usize) -> rusqlite::Result<Facet> {
        let text = |at: usize| row.get::<_, String>(from + at);
        let maybe = |at| text(at).map(|text| (!text.is_empty()).then(|| text.into()));
        Ok(Facet {
            account: text(0)?.into(),
            key: text(1)?.into(),
            endpoint: text(2)?.into(),
            asked_model: text(3)?.into(),
            provider: text(4)?.into(),
            model: text(5)?.into(),
            prompt: maybe(6)?,
            tags: maybe(7)?,
            outcome: Outcome::from_name(&text(8)?).unwrap_or(Outcome::Failed),
            tier: maybe(9)?,
        })
    }
}

/// Sums, and histograms of the times of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) measures: [i64; MEASURES],
    pub(super) latency: Times,
    pub(super) first_byte: Times,
}

impl Sums {
    /// What one row adds.
    pub(super) fn add_entry(&mut self, entry: &Entry) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let class = |class: Class| entry.usage.get(class).map_or(0, count);
        let decides = !matches!(entry.kind, Kind::Attempt | Kind::Adjustment);
        let failed = matches!(
            entry.outcome,
            Outcome::Failed | Outcome::Truncated | Outcome::Unreachable | Outcome::Expired
        );
        let whole = matches!(entry.outcome, Outcome::Completed | Outcome::Cached | Outcome::Joined);
        let looked = entry.cache.map(|found| found != Lookup::Miss);
        let [reported, tokenized, estimated] = known(entry);
        let if_input = |value| if entry.posted_input > 0 { value } else { 0 };
        let written = class(Class::CacheWrite).saturating_add(class(Class::CacheWriteLong));
        for measure in Measure::ALL {
            let add = match measure {
                Measure::Requests => count(entry.requests),
                Measure::Attempts => i64::from(entry.kind != Kind::Adjustment),
                Measure::Incomplete => i64::from(decides && !whole),
                Measure::Errors => i64::from(decides && failed),
                Measure::InputTokens => count(entry.posted_input),
                Measure::CacheReadTokens => if_input(class(Class::CacheRead)),
                Measure::CacheWriteTokens => if_input(written),
                Measure::OutputTokens => count(entry.posted_output),
                Measure::ReasoningTokens if entry.posted_output > 0 => class(Class::Reasoning),
                Measure::ReasoningTokens => 0,
                Measure::Reported => i64::from(decides && reported),
                Measure::Tokenized => i64::from(decides && tokenized),
                Measure::Estimated => i64::from(decides && estimated),
                Measure::CacheHits => i64::from(decides && looked == Some(true)),
                Measure::CacheMisses => i64::from(decides && looked == Some(false)),
                Measure::Charged => entry.charged.nanos(),
                Measure::Owed => entry.owed.nanos(),
                Measure::Markup => entry.markup.nanos(),
                Measure::Absorbed => entry.absorbed.nanos(),
                Measure::Saved => entry.saved.nanos(),
            };
            self.add(measure, add);
        }
        if decides {
            self.latency.add(entry.total_us);
            entry.first_byte_us.into_iter().for_each(|micros| self.first_byte.add(micros));
        }
    }

    /// Adds other sums.
    pub(super) fn merge(&mut self, other: &Sums) {
        for measure in Measure::ALL {
            self.add(measure, other.get(measure));
        }
        self.latency.merge(&other.latency);
        self.first_byte.merge(&other.first_byte);
    }

    pub(super) fn get(&self, measure: Measure) -> i64 {
        self.measures.get(measure as usize).copied().unwrap_or(0)
    }

    /// A sum that leaves its range is told as the largest there is, and `audit` says so of its rows.
    fn add(&mut self, measure: Measure, add: i64) {
        if let Some(sum) = self.measures.get_mut(measure as usize) {
            *sum = sum.saturating_add(add);
        }
    }
}

/// Whether the counts are reported, tokenized, or estimated: the least certain of them decides.
fn known(entry: &Entry) -> [bool; 3] {
    let sides = [entry.input_provenance, entry.output_provenance];
    let is = |wanted| sides.contains(&Some(wanted));
    let estimated = is(Provenance::Estimated);
    let tokenized = !estimated && is(Provenance::Tokenized);
    [!estimated && !tokenized && is(Provenance::Reported), tokenized, estimated]
}

/// The rows of one group, summed.
#[derive(Default)]
pub(super) struct Fold {
    rows: i64,
    sums: HashMap<(Facet, i64), Sums>,
}

impl Fold {
    pub(super) fn add(&mut self, entry: &Entry) {
        self.rows += 1;
        // A decision about an account is no call.
        if entry.kind == Kind::Change {
            return;
        }
        let quarter = entry.received_at.micros().div_euclid(QUARTER);
        self.sums.entry((Facet::of(entry), quarter)).or_default().add_entry(entry);
    }
}

/// What the writer knows of the roll-ups between two groups.
pub(super) struct Rolled {
    up_to: i64,
    known: HashMap<Facet, i64>,
}

impl Rolled {
    /// Adds the rows that the roll-ups do not have yet, all or none.
    pub(super) fn open(connection: &Connection) -> rusqlite::Result<Rolled> {
        let transaction = connection.unchecked_transaction()?;
        let rolled = Rolled::catch_up(&transaction)?;
        transaction.commit()?;
        Ok(rolled)
    }

    /// The same within a transaction of the caller's.
    pub(super) fn catch_up(transaction: &Connection) -> rusqlite::Result<Rolled> {
        let up_to = transaction.query_row("SELECT up_to FROM rolled", [], |row| row.get(0))?;
        let mut rolled = Rolled { up_to, known: HashMap::new() };
        loop {
            let (fold, last) = rows_behind(transaction, rolled.up_to)?;
            if fold.rows == 0 {
                return Ok(rolled);
            }
            let new = rolled.write(transaction, &fold, last)?;
            rolled.committed(new, last);
        }
    }

    /// Adds a group's rows within its transaction. What it returns is handed to `committed`.
    ///
    /// Rows that came into the table some other way are read from there.
    pub(super) fn add(
        &self,
        transaction: &Connection,
        fold: Fold,
    ) -> rusqlite::Result<(Vec<(Facet, i64)>, i64)> {
        let last = transaction.query_row("SELECT max(seq) FROM entries", [], |row| row.get(0));
        let last = last.map(|last: Option<i64>| last.unwrap_or(self.up_to))?;
        if last == self.up_to {
            return Ok((Vec::new(), last));
        }
        if last == self.up_to + fold.rows {
            return Ok((self.write(transaction, &fold, last)?, last));
        }
        let (fold, last) = rows_behind(transaction, self.up_to)?;
        Ok((self.write(transaction, &fold, last)?, last))
    }

    /// The transaction is in the file.
    pub(super) fn committed(&mut self, new: Vec<(Facet, i64)>, last: i64) {
        self.up_to = last;
        if self.known.len() + new.len() > MOST_KNOWN {
            self.known.clear();
        }
        self.known.extend(new);
    }

    fn write(
        &self,
        transaction: &Connection,
        fold: &Fold,
        last: i64,
    ) -> rusqlite::Result<Vec<(Facet, i64)>> {
        let mut new: HashMap<&Facet, i64> = HashMap::new();
        for ((facet, quarter), sums) in &fold.sums {
            let id = match self.known.get(facet).or_else(|| new.get(facet)) {
                Some(id) => *id,
                None => {
                    let id = number(transaction, facet)?;
                    new.insert(facet, id);
                    id
                }
            };
            upsert(transaction, id, *quarter, sums)?;
        }
        transaction.prepare_cached("UPDATE rolled SET up_to = ?1")?.execute([last])?;
        Ok(new.into_iter().map(|(facet, id)| (facet.clone(), id)).collect())
    }
}

/// Rows behind a place in the table, and the place of the last of them.
fn rows_behind(connection: &Connection, up_to: i64) -> rusqlite::Result<(Fold, i64)> {
    let sql =
        format!("SELECT seq, {COLUMNS} FROM entries WHERE seq > ?1 ORDER BY seq LIMIT {STEP}");
    let mut statement = connection.prepare_cached(&sql)?;
    let (mut fold, mut last) = (Fold::default(), up_to);
    let mut rows = statement.query([up_to])?;
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        fold.add(&Entry::read(row, 1)?);
    }
    Ok((fold, last))
}

fn number(connection: &Connection, facet: &Facet) -> rusqlite::Result<i64> {
    let parts = facet.parts();
    let values = "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let insert = format!("INSERT OR IGNORE INTO facets ({FACETS}) VALUES {values}");
    connection.prepare_cached(&insert)?.execute(parts)?;
    let find = format!("SELECT id FROM facets WHERE ({FACETS}) = {values}");
    connection.prepare_cached(&find)?.query_row(parts, |row| row.get(0))
}

/// Adds to a quarter's sums, which lie in the row of their hour.
fn upsert(connection: &Connection, facet: i64, quarter: i64, add: &Sums) -> rusqlite::Result<()> {
    thread_local! {
        static SQL: [String; 2] = [
            format!("SELECT {HOUR} FROM rollups WHERE facet = ?1 AND hour = ?2"),
            format!("INSERT OR REPLACE INTO rollups (facet, hour, {HOUR}) VALUES (?, ?, ?, ?, ?)"),
        ];
    }
    let quarters = QUARTERS as i64;
    let (hour, place) = (quarter.div_euclid(quarters), quarter.rem_euclid(quarters));
    SQL.with(|[select, replace]| {
        let mut statement = connection.prepare_cached(select)?;
        let read = |row: &Row<'_>| Hour::read(row, 0, true)?.all();
        let mut sums = statement.query_row([facet, hour], read).optional()?.unwrap_or_default();
        if let Some(sums) = usize::try_from(place).ok().and_then(|place| sums.get_mut(place)) {
            sums.get_or_insert_default().merge(add);
        }
        let [sums, latency, first_byte] = pack(&sums);
        let mut statement = connection.prepare_cached(replace)?;
        statement.execute(params![facet, hour, sums, latency, first_byte]).map(drop)
    })
}
