//! Folds the whole ledger and says whether it agrees with itself: the chain of hashes, every row's
//! arithmetic, and the balances. Stops at the first row that does not.

use std::collections::HashMap;
use std::path::Path;

use tollgate_accounting::{Money, PriceCard, Rounding};

use super::entry::{COLUMNS, Entry, GENESIS, Kind};
use super::recover::{Totals, totals};
use super::{StoreError, cards, store};

/// Rows between two calls of the progress function.
const STEP: u64 = 10_000;

/// A ledger that agrees with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Rows folded.
    pub entries: u64,
    /// Accounts whose totals were compared.
    pub accounts: u64,
    /// Holds that are open, of calls in flight.
    pub open_holds: u64,
    /// Sum over all tenants.
    pub charged: Money,
    /// Sum over all providers.
    pub owed: Money,
    /// A named difference: owed, but charged to no tenant.
    pub absorbed: Money,
    /// The other: charged beyond what is owed.
    pub markup: Money,
}

/// The first thing that does not agree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Discrepancy {
    /// A row was changed, removed or put in since it was written.
    #[error(
        "row {0}: its hash does not follow from the row before it: it was changed, or a row before it is missing"
    )]
    Chain(i64),
    /// A row's money does not follow from its tokens and its price card.
    #[error(
        "row {row}: owed {found} but {tokens} cost {expected} on card {card}",
        tokens = "its tokens"
    )]
    Cost {
        /// The row.
        row: i64,
        /// What it says.
        found: Money,
        /// What its card says.
        expected: Money,
        /// The card.
        card: String,
    },
    /// A row names a card that the file does not have.
    #[error("row {row}: its price card {card} is missing")]
    NoCard {
        /// The row.
        row: i64,
        /// The card.
        card: String,
    },
    /// A row's two legs do not differ by its named amounts.
    #[error("row {0}: charged is not owed + markup - absorbed")]
    Legs(i64),
    /// An account's balance is not the sum of its rows.
    #[error("account {account}: {what} is {balance} but its rows sum to {rows}")]
    Balance {
        /// The account.
        account: String,
        /// Which of its totals.
        what: &'static str,
        /// The balance.
        balance: i64,
        /// The sum.
        rows: i64,
    },
    /// A sum leaves the range of its integer.
    #[error("row {0}: the sum up to here is out of range")]
    Overflow(i64),
}

/// Audits the ledger at `path`, beside its writer. `progress` is told rows done and rows in all.
pub fn audit(
    path: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Result<Audited, Discrepancy>, StoreError> {
    let connection = store::open_reader(path)?;
    // One read transaction, so that rows and balances are of one instant.
    let transaction = connection.unchecked_transaction()?;
    let all: u64 = transaction.query_row("SELECT count(*) FROM entries", [], |row| row.get(0))?;
    let open_holds = transaction.query_row("SELECT count(*) FROM holds", [], |row| row.get(0))?;
    let mut fold = Fold::default();
    let mut known: HashMap<String, PriceCard> = HashMap::new();
    let sql = format!("SELECT seq, {COLUMNS}, hash FROM entries ORDER BY seq");
    let mut statement = transaction.prepare(&sql)?;
    let last = statement.column_count() - 1;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let (entry, hash) = (Entry::read(row, 1)?, row.get(last)?);
        if !known.contains_key(&*entry.card)
            && let Some(card) = cards::load(&transaction, &entry.card)?
        {
            known.insert(entry.card.to_string(), card);
        }
        if let Err(found) = fold.row(seq, &entry, hash, known.get(&*entry.card)) {
            return Ok(Err(found));
        }
        if fold.entries.is_multiple_of(STEP) {
            progress(fold.entries, all);
        }
    }
    progress(fold.entries, all);
    let balances = totals(&transaction)?;
    let accounts = balances.len() as u64;
    Ok(fold.balances(&balances).map(|()| Audited {
        entries: fold.entries,
        accounts,
        open_holds,
        charged: Money::from_nanos(fold.sums[0]),
        owed: Money::from_nanos(fold.sums[1]),
        absorbed: Money::from_nanos(fold.sums[2]),
        markup: Money::from_nanos(fold.sums[3]),
    }))
}

#[derive(Default)]
struct Fold {
    entries: u64,
    chain: Option<[u8; 32]>,
    scratch: Vec<u8>,
    /// Charged, owed, absorbed, markup.
    sums: [i64; 4],
    accounts: HashMap<String, Totals>,
}

impl Fold {
    fn row(
        &mut self,
        seq: i64,
        entry: &Entry,
        hash: [u8; 32],
        card: Option<&PriceCard>,
    ) -> Result<(), Discrepancy> {
        let previous = self.chain.unwrap_or(GENESIS);
        if entry.chain(&previous, &mut self.scratch) != hash {
            return Err(Discrepancy::Chain(seq));
        }
        self.chain = Some(hash);
        self.entries += 1;
        self.cost(seq, entry, card)?;
        let legs = i128::from(entry.owed.nanos()) + i128::from(entry.markup.nanos())
            - i128::from(entry.absorbed.nanos());
        if legs != i128::from(entry.charged.nanos()) {
            return Err(Discrepancy::Legs(seq));
        }
        let legs = [entry.charged, entry.owed, entry.absorbed, entry.markup];
        for (sum, add) in self.sums.iter_mut().zip(legs) {
            *sum = sum.checked_add(add.nanos()).ok_or(Discrepancy::Overflow(seq))?;
        }
        let keyed = format!("{}/{}", entry.account, entry.key);
        for path in std::iter::once(&*keyed).chain(ancestors(&entry.account)) {
            if !self.accounts.contains_key(path) {
                self.accounts.insert(path.to_owned(), Totals::default());
            }
            if let Some(totals) = self.accounts.get_mut(path) {
                totals.add(entry).ok_or(Discrepancy::Overflow(seq))?;
            }
        }
        Ok(())
    }

    fn cost(&self, row: i64, entry: &Entry, card: Option<&PriceCard>) -> Result<(), Discrepancy> {
        if entry.usage.is_empty() || entry.kind == Kind::Adjustment {
            return Ok(());
        }
        let Some(card) = card else {
            return Err(Discrepancy::NoCard { row, card: entry.card.to_string() });
        };
        // A cost that could not be computed was booked at what was held; see `settlement`.
        let expected = card.cost(&entry.usage, Rounding::HalfEven).unwrap_or(entry.held);
        if expected != entry.owed {
            let card = entry.card.to_string();
            return Err(Discrepancy::Cost { row, found: entry.owed, expected, card });
        }
        Ok(())
    }

    /// Every balance is the sum of its account's rows; an account nobody called has none.
    fn balances(&self, balances: &[(String, Totals)]) -> Result<(), Discrepancy> {
        for (account, balance) in balances {
            let rows = self.accounts.get(account).copied().unwrap_or_default();
            for ((what, balance), (_, rows)) in balance.parts().into_iter().zip(rows.parts()) {
                if balance != rows {
                    let account = account.clone();
                    return Err(Discrepancy::Balance { account, what, balance, rows });
                }
            }
        }
        Ok(())
    }
}

/// `a/b/c`, `a/b`, `a`, and the root, whose path is empty.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let up = std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(up, _)| up));
    up.chain([""])
}
