//! A limit in words, both ways: `200000 tokens per minute`, `$50 per month`, `20 concurrent`.
//! [`Limit::describe`] writes what `FromStr` reads, except for the filter.

use std::fmt::Write;
use std::str::FromStr;

use super::{Algorithm, BadLimit, Filter, Limit, Metric, Mode, Window};
use crate::{Calendar, DAY, HOUR, MINUTE, Money, SECOND};

const UNITS: [(&str, i64); 5] = [
    ("hour", HOUR),
    ("minute", MINUTE),
    ("second", SECOND),
    ("millisecond", 1_000),
    ("microsecond", 1),
];

impl FromStr for Limit {
    type Err = BadLimit;

    /// Reads `<amount> <metric> per <window>[, <detail>]...` or `<n> concurrent`.
    ///
    /// Windows of hours, minutes and seconds are token buckets whose burst is the amount, unless
    /// a detail says `fixed window`, `sliding window`, `sliding log` or `leaky bucket`; `burst N`
    /// sets the burst and `wait up to <n> <unit>` lets calls wait. Days, weeks and months are
    /// calendar periods in the account's zone; `24 hours` are not a `day`. `in total` in place of
    /// `per <window>` is an amount that is never given anew.
    fn from_str(text: &str) -> Result<Limit, BadLimit> {
        let mut parts = text.split(',').map(str::trim);
        let mut limit = read_main(parts.next().unwrap_or_default())?;
        for detail in parts {
            read_detail(&mut limit, detail)?;
        }
        limit.check()?;
        Ok(limit)
    }
}

impl Limit {
    /// The limit in words, for people.
    pub fn describe(&self) -> String {
        let mut text = match self.metric {
            Metric::Cost => format!("${}", Money::from_nanos(self.amount)),
            _ => format!("{} {}", self.amount, self.metric.words()),
        };
        let lifetime = self.window == Window::LIFETIME;
        match self.window {
            Window::LIFETIME => text.push_str(" in total"),
            Window::Rolling { micros } => text.push_str(&format!(" per {}", span(micros, false))),
            Window::Calendar(Calendar::Day) => text.push_str(" per day"),
            Window::Calendar(Calendar::Week) => text.push_str(" per week"),
            Window::Calendar(Calendar::Month) => text.push_str(" per month"),
            Window::Calendar(Calendar::MonthFrom(day)) => {
                text.push_str(&format!(" per month from day {day}"));
            }
            Window::None => {}
        }
        text.push_str(match self.algorithm {
            Algorithm::FixedWindow if lifetime => "",
            Algorithm::FixedWindow => ", fixed window",
            Algorithm::SlidingWindow => ", sliding window",
            Algorithm::SlidingLog => ", sliding log",
            Algorithm::LeakyBucket { .. } => ", leaky bucket",
            Algorithm::TokenBucket { .. } | Algorithm::Calendar | Algorithm::Concurrency => "",
        });
        if self.capacity() != self.amount {
            text.push_str(&format!(", burst {}", self.amount_words(self.capacity())));
        }
        if let Mode::Soft { max_wait_micros } = self.mode {
            text.push_str(&format!(", wait up to {}", span(max_wait_micros, true)));
        }
        let Filter { models, endpoints, prompts } = &self.filter;
        for (name, values) in [("model", models), ("endpoint", endpoints), ("prompt", prompts)] {
            if !values.is_empty() {
                let plural = if values.len() == 1 { "" } else { "s" };
                // Writing to a String can't fail.
                let _ = write!(text, ", for {name}{plural} {}", values.join(" or "));
            }
        }
        text
    }

    fn amount_words(&self, amount: i64) -> String {
        match self.metric {
            Metric::Cost => format!("${}", Money::from_nanos(amount)),
            _ => amount.to_string(),
        }
    }
}

impl Metric {
    fn words(self) -> &'static str {
        match self {
            Metric::Requests => "requests",
            Metric::InputTokens => "input tokens",
            Metric::OutputTokens => "output tokens",
            Metric::Tokens => "tokens",
            Metric::Cost => "cost",
            Metric::Concurrency => "concurrent",
        }
    }
}

fn read_main(text: &str) -> Result<Limit, BadLimit> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (metric, amount, rest) = match words.as_slice() {
        [dollars, rest @ ..] if dollars.starts_with('$') => (Metric::Cost, money(dollars)?, rest),
        [amount, "concurrent"] | [amount, "concurrent", "requests" | "calls"] => {
            let limit = plain(Metric::Concurrency, whole(amount)?, Window::None);
            return Ok(Limit { algorithm: Algorithm::Concurrency, ..limit });
        }
        [amount, "request" | "requests", rest @ ..] => (Metric::Requests, whole(amount)?, rest),
        [amount, "token" | "tokens", rest @ ..] => (Metric::Tokens, whole(amount)?, rest),
        [amount, "input", "token" | "tokens", rest @ ..] => {
            (Metric::InputTokens, whole(amount)?, rest)
        }
        [amount, "output", "token" | "tokens", rest @ ..] => {
            (Metric::OutputTokens, whole(amount)?, rest)
        }
        _ => return Err(BadLimit::Words),
    };
    if rest == ["in", "total"] {
        let limit = plain(metric, amount, Window::LIFETIME);
        return Ok(Limit { algorithm: Algorithm::FixedWindow, ..limit });
    }
    let ["per", window @ ..] = rest else { return Err(BadLimit::Words) };
    let window = match window {
        ["day"] => Window::Calendar(Calendar::Day),
        ["week"] => Window::Calendar(Calendar::Week),
        ["month"] => Window::Calendar(Calendar::Month),
        ["month", "from", "day", day] => {
            let day = day.parse().map_err(|_| BadLimit::Anchor)?;
            Window::Calendar(Calendar::MonthFrom(day))
        }
        window => Window::Rolling { micros: read_span(window)? },
    };
    Ok(plain(metric, amount, window))
}

fn plain(metric: Metric, amount: i64, window: Window) -> Limit {
    let algorithm = match window {
        Window::Rolling { .. } => Algorithm::TokenBucket { burst: amount },
        Window::Calendar(_) => Algorithm::Calendar,
        Window::None => Algorithm::Concurrency,
    };
    Limit { metric, amount, window, algorithm, filter: Filter::default(), mode: Mode::Hard }
}

fn read_detail(limit: &mut Limit, detail: &str) -> Result<(), BadLimit> {
    let words: Vec<&str> = detail.split_whitespace().collect();
    match words.as_slice() {
        ["token", "bucket"] => limit.algorithm = Algorithm::TokenBucket { burst: limit.capacity() },
        ["leaky", "bucket"] => limit.algorithm = Algorithm::LeakyBucket { burst: limit.capacity() },
        ["fixed", "window"] => limit.algorithm = Algorithm::FixedWindow,
        ["sliding", "window"] => limit.algorithm = Algorithm::SlidingWindow,
        ["sliding", "log"] => limit.algorithm = Algorithm::SlidingLog,
        ["burst", amount] => {
            let amount = if limit.metric == Metric::Cost { money(amount) } else { whole(amount) }?;
            match &mut limit.algorithm {
                Algorithm::TokenBucket { burst } | Algorithm::LeakyBucket { burst } => {
                    *burst = amount;
                }
                _ => return Err(BadLimit::Mismatch),
            }
        }
        ["wait", "up", "to", span @ ..] => {
            limit.mode = Mode::Soft { max_wait_micros: read_span(span)? };
        }
        _ => return Err(BadLimit::Words),
    }
    Ok(())
}

fn whole(text: &str) -> Result<i64, BadLimit> {
    let digits = text.replace('_', "");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadLimit::Amount);
    }
    digits.parse().map_err(|_| BadLimit::Amount)
}

fn money(text: &str) -> Result<i64, BadLimit> {
    text.parse().map(Money::nanos).map_err(|_| BadLimit::Amount)
}

/// `minute`, `5 minutes`.
fn read_span(words: &[&str]) -> Result<i64, BadLimit> {
    let (count, unit) = match words {
        [unit] => (1, *unit),
        [count, unit] => (whole(count)?, *unit),
        _ => return Err(BadLimit::Words),
    };
    let unit = unit.strip_suffix('s').unwrap_or(unit);
    let days = [("day", DAY)];
    let found = UNITS.iter().chain(&days).find(|(name, _)| *name == unit);
    let (_, micros) = found.ok_or(BadLimit::Words)?;
    count.checked_mul(*micros).ok_or(BadLimit::Window)
}

/// The span in its largest whole unit; a single one without its number, unless asked for.
fn span(micros: i64, always_count: bool) -> String {
    let whole = UNITS.iter().find(|(_, unit)| micros != 0 && micros % unit == 0);
    let (name, unit) = whole.unwrap_or(&("second", SECOND));
    match micros / unit {
        1 if !always_count => (*name).to_owned(),
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Calendar as Of;

    #[test]
    fn a_limit_is_read_from_words_and_written_back() {
        use Algorithm::*;
        let rolling = |micros| Window::Rolling { micros };
        let month = Window::Calendar(Of::Month);
        let table = [
            (
                "200000 tokens per minute",
                Metric::Tokens,
                200_000,
                rolling(MINUTE),
                TokenBucket { burst: 200_000 },
            ),
            (
                "5 requests per second",
                Metric::Requests,
                5,
                rolling(SECOND),
                TokenBucket { burst: 5 },
            ),
            (
                "100 requests per hour",
                Metric::Requests,
                100,
                rolling(HOUR),
                TokenBucket { burst: 100 },
            ),
            (
                "7 requests per 90 seconds",
                Metric::Requests,
                7,
                rolling(90 * SECOND),
                TokenBucket { burst: 7 },
            ),
            (
                "10 requests per 24 hours",
                Metric::Requests,
                10,
                rolling(DAY),
                TokenBucket { burst: 10 },
            ),
            (
                "3 input tokens per 5 milliseconds, burst 9",
                Metric::InputTokens,
                3,
                rolling(5_000),
                TokenBucket { burst: 9 },
            ),
            (
                "$0.5 per hour, burst $2",
                Metric::Cost,
                500_000_000,
                rolling(HOUR),
                TokenBucket { burst: 2_000_000_000 },
            ),
            (
                "9 requests per minute, fixed window",
                Metric::Requests,
                9,
                rolling(MINUTE),
                FixedWindow,
            ),
            (
                "9 requests per minute, sliding window",
                Metric::Requests,
                9,
                rolling(MINUTE),
                SlidingWindow,
            ),
            (
                "9 requests per minute, sliding log",
                Metric::Requests,
                9,
                rolling(MINUTE),
                SlidingLog,
            ),
            (
                "9 requests per minute, leaky bucket, burst 2",
                Metric::Requests,
                9,
                rolling(MINUTE),
                LeakyBucket { burst: 2 },
            ),
            (
                "5000 output tokens per day",
                Metric::OutputTokens,
                5_000,
                Window::Calendar(Of::Day),
                Calendar,
            ),
            ("1 tokens per week", Metric::Tokens, 1, Window::Calendar(Of::Week), Calendar),
            ("$50 per month", Metric::Cost, 50_000_000_000, month, Calendar),
            (
                "$50 per month from day 15",
                Metric::Cost,
                50_000_000_000,
                Window::Calendar(Of::MonthFrom(15)),
                Calendar,
            ),
            ("$2.5 in total", Metric::Cost, 2_500_000_000, Window::LIFETIME, FixedWindow),
            ("900 requests in total", Metric::Requests, 900, Window::LIFETIME, FixedWindow),
            ("20 concurrent", Metric::Concurrency, 20, Window::None, Concurrency),
        ];
        for (text, metric, amount, window, algorithm) in table {
            let limit: Limit = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            let found = (limit.metric, limit.amount, limit.window, limit.algorithm, limit.mode);
            assert_eq!(found, (metric, amount, window, algorithm, Mode::Hard), "{text}");
            assert_eq!(limit.describe(), text);
        }
    }

    #[test]
    fn other_spellings_mean_the_same() {
        let table = [
            ("1 request per second", "1 requests per second"),
            ("200_000 tokens per 1 minute", "200000 tokens per minute"),
            ("1 token per 60 seconds", "1 tokens per minute"),
            ("1 tokens per minute, token bucket", "1 tokens per minute"),
            ("20 concurrent requests", "20 concurrent"),
            ("2 requests per 1 days", "2 requests per 24 hours"),
            ("  $1.50   per day ", "$1.5 per day"),
            (
                "1 requests per second, leaky bucket, wait up to 3 seconds",
                "1 requests per second, leaky bucket, wait up to 3 seconds",
            ),
            (
                "1 requests per second, wait up to second",
                "1 requests per second, wait up to 1 second",
            ),
            (
                "1 requests per second, wait up to 0 seconds",
                "1 requests per second, wait up to 0 seconds",
            ),
        ];
        for (text, described) in table {
            let limit: Limit = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(limit.describe(), described);
            assert_eq!(described.parse(), Ok(limit));
        }
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        let table = [
            ("", BadLimit::Words),
            ("tokens", BadLimit::Words),
            ("5 apples per minute", BadLimit::Words),
            ("5 tokens", BadLimit::Words),
            ("5 tokens per fortnight", BadLimit::Words),
            ("5 tokens per 2 3 minutes", BadLimit::Words),
            ("5 tokens per minute, often", BadLimit::Words),
            ("many tokens per minute", BadLimit::Amount),
            ("-5 tokens per minute", BadLimit::Amount),
            ("5.5 tokens per minute", BadLimit::Amount),
            ("99999999999999999999 tokens per minute", BadLimit::Amount),
            ("$x per month", BadLimit::Amount),
            ("$-5 per month", BadLimit::Amount),
            ("$0.0000000001 per month", BadLimit::Amount),
            ("5 tokens per 0 minutes", BadLimit::Window),
            ("5 tokens per 9000000 hours", BadLimit::Window),
            ("5 tokens per 9223372036854775807 hours", BadLimit::Window),
            ("5 tokens per month from day 0", BadLimit::Anchor),
            ("5 tokens per month from day 32", BadLimit::Anchor),
            ("5 tokens per month from day 1000", BadLimit::Anchor),
            ("5 tokens in total, burst 5", BadLimit::Mismatch),
            ("5 tokens in total, sliding log", BadLimit::Window),
            ("5 tokens in all", BadLimit::Words),
            ("5 tokens per month, burst 5", BadLimit::Mismatch),
            ("5 tokens per month, sliding log", BadLimit::Mismatch),
            ("5 concurrent, fixed window", BadLimit::Mismatch),
            ("5 tokens per minute, burst 0", BadLimit::Burst),
            ("0 tokens per minute, burst 5", BadLimit::Burst),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Limit>(), Err(error), "{text}");
            assert!(!error.to_string().is_empty());
        }
    }
}
