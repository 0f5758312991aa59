//! Which of the limits that refuse a call explains the refusal.

use super::{Account, Node};
use crate::refusal::{Refusal, RefusalKind, Why};
use crate::{Mode, Timestamp};

/// The limits short of room, reduced to the one to explain and the instant at which all fit.
#[derive(Default)]
pub(super) struct Shortage {
    worst: Option<Short>,
    retry_at: Option<Timestamp>,
    /// The least of what the soft limits let a call wait.
    max_wait_micros: Option<i64>,
}

/// Ordered: what is greater explains.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_never: bool,
    is_hard: bool,
    retry_at: Timestamp,
}

struct Short {
    rank: Rank,
    limit: u32,
    asked: i64,
}

impl Shortage {
    pub(super) fn add(&mut self, node: &Node, limit: u32, now: Timestamp, asked: i64) {
        let is_never = asked > node.rule.capacity;
        let retry_at =
            if is_never { Timestamp::MAX } else { node.state.retry_at(&node.rule, now, asked) };
        let is_hard = match node.limit.mode {
            Mode::Hard => true,
            Mode::Soft { max_wait_micros } => {
                let least = self.max_wait_micros.unwrap_or(max_wait_micros);
                self.max_wait_micros = Some(least.min(max_wait_micros));
                retry_at > now.saturating_plus(max_wait_micros)
            }
        };
        self.retry_at = self.retry_at.max(Some(retry_at));
        let rank = Rank { is_never, is_hard, retry_at };
        if self.worst.as_ref().is_none_or(|worst| rank > worst.rank) {
            self.worst = Some(Short { rank, limit, asked });
        }
    }

    /// The refusal, if anything is short.
    pub(super) fn refusal(
        self,
        accounts: &[Account],
        limits: &[Node],
        now: Timestamp,
    ) -> Option<Box<Refusal>> {
        let Short { rank, limit, asked } = self.worst?;
        let node = limits.get(limit as usize)?;
        let account = accounts.get(node.account as usize)?;
        let view = node.state.view(&node.rule, &account.zone, now);
        let retry_at = self.retry_at?;
        Some(Box::new(Refusal {
            kind: if rank.is_never { RefusalKind::Never } else { RefusalKind::Later { retry_at } },
            why: Why::Limit,
            account: account.path.clone(),
            limit: node.words.clone(),
            limit_key: node.key.clone(),
            metric: Some(node.limit.metric),
            asked,
            capacity: node.rule.capacity,
            posted: view.posted,
            held: view.held,
            available: view.available,
            resets_at: view.resets_at,
            soft: !rank.is_never && !rank.is_hard,
            max_wait_micros: self.max_wait_micros.unwrap_or(0),
        }))
    }
}
