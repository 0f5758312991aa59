//! The book: every account, limit and hold, as one state machine. A call is admitted by all limits
//! of all accounts on its path or by none; what it used is posted once, whatever happens.
//!
//! The book reads no clock and does no I/O. `now` is an argument and never goes back: an earlier
//! one counts as the latest seen, so a clock that is set back refills nothing and reopens no
//! period. Whoever owns the book calls it under one lock; on the path of a call it allocates
//! nothing once warm.

mod adjust;
mod audit;
mod configure;
mod durable;
mod finish;
mod forget;
mod ids;
mod reached;
mod refuse;
mod standing;
mod trial;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

pub use audit::Violation;
pub use configure::{AccountSpec, ConfigureError};
pub use durable::{Balance, RestoredHold, Unrestorable};
pub use finish::{Outcome, Settlement};
pub use reached::Reached;
pub use standing::{HoldView, Standing};
pub use trial::{Fit, Trial};

use crate::amounts::Units;
use crate::refusal::{Refusal, Why};
use crate::state::{Rule, State};
use crate::{Amounts, Facets, Limit, Timestamp, Totals, Zone};
use ids::{Ids, Place};
use refuse::Shortage;

/// How many ended holds are remembered, so that a repeated settlement answers the first result.
const REMEMBERED: usize = 65_536;

/// The identity of a hold; a UUIDv7 of the caller's making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(pub u128);

/// An account of this book; cheap to keep and to copy. Outlives the account harmlessly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountId {
    index: u32,
    generation: u32,
}

/// A hold that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: HoldId,
    /// What it holds now.
    pub amounts: Amounts,
    /// When it was taken: `now`, or later if the clock was set back.
    pub taken_at: Timestamp,
    /// When it expires.
    pub deadline: Timestamp,
    /// The same hold was taken before and is still open; nothing was taken again.
    pub again: bool,
}

/// All accounts, limits and holds.
#[derive(Debug)]
pub struct Book {
    accounts: Vec<Account>,
    by_path: HashMap<Arc<str>, u32>,
    limits: Vec<Node>,
    free_accounts: Vec<u32>,
    free_limits: Vec<u32>,
    holds: Vec<Hold>,
    free_holds: Vec<u32>,
    ids: Ids,
    deadlines: BinaryHeap<Reverse<(Timestamp, HoldId)>>,
    open_count: usize,
    latest: Timestamp,
    /// When the latest hold was taken.
    last_taken: Timestamp,
    dirty_accounts: Vec<u32>,
    dirty_limits: Vec<u32>,
    scratch: Vec<Slot>,
    watch: reached::Watch,
}

#[derive(Clone, Debug)]
struct Account {
    path: Arc<str>,
    zone: Zone,
    /// From the root to this account.
    chain: Box<[u32]>,
    limits: Vec<u32>,
    /// Limits that were configured once: their state lives on, should they come back.
    retired: Vec<u32>,
    parked: Vec<durable::Parked>,
    is_live: bool,
    generation: u32,
    totals: Units,
    /// Sum over the open holds of this account and everything below it.
    open: Units,
    is_dirty: bool,
}

/// A limit with its state.
#[derive(Clone, Debug)]
struct Node {
    rule: Rule,
    state: State,
    limit: Limit,
    key: Arc<str>,
    words: Arc<str>,
    account: u32,
    /// Holds taken before this instant never touched it.
    since: Timestamp,
    is_restored: bool,
    is_dirty: bool,
    /// The part of it that was told of last, and the start of the period it was told in.
    told: Option<(Timestamp, u32)>,
}

#[derive(Clone, Debug)]
struct Hold {
    id: HoldId,
    account: u32,
    phase: Phase,
    asked: Units,
    held: Units,
    taken_at: Timestamp,
    deadline: Timestamp,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Free,
    Open,
    Expired,
}

/// What a hold took from one limit at one place.
#[derive(Clone, Copy, Debug)]
struct Slot {
    limit: u32,
    /// Nothing was taken from this limit after this.
    is_last: bool,
    tag: i64,
    held: i64,
    /// What the hold's earlier slots of the same limit hold.
    before: i64,
}

impl Default for Book {
    fn default() -> Self {
        Book::new()
    }
}

impl Book {
    /// A book without accounts.
    pub fn new() -> Book {
        Book::remembering(REMEMBERED)
    }

    /// A book that remembers so many ended holds.
    pub fn remembering(ended: usize) -> Book {
        let mut book = Book {
            accounts: Vec::new(),
            by_path: HashMap::new(),
            limits: Vec::new(),
            free_accounts: Vec::new(),
            free_limits: Vec::new(),
            holds: Vec::new(),
            free_holds: Vec::new(),
            ids: Ids::new(ended),
            deadlines: BinaryHeap::new(),
            open_count: 0,
            latest: Timestamp::MIN,
            last_taken: Timestamp::MIN,
            dirty_accounts: Vec::new(),
            dirty_limits: Vec::new(),
            scratch: Vec::new(),
            watch: reached::Watch::default(),
        };
        book.ensure_account("");
        book
    }

    /// The configured account of that path; the root's is empty.
    pub fn account(&self, path: &str) -> Option<AccountId> {
        let index = *self.by_path.get(path)?;
        let account = self.accounts.get(index as usize)?;
        account.is_live.then_some(AccountId { index, generation: account.generation })
    }

    /// The path of a configured account.
    pub fn path(&self, account: AccountId) -> Option<&str> {
        let found = self.accounts.get(account.index as usize)?;
        (found.is_live && found.generation == account.generation).then_some(&*found.path)
    }

    /// Lifetime sums of what was charged to the account and everything below it.
    pub fn totals(&self, account: AccountId) -> Totals {
        let found = self.accounts.get(account.index as usize);
        let found = found.filter(|found| found.generation == account.generation);
        found.map_or(Totals::default(), |account| account.totals.totals())
    }

    /// Holds `ask` against every limit of every account on the path, or against none. The same
    /// hold again, while it is open, answers what the first answered.
    pub fn hold(
        &mut self,
        now: Timestamp,
        id: HoldId,
        account: AccountId,
        facets: &Facets<'_>,
        ask: Amounts,
        deadline: Timestamp,
    ) -> Result<Held, Box<Refusal>> {
        let now = self.clock(now);
        if let Some(place) = self.ids.place(id) {
            return self.hold_again(place, account, &ask);
        }
        let leaf = self.path(account).map(|_| account.index);
        let leaf = leaf.ok_or_else(|| Refusal::without_limit(Why::NoSuchAccount))?;
        let asked = Units::of(&ask).map_err(|_| Refusal::without_limit(Why::Overflow))?;
        self.admit(now, leaf, facets, asked)?;
        self.take(now, leaf, asked);
        let held = Held { id, amounts: ask, taken_at: now, deadline, again: false };
        self.open(held, leaf, asked);
        Ok(held)
    }

    /// Holds more for an open hold, or nothing more. In a fixed or calendar window the hold stays
    /// in the period it was taken in; in a rolling one, what it takes later counts from then on.
    pub fn extend(
        &mut self,
        now: Timestamp,
        id: HoldId,
        more: Amounts,
    ) -> Result<(), Box<Refusal>> {
        let now = self.clock(now);
        let Some(Place::Open(index)) = self.ids.place(id) else {
            return Err(Refusal::without_limit(Why::NoSuchHold));
        };
        let overflow = |_| Refusal::without_limit(Why::Overflow);
        let more = Units::of(&more).map_err(overflow)?;
        let Book { accounts, limits, holds, dirty_limits, .. } = self;
        let hold = &mut holds[index as usize];
        let held = hold.held.plus(more).map_err(overflow)?;
        let chain = &accounts[hold.account as usize].chain;
        let mut shortage = Shortage::default();
        for &at in chain {
            let account = &accounts[at as usize];
            account.fits(more).map_err(overflow)?;
        }
        for slot in hold.slots.iter().filter(|slot| slot.is_last) {
            let node = &mut limits[slot.limit as usize];
            let zone = &accounts[node.account as usize].zone;
            node.state.advance(&node.rule, zone, now).map_err(overflow)?;
            let amount = more.get(node.limit.metric, 0);
            let room = node.state.room_to_extend(&node.rule, now, slot.tag);
            if i128::from(amount) > room {
                shortage.add(node, slot.limit, now, amount);
            }
        }
        if let Some(refusal) = shortage.refusal(accounts, limits, now) {
            return Err(refusal);
        }
        for place in 0..hold.slots.len() {
            let slot = hold.slots[place];
            let node = &mut limits[slot.limit as usize];
            let amount = more.get(node.limit.metric, 0);
            if !slot.is_last || amount == 0 {
                continue;
            }
            let tag = node.state.extend(&node.rule, now, slot.tag, amount);
            if tag == slot.tag {
                hold.slots[place].held += amount;
            } else {
                hold.slots[place].is_last = false;
                let before = slot.before + slot.held;
                hold.slots.push(Slot { tag, held: amount, before, ..slot });
            }
            node.mark(slot.limit, dirty_limits);
        }
        hold.held = held;
        let leaf = hold.account;
        self.open_accounts(leaf, more);
        Ok(())
    }

    /// The time never goes back.
    fn clock(&mut self, now: Timestamp) -> Timestamp {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn hold_again(
        &self,
        place: Place,
        account: AccountId,
        ask: &Amounts,
    ) -> Result<Held, Box<Refusal>> {
        if let Place::Open(index) = place {
            let hold = &self.holds[index as usize];
            let same_account = self.path(account).is_some() && hold.account == account.index;
            if same_account && Units::of(ask) == Ok(hold.asked) {
                return Ok(Held {
                    id: hold.id,
                    amounts: hold.held.amounts(),
                    taken_at: hold.taken_at,
                    deadline: hold.deadline,
                    again: true,
                });
            }
        }
        Err(Refusal::without_limit(Why::DuplicateHold))
    }

    /// Checks all, and leaves in `scratch` what to take.
    fn admit(
        &mut self,
        now: Timestamp,
        leaf: u32,
        facets: &Facets<'_>,
        asked: Units,
    ) -> Result<(), Box<Refusal>> {
        let overflow = |_| Refusal::without_limit(Why::Overflow);
        let Book { accounts, limits, scratch, .. } = self;
        let mut shortage = Shortage::default();
        scratch.clear();
        for &at in &accounts[leaf as usize].chain {
            let account = &accounts[at as usize];
            account.fits(asked).map_err(overflow)?;
            for &limit in &account.limits {
                let node = &mut limits[limit as usize];
                if !node.limit.filter.matches(facets) {
                    continue;
                }
                let amount = asked.get(node.limit.metric, 1);
                node.state.advance(&node.rule, &account.zone, now).map_err(overflow)?;
                if i128::from(amount) > node.state.room(&node.rule, now) {
                    shortage.add(node, limit, now, amount);
                }
                scratch.push(Slot { limit, is_last: true, tag: 0, held: amount, before: 0 });
            }
        }
        shortage.refusal(accounts, limits, now).map_or(Ok(()), Err)
    }

    /// Takes what `admit` found to fit.
    fn take(&mut self, now: Timestamp, leaf: u32, asked: Units) {
        let Book { limits, scratch, dirty_limits, .. } = self;
        for slot in scratch.iter_mut() {
            let node = &mut limits[slot.limit as usize];
            slot.tag = node.state.take(&node.rule, now, slot.held);
            node.mark(slot.limit, dirty_limits);
        }
        self.open_accounts(leaf, asked);
    }

    /// Adds to what is open up the path. That it fits was checked.
    fn open_accounts(&mut self, leaf: u32, more: Units) {
        let accounts = &mut self.accounts;
        for place in 0..accounts[leaf as usize].chain.len() {
            let at = accounts[leaf as usize].chain[place] as usize;
            let open = &mut accounts[at].open;
            *open = open.plus(more).unwrap_or(*open);
        }
    }

    fn open(&mut self, held: Held, account: u32, asked: Units) {
        let index = self.free_holds.pop().unwrap_or_else(|| {
            self.holds.push(Hold {
                id: held.id,
                account,
                phase: Phase::Free,
                asked,
                held: asked,
                taken_at: held.taken_at,
                deadline: held.deadline,
                slots: Vec::new(),
            });
            u32::try_from(self.holds.len() - 1).unwrap_or(u32::MAX)
        });
        let hold = &mut self.holds[index as usize];
        hold.id = held.id;
        hold.account = account;
        hold.phase = Phase::Open;
        hold.asked = asked;
        hold.held = asked;
        hold.taken_at = held.taken_at;
        hold.deadline = held.deadline;
        hold.slots.clear();
        hold.slots.extend_from_slice(&self.scratch);
        self.ids.open(held.id, index);
        self.open_count += 1;
        self.last_taken = self.last_taken.max(held.taken_at);
        self.deadlines.push(Reverse((held.deadline, held.id)));
        self.drop_stale_deadlines();
    }

    /// Most holds end long before their deadline; what they leave in the queue is swept once it
    /// outweighs the open ones, so the queue stays bounded at no cost a call.
    fn drop_stale_deadlines(&mut self) {
        if self.deadlines.len() > 2 * self.open_count + 1_024 {
            let mut deadlines = std::mem::take(&mut self.deadlines);
            deadlines.retain(|Reverse((deadline, id))| self.open_until(*deadline, *id).is_some());
            self.deadlines = deadlines;
        }
    }

    /// The open hold that a deadline is for. An id that was forgotten may have come back with
    /// another one.
    fn open_until(&self, deadline: Timestamp, id: HoldId) -> Option<u32> {
        match self.ids.place(id)? {
            Place::Open(index) => {
                (self.holds[index as usize].deadline == deadline).then_some(index)
            }
            Place::Ended(_) => None,
        }
    }
}

impl Account {
    /// Whether everything open and settled with so much more could still be summed up. So a
    /// settlement within its hold can never overflow.
    fn fits(&self, more: Units) -> Result<(), crate::Overflow> {
        self.totals.plus(self.open)?.plus(more).map(|_| ())
    }
}

impl Node {
    fn mark(&mut self, index: u32, dirty: &mut Vec<u32>) {
        if !self.is_dirty {
            self.is_dirty = true;
            dirty.push(index);
        }
    }
}
