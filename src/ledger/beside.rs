//! Two attempts of one call in flight beside each other: one answers it, the other may have been billed
//! all the same and has its own row.

use tollgate_accounting::Amounts;

use super::entry::Outcome;
use super::open_hold::{Held, Meter, OpenHold, Stop, lock, sealed};
use super::settlement::{self, Attempt, Reach};
use crate::clock;

/// Why the attempt that did not answer was given up, as its row says it.
const OUTRUN: &str = "another attempt answered first";

/// One of a call's attempts, told apart from another that is in flight.
pub struct Beside<'h> {
    hold: &'h OpenHold,
    at: usize,
}

impl OpenHold {
    /// The present attempt, for others to be beside it.
    pub fn present(&self) -> Beside<'_> {
        Beside { hold: self, at: lock(&self.meter).attempts.len().saturating_sub(1) }
    }

    /// Starts an attempt while the present one goes on. One of the two will have been for nothing: where
    /// the account pays for such, the hold is extended by what the dearer of them may cost first.
    pub fn begin_beside(&self, attempt: Attempt) -> Result<Beside<'_>, Stop> {
        let more = {
            let meter = lock(&self.meter);
            let lost = |attempt: &Attempt| {
                let sent = Attempt { reach: Reach::Sent, ..attempt.clone() };
                settlement::failed(&meter.facts, &sent)
            };
            let lost = [meter.attempts.last().and_then(lost), lost(&attempt)];
            lost.into_iter().flatten().reduce(|a, b| dearer(&a, &b))
        };
        if let Some(more) = more {
            self.ledger.extend(&self.meter, self.id(), more)?;
        }
        let mut meter = lock(&self.meter);
        if meter.closed {
            return Err(Stop::Closed);
        }
        meter.attempts.push(attempt);
        let at = meter.attempts.len() - 1;
        drop(meter);
        self.ledger.journal(&self.meter);
        Ok(Beside { hold: self, at })
    }
}

/// The greater of each.
fn dearer(a: &Amounts, b: &Amounts) -> Amounts {
    Amounts {
        requests: a.requests.max(b.requests),
        input_tokens: a.input_tokens.max(b.input_tokens),
        output_tokens: a.output_tokens.max(b.output_tokens),
        cost: a.cost.max(b.cost),
    }
}

impl Beside<'_> {
    /// Notes that the provider answered with this status.
    pub fn answered(&self, status: u16) {
        let now = clock::now();
        self.change(|attempt| attempt.answered(status, now));
    }

    /// Ends this attempt without ending the call.
    pub fn give_up(&self, ended: Outcome, why: &str) {
        self.change(|attempt| attempt.give_up(ended, why));
    }

    /// This attempt is the one that decides the call; what else is in flight is given up for it.
    pub fn decides(self) {
        let mut meter = lock(&self.hold.meter);
        if meter.closed || self.at >= meter.attempts.len() {
            return;
        }
        let this = meter.attempts.remove(self.at);
        for other in meter.attempts.iter_mut().filter(|other| other.ended.is_none()) {
            other.give_up(Outcome::Outrun, OUTRUN);
        }
        meter.attempts.push(this);
        drop(meter);
        self.hold.ledger.journal(&self.hold.meter);
    }

    fn change(&self, change: impl FnOnce(&mut Attempt)) {
        let mut meter = lock(&self.hold.meter);
        let Meter { closed, attempts, .. } = &mut *meter;
        if let Some(attempt) = attempts.get_mut(self.at).filter(|_| !*closed) {
            change(attempt);
        }
    }
}

impl sealed::Sealed for Beside<'_> {}

impl Held for Beside<'_> {
    fn sent(&self) {
        self.change(|attempt| attempt.reach = attempt.reach.max(Reach::Sent));
    }

    fn not_sent(&self) {
        self.change(|attempt| attempt.reach = Reach::Planned);
    }
}
