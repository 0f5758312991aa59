//! The ledger: the only module that writes money or tokens. `hold` admits a call and gives an
//! `OpenHold`; settling or dropping that writes the call's rows. One thread owns the database.
//!
//! The book (all limits and balances) and the queue of rows stand under one lock, so the order of the
//! rows is the order of the decisions, and each committed group carries the balances as they were
//! after its last event: the file is consistent with itself at every commit.

mod adjust;
mod administered;
mod audit;
mod backup;
mod batches;
mod beside;
mod bills;
mod cards;
mod change;
mod charges;
mod checkpoint;
mod cursor;
mod directory;
mod drift;
mod earlier;
mod entry;
mod files;
mod handovers;
mod health;
mod idempotency;
mod open_hold;
mod outbox;
mod recover;
mod report;
mod rerate;
mod reserve;
mod responses;
mod rollup;
mod settlement;
mod sharing;
mod store;
mod sync;
mod templates;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Poll, Waker};

use tollgate_accounting::{
    AccountId, AccountSpec, Amounts, Book, ConfigureError, Facets, HoldId, Refusal, Settlement,
    Standing, Timestamp,
};

pub use adjust::AdjustError;
pub use administered::{Administered, RaiseRow, RequestRow, RequestState, RunRow};
pub use audit::{Audited, Discrepancy, audit};
pub use backup::{Phase as CopyPhase, backup, restore};
pub use batches::{BatchProgress, BatchRow, BatchStatus, BatchUsage};
pub use beside::Beside;
pub use bills::{ALL_MODELS, Billed, Compared};
pub use cards::{card_of_text, card_text};
pub use change::Change;
pub use charges::{Apart, Charges, Item, Place, dollars};
pub use directory::KeyRow;
pub use drift::Drift;
pub use entry::{CallId, Counted, Entry, Kind, Lookup, Outcome};
pub use files::{FileQuota, FileRow, Page};
pub use handovers::{HandedLine, Handover, Stage};
pub use idempotency::{KeptReply, KeyInUse, KeyName, Keyed, Used};
pub use open_hold::{Aboard, Durable, Held, OpenHold, Party, Settled, Stop, output_cost};
pub use outbox::{Alert, Delivery, Message};
pub use recover::{OpenError, Opened, Specs, look};
pub use report::{BadGroup, Filter, GroupBy, Question, Reader, ReportRow, Span};
pub use rerate::{Difference, PricesOf, Range, Rerated};
pub use responses::KeptResponse;
pub use rollup::{Measure, Times};
pub use settlement::{Attempt, CallFacts, Reach, own_classes};
pub use sharing::{PromptOwnerRow, SubscriptionRow, SubscriptionState};
pub use store::{Durability, StoreError};
pub use templates::{PromptLabelRow, PromptRow};
pub use writer::OnEntry;

use crate::clock;
use idempotency::Keys;
use open_hold::{Meter, lock};
use sync::{AtomicU8, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError};
use writer::{Event, HoldRow};

/// Rows that may wait for the writer, settlements of open holds included. Beyond it, calls are refused.
const QUEUE: usize = 65_536;

/// Why a call was not admitted, or may not go on.
#[derive(Debug)]
pub enum Refused {
    /// A limit on the path says no.
    Limit(Box<Refusal>),
    /// The writer is behind; nothing is lost, but nothing new is taken.
    Busy,
    /// The disk is full.
    DiskFull,
    /// A write failed in a way that leaves its outcome unknown; the process is about to end.
    InDoubt,
    /// The gateway is shutting down.
    Closing,
    /// An amount cannot be computed without overflow.
    Uncountable,
    /// The client's idempotency key was used before.
    KeyUsed(Used),
}

/// A handle to the ledger. Clones are cheap and share it.
#[derive(Clone)]
pub struct Ledger(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Wakes the writer when it waits on an empty queue.
    wake: Condvar,
    /// The last event whose group is committed.
    committed: AtomicU64,
    waiters: Mutex<Vec<(u64, Waker)>>,
    /// Held while rows are corrected.
    correcting: Mutex<()>,
    /// What the disk allows; see `health`.
    health: AtomicU8,
}

struct State {
    book: Book,
    queue: Vec<Event>,
    open: HashMap<CallId, Arc<Mutex<Meter>>>,
    /// How many of those are lines at their provider, which may take a day.
    handed_over: usize,
    last_seq: u64,
    /// Whether the writer sleeps until it is woken.
    idle: bool,
    closing: bool,
    /// Idempotency keys of the last day.
    keys: Keys,
}

/// What a call asks to be admitted.
pub struct Admission<'a> {
    /// Who calls, for what.
    pub facts: CallFacts,
    /// The node of the account tree that is charged, with all its ancestors.
    pub charged: AccountId,
    /// That node's path, as written to the journal.
    pub charged_path: &'a str,
    /// What limits may be filtered by.
    pub facets: Facets<'a>,
    /// The bound held.
    pub ask: Amounts,
    /// When the call must be over.
    pub deadline: Timestamp,
    /// The first attempt.
    pub first: Attempt,
    /// The client's idempotency key for the call.
    pub keyed: Option<Keyed>,
    /// Whether it is a line of a batch that is handed over: its hold outlives us.
    pub handed_over: bool,
}

impl Ledger {
    /// Admits a call on every account of its path, or on none.
    pub fn hold(&self, admission: Admission<'_>) -> Result<OpenHold, Refused> {
        let Admission {
            facts,
            charged,
            charged_path,
            facets,
            ask,
            deadline,
            first,
            keyed,
            handed_over,
        } = admission;
        self.healthy()?;
        let id = facts.id;
        let mut row = Box::new(HoldRow::new(&facts, charged_path, &first, &ask, deadline));
        let mut state = self.lock();
        if state.closing {
            return Err(Refused::Closing);
        }
        state.has_room()?;
        if let Some(used) = keyed.as_ref().and_then(|keyed| state.keys.used(keyed)) {
            return Err(Refused::KeyUsed(used));
        }
        let held = state
            .book
            .hold(clock::now(), HoldId(id.0), charged, &facets, ask, deadline)
            .map_err(Refused::Limit)?;
        row.taken_at = held.taken_at;
        let line = keyed.as_ref().filter(|_| handed_over);
        row.batch = line.and_then(|keyed| keyed.name.batch()).map(str::to_owned);
        if let Some(keyed) = keyed {
            state.keys.begin(&keyed, id, held.taken_at);
            row.keyed = Some(keyed);
        }
        state.last_seq += 1;
        let seq = state.last_seq;
        let meter = Meter::new(seq, facts, deadline, ask, first);
        let meter = Arc::new(Mutex::new(Meter { handed_over, ..meter }));
        state.handed_over += usize::from(handed_over);
        state.open.insert(id, meter.clone());
        state.queue.push(Event::Hold { seq, row });
        self.wake_writer(state);
        Ok(OpenHold::new(self.clone(), meter, id, seq, handed_over))
    }

    /// What each limit on the account's path says now.
    pub fn standing(&self, account: AccountId) -> Vec<Standing> {
        self.lock().book.standing(clock::now(), account)
    }

    /// Runs a read over the book, under its lock: keep it short.
    pub fn with_book<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.lock().book)
    }

    /// Makes the book's accounts and limits those of a new configuration. Spent amounts stay.
    pub fn configure(&self, specs: &[AccountSpec]) -> Result<(), ConfigureError> {
        self.lock().book.configure(clock::now(), specs)
    }

    /// Adds or changes one account and its limits; the others stay as they are.
    pub fn put_account(&self, spec: &AccountSpec) -> Result<AccountId, ConfigureError> {
        self.lock().book.put(clock::now(), spec)
    }

    /// Closes an account that is over: it takes no new calls, and those in flight that were made with
    /// that credential are settled at what was seen of them.
    pub fn end_account(&self, path: &str, key: &str) {
        self.lock().book.retire(path);
        self.expire(|meter| *meter.facts.key == *key);
    }

    /// Lets go of accounts of `which` that are over and never come back, once nothing refers to them:
    /// they are the sum of their rows from then on.
    pub fn forget_retired(&self, which: impl Fn(&str) -> bool) -> Result<(), Refused> {
        let forgotten = self.lock().book.forget_retired(which);
        if forgotten.is_empty() {
            return Ok(());
        }
        self.write(None, move |transaction| {
            let sql = "DELETE FROM balances WHERE account = ?1";
            let mut statement = transaction.prepare_cached(sql)?;
            forgotten.iter().try_for_each(|path| statement.execute([path]).map(drop))
        })
    }

    /// Calls in flight; lines that are at their provider are not.
    pub fn open_calls(&self) -> usize {
        self.lock().in_flight()
    }

    /// Whether new calls can be taken; otherwise why not.
    pub fn ready(&self) -> Result<(), Refused> {
        self.healthy()?;
        if self.lock().closing { Err(Refused::Closing) } else { Ok(()) }
    }

    /// Settles calls whose deadline passed, at what was last seen of them.
    pub fn sweep(&self) {
        let now = clock::now();
        self.expire(|meter| meter.deadline <= now);
    }

    /// Settles open calls, at what was last seen of them, though nobody asked for it.
    fn expire(&self, which: impl Fn(&Meter) -> bool) {
        let open: Vec<_> = self.lock().open.values().cloned().collect();
        for meter in open.into_iter().filter(|meter| which(&lock(meter))) {
            self.close_meter(&meter, Outcome::Expired);
        }
    }

    fn extend(&self, meter: &Arc<Mutex<Meter>>, id: CallId, more: Amounts) -> Result<(), Stop> {
        let mut state = self.lock();
        let refusal = |refusal| Stop::Refused(Refused::Limit(refusal));
        state.book.extend(clock::now(), HoldId(id.0), more).map_err(refusal)?;
        let mut open = lock(meter);
        open.held = add(&open.held, &more);
        drop(open);
        Self::queue_progress(&mut state, meter);
        self.wake_writer(state);
        Ok(())
    }

    fn journal(&self, meter: &Arc<Mutex<Meter>>) {
        let mut state = self.lock();
        Self::queue_progress(&mut state, meter);
        self.wake_writer(state);
    }

    fn queue_progress(state: &mut State, meter: &Arc<Mutex<Meter>>) {
        let mut open = lock(meter);
        if !open.closed && !open.journalling {
            open.journalling = true;
            drop(open);
            state.queue.push(Event::Progress(meter.clone()));
        }
    }

    fn close_meter(&self, meter: &Arc<Mutex<Meter>>, outcome: Outcome) -> Settled {
        let now = clock::now();
        let mut open = lock(meter);
        if open.closed {
            return open.settled.unwrap_or(Settled::NOTHING);
        }
        open.closed = true;
        let (id, seq) = (open.facts.id, open.seq);
        let kind = if outcome == Outcome::Recovered { Kind::Recovery } else { Kind::Call };
        let (held, handed_over) = (open.held, open.handed_over);
        let posting = settlement::post(&open.facts, &open.attempts, &held, outcome, kind, now);
        let cards = open.attempts.iter().map(|a| a.card.clone()).collect();
        let settled = Settled::of(&posting);
        open.settled = Some(settled);
        drop(open);
        let mut state = self.lock();
        let settlement = state.book.settle(now, HoldId(id.0), posting.used);
        if !matches!(settlement, Settlement::Settled { .. }) {
            tracing::error!(%id, ?settlement, "the book did not take a settlement");
        }
        state.open.remove(&id);
        state.handed_over -= usize::from(handed_over);
        state.queue.push(Event::Close { seq, cards, entries: posting.entries });
        self.wake_writer(state);
        settled
    }

    fn poll_committed(&self, seq: u64, waker: &Waker) -> Poll<Result<(), Refused>> {
        let committed = || self.0.committed.load(Ordering::Acquire) >= seq;
        if committed() {
            return Poll::Ready(Ok(()));
        }
        let mut waiters = lock(&self.0.waiters);
        if committed() {
            return Poll::Ready(Ok(()));
        }
        if self.0.health.load(Ordering::Acquire) == health::IN_DOUBT {
            return Poll::Ready(Err(Refused::InDoubt));
        }
        match waiters.iter_mut().find(|(at, w)| *at == seq && w.will_wake(waker)) {
            Some(_) => {}
            None => waiters.push((seq, waker.clone())),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(|poisoned| {
            // A panic inside the book leaves its sums unknown: take no more money on them.
            self.0.health.store(health::IN_DOUBT, Ordering::Release);
            PoisonError::into_inner(poisoned)
        })
    }

    fn wake_writer(&self, mut state: MutexGuard<'_, State>) {
        let asleep = std::mem::replace(&mut state.idle, false);
        drop(state);
        if asleep {
            self.0.wake.notify_one();
        }
    }
}

impl Ledger {
    fn over(state: State) -> Ledger {
        Ledger(Arc::new(Shared {
            committed: AtomicU64::new(state.last_seq),
            state: Mutex::new(state),
            wake: Condvar::new(),
            waiters: Mutex::default(),
            correcting: Mutex::default(),
            health: AtomicU8::new(health::GOOD),
        }))
    }

    fn stop(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.wake_writer(state);
        self.0.wake.notify_one();
    }
}

impl State {
    /// Whether the queue takes a row more; each call in flight has its place in it. Lines that are at
    /// their provider are settled a few at a time, and take theirs then.
    fn has_room(&self) -> Result<(), Refused> {
        if self.queue.len() + self.in_flight() < QUEUE { Ok(()) } else { Err(Refused::Busy) }
    }

    fn in_flight(&self) -> usize {
        self.open.len().saturating_sub(self.handed_over)
    }

    fn new(book: Book, last_seq: u64, keys: Keys) -> State {
        State {
            book,
            queue: Vec::new(),
            open: HashMap::new(),
            handed_over: 0,
            last_seq,
            idle: false,
            closing: false,
            keys,
        }
    }
}

/// What is held after an extension the book has granted: it refuses sums that do not fit.
fn add(held: &Amounts, more: &Amounts) -> Amounts {
    Amounts {
        requests: held.requests.saturating_add(more.requests),
        input_tokens: held.input_tokens.saturating_add(more.input_tokens),
        output_tokens: held.output_tokens.saturating_add(more.output_tokens),
        cost: held.cost.checked_add(more.cost).unwrap_or(held.cost),
    }
}
