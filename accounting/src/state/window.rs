//! Balances of windows that begin and end: fixed, calendar and sliding-counter windows. Each
//! window has its own balance, a hold settles into the window it was taken in, and there is no
//! reset: a later instant simply belongs to another window.

use super::{ASK_AGAIN, Row, Rule, Shape, View, to_i64};
use crate::{Overflow, Period, Timestamp, Zone};

/// A window that comes back at once has this many rows at most; then the newest takes the place of
/// the oldest. A calendar's rows are kept, because there are few and people ask for them.
const PLACES: i64 = 1_024;

/// The current window, and those before it that something still refers to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows {
    now: Balance,
    /// Oldest first.
    past: Vec<Balance>,
    /// The start of the newest window that something was taken in.
    newest: Option<Timestamp>,
}

/// One window's balance.
#[derive(Clone, Copy, Debug)]
struct Balance {
    start: Timestamp,
    end: Timestamp,
    posted: i64,
    held: i64,
    /// The most that may be posted and held: the largest capacity the window has had, and every
    /// overrun. For the audit; admission looks at the capacity alone.
    excused: i128,
    /// Takings that may still be extended, settled or corrected.
    refs: u32,
    /// A row is or will be in the ledger.
    known: bool,
    dirty: bool,
}

impl Default for Balance {
    fn default() -> Self {
        Balance::new(Period { start: Timestamp::MIN, end: Timestamp::MIN })
    }
}

impl Windows {
    pub(super) fn advance(
        &mut self,
        rule: &Rule,
        zone: &Zone,
        now: Timestamp,
    ) -> Result<(), Overflow> {
        if now >= self.now.end {
            let next = Balance::new(period(rule, zone, now)?);
            let left = std::mem::replace(&mut self.now, next);
            self.past.push(left);
            self.drop_finished(rule);
        }
        self.now.excused = self.now.excused.max(i128::from(rule.capacity));
        Ok(())
    }

    pub(super) fn room(&self, rule: &Rule, now: Timestamp) -> i128 {
        i128::from(rule.capacity) - self.counted(rule, now)
    }

    pub(super) fn take(&mut self, amount: i64) -> i64 {
        self.now.take(amount);
        self.now.refs += 1;
        self.newest = self.newest.max(Some(self.now.start));
        self.now.start.micros()
    }

    /// A fixed or calendar window that has ended has only its own room; a rolling one ends never,
    /// so that what a long call takes more must fit now.
    pub(super) fn room_to_extend(&self, rule: &Rule, now: Timestamp, tag: i64) -> i128 {
        match self.find(tag) {
            Some(balance) if rule.shape != Shape::Sliding => {
                i128::from(rule.capacity) - balance.sum()
            }
            _ => self.room(rule, now),
        }
    }

    pub(super) fn extend(&mut self, rule: &Rule, tag: i64, amount: i64) -> i64 {
        if rule.shape == Shape::Sliding && tag != self.now.start.micros() {
            return self.take(amount);
        }
        if let Some(balance) = self.find_mut(tag) {
            balance.take(amount);
            // The capacity may have been raised since the window ended.
            balance.excused = balance.excused.max(i128::from(rule.capacity));
        }
        tag
    }

    pub(super) fn can_owe(&self, tag: i64, more: i64) -> Result<(), Overflow> {
        let sum = self.find(tag).map_or(0, Balance::sum) + i128::from(more);
        i64::try_from(sum).map(|_| ()).map_err(|_| Overflow)
    }

    pub(super) fn settle(&mut self, tag: i64, held: i64, used: i64) {
        if let Some(balance) = self.find_mut(tag) {
            balance.held -= held;
            balance.post(held, used, used);
        }
    }

    pub(super) fn correct(&mut self, tag: i64, charged: i64, used: i64) {
        if let Some(balance) = self.find_mut(tag) {
            balance.post(charged, used, used - charged);
        }
    }

    pub(super) fn adjust(&mut self, taken_at: Timestamp, change: i64) -> bool {
        let within = self.now.start <= taken_at && taken_at < self.now.end;
        let posted = self.now.posted.checked_add(change).filter(|posted| *posted >= 0);
        let fits = posted.and_then(|posted| posted.checked_add(self.now.held)).is_some();
        if within && fits {
            self.now.post(0, change, change);
        }
        within && fits
    }

    pub(super) fn forget(&mut self, tag: i64) {
        if let Some(balance) = self.find_mut(tag) {
            balance.refs = balance.refs.saturating_sub(1);
        }
    }

    pub(super) fn retry_at(&self, rule: &Rule, now: Timestamp, amount: i64) -> Timestamp {
        let room = i128::from(rule.capacity) - i128::from(amount);
        if rule.shape == Shape::Sliding {
            return self.retry_sliding(rule, room);
        }
        if i128::from(self.now.posted) <= room {
            return now.saturating_plus(ASK_AGAIN).min(self.now.end);
        }
        self.now.end
    }

    pub(super) fn view(&self, rule: &Rule, zone: &Zone, now: Timestamp) -> View {
        let now = now.max(self.now.start);
        if now >= self.now.end {
            // Another window than the last that was used, unless an old one still weighs on it.
            let mut moved = Windows {
                now: self.now,
                past: self.previous(rule).into_iter().collect(),
                newest: None,
            };
            if moved.advance(rule, zone, now).is_ok() {
                return moved.view_current(rule, now);
            }
        }
        self.view_current(rule, now)
    }

    pub(super) fn current(&self) -> (Period, i64) {
        let Balance { start, end, posted, .. } = self.now;
        (Period { start, end }, posted)
    }

    pub(super) fn rows(&mut self, rule: &Rule, push: &mut dyn FnMut(Row)) {
        let newest = self.newest.unwrap_or(self.now.start);
        for balance in self.past.iter_mut().chain([&mut self.now]) {
            if std::mem::take(&mut balance.dirty) && !is_replaced(rule, balance.start, newest) {
                let (start, end) = (balance.start.micros(), balance.end.micros());
                let (period, bound) = match rule.shape {
                    Shape::Calendar(_) => (start, end),
                    _ => (place(rule, start), start),
                };
                let fields = [bound, balance.posted, to_i64(balance.excused)];
                push(Row { period, fields });
            }
        }
    }

    pub(super) fn touch(&mut self) {
        let all = self.past.iter_mut().chain([&mut self.now]);
        all.for_each(|balance| balance.dirty |= balance.known);
    }

    pub(super) fn restore(&mut self, rule: &Rule, row: Row) -> bool {
        let Row { period, fields: [bound, posted, excused] } = row;
        let (start, end) = match rule.shape {
            Shape::Calendar(_) => (period, Some(bound)),
            _ if period != place(rule, bound) || bound % rule.micros != 0 => return false,
            _ => (bound, bound.checked_add(rule.micros)),
        };
        let Some(end) = end.filter(|end| *end > start && posted >= 0) else { return false };
        let [start, end] = [start, end].map(Timestamp::from_micros);
        let period = Period { start, end };
        let excused = i128::from(excused).max(i128::from(rule.capacity)).max(i128::from(posted));
        let balance = Balance { posted, excused, known: true, ..Balance::new(period) };
        self.newest = self.newest.max(Some(balance.start));
        if balance.start > self.now.start {
            let left = std::mem::replace(&mut self.now, balance);
            self.past.push(left);
        } else if balance.start == self.now.start {
            self.now = balance;
        } else {
            let place = self.past.partition_point(|before| before.start < balance.start);
            self.past.insert(place, balance);
        }
        true
    }

    /// The oldest window that holds the instant: where an account's zone was changed, the running
    /// window went on to its end before the new zone's began.
    pub(super) fn retake(&mut self, rule: &Rule, taken_at: Timestamp, amount: i64) -> Option<i64> {
        let newest = self.newest?;
        let mut all = self.past.iter_mut().chain([&mut self.now]);
        let balance = all.find(|balance| balance.known && balance.holds(taken_at))?;
        if is_replaced(rule, balance.start, newest) {
            return None;
        }
        i64::try_from(balance.sum() + i128::from(amount)).ok()?;
        balance.held += amount;
        balance.excused = balance.excused.max(balance.sum());
        balance.refs += 1;
        Some(balance.start.micros())
    }

    pub(super) fn seen(&self) -> Timestamp {
        self.now.start
    }

    pub(super) fn sound(&self, open: &mut dyn Iterator<Item = (i64, i64)>) -> bool {
        let mut left: Vec<(i64, i128)> = self
            .past
            .iter()
            .chain([&self.now])
            .map(|balance| (balance.start.micros(), i128::from(balance.held)))
            .collect();
        for (tag, amount) in open {
            match left.iter_mut().find(|(start, _)| *start == tag) {
                Some((_, held)) => *held -= i128::from(amount),
                None => return false,
            }
        }
        let explained = self.past.iter().chain([&self.now]).all(Balance::is_explained);
        explained && left.iter().all(|(_, held)| *held == 0)
    }

    /// What counts against the capacity now.
    fn counted(&self, rule: &Rule, now: Timestamp) -> i128 {
        let current = self.now.sum();
        match self.previous(rule) {
            None => current,
            Some(before) => {
                // Rounded up: a share of a token is a token.
                let rest = i128::from(self.now.end.micros()) - i128::from(now.micros());
                let micros = i128::from(rule.micros);
                current - (-(before.sum() * rest.clamp(0, micros))).div_euclid(micros)
            }
        }
    }

    /// The window just before the current, where its share still counts.
    fn previous(&self, rule: &Rule) -> Option<Balance> {
        let last = self.past.last().copied()?;
        (rule.shape == Shape::Sliding && last.end == self.now.start).then_some(last)
    }

    /// Solves for the instant at which the sliding share leaves room for so much else.
    fn retry_sliding(&self, rule: &Rule, room: i128) -> Timestamp {
        let micros = i128::from(rule.micros);
        let shrunk_to = |sum: i128, room: i128| {
            // The share sum * rest / micros, rounded up, is at most room once rest is this.
            if sum <= room { micros } else { room * micros / sum }
        };
        let beside = room - self.now.sum();
        if beside >= 0 {
            let before = self.previous(rule).map_or(0, |balance| balance.sum());
            let rest = to_i64(shrunk_to(before, beside));
            return Timestamp::from_micros(self.now.end.micros().saturating_sub(rest));
        }
        let rest = to_i64(micros - shrunk_to(self.now.sum(), room));
        self.now.end.saturating_plus(rest)
    }

    fn view_current(&self, rule: &Rule, now: Timestamp) -> View {
        let counted = self.counted(rule, now);
        let resets_at = match rule.shape {
            Shape::Sliding if self.now.sum() > 0 => Some(self.now.end.saturating_plus(rule.micros)),
            Shape::Sliding => self.previous(rule).filter(|b| b.sum() > 0).map(|_| self.now.end),
            _ if rule.micros == crate::limit::LIFETIME => None,
            _ => Some(self.now.end),
        };
        let Balance { start, end, .. } = self.now;
        let ends = rule.shape != Shape::Sliding && resets_at.is_some();
        let before = self.previous(rule).map_or(0, |balance| balance.held);
        let held = to_i64(i128::from(self.now.held) + i128::from(before));
        View {
            // What counts is shown as posted as far as it isn't a call in flight.
            posted: to_i64((counted - i128::from(held)).max(0)),
            held,
            available: to_i64(i128::from(rule.capacity) - counted),
            resets_at,
            period: ends.then_some(Period { start, end }),
        }
    }

    fn drop_finished(&mut self, rule: &Rule) {
        let current = self.now.start;
        let sliding = rule.shape == Shape::Sliding;
        self.past.retain(|b| b.refs > 0 || b.dirty || (sliding && b.end == current && b.known));
    }

    fn find(&self, tag: i64) -> Option<&Balance> {
        self.past.iter().chain([&self.now]).find(|balance| balance.start.micros() == tag)
    }

    fn find_mut(&mut self, tag: i64) -> Option<&mut Balance> {
        if self.now.start.micros() == tag {
            return Some(&mut self.now);
        }
        self.past.iter_mut().find(|balance| balance.start.micros() == tag)
    }
}

impl Balance {
    fn new(period: Period) -> Balance {
        Balance {
            start: period.start,
            end: period.end,
            posted: 0,
            held: 0,
            excused: 0,
            refs: 0,
            known: false,
            dirty: false,
        }
    }

    fn holds(&self, at: Timestamp) -> bool {
        Period { start: self.start, end: self.end }.contains(at)
    }

    fn sum(&self) -> i128 {
        i128::from(self.posted) + i128::from(self.held)
    }

    /// What is held isn't durable here, so only the first taking makes the row known.
    fn take(&mut self, amount: i64) {
        self.held += amount;
        self.dirty |= !self.known;
        self.known = true;
    }

    fn post(&mut self, expected: i64, used: i64, change: i64) {
        self.posted += change;
        self.excused += i128::from((used - expected).max(0));
        self.known = true;
        self.dirty |= change != 0;
    }

    fn is_explained(&self) -> bool {
        self.posted >= 0 && self.held >= 0 && self.sum() <= self.excused
    }
}

/// The row's place, of a window that isn't a calendar's.
fn place(rule: &Rule, start: i64) -> i64 {
    start.div_euclid(rule.micros).rem_euclid(PLACES)
}

/// The window is so old that its row's place belongs to a newer one.
fn is_replaced(rule: &Rule, start: Timestamp, newest: Timestamp) -> bool {
    let windows = match rule.shape {
        Shape::Calendar(_) => return false,
        _ => i128::from(rule.micros) * i128::from(PLACES),
    };
    i128::from(newest.micros()) - i128::from(start.micros()) >= windows
}

fn period(rule: &Rule, zone: &Zone, now: Timestamp) -> Result<Period, Overflow> {
    if let Shape::Calendar(calendar) = rule.shape {
        return zone.period(calendar, now);
    }
    let start = now.minus(now.micros().rem_euclid(rule.micros))?;
    Ok(Period { start, end: start.plus(rule.micros)? })
}
