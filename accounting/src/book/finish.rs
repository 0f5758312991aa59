//! How a hold ends: settled, released or expired, once. A repeat answers the first result.

use std::cmp::Reverse;

use super::ids::{End, Place};
use super::{Book, Hold, HoldId, Phase, Slot};
use crate::amounts::Units;
use crate::{Amounts, Change, Overflow, Timestamp};

/// What a settlement or release did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// What was used is posted, the rest is given back.
    Settled {
        /// More was used than held. It is recorded in full; a limit may now be in debt.
        overrun: bool,
    },
    /// Everything is given back.
    Released,
    /// The hold had expired and its whole amount was charged; the charge is corrected.
    Late {
        /// What was added to the charge; negative where it was less.
        correction: Change,
        /// More was used than held.
        overrun: bool,
    },
    /// The hold had ended before, with this outcome. Nothing was changed.
    Again(Outcome),
    /// No such hold, or it ended so long ago that it is forgotten. Nothing was changed.
    Unknown,
    /// An amount is negative or a sum doesn't fit. Nothing was changed: the hold is still open.
    Overflow,
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// See [`Settlement::Settled`].
    Settled {
        /// More was used than held.
        overrun: bool,
    },
    /// See [`Settlement::Released`].
    Released,
    /// See [`Settlement::Late`].
    Late {
        /// What was added to the charge.
        correction: Change,
        /// More was used than held.
        overrun: bool,
    },
}

impl Book {
    /// Ends a hold with what was used.
    pub fn settle(&mut self, now: Timestamp, id: HoldId, used: Amounts) -> Settlement {
        match Units::of(&used) {
            Ok(used) => self.finish(now, id, Some(used)),
            Err(_) => self.overflow_unless_ended(id),
        }
    }

    /// Ends a hold of which nothing can have been used.
    pub fn release(&mut self, now: Timestamp, id: HoldId) -> Settlement {
        self.finish(now, id, None)
    }

    /// Ends every hold whose deadline has passed. What it held stays charged until a late
    /// settlement or release corrects it.
    pub fn expire(&mut self, now: Timestamp) -> Vec<HoldId> {
        let now = self.clock(now);
        let mut expired = Vec::new();
        while let Some(Reverse((deadline, id))) = self.deadlines.peek().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop();
            if let Some(index) = self.open_until(deadline, id) {
                let held = self.holds[index as usize].held;
                self.post(now, index, held, held);
                self.holds[index as usize].phase = Phase::Expired;
                self.open_count -= 1;
                self.end(id, End::Expired(index));
                expired.push(id);
            }
        }
        expired
    }

    fn overflow_unless_ended(&self, id: HoldId) -> Settlement {
        match self.ids.place(id) {
            None => Settlement::Unknown,
            Some(Place::Open(_)) => Settlement::Overflow,
            Some(Place::Ended(place)) => match self.ids.end_at(place) {
                Some(End::Final(outcome)) => Settlement::Again(outcome),
                Some(End::Expired(_)) => Settlement::Overflow,
                None => Settlement::Unknown,
            },
        }
    }

    /// `None` is a release.
    fn finish(&mut self, now: Timestamp, id: HoldId, used: Option<Units>) -> Settlement {
        let now = self.clock(now);
        match self.ids.place(id) {
            None => Settlement::Unknown,
            Some(Place::Open(index)) => self.finish_open(now, id, index, used),
            Some(Place::Ended(place)) => match self.ids.end_at(place) {
                Some(End::Final(outcome)) => Settlement::Again(outcome),
                Some(End::Expired(index)) => {
                    self.finish_late(now, place, index, used.unwrap_or(Units::NONE))
                }
                None => Settlement::Unknown,
            },
        }
    }

    fn finish_open(
        &mut self,
        now: Timestamp,
        id: HoldId,
        index: u32,
        used: Option<Units>,
    ) -> Settlement {
        let posted = used.unwrap_or(Units::NONE);
        let held = self.holds[index as usize].held;
        let overrun = posted.exceeds(&held);
        if overrun && self.can_post(index, held, posted).is_err() {
            return Settlement::Overflow;
        }
        self.post(now, index, held, posted);
        self.open_count -= 1;
        self.free(index);
        let outcome = match used {
            Some(_) => Outcome::Settled { overrun },
            None => Outcome::Released,
        };
        self.end(id, End::Final(outcome));
        outcome.into()
    }

    fn finish_late(&mut self, now: Timestamp, place: u32, index: u32, used: Units) -> Settlement {
        let charged = self.holds[index as usize].held;
        let overrun = used.exceeds(&charged);
        let Ok(difference) = used.minus(charged) else { return Settlement::Overflow };
        if overrun && self.can_post(index, charged, used).is_err() {
            return Settlement::Overflow;
        }
        let Book { limits, holds, dirty_limits, .. } = self;
        let hold = &holds[index as usize];
        for slot in &hold.slots {
            let node = &mut limits[slot.limit as usize];
            let part = slot.part(used.get(node.limit.metric, 0));
            node.state.correct(&node.rule, now, slot.tag, slot.held, part);
            node.mark(slot.limit, dirty_limits);
        }
        let account = hold.account;
        self.charge(account, charged, used, Units::NONE);
        self.free(index);
        let outcome = Outcome::Late { correction: difference.change(), overrun };
        self.ids.correct(place, outcome);
        outcome.into()
    }

    /// Whether an overrun can be represented everywhere it counts.
    fn can_post(&self, index: u32, held: Units, used: Units) -> Result<(), Overflow> {
        let hold = &self.holds[index as usize];
        let more = used.minus(held)?;
        let chain = &self.accounts[hold.account as usize].chain;
        for &at in chain {
            let account = &self.accounts[at as usize];
            account.fits(more)?;
        }
        for slot in &hold.slots {
            let node = &self.limits[slot.limit as usize];
            let part = slot.part(used.get(node.limit.metric, 0));
            node.state.can_settle(&node.rule, slot.tag, slot.held, part)?;
        }
        Ok(())
    }

    /// Moves a hold from held to posted, in every limit and account it touched.
    fn post(&mut self, now: Timestamp, index: u32, held: Units, used: Units) {
        let Book { limits, holds, dirty_limits, .. } = self;
        let hold = &holds[index as usize];
        for slot in &hold.slots {
            let node = &mut limits[slot.limit as usize];
            let part = slot.part(used.get(node.limit.metric, 0));
            node.state.settle(&node.rule, now, slot.tag, slot.held, part);
            node.mark(slot.limit, dirty_limits);
        }
        let account = hold.account;
        self.charge(account, Units::NONE, used, held);
    }

    /// Changes the totals by `used - charged` and what is open by `-held`, up the path. That all
    /// of it fits was checked when the hold was taken, or just now for an overrun.
    fn charge(&mut self, account: u32, charged: Units, used: Units, held: Units) {
        let Book { accounts, dirty_accounts, .. } = self;
        for place in 0..accounts[account as usize].chain.len() {
            let at = accounts[account as usize].chain[place];
            let account = &mut accounts[at as usize];
            let totals = account.totals.minus(charged).and_then(|left| left.plus(used));
            account.totals = totals.unwrap_or(account.totals);
            account.open = account.open.minus(held).unwrap_or(account.open);
            if !account.is_dirty && used != charged {
                account.is_dirty = true;
                dirty_accounts.push(at);
            }
        }
    }

    fn end(&mut self, id: HoldId, end: End) {
        if let Some(index) = self.ids.end(id, end) {
            self.free(index);
        }
    }

    /// Forgets a hold: no slot will be settled or corrected any more.
    fn free(&mut self, index: u32) {
        let Book { limits, holds, free_holds, .. } = self;
        let Hold { slots, phase, .. } = &mut holds[index as usize];
        for slot in slots.iter() {
            limits[slot.limit as usize].state.forget(slot.tag);
        }
        slots.clear();
        *phase = Phase::Free;
        free_holds.push(index);
    }
}

impl Slot {
    /// The part of what the hold used that belongs here: the earlier slots are filled first, and
    /// the last one takes all the rest.
    fn part(&self, used: i64) -> i64 {
        let rest = (used - self.before).max(0);
        if self.is_last { rest } else { rest.min(self.held) }
    }
}

impl From<Outcome> for Settlement {
    fn from(outcome: Outcome) -> Settlement {
        match outcome {
            Outcome::Settled { overrun } => Settlement::Settled { overrun },
            Outcome::Released => Settlement::Released,
            Outcome::Late { correction, overrun } => Settlement::Late { correction, overrun },
        }
    }
}
