//! Why a target stands where it does in a plan, or is not in it, in words for people.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tollgate_accounting::{Money, ServiceTier, Timestamp};

use super::health::{NotReady, Unready};

/// Why a target has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The places are as written.
    Written,
    /// By what the call is expected to cost there.
    Cost {
        /// That.
        expected: Money,
        /// What the provider's cache saves of it.
        saves: Option<Money>,
    },
    /// What it would cost there is not known.
    Unknown,
    /// By how long it is expected to take, in microseconds; 0 where nothing is known.
    Time(u64),
    /// Drawn with this weight.
    Share(u32),
    /// By both.
    Blend {
        /// What it is expected to cost.
        cost: Money,
        /// Microseconds it is expected to take.
        us: u64,
    },
    /// The call's prefix is in the provider's cache, which saves so much.
    Warm(Money),
    /// Another target's answer was about the length of the prompt.
    AfterContextLength,
    /// Another target's answer was about its content policy.
    AfterContentPolicy,
}

/// Why a target is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// It cannot do this.
    Cannot(&'static str),
    /// It has no price, at a service tier where it is not the usual one.
    Unpriced(Option<ServiceTier>),
    /// Nothing is known of the most that such a call can come to.
    Unbounded,
    /// The prompt is longer than what it takes.
    Context {
        /// Tokens of the prompt.
        tokens: u64,
        /// Tokens it takes.
        window: u64,
    },
    /// Its provider is not tagged with this, which the account asks for.
    Untagged(Arc<str>),
    /// It is expected to cost more than the route allows.
    Cost {
        /// What it is expected to cost.
        expected: Money,
        /// The ceiling.
        most: Money,
    },
    /// It is expected to take longer than the route allows.
    Latency {
        /// Microseconds it is expected to take.
        expected_us: u64,
        /// The ceiling.
        most_us: u64,
    },
    /// It cannot be asked now.
    NotReady(NotReady),
}

impl Exclusion {
    /// A word for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Exclusion::Cannot(_) => "capability",
            Exclusion::Unpriced(_) => "unpriced",
            Exclusion::Unbounded => "unbounded",
            Exclusion::Context { .. } => "context_window",
            Exclusion::Untagged(_) => "tag",
            Exclusion::Cost { .. } => "price_ceiling",
            Exclusion::Latency { .. } => "latency_ceiling",
            Exclusion::NotReady(not) => match not.why {
                Unready::Breaker | Unready::Probed => "breaker",
                Unready::Resting | Unready::Limit(_) => "limit",
                Unready::Credential => "credential",
                Unready::Full => "full",
            },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Written => f.write_str("as written"),
            Reason::Cost { expected, saves: None } => write!(f, "expected to cost ${expected}"),
            Reason::Cost { expected, saves: Some(saves) } => {
                write!(f, "expected to cost ${expected}, ${saves} less for its warm cache")
            }
            Reason::Unknown => f.write_str("its cost is not known"),
            Reason::Time(0) => f.write_str("not timed yet"),
            Reason::Time(us) => write!(f, "expected to take {}", span(*us)),
            Reason::Share(weight) => write!(f, "drawn with weight {weight}"),
            Reason::Blend { cost, us } => {
                write!(f, "expected to cost ${cost} and to take {}", span(*us))
            }
            Reason::Warm(saves) => write!(f, "its warm cache saves ${saves}"),
            Reason::AfterContextLength => f.write_str("for a prompt too long for others"),
            Reason::AfterContentPolicy => f.write_str("for content that others refuse"),
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exclusion::Cannot(what) => write!(f, "does not do {what}"),
            Exclusion::Unpriced(None) => f.write_str("has no price"),
            Exclusion::Unpriced(Some(tier)) => write!(f, "has no price at the {tier} service tier"),
            Exclusion::Unbounded => {
                f.write_str("has no rule for the most that such a call can come to")
            }
            Exclusion::Context { tokens, window } => {
                write!(f, "takes {window} tokens, and the prompt has {tokens}")
            }
            Exclusion::Untagged(tag) => write!(f, "is not tagged {tag}"),
            Exclusion::Cost { expected, most } => {
                write!(f, "expected to cost ${expected}, more than ${most}")
            }
            Exclusion::Latency { expected_us, most_us } => {
                write!(f, "expected to take {}, more than {}", span(*expected_us), span(*most_us))
            }
            Exclusion::NotReady(not) => not.fmt(f),
        }
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = Timestamp::from_micros(i64::try_from(self.until).unwrap_or(i64::MAX));
        match self.why {
            Unready::Breaker => write!(f, "failed too often; left alone until {until}"),
            Unready::Probed => {
                f.write_str("failed too often; one call is seeing whether it is back")
            }
            Unready::Resting => write!(f, "asked to be left alone until {until}"),
            Unready::Limit(name) => write!(f, "too few {name} left of its limit until {until}"),
            Unready::Credential => write!(f, "refused the credential; tried again at {until}"),
            Unready::Full => f.write_str("has as many calls in flight as it takes"),
        }
    }
}

fn span(us: u64) -> String {
    format!("{:?}", Duration::from_millis(us.div_ceil(1_000)))
}
