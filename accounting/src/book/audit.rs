//! What must hold at every instant, checked from scratch: held is the sum of the open holds, in
//! every limit, window and account; nothing is above its capacity unless an overrun explains it.

use std::fmt;
use std::sync::Arc;

use super::{Book, Phase};
use crate::amounts::Units;

/// An invariant that doesn't hold: a bug, or a ledger that was edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The account's path.
    pub account: Arc<str>,
    /// The limit's key; empty if the account's own sums are wrong.
    pub limit_key: Arc<str>,
    /// Which rule is broken.
    pub rule: &'static str,
}

impl Book {
    /// Checks every invariant; takes time proportional to everything.
    pub fn check(&self) -> Result<(), Violation> {
        let mut open = vec![Units::NONE; self.accounts.len()];
        let mut taken: Vec<Vec<(i64, i64)>> = vec![Vec::new(); self.limits.len()];
        let mut count = 0;
        for hold in self.holds.iter().filter(|hold| hold.phase == Phase::Open) {
            count += 1;
            for &at in &self.accounts[hold.account as usize].chain {
                let sum = open[at as usize].plus(hold.held);
                open[at as usize] =
                    sum.map_err(|_| self.account_violation(at, "held overflows"))?;
            }
            for slot in &hold.slots {
                taken[slot.limit as usize].push((slot.tag, slot.held));
            }
        }
        if count != self.open_count {
            return Err(self.account_violation(0, "the number of open holds"));
        }
        for (at, (account, open)) in self.accounts.iter().zip(open).enumerate() {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            if account.open != open {
                return Err(self.account_violation(at, "held is the sum of the open holds"));
            }
            if account.totals.valid().is_err() {
                return Err(self.account_violation(at, "totals are never negative"));
            }
        }
        for (node, taken) in self.limits.iter().zip(taken) {
            if !node.state.sound(&node.rule, &mut taken.into_iter()) {
                let account = self.accounts[node.account as usize].path.clone();
                let limit_key = node.key.clone();
                let rule = "held is the sum of the open holds, and no more is used than explained";
                return Err(Violation { account, limit_key, rule });
            }
        }
        Ok(())
    }

    fn account_violation(&self, at: u32, rule: &'static str) -> Violation {
        let account = self.accounts[at as usize].path.clone();
        Violation { account, limit_key: Arc::from(""), rule }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "account '{}', limit '{}': {}", self.account, self.limit_key, self.rule)
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::super::Node;
    use super::*;
    use crate::{AccountSpec, Amounts, Facets, HoldId, Money, Timestamp};

    const LIMITS: [&str; 5] = [
        "100 tokens per minute",
        "100 tokens per day",
        "100 tokens per minute, sliding window",
        "100 tokens per minute, sliding log",
        "5 concurrent",
    ];

    fn book() -> Book {
        let spec = AccountSpec {
            path: "a".to_owned(),
            zone: "UTC".to_owned(),
            limits: LIMITS.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let (now, mut book) = (Timestamp::from_micros(0), Book::new());
        let account = book.put(now, &spec).unwrap();
        let (input_tokens, cost) = (10, Money::ZERO);
        let ask = Amounts { requests: 1, input_tokens, output_tokens: 0, cost };
        for id in 0..3 {
            book.hold(now, HoldId(id), account, &Facets::default(), ask, now).unwrap();
        }
        book.settle(now, HoldId(0), Amounts { input_tokens: 80, ..ask });
        assert_eq!(book.check(), Ok(()));
        book
    }

    #[test]
    fn a_book_that_was_tampered_with_is_found_out() {
        type Tamper = fn(&mut Book);
        let tampered: [(&str, Tamper); 7] = [
            ("the number of open holds", |book| book.open_count += 1),
            ("held is the sum", |book| book.accounts[1].open.input += 1),
            ("totals are never negative", |book| book.accounts[0].totals.cost = -1),
            ("held is the sum", |book| book.holds[1].held.input += 1),
            ("held is the sum", |book| book.holds[1].slots[1].held -= 1),
            ("held is the sum", |book| book.holds[2].slots.truncate(4)),
            ("held overflows", |book| book.holds[1].held.output = i64::MAX),
        ];
        for (rule, tamper) in tampered {
            let mut book = book();
            tamper(&mut book);
            let violation = book.check().unwrap_err();
            assert!(violation.to_string().contains(rule), "{violation}");
        }
    }

    #[test]
    fn every_limit_is_audited() {
        for (at, words) in LIMITS.iter().enumerate() {
            let mut book = book();
            let account = book.accounts[1].limits[at];
            let node = &mut book.limits[account as usize];
            // As if something had been taken that no hold knows of.
            node.state.take(&node.rule, Timestamp::from_micros(0), 1);
            let violation = book.check().unwrap_err();
            assert_eq!((&*violation.account, &*violation.limit_key), ("a", &*node_key(words)));
        }
    }

    #[test]
    fn more_than_the_capacity_needs_an_overrun_to_explain_it() {
        for (at, words) in LIMITS.iter().enumerate().take(4) {
            let mut book = book();
            let limit = book.accounts[1].limits[at] as usize;
            let tag = book.holds[1].slots[at].tag;
            let Node { state, rule, .. } = &mut book.limits[limit];
            // As if an open hold had taken what didn't fit.
            state.extend(rule, Timestamp::from_micros(0), tag, 200);
            book.holds[1].slots[at].held += 200;
            assert!(book.check().is_err(), "{words}");
        }
    }

    fn node_key(words: &str) -> String {
        words.parse::<crate::Limit>().unwrap().key()
    }
}
