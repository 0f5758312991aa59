//! Corrections: rows that change what earlier rows say, with the balances they change. What was
//! written stays as it was; a statement is the sum of its rows up to an instant.

use std::sync::{Arc, PoisonError};

use rusqlite::Connection;
use tollgate_accounting::{Balance, Charge, Facets, Money, Overflow, PriceCard, Provenance, Usage};

use super::entry::{Entry, Kind};
use super::recover::balance;
use super::writer::Event;
use super::{Ledger, Reader, Refused, StoreError};
use crate::clock;

/// Rows written as one group, so that a correction of many leaves room for calls in between.
const GROUP: usize = 256;

/// A correction that is to be written.
pub(super) struct Adjustment {
    pub(super) entry: Entry,
    /// The card it is by, where that is not in the file yet.
    pub(super) card: Option<Arc<PriceCard>>,
}

/// Why a correction was not written, or not to its end. What was written is right by itself, and the
/// same correction asked for again does the rest.
#[derive(Debug, thiserror::Error)]
pub enum AdjustError {
    /// The ledger takes no writes now.
    #[error("the ledger takes no writes now")]
    Refused(Refused),
    /// The file cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sum would leave its range.
    #[error("a sum would leave its range")]
    Overflow,
}

impl From<Refused> for AdjustError {
    fn from(refused: Refused) -> AdjustError {
        AdjustError::Refused(refused)
    }
}

impl From<Overflow> for AdjustError {
    fn from(_: Overflow) -> AdjustError {
        AdjustError::Overflow
    }
}

impl Ledger {
    /// Runs a correction that reads rows and writes adjustments to them; one at a time, so that two do
    /// not correct the same rows.
    pub(super) fn correcting<T>(&self, run: impl FnOnce() -> T) -> T {
        let _one = self.0.correcting.lock().unwrap_or_else(PoisonError::into_inner);
        run()
    }

    /// Writes corrections and posts what they change; they are committed when this returns.
    pub(super) fn adjust(
        &self,
        reader: &Reader,
        mut adjustments: Vec<Adjustment>,
    ) -> Result<(), AdjustError> {
        while !adjustments.is_empty() {
            let rest = adjustments.split_off(adjustments.len().min(GROUP));
            self.adjust_group(reader, std::mem::replace(&mut adjustments, rest))?;
        }
        Ok(())
    }

    fn adjust_group(&self, reader: &Reader, group: Vec<Adjustment>) -> Result<(), AdjustError> {
        self.ready()?;
        let charged = |one: &&Adjustment| one.entry.charged != Money::ZERO;
        for one in group.iter().filter(charged) {
            self.recall(reader, &one.entry)?;
        }
        let mut state = self.lock();
        let (mut entries, mut cards) = (Vec::with_capacity(group.len()), Vec::new());
        let mut result = Ok(());
        for Adjustment { entry, card } in group {
            if entry.charged != Money::ZERO {
                let keyed = keyed(&entry);
                let book = &mut state.book;
                let path = if book.knows(&keyed) { &keyed } else { &*entry.account };
                let facets = Facets {
                    model: &entry.asked_model,
                    endpoint: &entry.endpoint,
                    prompt: entry.prompt.as_deref(),
                };
                result = book.adjust(entry.at, path, &facets, entry.received_at, entry.charged);
                if result.is_err() {
                    break;
                }
            }
            cards.extend(card);
            entries.push(entry);
        }
        // A number of its own: no hold has it.
        state.last_seq += 1;
        let seq = state.last_seq;
        state.queue.push(Event::Close { seq, cards, entries });
        self.wake_writer(state);
        self.flush()?;
        Ok(result?)
    }

    /// Puts back the balances of an account that the book has forgotten.
    fn recall(&self, reader: &Reader, entry: &Entry) -> Result<(), AdjustError> {
        let paths = [keyed(entry), entry.account.to_string()];
        if self.with_book(|book| paths.iter().any(|path| book.knows(path))) {
            return Ok(());
        }
        self.flush()?;
        for path in &paths {
            let found = reader.read(|connection| balances_of(connection, path))?;
            let mut state = self.lock();
            if !state.book.knows(path) {
                for balance in found {
                    state.book.restore_balance(balance).map_err(|_| AdjustError::Overflow)?;
                }
            }
        }
        Ok(())
    }
}

/// A correction of one row: the differences of its legs, and why.
pub(super) fn adjustment(of: &Entry, legs: &Charge, card: &str, why: String) -> Entry {
    Entry {
        kind: Kind::Adjustment,
        at: clock::now(),
        status: None,
        error: Some(why.into()),
        why: None,
        reported_cost: None,
        cache: None,
        requests: 0,
        usage: Usage::new(),
        input_provenance: None::<Provenance>,
        output_provenance: None,
        counted_input: 0,
        delivered_output: 0,
        posted_input: 0,
        posted_output: 0,
        card: card.into(),
        charged: legs.charged(),
        owed: legs.owed(),
        markup: legs.markup(),
        absorbed: legs.absorbed(),
        saved: legs.saved(),
        held: Money::ZERO,
        first_byte_us: None,
        total_us: 0,
        ..of.clone()
    }
}

/// The legs of rows together; none where they do not balance or fit.
pub(super) fn legs<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Option<Charge> {
    entries.into_iter().try_fold(Charge::ZERO, |sum, e| {
        let one = Charge::from_legs(e.charged, e.owed, e.markup, e.absorbed, e.saved).ok()?;
        sum.plus(&one).ok()
    })
}

/// The node of a key that has limits of its own.
fn keyed(entry: &Entry) -> String {
    format!("{}/{}", entry.account, entry.key)
}

fn balances_of(connection: &Connection, path: &str) -> rusqlite::Result<Vec<Balance>> {
    let mut statement = connection.prepare_cached(
        "SELECT account, limit_key, period, fields FROM balances WHERE account = ?1",
    )?;
    let rows = statement.query_map([path], balance)?;
    rows.collect()
}
