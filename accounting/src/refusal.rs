//! Why the book says no: which limit, how it stands, and when to come back. Made on the cold path.

use std::fmt;
use std::sync::Arc;

use crate::{Metric, Money, Timestamp};

/// A refused hold or extension. Nothing was taken.
///
/// Where several reasons hold, the first of this order is told: a duplicate id, an unknown
/// account, an amount that can't be computed, a limit that can never fit the call, a hard limit
/// that doesn't fit it now, a soft one. Among limits that fit later, the one that takes longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the caller does next.
    pub kind: RefusalKind,
    /// The reason.
    pub why: Why,
    /// The account whose limit it is; empty for the root, or where no account is concerned.
    pub account: Arc<str>,
    /// The limit in words; empty where it isn't a limit that refuses. So are the fields below.
    pub limit: Arc<str>,
    /// The limit's key.
    pub limit_key: Arc<str>,
    /// What it counts.
    pub metric: Option<Metric>,
    /// What was asked for; nano-dollars for cost. So are the numbers below.
    pub asked: i64,
    /// The most that one call can take at once.
    pub capacity: i64,
    /// What is used.
    pub posted: i64,
    /// What calls in flight hold.
    pub held: i64,
    /// What is left; negative in debt.
    pub available: i64,
    /// When the limit is as good as new, if it ever is by time alone.
    pub resets_at: Option<Timestamp>,
    /// All limits that refuse are soft, and the wait is within what they allow: the caller may let
    /// the call wait its turn until `retry_at`.
    pub soft: bool,
    /// Where it is soft: how long the call may wait in all, from when it first asked.
    pub max_wait_micros: i64,
}

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Ask again: everything fits at that instant if nothing else happens meanwhile. Where calls
    /// in flight hold what is missing, nobody knows; then it is a moment from now.
    Later {
        /// When.
        retry_at: Timestamp,
    },
    /// Don't ask again: it can't fit.
    Never,
}

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The id was used for another hold, or its hold has ended.
    DuplicateHold,
    /// No hold of that id is open, to be extended.
    NoSuchHold,
    /// The account isn't configured.
    NoSuchAccount,
    /// An amount is negative or doesn't fit.
    Overflow,
    /// A limit has no room.
    Limit,
}

impl Refusal {
    pub(crate) fn without_limit(why: Why) -> Box<Refusal> {
        let none: Arc<str> = Arc::from("");
        Box::new(Refusal {
            kind: RefusalKind::Never,
            why,
            account: none.clone(),
            limit: none.clone(),
            limit_key: none,
            metric: None,
            asked: 0,
            capacity: 0,
            posted: 0,
            held: 0,
            available: 0,
            resets_at: None,
            soft: false,
            max_wait_micros: 0,
        })
    }

    fn amount(&self, amount: i64) -> String {
        match self.metric {
            Some(Metric::Cost) => format!("${}", Money::from_nanos(amount)),
            _ => amount.to_string(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::DuplicateHold => return f.write_str("this hold id was used before"),
            Why::NoSuchHold => return f.write_str("no open hold has this id"),
            Why::NoSuchAccount => return f.write_str("no such account"),
            Why::Overflow => return f.write_str("an amount is out of range"),
            Why::Limit => {}
        }
        let account = if self.account.is_empty() { "every account" } else { &self.account };
        write!(
            f,
            "limit '{}' of {account}: asked {}, posted {}, held {}, available {}",
            self.limit,
            self.amount(self.asked),
            self.amount(self.posted),
            self.amount(self.held),
            self.amount(self.available)
        )?;
        match self.kind {
            RefusalKind::Never => f.write_str("; the call can never fit"),
            RefusalKind::Later { retry_at } => write!(f, "; retry at {retry_at}"),
        }
    }
}

impl std::error::Error for Refusal {}
