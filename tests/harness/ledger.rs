//! The ledger's file read by someone who did not write it: plain rows, summed here.

use std::collections::BTreeMap;

use rusqlite::{Connection, OpenFlags, Row};

use super::gateway::Gateway;
use super::stage::{CACHED_NANOS, INPUT_NANOS, OUTPUT_NANOS};

/// One row of the ledger, as far as tests look at it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// As the client was told it: `req_...`.
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) account: String,
    pub(crate) outcome: String,
    pub(crate) tags: String,
    pub(crate) requests: i64,
    /// Disjoint classes.
    pub(crate) input: i64,
    pub(crate) cache_read: i64,
    pub(crate) output: i64,
    pub(crate) reasoning: i64,
    pub(crate) output_provenance: String,
    pub(crate) model: String,
    pub(crate) posted_input: i64,
    pub(crate) posted_output: i64,
    /// By our count, what reached the client.
    pub(crate) delivered: i64,
    pub(crate) charged: i64,
    pub(crate) owed: i64,
    pub(crate) markup: i64,
    pub(crate) absorbed: i64,
    /// Empty where the provider did not say.
    pub(crate) tier: String,
}

impl Entry {
    /// Everything read by the model, the cached part included.
    pub(crate) fn all_input(&self) -> i64 {
        self.input + self.cache_read
    }

    /// Everything written by the model, the thinking included.
    pub(crate) fn all_output(&self) -> i64 {
        self.output + self.reasoning
    }

    /// What these tokens cost at the small model's prices.
    pub(crate) fn cost(&self) -> i64 {
        self.input * INPUT_NANOS + self.cache_read * CACHED_NANOS + self.all_output() * OUTPUT_NANOS
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.output_provenance == "reported"
    }
}

/// Every row, in the order of its writing.
pub(crate) fn entries(gateway: &Gateway) -> Vec<Entry> {
    entries_after(gateway, 0)
}

/// The rows after so many.
pub(crate) fn entries_after(gateway: &Gateway, rows: i64) -> Vec<Entry> {
    let ledger = open(gateway);
    let mut query = ledger
        .prepare(
            "SELECT lower(hex(id)), kind, account, outcome, tags, requests, input, cache_read, \
             output, reasoning, output_provenance, charged, owed, markup, absorbed, tier, \
             model, posted_input, posted_output, delivered_output \
             FROM entries WHERE kind <> 'change' AND seq > ?1 ORDER BY seq",
        )
        .unwrap();
    let rows = query.query_map([rows], entry).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The rows of each call, by its id.
pub(crate) fn calls(gateway: &Gateway) -> BTreeMap<String, Vec<Entry>> {
    by_call(entries(gateway))
}

pub(crate) fn by_call(entries: Vec<Entry>) -> BTreeMap<String, Vec<Entry>> {
    let mut calls = BTreeMap::<String, Vec<Entry>>::new();
    for entry in entries {
        calls.entry(entry.id.clone()).or_default().push(entry);
    }
    calls
}

/// How many rows there are, those of decisions included.
pub(crate) fn rows_written(gateway: &Gateway) -> i64 {
    let query = "SELECT coalesce(max(seq), 0) FROM entries";
    open(gateway).query_row(query, [], |row| row.get(0)).unwrap()
}

pub(crate) fn open_holds(gateway: &Gateway) -> i64 {
    open(gateway).query_row("SELECT count(*) FROM holds", [], |row| row.get(0)).unwrap()
}

/// How many attempts the file knows of the calls that are open.
pub(crate) fn attempts_held(gateway: &Gateway) -> i64 {
    let query = "SELECT coalesce(sum(attempt), 0) FROM holds";
    open(gateway).query_row(query, [], |row| row.get(0)).unwrap()
}

fn open(gateway: &Gateway) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    Connection::open_with_flags(gateway.dir().join("tollgate.db"), flags).unwrap()
}

/// Changes the file behind the gateway's back.
pub(crate) fn tamper(gateway: &Gateway, change: &str) -> usize {
    open(gateway).execute(change, []).unwrap()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let number =
        |at: usize| Ok::<i64, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.unwrap_or(0));
    let text = |at: usize| {
        Ok::<String, rusqlite::Error>(row.get::<_, Option<String>>(at)?.unwrap_or_default())
    };
    Ok(Entry {
        id: format!("req_{}", text(0)?),
        kind: text(1)?,
        account: text(2)?,
        outcome: text(3)?,
        tags: text(4)?,
        requests: number(5)?,
        input: number(6)?,
        cache_read: number(7)?,
        output: number(8)?,
        reasoning: number(9)?,
        output_provenance: text(10)?,
        charged: number(11)?,
        owed: number(12)?,
        markup: number(13)?,
        absorbed: number(14)?,
        tier: text(15)?,
        model: text(16)?,
        posted_input: number(17)?,
        posted_output: number(18)?,
        delivered: number(19)?,
    })
}

/// What was decided about accounts while the gateway ran, in order.
pub(crate) fn changes(gateway: &Gateway) -> Vec<String> {
    let ledger = open(gateway);
    let mut query =
        ledger.prepare("SELECT error FROM entries WHERE kind = 'change' ORDER BY seq").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
