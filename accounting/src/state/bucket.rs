//! The bucket, token and leaky alike, kept as the water in it: what was used and has not drained
//! yet. A token bucket's level is its capacity less the water, so a changed capacity keeps what
//! was used, and a full refill is simply dry.

use super::{Row, Rule, View, to_i64};
use crate::{Overflow, Timestamp};

/// Water is scaled by the window's microseconds, so that draining `rate` a window, evenly, is the
/// exact integer `rate` a microsecond.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    water: i128,
    at: Timestamp,
    held: i64,
    /// Water above the capacity that an overrun or a lowered capacity explains.
    excused: bool,
    dirty: bool,
}

impl Default for Bucket {
    fn default() -> Self {
        let at = Timestamp::MIN;
        Bucket { water: 0, at, held: 0, excused: false, dirty: false }
    }
}

impl Bucket {
    pub(super) fn advance(&mut self, rule: &Rule, now: Timestamp) {
        self.water = self.water_at(rule, now);
        self.at = self.at.max(now);
        self.excused &= self.water > full(rule);
    }

    pub(super) fn room(&self, rule: &Rule) -> i128 {
        (full(rule) - self.water).div_euclid(i128::from(rule.micros))
    }

    pub(super) fn take(&mut self, rule: &Rule, amount: i64) -> i64 {
        self.water += scaled(rule, amount);
        self.held += amount;
        self.dirty = true;
        0
    }

    pub(super) fn can_owe(&self, rule: &Rule, more: i64) -> Result<(), Overflow> {
        let most = i128::from(i64::MAX) * i128::from(rule.micros);
        let water = self.water.checked_add(scaled(rule, more)).ok_or(Overflow)?;
        if water <= most { Ok(()) } else { Err(Overflow) }
    }

    pub(super) fn settle(&mut self, rule: &Rule, now: Timestamp, held: i64, used: i64) {
        self.held -= held;
        self.correct(rule, now, held, used);
    }

    /// Drains first, then gives back at most what is missing: a refund never makes a bucket
    /// fuller than full.
    pub(super) fn correct(&mut self, rule: &Rule, now: Timestamp, charged: i64, used: i64) {
        self.advance(rule, now);
        self.water += scaled(rule, used) - scaled(rule, charged);
        self.water = self.water.max(0);
        self.excused |= used > charged && self.water > full(rule);
        self.dirty = true;
    }

    pub(super) fn retry_at(&self, rule: &Rule, amount: i64) -> Timestamp {
        let excess = self.water + scaled(rule, amount) - full(rule);
        self.at.saturating_plus(draining(rule, excess))
    }

    pub(super) fn view(&self, rule: &Rule, now: Timestamp) -> View {
        let water = self.water_at(rule, now);
        let dry = now.max(self.at).saturating_plus(draining(rule, water));
        let used = ceil(water, rule.micros);
        View {
            // Water drains behind open holds too: then less is used than is held.
            posted: to_i64((used - i128::from(self.held)).max(0)),
            held: self.held,
            available: to_i64(i128::from(rule.capacity) - used),
            resets_at: (water > 0).then_some(dry),
            period: None,
        }
    }

    pub(super) fn rows(&mut self, push: &mut dyn FnMut(Row)) {
        if self.dirty {
            self.dirty = false;
            push(Row { period: 0, fields: [self.at.micros(), high(self.water), low(self.water)] });
        }
    }

    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    pub(super) fn restore(&mut self, rule: &Rule, row: Row) -> bool {
        let Row { period, fields: [at, high, low] } = row;
        let water = joined(high, low);
        let most = i128::from(i64::MAX) * i128::from(rule.micros);
        if period != 0 || !(0..=most).contains(&water) {
            return false;
        }
        self.water = water;
        self.at = Timestamp::from_micros(at);
        self.excused = water > full(rule);
        true
    }

    pub(super) fn retake(&mut self, amount: i64) -> Option<i64> {
        self.held = self.held.checked_add(amount)?;
        Some(0)
    }

    pub(super) fn seen(&self) -> Timestamp {
        self.at
    }

    /// The capacity was lowered: what was used before may now be more than fits.
    pub(crate) fn excuse(&mut self, rule: &Rule) {
        self.excused |= self.water > full(rule);
    }

    pub(super) fn sound(&self, rule: &Rule, open: &mut dyn Iterator<Item = (i64, i64)>) -> bool {
        let sum: i128 = open.map(|(_, amount)| i128::from(amount)).sum();
        i128::from(self.held) == sum
            && self.water >= 0
            && (self.water <= full(rule) || self.excused)
    }

    fn water_at(&self, rule: &Rule, now: Timestamp) -> i128 {
        if self.water == 0 || now <= self.at {
            return self.water;
        }
        let elapsed = i128::from(now.micros()) - i128::from(self.at.micros());
        (self.water - elapsed * i128::from(rule.rate)).max(0)
    }
}

fn full(rule: &Rule) -> i128 {
    scaled(rule, rule.capacity)
}

fn scaled(rule: &Rule, amount: i64) -> i128 {
    i128::from(amount) * i128::from(rule.micros)
}

/// Microseconds until so much water is gone; for ever if nothing drains.
fn draining(rule: &Rule, water: i128) -> i64 {
    match (water, rule.rate) {
        (..=0, _) => 0,
        (_, 0) => i64::MAX,
        (water, rate) => to_i64(ceil(water, rate)),
    }
}

fn ceil(number: i128, by: i64) -> i128 {
    -(-number).div_euclid(i128::from(by))
}

fn high(number: i128) -> i64 {
    (number >> 64) as i64
}

fn low(number: i128) -> i64 {
    number as i64
}

fn joined(high: i64, low: i64) -> i128 {
    (i128::from(high) << 64) | i128::from(low.cast_unsigned())
}
