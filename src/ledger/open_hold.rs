//! The guard of one call: what it holds, and all that was seen of it. It is settled exactly once: by
//! `settle`, which consumes it, or by being dropped, which settles what was seen.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tollgate_accounting::{Amounts, Money, PriceCard, Provenance, Rounding, Timestamp};

use super::entry::{CallId, Counted, Outcome};
use super::settlement::{self, Attempt, CallFacts, Posting, Reach};
use super::sync::{Mutex, MutexGuard, PoisonError};
use super::{Ledger, Refused};
use crate::clock;

/// What an open call holds and has seen. Shared with the ledger, so that a call whose client stalls
/// past its deadline, or that an administrator stops, is settled although nobody polls it.
pub(super) struct Meter {
    pub(super) seq: u64,
    pub(super) facts: CallFacts,
    pub(super) deadline: Timestamp,
    pub(super) held: Amounts,
    pub(super) attempts: Vec<Attempt>,
    pub(super) closed: bool,
    /// What it came to, once it is closed.
    pub(super) settled: Option<Settled>,
    /// Whether the meter waits in the queue to have its progress written.
    pub(super) journalling: bool,
    /// Whether it is a line at its provider, which nobody here waits for.
    pub(super) handed_over: bool,
}

impl Meter {
    pub(super) fn new(
        seq: u64,
        facts: CallFacts,
        deadline: Timestamp,
        held: Amounts,
        first: Attempt,
    ) -> Meter {
        let attempts = vec![first];
        Meter {
            seq,
            facts,
            deadline,
            held,
            attempts,
            closed: false,
            settled: None,
            journalling: false,
            handed_over: false,
        }
    }

    pub(super) fn current(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut()
    }
}

/// Why a call may not go on.
#[derive(Debug)]
pub enum Stop {
    /// A limit on the path has nothing left.
    Refused(Refused),
    /// The hold was closed meanwhile: its deadline passed, or it was stopped.
    Closed,
}

/// What is held for a request that is about to be sent. Only an open hold, or several whose calls are
/// sent as one, can be that.
pub trait Held: sealed::Sealed + Sync {
    /// Notes that bytes of the request may now reach the provider.
    fn sent(&self);
    /// Takes `sent` back: there was no connection to send on.
    fn not_sent(&self);
}

pub(super) mod sealed {
    /// Keeps `Held` to the ledger.
    pub trait Sealed {}
    impl Sealed for super::OpenHold {}
    impl Sealed for super::Party {}
}

/// An open hold. Without one, `upstream` sends nothing.
pub struct OpenHold {
    pub(super) ledger: Ledger,
    pub(super) meter: Arc<Mutex<Meter>>,
    id: CallId,
    seq: u64,
    /// Whether it stays open when this is dropped.
    stays: bool,
    settled: bool,
}

impl OpenHold {
    pub(super) fn new(
        ledger: Ledger,
        meter: Arc<Mutex<Meter>>,
        id: CallId,
        seq: u64,
        stays: bool,
    ) -> OpenHold {
        OpenHold { ledger, meter, id, seq, stays, settled: false }
    }

    /// The call's id.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// The output tokens it has room for.
    pub fn held_output(&self) -> u64 {
        lock(&self.meter).held.output_tokens
    }

    /// The model as it was asked for.
    pub fn asked_model(&self) -> Arc<str> {
        lock(&self.meter).facts.asked_model.clone()
    }

    /// Resolves once the hold is committed. No byte of a reply may leave before that.
    pub fn durable(&self) -> Durable {
        Durable { ledger: self.ledger.clone(), seq: self.seq }
    }

    /// Starts another attempt; the one before it was given up, or was never made and
    /// makes way. Where the account pays for what that one
    /// may have cost, the hold is extended by it first.
    pub fn begin(&self, attempt: Attempt) -> Result<(), Stop> {
        let (id, more) = {
            let meter = lock(&self.meter);
            let failed = meter.attempts.last();
            (meter.facts.id, failed.and_then(|failed| settlement::failed(&meter.facts, failed)))
        };
        if let Some(more) = more {
            self.ledger.extend(&self.meter, id, more)?;
        }
        let mut meter = lock(&self.meter);
        match meter.current() {
            Some(unmade) if unmade.reach == Reach::Planned && unmade.ended.is_none() => {
                *unmade = attempt;
            }
            _ => meter.attempts.push(attempt),
        }
        drop(meter);
        self.ledger.journal(&self.meter);
        Ok(())
    }

    /// The hold's word in a request that is sent for several calls.
    pub fn aboard(&self) -> Aboard {
        Aboard { ledger: self.ledger.clone(), meter: self.meter.clone() }
    }

    /// Notes that the provider answered with this status.
    pub fn answered(&self, status: u16) {
        let now = clock::now();
        self.on_attempt(|attempt| attempt.answered(status, now));
    }

    /// Ends the present attempt without ending the call.
    pub fn give_up(&self, ended: Outcome, why: &str) {
        self.on_attempt(|attempt| attempt.give_up(ended, why));
    }

    /// Notes in which service tier the provider says the present attempt is processed.
    pub fn processed_in(&self, tier: &str) {
        self.on_attempt(|attempt| attempt.processed_in(tier));
    }

    /// Changes what was seen of the present attempt.
    pub fn on_attempt(&self, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = lock(&self.meter).current() {
            change(attempt);
        }
    }

    /// Notes that the reply has come to so many output tokens. Within what is held, they count as
    /// passed on; otherwise the answer is by how many tokens the hold falls short, and nothing does.
    pub fn advance(&self, output_tokens: u64) -> Result<u64, Stop> {
        let mut meter = lock(&self.meter);
        if meter.closed {
            return Err(Stop::Closed);
        }
        let held = meter.held.output_tokens;
        if let Some(attempt) = meter.current() {
            attempt.output_seen = attempt.output_seen.max(output_tokens);
            if output_tokens <= held {
                attempt.output_delivered = attempt.output_delivered.max(output_tokens);
            }
        }
        Ok(output_tokens.saturating_sub(held))
    }

    /// Holds room for so many more output tokens, on every account of the path or on none.
    pub fn extend(&self, output_tokens: u64) -> Result<(), Stop> {
        let (id, cost) = {
            let mut meter = lock(&self.meter);
            if meter.closed {
                return Err(Stop::Closed);
            }
            let markup = meter.facts.terms.markup;
            let Some(attempt) = meter.current() else { return Err(Stop::Closed) };
            let input = attempt.input.tokens;
            let cost = output_cost(&attempt.card, input, output_tokens)
                .and_then(|cost| markup.price(cost, Rounding::Up).ok())
                .ok_or(Stop::Refused(Refused::Uncountable))?;
            (meter.facts.id, cost)
        };
        let more = Amounts { requests: 0, input_tokens: 0, output_tokens, cost };
        self.ledger.extend(&self.meter, id, more)
    }

    /// Has the progress of the call written with the next group.
    pub fn journal(&self) -> Result<(), Stop> {
        if lock(&self.meter).closed {
            return Err(Stop::Closed);
        }
        self.ledger.journal(&self.meter);
        Ok(())
    }

    /// Posts what was used and gives back the rest.
    pub fn settle(mut self, outcome: Outcome) -> Settled {
        self.settled = true;
        self.ledger.close_meter(&self.meter, outcome)
    }
}

impl Held for OpenHold {
    fn sent(&self) {
        self.on_attempt(|a| a.reach = a.reach.max(Reach::Sent));
    }

    fn not_sent(&self) {
        self.on_attempt(|a| a.reach = Reach::Planned);
    }
}

impl Drop for OpenHold {
    fn drop(&mut self) {
        if !self.settled && !self.stays {
            self.ledger.close_meter(&self.meter, Outcome::ClientGone);
        }
    }
}

/// A call that is to be sent together with others. Its hold stays with the call, which settles it.
#[derive(Clone)]
pub struct Aboard {
    ledger: Ledger,
    meter: Arc<Mutex<Meter>>,
}

impl Aboard {
    /// Ends the present attempt, which the provider refused with that status, and starts another at the
    /// same target, unless the call is over.
    pub fn again(&self, status: u16, why: &str) {
        let mut meter = lock(&self.meter);
        if meter.closed {
            return;
        }
        let Some(refused) = meter.current() else { return };
        refused.status = Some(status);
        refused.reach = Reach::Rejected;
        refused.ended = Some(Outcome::Failed);
        refused.error = Some(why.into());
        // A refused attempt costs nothing, so there is nothing more to hold.
        let next = refused.unsent();
        meter.attempts.push(next);
        drop(meter);
        self.ledger.journal(&self.meter);
    }

    fn change(&self, change: impl FnOnce(&mut Attempt)) -> bool {
        let mut meter = lock(&self.meter);
        let open = !meter.closed;
        if let Some(attempt) = meter.current().filter(|_| open) {
            change(attempt);
        }
        open
    }
}

/// The calls of one request, each with an open hold: that is what they are let in by.
pub struct Party(Vec<Aboard>);

impl Party {
    /// Those of the calls that are still open, noted as sent; nothing where none is. The flags say which.
    pub fn of<'a>(calls: impl Iterator<Item = &'a Aboard>) -> (Option<Party>, Vec<bool>) {
        let (mut party, mut open) = (Vec::new(), Vec::new());
        for call in calls {
            let is_open = call.change(|attempt| attempt.reach = attempt.reach.max(Reach::Sent));
            open.push(is_open);
            if is_open {
                party.push(call.clone());
            }
        }
        (Some(Party(party)).filter(|party| !party.0.is_empty()), open)
    }
}

impl Held for Party {
    fn sent(&self) {
        for call in &self.0 {
            call.change(|attempt| attempt.reach = attempt.reach.max(Reach::Sent));
        }
    }

    fn not_sent(&self) {
        for call in &self.0 {
            call.change(|attempt| attempt.reach = Reach::Planned);
        }
    }
}

/// What a settled call came to, for the reply's headers and its usage block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What the tenant pays, failed attempts included where it pays for those.
    pub charged: Money,
    /// Input tokens posted.
    pub input: Counted,
    /// Output tokens posted.
    pub output: Counted,
}

impl Settled {
    pub(super) fn of(posting: &Posting) -> Settled {
        let Some(last) = posting.entries.last() else { return Settled::NOTHING };
        let counted = |tokens, provenance: Option<Provenance>| Counted {
            tokens,
            provenance: provenance.unwrap_or(Provenance::Estimated),
        };
        Settled {
            charged: posting.used.cost,
            input: counted(last.posted_input, last.input_provenance),
            output: counted(last.posted_output, last.output_provenance),
        }
    }

    /// What a call that was not made again settles for.
    pub const NOTHING: Settled = Settled {
        charged: Money::ZERO,
        input: Counted { tokens: 0, provenance: Provenance::Estimated },
        output: Counted { tokens: 0, provenance: Provenance::Estimated },
    };
}

/// The dearest price of so many output tokens, rounded up; `None` where it cannot be computed.
pub fn output_cost(card: &PriceCard, input: u64, output_tokens: u64) -> Option<Money> {
    let rate = card.dearest_output_rate(input).ok()?;
    Money::from_pico(rate.times(output_tokens).ok()?, Rounding::Up).ok()
}

/// A future that is ready once everything up to a hold's row is committed.
pub struct Durable {
    ledger: Ledger,
    seq: u64,
}

impl Future for Durable {
    type Output = Result<(), Refused>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.ledger.poll_committed(self.seq, context.waker())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A meter is changed by plain stores, so a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
