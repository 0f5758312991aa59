//! Budgets that reached a part of their amount: told once a period, in the order it came to be.

use std::sync::Arc;

use super::{Book, Node};
use crate::{DAY, Metric, Period};

/// Parts that are looked for, and what was found since it was last asked for.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// In hundredths of a limit's amount, ascending.
    percents: Vec<u32>,
    found: Vec<Reached>,
}

/// A budget reached a part of its amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The path of the account whose limit it is; the root's is empty.
    pub account: Arc<str>,
    /// The limit in words.
    pub limit: Arc<str>,
    /// Its key.
    pub limit_key: Arc<str>,
    /// What it counts.
    pub metric: Metric,
    /// Its amount; nano-dollars for cost.
    pub capacity: i64,
    /// What is used of it.
    pub posted: i64,
    /// The largest part that is reached, in hundredths.
    pub percent: u32,
    /// The period that it is used in.
    pub period: Period,
}

impl Book {
    /// Looks for budgets that reach these parts of their amount, in hundredths, from now on. A budget is
    /// a limit for a day or longer. Nothing is looked for where there are none.
    pub fn watch(&mut self, percents: &[u32]) {
        let mut percents: Vec<u32> = percents.iter().copied().filter(|part| *part > 0).collect();
        percents.sort_unstable();
        self.watch.percents = percents;
    }

    /// What was reached by the rows that `take_dirty` gave since the last call; to be called right after
    /// it, so that both are of the same instant. What a period was told of is not told again, except to
    /// a book that begins anew.
    pub fn take_reached(&mut self) -> Vec<Reached> {
        std::mem::take(&mut self.watch.found)
    }
}

impl Watch {
    /// Looks at a limit that changed.
    pub(super) fn look(&mut self, node: &mut Node, account: &Arc<str>) {
        if self.percents.is_empty() || node.rule.capacity <= 0 {
            return;
        }
        let Some((period, posted)) = node.state.period_use(&node.rule) else { return };
        if period.end.since(period.start).is_ok_and(|length| length < DAY - DAY / 8) {
            return;
        }
        let capacity = node.rule.capacity;
        let is_reached = |percent: &&u32| {
            i128::from(posted) * 100 >= i128::from(capacity) * i128::from(**percent)
        };
        let Some(&percent) = self.percents.iter().rev().find(is_reached) else { return };
        let told = node.told.filter(|(start, _)| *start == period.start);
        if told.is_some_and(|(_, before)| before >= percent) {
            return;
        }
        node.told = Some((period.start, percent));
        self.found.push(Reached {
            account: account.clone(),
            limit: node.words.clone(),
            limit_key: node.key.clone(),
            metric: node.limit.metric,
            capacity,
            posted,
            percent,
            period,
        });
    }
}
