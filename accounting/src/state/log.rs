//! The sliding window log: every taking with its instant, for exactly the last window's length.

use std::collections::VecDeque;

use super::{Row, Rule, View, to_i64};
use crate::{Overflow, Timestamp};

/// More takings than this in a window share entries: a newer one joins the newest entry, whose
/// instant becomes its own. What joined stays counted longer, never shorter.
const MOST: i64 = 1_024;

/// The tag of a taking that had left the window before a restart.
const GONE: i64 = -1;

#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Oldest first; instants and numbers both ascend strictly.
    entries: VecDeque<Entry>,
    /// Entries that left the window before their row was written. After a restart, their holds
    /// must find them and not their neighbours.
    unwritten: VecDeque<Entry>,
    next: i64,
    posted: i64,
    held: i64,
    overrun: i128,
    /// The most that may be counted apart from overruns, for the audit: the capacity, or a larger
    /// one of old while what was taken under it is in the window.
    peak: i128,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: i64,
    at: Timestamp,
    posted: i64,
    held: i64,
    overrun: i64,
    dirty: bool,
}

impl Log {
    pub(super) fn advance(&mut self, rule: &Rule, now: Timestamp) {
        while let Some(oldest) = self.entries.front().copied() {
            if is_live(&oldest, rule, now) {
                break;
            }
            self.posted -= oldest.posted;
            self.held -= oldest.held;
            self.overrun -= i128::from(oldest.overrun);
            self.entries.pop_front();
            if oldest.dirty {
                self.unwritten.push_back(oldest);
            }
        }
        let capacity = i128::from(rule.capacity);
        if self.sum() - self.overrun <= capacity {
            self.peak = capacity;
        }
    }

    pub(super) fn room(&self, rule: &Rule) -> i128 {
        i128::from(rule.capacity) - self.sum()
    }

    pub(super) fn take(&mut self, now: Timestamp, amount: i64) -> i64 {
        let full = self.entries.len() >= MOST as usize;
        match self.entries.back_mut() {
            Some(newest) if full || newest.at >= now => newest.at = newest.at.max(now),
            _ => {
                let (number, at) = (self.next, now);
                self.next += 1;
                // The new entry's row will take the place of theirs.
                while self.unwritten.front().is_some_and(|e| e.number <= number - MOST) {
                    self.unwritten.pop_front();
                }
                let entry = Entry { number, at, posted: 0, held: 0, overrun: 0, dirty: true };
                self.entries.push_back(entry);
            }
        }
        let number = self.entries.back().map_or(GONE, |newest| newest.number);
        self.hold(number, amount);
        number
    }

    pub(super) fn can_owe(&self, more: i64) -> Result<(), Overflow> {
        i64::try_from(self.sum() + i128::from(more)).map(|_| ()).map_err(|_| Overflow)
    }

    pub(super) fn settle(&mut self, tag: i64, held: i64, used: i64) {
        if let Some(entry) = self.entry(tag) {
            entry.held -= held;
            self.held -= held;
            self.post(tag, held, used, used);
        }
    }

    pub(super) fn correct(&mut self, tag: i64, charged: i64, used: i64) {
        self.post(tag, charged, used, used - charged);
    }

    pub(super) fn retry_at(&self, rule: &Rule, now: Timestamp, amount: i64) -> Timestamp {
        let mut room = self.room(rule);
        for entry in &self.entries {
            if room >= i128::from(amount) {
                break;
            }
            room += i128::from(entry.posted) + i128::from(entry.held);
            if room >= i128::from(amount) {
                return entry.at.saturating_plus(rule.micros);
            }
        }
        now
    }

    pub(super) fn view(&self, rule: &Rule, now: Timestamp) -> View {
        let (mut posted, mut held) = (0, 0);
        let mut resets_at = None;
        for entry in self.entries.iter().filter(|entry| is_live(entry, rule, now)) {
            posted += entry.posted;
            held += entry.held;
            if entry.posted + entry.held > 0 {
                resets_at = Some(entry.at.saturating_plus(rule.micros));
            }
        }
        let available = i128::from(rule.capacity) - i128::from(posted) - i128::from(held);
        View { posted, held, available: to_i64(available), resets_at, period: None }
    }

    /// Rows reuse as many places as there can be entries.
    pub(super) fn rows(&mut self, push: &mut dyn FnMut(Row)) {
        let mut write = |entry: &Entry| {
            let Entry { number, at, posted, .. } = *entry;
            push(Row { period: number % MOST, fields: [number, at.micros(), posted] });
        };
        self.unwritten.drain(..).for_each(|entry| write(&entry));
        for entry in self.entries.iter_mut().filter(|entry| entry.dirty) {
            entry.dirty = false;
            write(entry);
        }
    }

    pub(super) fn touch(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.dirty = true);
    }

    pub(super) fn restore(&mut self, row: Row) -> bool {
        let Row { period, fields: [number, at, posted] } = row;
        let sum = self.posted.checked_add(posted);
        let next = number.checked_add(1);
        let (Some(sum), Some(next)) = (sum, next) else { return false };
        if posted < 0 || number < 0 || period != number % MOST {
            return false;
        }
        let at = Timestamp::from_micros(at);
        let place = self.entries.partition_point(|entry| entry.number < number);
        let before = place.checked_sub(1).and_then(|place| self.entries.get(place));
        let after = self.entries.get(place);
        if before.is_some_and(|entry| entry.at >= at)
            || after.is_some_and(|entry| entry.number == number || entry.at <= at)
        {
            return false;
        }
        let entry = Entry { number, at, posted, held: 0, overrun: 0, dirty: false };
        self.entries.insert(place, entry);
        self.posted = sum;
        self.next = self.next.max(next);
        self.peak = self.peak.max(self.sum());
        true
    }

    /// The first entry at the hold's instant or later: the one it made, or the one that it and
    /// later ones joined.
    pub(super) fn retake(&mut self, rule: &Rule, taken_at: Timestamp, amount: i64) -> Option<i64> {
        let newest = *self.entries.back()?;
        let hold = Entry { at: taken_at, ..newest };
        if !is_live(&hold, rule, newest.at) {
            return Some(GONE);
        }
        let place = self.entries.partition_point(|entry| entry.at < taken_at);
        let number = self.entries.get(place)?.number;
        i64::try_from(self.sum() + i128::from(amount)).ok()?;
        self.hold(number, amount);
        self.peak = self.peak.max(self.sum());
        Some(number)
    }

    pub(super) fn seen(&self) -> Timestamp {
        self.entries.back().map_or(Timestamp::MIN, |newest| newest.at)
    }

    pub(super) fn sound(&self, open: &mut dyn Iterator<Item = (i64, i64)>) -> bool {
        let oldest = self.entries.front().map_or(i64::MAX, |oldest| oldest.number);
        let mut left: Vec<(i64, i128)> =
            self.entries.iter().map(|e| (e.number, i128::from(e.held))).collect();
        for (tag, amount) in open.filter(|(tag, _)| *tag >= oldest) {
            match left.binary_search_by_key(&tag, |(number, _)| *number) {
                Ok(place) => left[place].1 -= i128::from(amount),
                Err(_) => return false,
            }
        }
        let sum: i128 =
            self.entries.iter().map(|e| i128::from(e.posted) + i128::from(e.held)).sum();
        left.iter().all(|(_, held)| *held == 0)
            && self.entries.iter().all(|entry| entry.posted >= 0 && entry.held >= 0)
            && sum == self.sum()
            && self.sum() <= self.peak + self.overrun
    }

    fn hold(&mut self, number: i64, amount: i64) {
        if let Some(entry) = self.entry(number) {
            entry.held += amount;
            entry.dirty = true;
            self.held += amount;
        }
    }

    fn post(&mut self, tag: i64, expected: i64, used: i64, change: i64) {
        if let Some(entry) = self.entry(tag) {
            let overrun = (used - expected).max(0);
            entry.posted += change;
            entry.overrun += overrun;
            entry.dirty |= change != 0;
            self.posted += change;
            self.overrun += i128::from(overrun);
        }
    }

    fn sum(&self) -> i128 {
        i128::from(self.posted) + i128::from(self.held)
    }

    fn entry(&mut self, number: i64) -> Option<&mut Entry> {
        let place = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.entries.get_mut(place)
    }
}

fn is_live(entry: &Entry, rule: &Rule, now: Timestamp) -> bool {
    i128::from(now.micros()) - i128::from(entry.at.micros()) < i128::from(rule.micros)
}
