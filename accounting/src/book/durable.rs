//! What must outlive the process, as plain rows: the writer keeps them in the transaction that
//! keeps the events which made them, and puts them back into a new book.

use std::fmt;
use std::sync::Arc;

use super::{Book, Held, HoldId, Slot};
use crate::amounts::Units;
use crate::state::{Row, Shape};
use crate::{Amounts, Facets, Timestamp};

/// One row of durable state. A later row with the same account, key and period replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The account's path; the root's is empty.
    pub account: Arc<str>,
    /// The limit's key; empty for the account's lifetime totals.
    pub limit_key: Arc<str>,
    /// A calendar period's start in microseconds; for other windows, a place that is used again.
    pub period: i64,
    /// What the algorithm wrote. For totals: requests, input tokens, output tokens, nano-dollars.
    pub fields: [i64; 4],
}

/// An open hold of a former run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredHold<'a> {
    /// Its id.
    pub id: HoldId,
    /// The path of its account, configured or not.
    pub account: &'a str,
    /// What the call was about.
    pub facets: Facets<'a>,
    /// What it held last, extensions included.
    pub amounts: Amounts,
    /// As [`Held`](super::Held::taken_at) said.
    pub taken_at: Timestamp,
    /// When it expires.
    pub deadline: Timestamp,
}

/// A row of a limit that isn't configured.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    pub(super) limit_key: Arc<str>,
    pub(super) period: i64,
    pub(super) fields: [i64; 4],
}

/// Why a row or hold can't be put back. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrestorable {
    /// No book can have written this.
    Corrupt,
    /// The id is in use.
    DuplicateHold,
}

impl Book {
    /// The rows that changed since the last call. To be called in the critical section that takes
    /// the events to be written, so that both are of the same instant.
    pub fn take_dirty(&mut self) -> Vec<Balance> {
        let mut rows = Vec::with_capacity(self.dirty_limits.len() + self.dirty_accounts.len());
        for index in self.dirty_limits.drain(..) {
            let node = &mut self.limits[index as usize];
            node.is_dirty = false;
            let account = &self.accounts[node.account as usize].path;
            let since = node.since.micros();
            self.watch.look(node, account);
            node.state.rows(&node.rule, &mut |Row { period, fields: [a, b, c] }| {
                rows.push(Balance {
                    account: account.clone(),
                    limit_key: node.key.clone(),
                    period,
                    fields: [a, b, c, since],
                });
            });
        }
        for index in self.dirty_accounts.drain(..) {
            let account = &mut self.accounts[index as usize];
            account.is_dirty = false;
            let Units { requests, input, output, cost } = account.totals;
            rows.push(Balance {
                account: account.path.clone(),
                limit_key: Arc::from(""),
                period: 0,
                fields: [requests, input, output, cost],
            });
        }
        rows
    }

    /// Puts a row back into a book that is configured and wasn't used yet. The row of a limit that
    /// isn't configured waits until it is.
    pub fn restore_balance(&mut self, balance: Balance) -> Result<(), Unrestorable> {
        let Balance { account, limit_key, period, fields } = balance;
        let index = self.ensure_account(&account);
        let account = &mut self.accounts[index as usize];
        if limit_key.is_empty() {
            let [requests, input, output, cost] = fields;
            let totals = Units { requests, input, output, cost };
            account.totals = totals.valid().map_err(|_| Unrestorable::Corrupt)?;
            return Ok(());
        }
        let limits = account.limits.iter().chain(&account.retired);
        let found = limits.copied().find(|at| self.limits[*at as usize].key == limit_key);
        match found {
            Some(at) => self.restore_row(at, period, fields),
            None => {
                account.parked.push(Parked { limit_key, period, fields });
                Ok(())
            }
        }
    }

    pub(super) fn restore_row(
        &mut self,
        limit: u32,
        period: i64,
        fields: [i64; 4],
    ) -> Result<(), Unrestorable> {
        let node = &mut self.limits[limit as usize];
        let [a, b, c, since] = fields;
        if !node.state.restore(&node.rule, Row { period, fields: [a, b, c] }) {
            return Err(Unrestorable::Corrupt);
        }
        let since = Timestamp::from_micros(since);
        node.since = if node.is_restored { node.since.max(since) } else { since };
        node.is_restored = true;
        self.latest = self.latest.max(node.state.seen()).max(since);
        Ok(())
    }

    /// Puts an open hold back, after all balances. It is held again where it was held before; a
    /// limit that is younger than the hold doesn't notice it.
    pub fn restore_hold(&mut self, hold: RestoredHold<'_>) -> Result<(), Unrestorable> {
        let RestoredHold { id, account, facets, amounts, taken_at, deadline } = hold;
        if self.ids.place(id).is_some() {
            return Err(Unrestorable::DuplicateHold);
        }
        let corrupt = |_| Unrestorable::Corrupt;
        let held = Units::of(&amounts).map_err(corrupt)?;
        let leaf = self.ensure_account(account);
        let Book { accounts, limits, scratch, .. } = self;
        for &at in &accounts[leaf as usize].chain {
            accounts[at as usize].fits(held).map_err(corrupt)?;
        }
        scratch.clear();
        for &at in &accounts[leaf as usize].chain {
            for &limit in &accounts[at as usize].limits {
                let node = &mut limits[limit as usize];
                let is_flight = node.rule.shape == Shape::Flight;
                let had_it = node.is_restored && taken_at >= node.since;
                if !(is_flight || had_it) || !node.limit.filter.matches(&facets) {
                    continue;
                }
                let amount = held.get(node.limit.metric, 1);
                if let Some(tag) = node.state.retake(&node.rule, taken_at, amount) {
                    scratch.push(Slot { limit, is_last: true, tag, held: amount, before: 0 });
                }
            }
        }
        self.clock(taken_at);
        self.open_accounts(leaf, held);
        self.open(Held { id, amounts, taken_at, deadline, again: false }, leaf, held);
        Ok(())
    }
}

impl fmt::Display for Unrestorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unrestorable::Corrupt => "no book can have written this row",
            Unrestorable::DuplicateHold => "a hold of this id is there already",
        })
    }
}

impl std::error::Error for Unrestorable {}
