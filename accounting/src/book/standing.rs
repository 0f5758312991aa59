//! How limits and holds stand: read only, for headers, reports and explanations.

use std::sync::Arc;

use super::{AccountId, Book, Hold, HoldId, Node, Phase, Place};
use crate::{Amounts, Facets, Forecast, Metric, Timestamp};

/// How one limit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The path of the account whose limit it is.
    pub account: Arc<str>,
    /// The limit in words.
    pub limit: Arc<str>,
    /// Its key.
    pub limit_key: Arc<str>,
    /// What it counts.
    pub metric: Metric,
    /// The most at once; nano-dollars for cost, as the numbers below.
    pub capacity: i64,
    /// What is used. For a bucket, what hasn't been refilled yet.
    pub posted: i64,
    /// What calls in flight hold.
    pub held: i64,
    /// What is left; negative in debt.
    pub available: i64,
    /// When the limit is as good as new; `None` if it is, or if time alone doesn't do it.
    pub resets_at: Option<Timestamp>,
    /// Where its period is heading; `None` for a limit without one.
    pub forecast: Option<Forecast>,
}

/// An open hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldView<'a> {
    /// Its id.
    pub id: HoldId,
    /// The path of its account.
    pub account: &'a str,
    /// What it holds, extensions included.
    pub amounts: Amounts,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// When it expires.
    pub deadline: Timestamp,
}

impl Book {
    /// Every limit on the account's path, from the root down.
    pub fn standing(&self, now: Timestamp, account: AccountId) -> Vec<Standing> {
        self.standing_where(now, account, None)
    }

    /// Those limits on the account's path that count such a call.
    pub fn standing_for(
        &self,
        now: Timestamp,
        account: AccountId,
        facets: &Facets<'_>,
    ) -> Vec<Standing> {
        self.standing_where(now, account, Some(facets))
    }

    /// The open holds, in no order.
    pub fn open_holds(&self) -> impl Iterator<Item = HoldView<'_>> {
        self.holds.iter().filter(|hold| hold.phase == Phase::Open).map(|hold| self.view(hold))
    }

    /// The open hold of that id.
    pub fn open_hold(&self, id: HoldId) -> Option<HoldView<'_>> {
        match self.ids.place(id)? {
            Place::Open(index) => self.holds.get(index as usize).map(|hold| self.view(hold)),
            Place::Ended(_) => None,
        }
    }

    /// How many holds are open.
    pub fn open_count(&self) -> usize {
        self.open_count
    }

    fn view<'a>(&'a self, hold: &Hold) -> HoldView<'a> {
        HoldView {
            id: hold.id,
            account: &self.accounts[hold.account as usize].path,
            amounts: hold.held.amounts(),
            taken_at: hold.taken_at,
            deadline: hold.deadline,
        }
    }

    fn standing_where(
        &self,
        now: Timestamp,
        account: AccountId,
        facets: Option<&Facets<'_>>,
    ) -> Vec<Standing> {
        let now = now.max(self.latest);
        let mut standings = Vec::new();
        let Some(leaf) = self.path(account).map(|_| account.index) else { return standings };
        for &at in &self.accounts[leaf as usize].chain {
            let account = &self.accounts[at as usize];
            for &limit in &account.limits {
                let node = &self.limits[limit as usize];
                if facets.is_some_and(|facets| !node.limit.filter.matches(facets)) {
                    continue;
                }
                standings.push(self.stands(node, now));
            }
        }
        standings
    }

    /// How one limit stands.
    pub(super) fn stands(&self, node: &Node, now: Timestamp) -> Standing {
        let account = &self.accounts[node.account as usize];
        let view = node.state.view(&node.rule, &account.zone, now);
        let capacity = node.rule.capacity;
        Standing {
            account: account.path.clone(),
            limit: node.words.clone(),
            limit_key: node.key.clone(),
            metric: node.limit.metric,
            capacity,
            posted: view.posted,
            held: view.held,
            available: view.available,
            resets_at: view.resets_at,
            forecast: view
                .period
                .and_then(|period| Forecast::of(view.posted, capacity, period, now)),
        }
    }
}
