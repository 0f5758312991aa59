//! What a limit is: a metric, an amount, a window, the algorithm that watches it, and the calls it
//! counts. Its words are read and written in `text`.

mod text;

use std::fmt;

use crate::{Calendar, DAY};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Calls.
    Requests,
    /// Tokens the models read.
    InputTokens,
    /// Tokens the models wrote.
    OutputTokens,
    /// Both.
    Tokens,
    /// Money, in nano-dollars.
    Cost,
    /// Calls in flight.
    Concurrency,
}

/// A limit on the calls of an account and of everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is counted.
    pub metric: Metric,
    /// How much a window; nano-dollars for [`Metric::Cost`].
    pub amount: i64,
    /// The time that the amount is for.
    pub window: Window,
    /// How the window is watched.
    pub algorithm: Algorithm,
    /// Which calls count.
    pub filter: Filter,
    /// What becomes of a call that doesn't fit.
    pub mode: Mode,
}

/// The time that a limit's amount is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// That many microseconds, at any time of the day.
    Rolling {
        /// The length.
        micros: i64,
    },
    /// A calendar period in the account's zone.
    Calendar(Calendar),
    /// No time at all: for concurrency.
    None,
}

/// How a window is watched. All are pure functions of (state, now, amount).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// A bucket that holds `burst` and is refilled by the amount each window, evenly.
    TokenBucket {
        /// The bucket's size.
        burst: i64,
    },
    /// The amount anew at each multiple of the window since the epoch.
    FixedWindow,
    /// The current fixed window plus the share of the previous one that still overlaps the last
    /// window's length. Constant memory; assumes that the previous window was used evenly.
    SlidingWindow,
    /// The sum of what was taken in exactly the last window's length. Exact for 1,024 takings a
    /// window; beyond that neighbours count as the later of them, so it may refuse a little early
    /// and never late.
    SlidingLog,
    /// A bucket that leaks the amount each window, evenly, and overflows above `burst`. The mirror
    /// of a token bucket; with [`Mode::Soft`], calls wait in order instead of being refused.
    LeakyBucket {
        /// The bucket's size.
        burst: i64,
    },
    /// The amount anew in each calendar period.
    Calendar,
    /// At most the amount at any instant.
    Concurrency,
}

/// The calls that a limit counts. An empty list means all; a trailing `*` matches any ending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Models, as the client names them.
    pub models: Vec<String>,
    /// Endpoints.
    pub endpoints: Vec<String>,
    /// Prompt templates; a call without one matches only an empty list.
    pub prompts: Vec<String>,
}

/// What becomes of a call that doesn't fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It is refused.
    #[default]
    Hard,
    /// It is refused as [soft](crate::Refusal::soft) if its wait is short enough, so that the
    /// caller can let it wait its turn.
    Soft {
        /// The longest wait.
        max_wait_micros: i64,
    },
}

/// What a call is about, as filters see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facets<'a> {
    /// The model, as the client named it.
    pub model: &'a str,
    /// The endpoint.
    pub endpoint: &'a str,
    /// The prompt template, if one is used.
    pub prompt: Option<&'a str>,
}

/// Why a limit makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLimit {
    /// The words aren't `<amount> <metric> per <window>[, <detail>]` or `<n> concurrent`.
    Words,
    /// Not a whole number, or not an amount of money.
    Amount,
    /// The amount, the burst or the wait is negative.
    Negative,
    /// A bucket without refill that holds something, or a refill without a bucket.
    Burst,
    /// The window is empty or longer than a hundred years.
    Window,
    /// No such day in any month.
    Anchor,
    /// The metric, the window and the algorithm don't belong together.
    Mismatch,
}

const LONGEST_WINDOW: i64 = 36_525 * DAY;
/// The length of a fixed window that does not end: the first one since the epoch lasts until 2370.
pub(crate) const LIFETIME: i64 = 4 * LONGEST_WINDOW;

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 6] = [
        Metric::Requests,
        Metric::InputTokens,
        Metric::OutputTokens,
        Metric::Tokens,
        Metric::Cost,
        Metric::Concurrency,
    ];

    /// The name in reports and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::Requests => "requests",
            Metric::InputTokens => "input_tokens",
            Metric::OutputTokens => "output_tokens",
            Metric::Tokens => "tokens",
            Metric::Cost => "cost",
            Metric::Concurrency => "concurrency",
        }
    }

    /// The metric of that name.
    pub fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

impl Window {
    /// All time: with [`Algorithm::FixedWindow`], an amount that is never given anew.
    pub const LIFETIME: Window = Window::Rolling { micros: LIFETIME };
}

impl Limit {
    /// The most that one call can take at once.
    pub fn capacity(&self) -> i64 {
        match self.algorithm {
            Algorithm::TokenBucket { burst } | Algorithm::LeakyBucket { burst } => burst,
            Algorithm::FixedWindow
            | Algorithm::SlidingWindow
            | Algorithm::SlidingLog
            | Algorithm::Calendar
            | Algorithm::Concurrency => self.amount,
        }
    }

    /// Refuses a limit that makes no sense.
    pub fn check(&self) -> Result<(), BadLimit> {
        let wait = match self.mode {
            Mode::Hard => 0,
            Mode::Soft { max_wait_micros } => max_wait_micros,
        };
        if self.amount < 0 || self.capacity() < 0 || wait < 0 {
            return Err(BadLimit::Negative);
        }
        if (self.amount == 0) != (self.capacity() == 0) {
            return Err(BadLimit::Burst);
        }
        let counts_flight = self.metric == Metric::Concurrency;
        match (self.algorithm, self.window) {
            (Algorithm::Concurrency, Window::None) if counts_flight => Ok(()),
            (Algorithm::Calendar, Window::Calendar(calendar)) if !counts_flight => {
                if calendar.is_valid() { Ok(()) } else { Err(BadLimit::Anchor) }
            }
            (Algorithm::Calendar | Algorithm::Concurrency, _) => Err(BadLimit::Mismatch),
            (Algorithm::FixedWindow, Window::LIFETIME) if !counts_flight => Ok(()),
            (_, Window::Rolling { micros }) if !counts_flight => {
                if (1..=LONGEST_WINDOW).contains(&micros) { Ok(()) } else { Err(BadLimit::Window) }
            }
            _ => Err(BadLimit::Mismatch),
        }
    }

    /// The identity under which the limit's state lives on. It has all that makes the state mean
    /// what it means - metric, algorithm, window, filter - and not the amount or the burst, so
    /// that a raised limit remembers what was used.
    pub fn key(&self) -> String {
        let algorithm = match self.algorithm {
            Algorithm::TokenBucket { .. } => "token_bucket",
            Algorithm::FixedWindow => "fixed_window",
            Algorithm::SlidingWindow => "sliding_window",
            Algorithm::SlidingLog => "sliding_log",
            Algorithm::LeakyBucket { .. } => "leaky_bucket",
            Algorithm::Calendar => "calendar",
            Algorithm::Concurrency => "in_flight",
        };
        let window = match self.window {
            Window::Rolling { micros } => format!("{micros}us"),
            Window::Calendar(Calendar::Day) => "day".to_owned(),
            Window::Calendar(Calendar::Week) => "week".to_owned(),
            Window::Calendar(Calendar::Month) => "month".to_owned(),
            Window::Calendar(Calendar::MonthFrom(day)) => format!("month_from_{day}"),
            Window::None => "none".to_owned(),
        };
        let mut key = format!("{}/{algorithm}/{window}", self.metric.name());
        let Filter { models, endpoints, prompts } = &self.filter;
        for (name, values) in [("models", models), ("endpoints", endpoints), ("prompts", prompts)] {
            if !values.is_empty() {
                let mut values: Vec<_> = values.iter().map(|value| escaped(value)).collect();
                values.sort_unstable();
                values.dedup();
                key.push_str(&format!("/{name}={}", values.join(",")));
            }
        }
        key
    }
}

impl Filter {
    /// Whether the limit counts such a call.
    pub fn matches(&self, facets: &Facets<'_>) -> bool {
        let listed = |patterns: &[String], value: Option<&str>| {
            patterns.is_empty()
                || value.is_some_and(|value| patterns.iter().any(|pattern| like(pattern, value)))
        };
        listed(&self.models, Some(facets.model))
            && listed(&self.endpoints, Some(facets.endpoint))
            && listed(&self.prompts, facets.prompt)
    }
}

fn like(pattern: &str, value: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => value.starts_with(start),
        None => value == pattern,
    }
}

/// Keeps the separators of a key unambiguous.
fn escaped(value: &str) -> String {
    value.replace('%', "%25").replace(',', "%2C").replace('/', "%2F").replace('=', "%3D")
}

impl fmt::Display for BadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadLimit::Words => {
                "expected '<amount> <metric> per <window>', like '$50 per month', \
                 '200000 tokens per minute' or '20 concurrent'"
            }
            BadLimit::Amount => "the amount is not a whole number or an amount of money",
            BadLimit::Negative => "an amount, burst or wait is negative",
            BadLimit::Burst => "an amount without a burst, or a burst without an amount",
            BadLimit::Window => "the window is empty or longer than a hundred years",
            BadLimit::Anchor => "the month's first day must be 1 to 31",
            BadLimit::Mismatch => "the metric, the window and the algorithm don't belong together",
        })
    }
}

impl std::error::Error for BadLimit {}
