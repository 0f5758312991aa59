//! What a provider said it used, made disjoint, with a note of everything odd about how it said it.

use std::fmt;
use std::ops::BitOr;

use tollgate_accounting::{Class, Money, Usage};

/// No reply uses more tokens than this; a larger report is a defect, not a count.
pub const MAX_COUNT: u64 = 1 << 32;

/// A usage block as far as it was believable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsageReport {
    /// The counts, disjoint. A class the provider did not (believably) report is missing, not zero.
    pub usage: Usage,
    /// What was odd about the report.
    pub odd: Odd,
    /// What the provider says it charges for the reply, where it says so. Kept beside our own figure,
    /// never in place of it.
    pub cost: Option<Money>,
}

impl UsageReport {
    /// Adds a later report of the same reply. Reports are cumulative, so of each side the one with the
    /// larger total stands, and of equal ones the more detailed; classes of two reports are never
    /// mixed, because a later one may tell apart what an earlier one held together.
    pub fn merge(&mut self, later: &UsageReport) {
        self.odd = self.odd | later.odd;
        self.cost = self.cost.max(later.cost);
        let input = self.side(later, Class::is_input, Usage::input_total);
        let output = self.side(later, Class::is_output, Usage::output_total);
        let mut merged = Usage::new();
        for (class, count) in input.iter().chain(output.iter()) {
            merged.set(class, count);
        }
        let searches = [&self.usage, &later.usage].map(|u| u.get(Class::WebSearch));
        if let Some(most) = searches.into_iter().flatten().max() {
            merged.set(Class::WebSearch, most);
        }
        self.usage = merged;
    }

    fn side(
        &mut self,
        later: &UsageReport,
        is: fn(Class) -> bool,
        total: fn(&Usage) -> Option<u64>,
    ) -> Usage {
        let (before, after) = (one_side(&self.usage, is), one_side(&later.usage, is));
        match (total(&before), total(&after)) {
            (_, None) => before,
            (None, Some(_)) => after,
            (Some(b), Some(a)) if a > b => after,
            (Some(b), Some(a)) if a == b && after.iter().count() >= before.iter().count() => after,
            (Some(b), Some(a)) => {
                // A report that leaves classes out is partial, not smaller.
                let whole = before.iter().all(|(class, _)| after.get(class).is_some());
                if a < b && whole {
                    self.odd = self.odd | Odd::DECREASED;
                }
                before
            }
        }
    }
}

fn one_side(usage: &Usage, is: fn(Class) -> bool) -> Usage {
    usage
        .iter()
        .filter(|(class, _)| is(*class))
        .fold(Usage::new(), |u, (class, n)| u.with(class, n))
}

/// A set of oddities in a usage report. An odd report is still used as far as it is believable; the
/// set travels with it so that the entry can say so.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Odd(u8);

impl Odd {
    /// Nothing odd.
    pub const NONE: Odd = Odd(0);
    /// A count was negative: taken as missing.
    pub const NEGATIVE: Odd = Odd(1);
    /// A count was beyond [`MAX_COUNT`] or not an integer: taken as missing.
    pub const ABSURD: Odd = Odd(2);
    /// A later report was smaller than an earlier one: the larger stands.
    pub const DECREASED: Odd = Odd(4);
    /// The parts of a total were more than the total: the total stands.
    pub const INCONSISTENT: Odd = Odd(8);
    /// A usage block was there but held no count that could be used.
    pub const EMPTY: Odd = Odd(16);

    const NAMES: [(Odd, &'static str); 5] = [
        (Odd::NEGATIVE, "negative"),
        (Odd::ABSURD, "absurd"),
        (Odd::DECREASED, "decreased"),
        (Odd::INCONSISTENT, "inconsistent"),
        (Odd::EMPTY, "empty"),
    ];

    /// Whether nothing was odd.
    pub fn is_none(self) -> bool {
        self == Odd::NONE
    }

    /// Whether all of `other` is in the set.
    pub fn has(self, other: Odd) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of what is in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Odd::NAMES.into_iter().filter(move |(odd, _)| self.has(*odd)).map(|(_, name)| name)
    }
}

impl BitOr for Odd {
    type Output = Odd;
    fn bitor(self, other: Odd) -> Odd {
        Odd(self.0 | other.0)
    }
}

impl fmt::Debug for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decreasing_report_keeps_the_larger_count_and_says_so() {
        let mut seen =
            UsageReport { usage: Usage::new().with(Class::Output, 9), odd: Odd::NONE, cost: None };
        seen.merge(&UsageReport {
            usage: Usage::new().with(Class::Output, 4),
            odd: Odd::NONE,
            cost: None,
        });
        assert_eq!(seen.usage.get(Class::Output), Some(9));
        assert_eq!(seen.odd.names().collect::<Vec<_>>(), ["decreased"]);
    }

    #[test]
    fn a_later_report_that_tells_more_apart_is_taken_whole() {
        let report = |usage| UsageReport { usage, ..UsageReport::default() };
        let mut seen = report(Usage::new().with(Class::Output, 8));
        let told = Usage::new().with(Class::Output, 5).with(Class::Reasoning, 5);
        seen.merge(&report(told));
        assert_eq!((seen.usage, seen.odd), (told, Odd::NONE));
        seen.merge(&report(Usage::new().with(Class::Input, 3)));
        assert_eq!(seen.usage, told.with(Class::Input, 3));
        assert!(seen.odd.is_none());
    }

    #[test]
    fn an_empty_report_changes_no_count() {
        let before =
            UsageReport { usage: Usage::new().with(Class::Output, 9), odd: Odd::NONE, cost: None };
        let mut seen = before;
        seen.merge(&UsageReport { usage: Usage::new(), odd: Odd::NEGATIVE, cost: None });
        assert_eq!(seen.usage, before.usage);
        assert!(seen.odd.has(Odd::NEGATIVE));
    }
}
