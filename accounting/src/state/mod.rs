//! What a limit remembers, by algorithm, behind one set of verbs: advance to now, say what fits,
//! take, give more, settle. Each is a pure function of (state, rule, now, amount); who calls them
//! in which order is the book's business.

mod bucket;
mod log;
mod window;

pub(crate) use bucket::Bucket;
pub(crate) use log::Log;
pub(crate) use window::Windows;

use crate::{Algorithm, Calendar, Limit, Overflow, Period, Timestamp, Window, Zone};

/// Room that calls in flight occupy may come back at any moment; nobody knows when. A caller is
/// told to ask again this much later.
pub(crate) const ASK_AGAIN: i64 = crate::SECOND;

/// A limit reduced to the numbers that the hot path needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The most at once.
    pub(crate) capacity: i64,
    /// The refill of a bucket each window.
    pub(crate) rate: i64,
    /// The length of a rolling window.
    pub(crate) micros: i64,
    pub(crate) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Bucket,
    Fixed,
    Calendar(Calendar),
    Sliding,
    Log,
    Flight,
}

/// One limit's state.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Bucket(Bucket),
    Windows(Windows),
    Log(Log),
    /// Calls in flight: all that is held, nothing is ever posted.
    Flight {
        held: i64,
    },
}

/// What a person is shown, and what a refusal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) posted: i64,
    pub(crate) held: i64,
    pub(crate) available: i64,
    pub(crate) resets_at: Option<Timestamp>,
    /// Of a window that begins and ends; `None` where use is weighed over the time that just passed.
    pub(crate) period: Option<Period>,
}

/// A state's durable part: which row, and its opaque integers. What is held isn't part of it; the
/// open holds say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) period: i64,
    pub(crate) fields: [i64; 3],
}

impl Rule {
    pub(crate) fn of(limit: &Limit) -> Rule {
        let shape = match (limit.algorithm, limit.window) {
            (Algorithm::TokenBucket { .. } | Algorithm::LeakyBucket { .. }, _) => Shape::Bucket,
            (Algorithm::SlidingWindow, _) => Shape::Sliding,
            (Algorithm::SlidingLog, _) => Shape::Log,
            (Algorithm::Calendar, Window::Calendar(calendar)) => Shape::Calendar(calendar),
            (Algorithm::FixedWindow | Algorithm::Calendar, _) => Shape::Fixed,
            (Algorithm::Concurrency, _) => Shape::Flight,
        };
        let micros = match limit.window {
            Window::Rolling { micros } => micros.max(1),
            Window::Calendar(_) | Window::None => 1,
        };
        Rule { capacity: limit.capacity(), rate: limit.amount, micros, shape }
    }
}

impl State {
    /// Nothing used yet.
    pub(crate) fn new(rule: &Rule) -> State {
        match rule.shape {
            Shape::Bucket => State::Bucket(Bucket::default()),
            Shape::Fixed | Shape::Calendar(_) | Shape::Sliding => {
                State::Windows(Windows::default())
            }
            Shape::Log => State::Log(Log::default()),
            Shape::Flight => State::Flight { held: 0 },
        }
    }

    /// Refills, leaks, rolls into the current period. `now` never goes back.
    pub(crate) fn advance(
        &mut self,
        rule: &Rule,
        zone: &Zone,
        now: Timestamp,
    ) -> Result<(), Overflow> {
        match self {
            State::Bucket(bucket) => {
                bucket.advance(rule, now);
                Ok(())
            }
            State::Windows(windows) => windows.advance(rule, zone, now),
            State::Log(log) => {
                log.advance(rule, now);
                Ok(())
            }
            State::Flight { .. } => Ok(()),
        }
    }

    /// What a new hold may take now, after `advance`; negative in debt.
    pub(crate) fn room(&self, rule: &Rule, now: Timestamp) -> i128 {
        match self {
            State::Bucket(bucket) => bucket.room(rule),
            State::Windows(windows) => windows.room(rule, now),
            State::Log(log) => log.room(rule),
            State::Flight { held } => i128::from(rule.capacity) - i128::from(*held),
        }
    }

    /// Takes what `room` allowed. The tag says where it was taken, for `extend` and `settle`.
    pub(crate) fn take(&mut self, rule: &Rule, now: Timestamp, amount: i64) -> i64 {
        match self {
            State::Bucket(bucket) => bucket.take(rule, amount),
            State::Windows(windows) => windows.take(amount),
            State::Log(log) => log.take(now, amount),
            State::Flight { held } => {
                *held += amount;
                0
            }
        }
    }

    /// What an open hold may take more, after `advance`.
    pub(crate) fn room_to_extend(&self, rule: &Rule, now: Timestamp, tag: i64) -> i128 {
        match self {
            State::Windows(windows) => windows.room_to_extend(rule, now, tag),
            State::Bucket(_) | State::Log(_) | State::Flight { .. } => self.room(rule, now),
        }
    }

    /// Takes what `room_to_extend` allowed, and says where: in windows that roll, what a call
    /// takes later counts from then on.
    pub(crate) fn extend(&mut self, rule: &Rule, now: Timestamp, tag: i64, amount: i64) -> i64 {
        match self {
            State::Windows(windows) => windows.extend(rule, tag, amount),
            State::Bucket(_) | State::Log(_) | State::Flight { .. } => self.take(rule, now, amount),
        }
    }

    /// Whether `settle` can represent its result. Only an overrun can fail.
    pub(crate) fn can_settle(
        &self,
        rule: &Rule,
        tag: i64,
        held: i64,
        used: i64,
    ) -> Result<(), Overflow> {
        let more = used.checked_sub(held).ok_or(Overflow)?;
        match self {
            State::Bucket(bucket) => bucket.can_owe(rule, more),
            State::Windows(windows) => windows.can_owe(tag, more),
            State::Log(log) => log.can_owe(more),
            State::Flight { .. } => Ok(()),
        }
    }

    /// Ends a hold: what was held is given back, what was used is posted.
    pub(crate) fn settle(&mut self, rule: &Rule, now: Timestamp, tag: i64, held: i64, used: i64) {
        match self {
            State::Bucket(bucket) => bucket.settle(rule, now, held, used),
            State::Windows(windows) => windows.settle(tag, held, used),
            State::Log(log) => log.settle(tag, held, used),
            State::Flight { held: all } => *all -= held,
        }
    }

    /// Corrects what an expired hold was charged. Whether it can be is `can_settle`'s to say.
    pub(crate) fn correct(
        &mut self,
        rule: &Rule,
        now: Timestamp,
        tag: i64,
        charged: i64,
        used: i64,
    ) {
        match self {
            State::Bucket(bucket) => bucket.correct(rule, now, charged, used),
            State::Windows(windows) => windows.correct(tag, charged, used),
            State::Log(log) => log.correct(tag, charged, used),
            State::Flight { .. } => {}
        }
    }

    /// Changes what was posted at an instant, if its window has a beginning and an end and still runs;
    /// after `advance`. Says whether it did.
    pub(crate) fn adjust(&mut self, rule: &Rule, taken_at: Timestamp, change: i64) -> bool {
        match self {
            State::Windows(windows) if rule.shape != Shape::Sliding => {
                windows.adjust(taken_at, change)
            }
            State::Windows(_) | State::Bucket(_) | State::Log(_) | State::Flight { .. } => false,
        }
    }

    /// The last word about a taking: nothing will refer to its tag any more.
    pub(crate) fn forget(&mut self, tag: i64) {
        if let State::Windows(windows) = self {
            windows.forget(tag);
        }
    }

    /// The first instant at which `amount` fits if nothing else happens; after `advance`.
    pub(crate) fn retry_at(&self, rule: &Rule, now: Timestamp, amount: i64) -> Timestamp {
        match self {
            State::Bucket(bucket) => bucket.retry_at(rule, amount),
            State::Windows(windows) => windows.retry_at(rule, now, amount),
            State::Log(log) => log.retry_at(rule, now, amount),
            State::Flight { .. } => now.saturating_plus(ASK_AGAIN),
        }
    }

    /// How it stands at `now`, without moving anything.
    pub(crate) fn view(&self, rule: &Rule, zone: &Zone, now: Timestamp) -> View {
        match self {
            State::Bucket(bucket) => bucket.view(rule, now),
            State::Windows(windows) => windows.view(rule, zone, now),
            State::Log(log) => log.view(rule, now),
            State::Flight { held } => View {
                posted: 0,
                held: *held,
                available: to_i64(i128::from(rule.capacity) - i128::from(*held)),
                resets_at: None,
                period: None,
            },
        }
    }

    /// The current window, of those that begin and end, and what was used in it.
    pub(crate) fn period_use(&self, rule: &Rule) -> Option<(Period, i64)> {
        match self {
            State::Windows(windows) if rule.shape != Shape::Sliding => Some(windows.current()),
            _ => None,
        }
    }

    /// The rows that changed since the last call.
    pub(crate) fn rows(&mut self, rule: &Rule, push: &mut dyn FnMut(Row)) {
        match self {
            State::Bucket(bucket) => bucket.rows(push),
            State::Windows(windows) => windows.rows(rule, push),
            State::Log(log) => log.rows(push),
            State::Flight { .. } => {}
        }
    }

    /// Every row counts as changed.
    pub(crate) fn touch(&mut self) {
        match self {
            State::Bucket(bucket) => bucket.touch(),
            State::Windows(windows) => windows.touch(),
            State::Log(log) => log.touch(),
            State::Flight { .. } => {}
        }
    }

    /// Puts a row back. `false` if no state of this kind could have written it.
    pub(crate) fn restore(&mut self, rule: &Rule, row: Row) -> bool {
        match self {
            State::Bucket(bucket) => bucket.restore(rule, row),
            State::Windows(windows) => windows.restore(rule, row),
            State::Log(log) => log.restore(row),
            State::Flight { .. } => false,
        }
    }

    /// Puts an open hold back, which was taken at `taken_at` and is part of the restored rows.
    /// `None` where no restored row can have it.
    pub(crate) fn retake(&mut self, rule: &Rule, taken_at: Timestamp, amount: i64) -> Option<i64> {
        match self {
            State::Bucket(bucket) => bucket.retake(amount),
            State::Windows(windows) => windows.retake(rule, taken_at, amount),
            State::Log(log) => log.retake(rule, taken_at, amount),
            State::Flight { held } => {
                *held = held.checked_add(amount)?;
                Some(0)
            }
        }
    }

    /// The latest instant that the state knows to have passed.
    pub(crate) fn seen(&self) -> Timestamp {
        match self {
            State::Bucket(bucket) => bucket.seen(),
            State::Windows(windows) => windows.seen(),
            State::Log(log) => log.seen(),
            State::Flight { .. } => Timestamp::MIN,
        }
    }

    /// Checks what must always hold, given for each tag what the open holds took there.
    pub(crate) fn sound(&self, rule: &Rule, open: &mut dyn Iterator<Item = (i64, i64)>) -> bool {
        match self {
            State::Bucket(bucket) => bucket.sound(rule, open),
            State::Windows(windows) => windows.sound(open),
            State::Log(log) => log.sound(open),
            State::Flight { held } => {
                let sum: i128 = open.map(|(_, amount)| i128::from(amount)).sum();
                i128::from(*held) == sum
            }
        }
    }
}

/// For display only: the true number decides, this one is shown.
pub(crate) fn to_i64(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::to_i64;

    #[test]
    fn what_is_shown_ends_at_the_range_on_its_own_side() {
        let shown = [i128::MIN, -1, 0, 1, i128::MAX].map(to_i64);
        assert_eq!(shown, [i64::MIN, -1, 0, 1, i64::MAX]);
    }
}
