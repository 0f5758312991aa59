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
