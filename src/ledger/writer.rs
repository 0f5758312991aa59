//! The one thread that owns the write connection. It takes whatever waits in the queue, commits it as
//! one group with the balances of that instant, and then lets those who wait for it go on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};
use tollgate_accounting::{Amounts, Balance, PriceCard, Reached, Timestamp};

use super::entry::{COLUMNS, Entry, GENESIS};
use super::idempotency::{self, Keyed};
use super::open_hold::{Meter, lock};
use super::reserve::Reserve;
use super::rollup::{Fold, Rolled};
use super::settlement::{Attempt, CallFacts};
use super::sync::{AtomicBool, Mutex, Ordering, PoisonError, mpsc, thread};
use super::{Ledger, cards, earlier, outbox};
use crate::clock;

/// How long the writer rests after a group: as many times as long as the group took. A quiet gateway
/// commits at once; a busy one gathers larger groups, which cost less a row, and leaves the core to
/// the calls.
const REST: u32 = 2;
/// The longest rest. With `power` a group flushes the disk, which takes milliseconds by itself.
const LONGEST_REST: Duration = Duration::from_millis(3);
/// How often a group that found the disk full is tried again, and the rest between groups meanwhile.
const RETRY_FULL: Duration = Duration::from_millis(250);

/// What the writer writes.
pub(super) enum Event {
    /// A call was admitted.
    Hold { seq: u64, row: Box<HoldRow> },
    /// An open call holds more, or has come further.
    Progress(Arc<Mutex<Meter>>),
    /// What `Progress` found when its group was taken, so that it agrees with the group's balances.
    Snapshot(Box<Snapshot>),
    /// A call was settled.
    Close { seq: u64, cards: Vec<Arc<PriceCard>>, entries: Vec<Entry> },
    /// An administrative write, in the same transactions as everything else.
    Job(Job),
}

/// What a job does to the file.
pub(super) type Write = dyn Fn(&Transaction<'_>) -> rusqlite::Result<()> + Send;

/// An administrative write, the entry that tells of it, and where its result goes. It may run again
/// after a full disk.
pub(super) struct Job {
    pub(super) entry: Option<Box<Entry>>,
    pub(super) write: Box<Write>,
    pub(super) done: Option<mpsc::SyncSender<()>>,
}

/// A row of `holds`: enough to settle the call if nothing else of it survives.
pub(super) struct HoldRow {
    facts: CallFacts,
    charged_path: String,
    attempt: Attempt,
    held: Amounts,
    deadline: Timestamp,
    /// The book's instant of it, which decides the periods it belongs to.
    pub(super) taken_at: Timestamp,
    /// The client's key for the call.
    pub(super) keyed: Option<Keyed>,
    /// The batch that is handed over with it.
    pub(super) batch: Option<String>,
}

impl HoldRow {
    pub(super) fn new(
        facts: &CallFacts,
        charged_path: &str,
        attempt: &Attempt,
        held: &Amounts,
        deadline: Timestamp,
    ) -> HoldRow {
        HoldRow {
            facts: facts.clone(),
            charged_path: charged_path.to_owned(),
            attempt: attempt.clone(),
            held: *held,
            deadline,
            taken_at: facts.received_at,
            keyed: None,
            batch: None,
        }
    }
}

/// How far an open call had come, and what it held, when its group was taken.
pub(super) struct Snapshot {
    seq: u64,
    held: Amounts,
    /// The attempts that are over, and the present one.
    earlier: Vec<Attempt>,
    attempt: Attempt,
}

/// A group, as taken from the queue: the events, the balances after the last of them, and its number.
struct Group {
    events: Vec<Event>,
    balances: Vec<Balance>,
    /// Budgets that reached a part of their amount by these events.
    reached: Vec<Reached>,
    up_to: u64,
    last: bool,
}

pub(super) struct Writer {
    ledger: Ledger,
    connection: Connection,
    /// Whether the log has grown so long that it should begin anew.
    large: Arc<AtomicBool>,
    /// Versions of the cards the file is known to have.
    cards: HashSet<String>,
    chain: [u8; 32],
    scratch: Vec<u8>,
    /// How far the roll-ups are.
    rolled: Rolled,
    reserve: Reserve,
    on_entry: OnEntry,
}

/// What is told of every entry once it is committed: metrics, alerts.
pub type OnEntry = Box<dyn Fn(&Entry) + Send>;

impl Writer {
    pub(super) fn start(
        ledger: Ledger,
        connection: Connection,
        large: Arc<AtomicBool>,
        reserve: Reserve,
        on_entry: OnEntry,
    ) -> rusqlite::Result<thread::JoinHandle<()>> {
        let chain = connection
            .query_row("SELECT hash FROM entries ORDER BY seq DESC LIMIT 1", [], |row| row.get(0))
            .optional()?
            .unwrap_or(GENESIS);
        let rolled = Rolled::open(&connection)?;
        let (cards, scratch) = (HashSet::new(), Vec::new());
        let mut writer =
            Writer { ledger, connection, large, cards, chain, scratch, rolled, reserve, on_entry };
        if !writer.reserve.whole() {
            writer.ledger.disk_is_full();
        }
        thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run())
            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
    }

    fn run(&mut self) {
        loop {
            let mut group = self.next_group();
            let begun = Instant::now();
            if !group.events.is_empty() || !group.balances.is_empty() {
                self.commit(&mut group);
                self.bound_log();
            }
            self.publish(&group);
            if group.last {
                // Leaves the file as one piece; a failure only means a longer log at the next start.
                self.checkpoint("TRUNCATE");
                return;
            }
            if self.reserve.whole() {
                thread::sleep(begun.elapsed().saturating_mul(REST).min(LONGEST_REST));
            } else {
                self.look_for_room();
            }
        }
    }

    /// Begins the log anew where it has grown too long; a reader in its way is met again later.
    fn bound_log(&self) {
        if self.large.swap(false, Ordering::AcqRel) {
            self.checkpoint("RESTART");
        }
    }

    fn checkpoint(&self, how: &str) {
        if let Err(error) = self.connection.execute_batch(&format!("PRAGMA wal_checkpoint({how})"))
        {
            self.ledger.checkpoint_failed(&error);
        }
    }

    /// Takes new calls again once there is room to settle them whatever comes. Until then groups are
    /// few and large, for each takes pages of its own.
    fn look_for_room(&mut self) {
        if self.reserve.fill() {
            self.ledger.disk_has_room();
        } else {
            thread::sleep(RETRY_FULL);
        }
    }

    fn next_group(&self) -> Group {
        let shared = &self.ledger.0;
        let mut state = self.ledger.lock();
        let ending = |state: &super::State| state.closing && state.in_flight() == 0;
        // Without a reserve the writer does not sleep: it looks for room again.
        while state.queue.is_empty() && !ending(&state) && self.reserve.whole() {
            state.idle = true;
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = false;
        let room = Vec::with_capacity(state.queue.len().min(1024));
        let mut events = std::mem::replace(&mut state.queue, room);
        events.iter_mut().for_each(Event::freeze);
        Group {
            events,
            balances: state.book.take_dirty(),
            reached: state.book.take_reached(),
            up_to: state.last_seq,
            last: ending(&state),
        }
    }

    /// Commits the group, on the reserve where the disk is full, or when there is room again. Any other
    /// failure leaves its outcome unknown: the process ends, and the next start reads what is true from
    /// the file.
    fn commit(&mut self, group: &mut Group) {
        while let Err(error) = self.apply(group) {
            if error.sqlite_error_code() != Some(ErrorCode::DiskFull) {
                self.ledger.in_doubt(&error);
            }
            self.ledger.disk_is_full();
            // Who waits for an administrative write is told at once, and it is not made later.
            group.events.retain(|event| !event.is_awaited());
            if !self.reserve.release() {
                thread::sleep(RETRY_FULL);
            }
        }
    }

    fn publish(&self, group: &Group) {
        let shared = &self.ledger.0;
        shared.committed.store(group.up_to, Ordering::Release);
        let ready: Vec<_> =
            lock(&shared.waiters).extract_if(.., |(seq, _)| *seq <= group.up_to).collect();
        ready.into_iter().for_each(|(_, waker)| waker.wake());
        for event in &group.events {
            match event {
                Event::Close { entries, .. } => entries.iter().for_each(&self.on_entry),
                Event::Job(job) => {
                    // Who waits for it may have gone.
                    let _ = job.done.as_ref().map(|done| done.try_send(()));
                }
                Event::Hold { .. } | Event::Progress(_) | Event::Snapshot(_) => {}
            }
        }
    }

    fn apply(&mut self, group: &Group) -> rusqlite::Result<()> {
        let Writer { connection, cards, chain, scratch, rolled, .. } = self;
        let mut fold = Fold::default();
        let transaction = connection.unchecked_transaction()?;
        let mut new_cards = Vec::new();
        let mut head = *chain;
        {
            let mut card = |card: &PriceCard| -> rusqlite::Result<()> {
                if !cards.contains(&card.version) && !new_cards.contains(&card.version) {
                    cards::store(&transaction, card)?;
                    new_cards.push(card.version.clone());
                }
                Ok(())
            };
            // A hold that opens and closes within one group leaves no row of its own.
            let closed: HashSet<u64> = group.events.iter().filter_map(Event::closes).collect();
            let mut opened = HashSet::new();
            for event in &group.events {
                match event {
                    Event::Hold { seq, row } => {
                        if let Some(keyed) = &row.keyed {
                            idempotency::insert(&transaction, keyed, row.facts.id, row.taken_at)?;
                        }
                        if closed.contains(seq) {
                            opened.insert(*seq);
                        } else {
                            card(&row.attempt.card)?;
                            insert_hold(&transaction, *seq, row)?;
                        }
                    }
                    Event::Progress(_) => {}
                    Event::Snapshot(at) => {
                        at.earlier.iter().chain([&at.attempt]).try_for_each(|a| card(&a.card))?;
                        update_hold(&transaction, at)?;
                    }
                    Event::Close { seq, cards, entries } => {
                        cards.iter().try_for_each(|c| card(c))?;
                        if !opened.contains(seq) {
                            transaction
                                .prepare_cached("DELETE FROM holds WHERE seq = ?1")?
                                .execute([*seq])?;
                        }
                        for entry in entries {
                            head = entry.chain(&head, scratch);
                            insert_entry(&transaction, entry, &head)?;
                            fold.add(entry);
                        }
                    }
                    Event::Job(job) => {
                        (job.write)(&transaction)?;
                        if let Some(entry) = &job.entry {
                            head = entry.chain(&head, scratch);
                            insert_entry(&transaction, entry, &head)?;
                            fold.add(entry);
                        }
                    }
                }
            }
        }
        for balance in &group.balances {
            upsert_balance(&transaction, balance)?;
        }
        outbox::put_reached(&transaction, &group.reached, clock::now())?;
        let (facets, last) = rolled.add(&transaction, fold)?;
        transaction.commit()?;
        rolled.committed(facets, last);
        *chain = head;
        cards.extend(new_cards);
        Ok(())
    }
}

impl Event {
    fn closes(&self) -> Option<u64> {
        match self {
            Event::Close { seq, .. } => Some(*seq),
            _ => None,
        }
    }

    /// Whether somebody waits for it who can be told that it was not done.
    fn is_awaited(&self) -> bool {
        matches!(self, Event::Job(Job { done: Some(_), .. }))
    }

    /// Turns a pointer to an open call into what is true of it now; run under the ledger's lock.
    fn freeze(&mut self) {
        let Event::Progress(meter) = self else { return };
        let mut meter = lock(meter);
        meter.journalling = false;
        let (seq, held) = (meter.seq, meter.held);
        if let Some((attempt, earlier)) = meter.attempts.split_last() {
            let (attempt, earlier) = (attempt.clone(), earlier.to_vec());
            drop(meter);
            *self = Event::Snapshot(Box::new(Snapshot { seq, held, earlier, attempt }));
        }
    }
}

fn insert_hold(transaction: &Transaction<'_>, seq: u64, row: &HoldRow) -> rusqlite::Result<()> {
    let HoldRow { facts, charged_path, attempt, held, deadline, taken_at, keyed: _, batch } = row;
    transaction
        .prepare_cached(
            "INSERT INTO holds (seq, id, at, deadline, charged_account, account, key, endpoint,
                 asked_model, tags, stream, provider, model, card, input, input_provenance,
                 held_requests, held_input, held_output, held_cost, attempt, output_seen,
                 markup_share, markup_fee, failed_attempts, prompt, batch)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                 ?17, ?18, ?19, ?20, 1, ?25, ?21, ?22, ?23, ?24, ?26)",
        )?
        .execute(params![
            seq,
            facts.id.0.to_be_bytes(),
            taken_at.micros(),
            deadline.micros(),
            charged_path,
            facts.account,
            facts.key,
            facts.endpoint,
            facts.asked_model,
            facts.tags,
            facts.stream,
            attempt.provider,
            attempt.model,
            attempt.card.version,
            attempt.input.tokens,
            attempt.input.provenance.name(),
            held.requests,
            held.input_tokens,
            held.output_tokens,
            held.cost.nanos(),
            facts.terms.markup.share(),
            facts.terms.markup.fee().nanos(),
            facts.terms.failed.name(),
            facts.prompt,
            attempt.output_seen,
            batch,
        ])?;
    Ok(())
}

fn update_hold(transaction: &Transaction<'_>, at: &Snapshot) -> rusqlite::Result<()> {
    let Snapshot { seq, held, earlier, attempt } = at;
    transaction
        .prepare_cached(
            "UPDATE holds SET provider = ?2, model = ?3, card = ?4, input = ?5,
                 input_provenance = ?6, held_requests = ?7, held_input = ?8, held_output = ?9,
                 held_cost = ?10, attempt = ?11, output_seen = ?12, earlier = ?13
             WHERE seq = ?1",
        )?
        .execute(params![
            seq,
            attempt.provider,
            attempt.model,
            attempt.card.version,
            attempt.input.tokens,
            attempt.input.provenance.name(),
            held.requests,
            held.input_tokens,
            held.output_tokens,
            held.cost.nanos(),
            earlier.len() + 1,
            attempt.output_seen,
            earlier::encode(earlier)?,
        ])?;
    Ok(())
}

pub(super) fn insert_entry(
    transaction: &Transaction<'_>,
    entry: &Entry,
    hash: &[u8; 32],
) -> rusqlite::Result<()> {
    thread_local! {
        static SQL: String = {
            let count = COLUMNS.split(',').count() + 1;
            let marks = vec!["?"; count].join(", ");
            format!("INSERT INTO entries ({COLUMNS}, hash) VALUES ({marks})")
        };
    }
    SQL.with(|sql| {
        let mut statement = transaction.prepare_cached(sql)?;
        entry.bind(&mut statement, hash)?;
        statement.raw_execute()?;
        Ok(())
    })
}

fn upsert_balance(transaction: &Transaction<'_>, balance: &Balance) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO balances (account, limit_key, period, fields) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (account, limit_key, period) DO UPDATE SET fields = excluded.fields",
        )?
        .execute(params![
            balance.account,
            balance.limit_key,
            balance.period,
            super::recover::pack(balance),
        ])?;
    Ok(())
}
