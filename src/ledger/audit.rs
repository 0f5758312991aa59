//! Folds the whole ledger and says whether it agrees with itself: the chain of hashes, every row's
//! arithmetic, and the balances. Stops at the first row that does not.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc;

use tollgate_accounting::{Money, PriceCard, Rounding};

use super::entry::{COLUMNS, Entry, GENESIS, Kind};
use super::recover::{Totals, totals};
use super::rollup::Prints;
use super::{StoreError, cards, store};

/// Rows that are read before they are folded, and between two calls of the progress function.
const BATCH: usize = 1_024;
/// Batches that may wait to be folded.
const BATCHES: usize = 8;

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
    /// The roll-ups that reports are read from are not the sums of the rows.
    #[error("the roll-ups' {0} is not the sum of the rows")]
    Rollups(&'static str),
    /// A sum leaves the range of its integer.
    #[error("row {0}: the sum up to here is out of range")]
    Overflow(i64),
}

/// Audits the ledger at `path`, beside its writer. `progress` is told rows done and rows in all.
pub fn audit(
    path: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Result<Audited, Discrepancy>, StoreError> {
    std::thread::scope(|scope| {
        let (send, batches) = mpsc::sync_channel(BATCHES);
        let reading = scope.spawn(move || read(path, &send));
        let mut fold = Fold::default();
        // Hashes follow from one another, so one thread folds the rows, while another steps through
        // the file and decodes them.
        for batch in &batches {
            if let Err(found) = fold.batch(&batch) {
                return Ok(Err(found));
            }
            progress(fold.entries, batch.all);
        }
        let Ok(read) = reading.join() else { return Err(StoreError::Unread) };
        let Read { balances, open_holds, rollups } = read?;
        if let Some(measure) = rollups {
            return Ok(Err(Discrepancy::Rollups(measure)));
        }
        Ok(fold.balances(&balances).map(|()| Audited {
            entries: fold.entries,
            accounts: balances.len() as u64,
            open_holds,
            charged: Money::from_nanos(fold.sums[0]),
            owed: Money::from_nanos(fold.sums[1]),
            absorbed: Money::from_nanos(fold.sums[2]),
            markup: Money::from_nanos(fold.sums[3]),
        }))
    })
}

/// Rows in the order of the chain, with the cards that are met here first.
struct Batch {
    rows: Vec<(i64, Entry, [u8; 32])>,
    cards: Vec<PriceCard>,
    /// Rows in the whole ledger.
    all: u64,
}

/// What is read beside the rows, at the same instant.
struct Read {
    balances: Vec<(String, Totals)>,
    open_holds: u64,
    /// The first measure whose roll-ups are not the sums of the rows.
    rollups: Option<&'static str>,
}

fn read(path: &Path, send: &mpsc::SyncSender<Batch>) -> Result<Read, StoreError> {
    let connection = store::open_reader(path)?;
    // One read transaction, so that rows and balances are of one instant.
    let transaction = connection.unchecked_transaction()?;
    let all = transaction.query_row("SELECT count(*) FROM entries", [], |row| row.get(0))?;
    let open_holds = transaction.query_row("SELECT count(*) FROM holds", [], |row| row.get(0))?;
    let mut prints = Prints::of_rows(&transaction)?;
    let sql = format!("SELECT seq, {COLUMNS}, hash FROM entries ORDER BY seq");
    let mut statement = transaction.prepare(&sql)?;
    let last = statement.column_count() - 1;
    let mut rows = statement.query([])?;
    let mut known = HashSet::new();
    let fresh = || Batch { rows: Vec::with_capacity(BATCH), cards: Vec::new(), all };
    let mut batch = fresh();
    while let Some(row) = rows.next()? {
        let entry = Entry::read(row, 1)?;
        if !known.contains(&*entry.card) {
            batch.cards.extend(cards::load(&transaction, &entry.card)?);
            known.insert(entry.card.clone());
        }
        let seq = row.get(0)?;
        prints.add(seq, &entry);
        batch.rows.push((seq, entry, row.get(last)?));
        // Where nobody takes them any more, the fold has found what it looks for.
        if batch.rows.len() == BATCH && send.send(std::mem::replace(&mut batch, fresh())).is_err() {
            break;
        }
    }
    let _ = send.send(batch);
    let rollups = prints.disagree(&transaction)?;
    Ok(Read { balances: totals(&transaction)?, open_holds, rollups })
}

#[derive(Default)]
struct Fold {
    entries: u64,
    chain: Option<[u8; 32]>,
    scratch: Vec<u8>,
    /// Charged, owed, absorbed, markup.
    sums: [i64; 4],
    accounts: HashMap<String, Totals>,
    cards: HashMap<String, PriceCard>,
    keyed: String,
}

impl Fold {
    fn batch(&mut self, batch: &Batch) -> Result<(), Discrepancy> {
        let cards = batch.cards.iter().map(|card| (card.version.clone(), card.clone()));
        self.cards.extend(cards);
        batch.rows.iter().try_for_each(|(seq, entry, hash)| self.row(*seq, entry, *hash))
    }

    fn row(&mut self, seq: i64, entry: &Entry, hash: [u8; 32]) -> Result<(), Discrepancy> {
        let previous = self.chain.unwrap_or(GENESIS);
        if entry.chain(&previous, &mut self.scratch) != hash {
            return Err(Discrepancy::Chain(seq));
        }
        self.chain = Some(hash);
        self.entries += 1;
        self.cost(seq, entry)?;
        let legs = i128::from(entry.owed.nanos()) + i128::from(entry.markup.nanos())
            - i128::from(entry.absorbed.nanos());
        if legs != i128::from(entry.charged.nanos()) {
            return Err(Discrepancy::Legs(seq));
        }
        let legs = [entry.charged, entry.owed, entry.absorbed, entry.markup];
        for (sum, add) in self.sums.iter_mut().zip(legs) {
            *sum = sum.checked_add(add.nanos()).ok_or(Discrepancy::Overflow(seq))?;
        }
        self.keyed.clear();
        for part in [&*entry.account, "/", &entry.key] {
            self.keyed.push_str(part);
        }
        for path in std::iter::once(&*self.keyed).chain(ancestors(&entry.account)) {
            let added = match self.accounts.get_mut(path) {
                Some(totals) => totals.add(entry),
                None => self.accounts.entry(path.to_owned()).or_default().add(entry),
            };
            added.ok_or(Discrepancy::Overflow(seq))?;
        }
        Ok(())
    }

    fn cost(&self, row: i64, entry: &Entry) -> Result<(), Discrepancy> {
        if entry.usage.is_empty() || entry.kind == Kind::Adjustment {
            return Ok(());
        }
        let Some(card) = self.cards.get(&*entry.card) else {
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
