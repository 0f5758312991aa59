//! Reading counts that a provider reports: nothing odd is believed, and nothing odd is lost silently.

use serde_json::value::RawValue;
use tollgate_accounting::{Class, Money};

use crate::decimal;
use crate::unified::{MAX_COUNT, Odd, UsageReport};

/// A report as it is put together.
#[derive(Default)]
pub(crate) struct Counts {
    report: UsageReport,
}

impl Counts {
    /// A count as written, where it is believable.
    pub(crate) fn read(&mut self, raw: Option<&RawValue>) -> Option<u64> {
        let text = raw?.get();
        if text == "null" {
            return None;
        }
        // Cohere writes whole numbers with a fraction of zero.
        match decimal::exact(text, 0) {
            Some(n) if n < 0 => self.note(Odd::NEGATIVE),
            Some(n) => match u64::try_from(n) {
                Ok(n) if n <= MAX_COUNT => return Some(n),
                _ => self.note(Odd::ABSURD),
            },
            None if text.starts_with('-') => self.note(Odd::NEGATIVE),
            None => self.note(Odd::ABSURD),
        }
        None
    }

    /// Records a count that is disjoint from the others.
    pub(crate) fn set(&mut self, class: Class, count: Option<u64>) {
        if let Some(count) = count {
            self.report.usage.set(class, count);
        }
    }

    /// Takes a total apart: what its parts do not hold is `plain`. Parts that are more than their
    /// total are cut to it, because the total is what the provider bills.
    pub(crate) fn total(
        &mut self,
        total: Option<u64>,
        plain: Class,
        parts: &[(Class, Option<u64>)],
    ) {
        let mut left = total;
        for &(class, part) in parts {
            let Some(part) = part else { continue };
            let taken = left.map_or(part, |left| part.min(left));
            if taken < part {
                self.note(Odd::INCONSISTENT);
            }
            left = left.map(|left| left - taken);
            self.set(class, Some(taken));
        }
        self.set(plain, left);
    }

    /// Records what the provider says it charges, rounded up to the nano-dollar.
    pub(crate) fn cost(&mut self, raw: Option<&RawValue>) {
        let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return };
        match decimal::scaled(raw.get(), 9) {
            Some((nanos, cut)) if nanos >= 0 => {
                let nanos = i64::try_from(nanos + i128::from(cut)).ok();
                self.report.cost = nanos.map(Money::from_nanos);
            }
            _ => self.note(Odd::ABSURD),
        }
    }

    /// Notes that something was odd.
    pub(crate) fn note(&mut self, odd: Odd) {
        self.report.odd = self.report.odd | odd;
    }

    /// What was odd so far.
    pub(crate) fn odd(&self) -> Odd {
        self.report.odd
    }

    /// The report of a usage block that was there.
    pub(crate) fn finish(mut self) -> UsageReport {
        if self.report.usage.is_empty() {
            self.note(Odd::EMPTY);
        }
        self.report
    }

    /// The report of a usage block that cannot be read at all.
    pub(crate) fn unreadable() -> UsageReport {
        UsageReport { odd: Odd::ABSURD | Odd::EMPTY, ..UsageReport::default() }
    }
}
