//! Opening the ledger: balances and open holds of the last run are put back, and what was in flight
//! when it died is settled at its last journalled progress, never released.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Row};
use tollgate_accounting::{
    AccountSpec, Amounts, Balance, Book, ConfigureError, Facets, FailedAttempts, HoldId, Markup,
    Money, Provenance, RestoredHold, Terms, Timestamp,
};

use super::administered::Administered;
use super::checkpoint::Checkpoints;
use super::entry::{CallId, Counted, Entry, Outcome};
use super::idempotency::Keys;
use super::open_hold::{Meter, lock};
use super::reserve::Reserve;
use super::settlement::{Attempt, CallFacts, Reach};
use super::store::{self, Durability, StoreError};
use super::sync::{AtomicBool, Mutex, thread};
use super::writer::{OnEntry, Writer};
use super::{Ledger, Refused, State, cards, earlier};
use crate::clock;

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The accounts make no sense.
    #[error("the accounts: {0}")]
    Configure(ConfigureError),
    /// The accounts cannot be made of the configuration and the file's keys and limits.
    #[error("the accounts: {0}")]
    Accounts(String),
    /// A row of the file is one that no ledger can have written.
    #[error("the ledger's file is damaged: {0}; restore it from a backup and run `tollgate audit`")]
    Damaged(String),
}

/// Makes the accounts of the configuration and of what the file adds to it, so that what is recovered is
/// posted against all of them.
pub type Specs<'s> = dyn Fn(&Administered) -> Result<Vec<AccountSpec>, String> + 's;

/// A ledger that is open for writing; it is closed by `close`.
pub struct Opened {
    /// The handle to give out.
    pub ledger: Ledger,
    /// Calls that were in flight when the last run died, now settled.
    pub recovered: usize,
    writer: thread::JoinHandle<()>,
    checkpoints: Checkpoints,
    /// Held for as long as the file is ours.
    _lock: std::fs::File,
}

impl Ledger {
    /// Opens (or makes) the ledger at `path`, recovers the last run, and starts its writer.
    pub fn open(
        path: &Path,
        durability: Durability,
        specs: &Specs<'_>,
        on_entry: OnEntry,
    ) -> Result<Opened, OpenError> {
        let store = store::open(path, durability)?;
        let large = Arc::new(AtomicBool::new(false));
        let reserve = Reserve::open(path);
        let Begun { ledger, recovered, writer } =
            Ledger::begin(store.connection, large.clone(), reserve, specs, on_entry)?;
        let checkpoints =
            Checkpoints::start(path, ledger.clone(), large).map_err(StoreError::from)?;
        Ok(Opened { ledger, recovered, writer, checkpoints, _lock: store.lock })
    }

    /// Recovers the last run on an opened file, and starts its writer.
    pub(super) fn begin(
        connection: Connection,
        large: Arc<AtomicBool>,
        reserve: Reserve,
        specs: &Specs<'_>,
        on_entry: OnEntry,
    ) -> Result<Begun, OpenError> {
        let (book, found) = restore(&connection, specs)?;
        let keys = Keys::load(&connection).map_err(StoreError::from)?;
        let last_seq = found.iter().map(|hold| hold.meter.seq).max().unwrap_or(0);
        let mut recovered = found.len();
        let ledger = Ledger::over(State::new(book, last_seq, keys));
        for hold in found {
            let meter = Arc::new(Mutex::new(hold.meter));
            if ledger.keep_open(&meter) {
                recovered -= 1;
                continue;
            }
            ledger.close_meter(&meter, Outcome::Recovered);
        }
        let writer = Writer::start(ledger.clone(), connection, large, reserve, on_entry)
            .map_err(StoreError::from)?;
        // What was recovered is on its rows before anyone can ask for it; on a full disk it is the
        // first to be written when there is room.
        match ledger.flush() {
            Ok(()) | Err(Refused::DiskFull) => {}
            Err(_) => return Err(OpenError::Damaged("it takes no writes".to_owned())),
        }
        Ok(Begun { ledger, recovered, writer })
    }

    /// Keeps the hold of a line that is at its provider.
    fn keep_open(&self, meter: &Arc<Mutex<Meter>>) -> bool {
        let (id, handed_over) = {
            let meter = lock(meter);
            (meter.facts.id, meter.handed_over)
        };
        if handed_over {
            let mut state = self.lock();
            state.open.insert(id, meter.clone());
            state.handed_over += 1;
        }
        handed_over
    }

    /// Settles what is still open and waits for the writer's end.
    pub(super) fn end(&self, writer: thread::JoinHandle<()>) {
        self.stop();
        self.expire(|meter| !meter.handed_over);
        if writer.join().is_err() {
            tracing::error!("the ledger's writer panicked");
        }
    }
}

/// A ledger with its writer, and how many calls it found in flight.
pub(super) struct Begun {
    pub(super) ledger: Ledger,
    pub(super) recovered: usize,
    pub(super) writer: thread::JoinHandle<()>,
}

/// The book as the file has it, read beside whoever writes it; nothing is recovered, and calls in
/// flight are held. A file that is not there yet has nothing in it.
pub fn look(path: &Path, specs: &Specs<'_>) -> Result<Book, OpenError> {
    let connection = match store::open_reader(path) {
        Ok(connection) => connection,
        Err(StoreError::Missing(_)) => return configured(&Administered::default(), specs),
        Err(error) => return Err(error.into()),
    };
    // One transaction, so that balances and holds are of the same instant.
    let transaction = connection.unchecked_transaction().map_err(StoreError::from)?;
    restore(&transaction, specs).map(|(book, _)| book)
}

/// A book of the configured accounts, with the file's balances and open holds.
fn restore(connection: &Connection, specs: &Specs<'_>) -> Result<(Book, Vec<Found>), OpenError> {
    let added = Administered::load(connection, clock::now()).map_err(StoreError::from)?;
    let mut book = configured(&added, specs)?;
    for balance in balances(connection).map_err(StoreError::from)? {
        let account = balance.account.clone();
        let damaged = |why| OpenError::Damaged(format!("a balance of {account}: {why}"));
        book.restore_balance(balance).map_err(damaged)?;
    }
    let found = holds(connection)?;
    for hold in &found {
        hold.restore(&mut book)?;
    }
    Ok((book, found))
}

fn configured(added: &Administered, specs: &Specs<'_>) -> Result<Book, OpenError> {
    let specs = specs(added).map_err(OpenError::Accounts)?;
    let mut book = Book::new();
    book.configure(clock::now(), &specs).map_err(OpenError::Configure)?;
    Ok(book)
}

impl Opened {
    /// Settles what is still open, now that nobody serves it, and ends the writer once all is
    /// committed.
    pub fn close(self) {
        // Before the writer ends: its last act is to empty the log, which a checkpoint under way refuses.
        self.checkpoints.stop();
        self.ledger.end(self.writer);
    }
}

/// An open hold of the last run.
struct Found {
    meter: Meter,
    charged: String,
    taken_at: Timestamp,
}

impl Found {
    fn restore(&self, book: &mut Book) -> Result<(), OpenError> {
        let Meter { facts, held, deadline, .. } = &self.meter;
        let model = &facts.asked_model;
        let restored = RestoredHold {
            id: HoldId(facts.id.0),
            account: &self.charged,
            facets: Facets { model, endpoint: &facts.endpoint, prompt: facts.prompt_name() },
            amounts: *held,
            taken_at: self.taken_at,
            deadline: *deadline,
        };
        let damaged = |why| OpenError::Damaged(format!("the hold of {}: {why}", facts.id));
        book.restore_hold(restored).map_err(damaged)
    }
}

fn holds(connection: &Connection) -> Result<Vec<Found>, OpenError> {
    let mut statement = connection
        .prepare(
            "SELECT seq, id, at, deadline, charged_account, account, key, endpoint, asked_model,
                 tags, stream, provider, model, card, input, input_provenance, held_requests,
                 held_input, held_output, held_cost, attempt, output_seen, markup_share, markup_fee,
                 failed_attempts, prompt, earlier,
                 batch IN (SELECT id FROM batches WHERE ended_at IS NULL)
             FROM holds ORDER BY seq",
        )
        .map_err(StoreError::from)?;
    let rows = statement.query_map([], |row| read(connection, row)).map_err(StoreError::from)?;
    rows.map(|row| row.map_err(StoreError::from)?).collect()
}

fn read(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Result<Found, OpenError>> {
    let text = |at: usize| row.get::<_, String>(at).map(Arc::<str>::from);
    let id = CallId(u128::from_be_bytes(row.get(1)?));
    let taken_at = Timestamp::from_micros(row.get(2)?);
    let card: String = row.get(13)?;
    let Some(card) = cards::load(connection, &card)? else {
        return Ok(Err(OpenError::Damaged(format!("the price card {card} of {id} is missing"))));
    };
    let provenance: String = row.get(15)?;
    let input = Counted {
        tokens: row.get(14)?,
        provenance: Provenance::from_name(&provenance).unwrap_or(Provenance::Estimated),
    };
    let mut attempt = Attempt::new(text(11)?, text(12)?, Arc::new(card), input, false);
    attempt.output_seen = row.get(21)?;
    attempt.output_delivered = attempt.output_seen;
    let facts = CallFacts {
        id,
        received_at: taken_at,
        account: text(5)?,
        key: text(6)?,
        endpoint: row.get::<_, String>(7)?.into(),
        asked_model: text(8)?,
        prompt: row.get::<_, Option<String>>(25)?.map(Into::into),
        tags: row.get::<_, Option<String>>(9)?.map(Into::into),
        stream: row.get(10)?,
        terms: terms(row)?,
        cache: None,
    };
    let held = Amounts {
        requests: row.get(16)?,
        input_tokens: row.get(17)?,
        output_tokens: row.get(18)?,
        cost: Money::from_nanos(row.get(19)?),
    };
    let nothing = held.input_tokens == 0 && held.output_tokens == 0 && held.cost == Money::ZERO;
    if !nothing {
        // Whether the provider had accepted it is not known, so it is taken to have. A call that held
        // neither tokens nor money was given another call's answer.
        attempt.reach = Reach::Accepted;
    }
    let deadline = Timestamp::from_micros(row.get(3)?);
    let handed_over = row.get::<_, Option<bool>>(27)?.unwrap_or(false);
    if handed_over {
        attempt.reach = Reach::Sent;
    }
    let mut meter = Meter::new(row.get(0)?, facts, deadline, held, attempt);
    meter.handed_over = handed_over;
    if let Some(text) = row.get::<_, Option<String>>(26)? {
        match earlier::decode(&text, |version| cards::load(connection, version))? {
            Ok(earlier) => drop(meter.attempts.splice(..0, earlier)),
            Err(why) => return Ok(Err(OpenError::Damaged(format!("the hold of {id}: {why}")))),
        }
    }
    Ok(Ok(Found { meter, charged: row.get(4)?, taken_at }))
}

/// On what terms it was admitted. No ledger writes a share or a policy that there is none of.
fn terms(row: &Row<'_>) -> rusqlite::Result<Terms> {
    let share = Markup::basis_points(row.get(22)?).unwrap_or_default();
    let policy: String = row.get(24)?;
    Ok(Terms {
        markup: share.with_fee(Money::from_nanos(row.get(23)?)),
        failed: FailedAttempts::from_name(&policy).unwrap_or_default(),
    })
}

fn balances(connection: &Connection) -> rusqlite::Result<Vec<Balance>> {
    let mut statement =
        connection.prepare("SELECT account, limit_key, period, fields FROM balances")?;
    let rows = statement.query_map([], balance)?;
    rows.collect()
}

/// A row of `balances`.
pub(super) fn balance(row: &Row<'_>) -> rusqlite::Result<Balance> {
    Ok(Balance {
        account: row.get::<_, String>(0)?.into(),
        limit_key: row.get::<_, String>(1)?.into(),
        period: row.get(2)?,
        fields: unpack(&row.get::<_, [u8; 32]>(3)?),
    })
}

/// A balance's fields as they are stored.
pub(super) fn pack(balance: &Balance) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, field) in bytes.chunks_exact_mut(8).zip(balance.fields) {
        to.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}

fn unpack(bytes: &[u8; 32]) -> [i64; 4] {
    let mut fields = [0; 4];
    for (field, from) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
        *field = from.iter().rev().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
    }
    fields
}

/// An account's lifetime sums, as `audit` compares them with its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    requests: i64,
    input_tokens: i64,
    output_tokens: i64,
    charged: i64,
}

impl Totals {
    /// Adds a row; `None` where a sum leaves its range.
    pub(super) fn add(&mut self, entry: &Entry) -> Option<()> {
        let count = |count: u64| i64::try_from(count).ok();
        self.requests = self.requests.checked_add(count(entry.requests)?)?;
        self.input_tokens = self.input_tokens.checked_add(count(entry.posted_input)?)?;
        self.output_tokens = self.output_tokens.checked_add(count(entry.posted_output)?)?;
        self.charged = self.charged.checked_add(entry.charged.nanos())?;
        Some(())
    }

    /// The sums by name.
    pub(super) fn parts(&self) -> [(&'static str, i64); 4] {
        let Totals { requests, input_tokens, output_tokens, charged } = *self;
        [
            ("requests", requests),
            ("input tokens", input_tokens),
            ("output tokens", output_tokens),
            ("charged", charged),
        ]
    }
}

/// The lifetime sums of every account that ever had a call.
pub(super) fn totals(connection: &Connection) -> rusqlite::Result<Vec<(String, Totals)>> {
    let mut statement =
        connection.prepare("SELECT account, fields FROM balances WHERE limit_key = ''")?;
    let rows = statement.query_map([], |row| {
        let [requests, input_tokens, output_tokens, charged] = unpack(&row.get::<_, [u8; 32]>(1)?);
        Ok((row.get(0)?, Totals { requests, input_tokens, output_tokens, charged }))
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_reads_back_as_it_was_written() {
        let fields = [i64::MIN, -1, 0, i64::MAX];
        let balance = Balance { account: "a".into(), limit_key: "k".into(), period: 0, fields };
        assert_eq!(unpack(&pack(&balance)), fields);
    }
}
