//! What an answer's headers say of the provider's own limits: `x-ratelimit-*` as OpenAI and those like
//! it send them, `anthropic-ratelimit-*` as Anthropic does.

use tollgate_accounting::Timestamp;

use crate::unified::HeaderLookup;
use crate::{decimal, http_date};

/// A limit of the provider's, as an answer tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How much there is when nothing is used.
    pub limit: Option<u64>,
    /// How much is left.
    pub remaining: u64,
    /// Microseconds until all of it is back.
    pub resets_in_us: Option<u64>,
}

/// The limits of one key and model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Requests.
    pub requests: Option<RateLimit>,
    /// Tokens in and out.
    pub tokens: Option<RateLimit>,
    /// Tokens in.
    pub input_tokens: Option<RateLimit>,
    /// Tokens out.
    pub output_tokens: Option<RateLimit>,
}

impl RateLimits {
    /// Reads them; what is missing or makes no sense is left out.
    pub fn read(headers: &HeaderLookup<'_>, now: Timestamp) -> RateLimits {
        let one = |names| one(headers, names, now);
        RateLimits {
            requests: one(&OPENAI_REQUESTS).or_else(|| one(&ANTHROPIC_REQUESTS)),
            tokens: one(&OPENAI_TOKENS).or_else(|| one(&ANTHROPIC_TOKENS)),
            input_tokens: one(&ANTHROPIC_INPUT),
            output_tokens: one(&ANTHROPIC_OUTPUT),
        }
    }
}

/// Headers of one limit: what is left, how much there is, when all is back.
type Names = [&'static str; 3];

macro_rules! openai {
    ($unit:literal) => {
        [
            concat!("x-ratelimit-remaining-", $unit),
            concat!("x-ratelimit-limit-", $unit),
            concat!("x-ratelimit-reset-", $unit),
        ]
    };
}
macro_rules! anthropic {
    ($unit:literal) => {
        [
            concat!("anthropic-ratelimit-", $unit, "-remaining"),
            concat!("anthropic-ratelimit-", $unit, "-limit"),
            concat!("anthropic-ratelimit-", $unit, "-reset"),
        ]
    };
}
const OPENAI_REQUESTS: Names = openai!("requests");
const OPENAI_TOKENS: Names = openai!("tokens");
const ANTHROPIC_REQUESTS: Names = anthropic!("requests");
const ANTHROPIC_TOKENS: Names = anthropic!("tokens");
const ANTHROPIC_INPUT: Names = anthropic!("input-tokens");
const ANTHROPIC_OUTPUT: Names = anthropic!("output-tokens");

fn one(headers: &HeaderLookup<'_>, names: &Names, now: Timestamp) -> Option<RateLimit> {
    let [remaining, limit, reset] = names;
    let remaining = headers(remaining)?.trim().parse().ok()?;
    // Azure sends 0 or -1 for what it does not limit.
    let limit = match headers(limit) {
        Some(text) => Some(text.trim().parse::<u64>().ok().filter(|limit| *limit > 0)?),
        None => None,
    };
    let resets_in_us = headers(reset).and_then(|text| {
        let text = text.trim();
        let at = || {
            let us = instant(text)?.saturating_sub(now.micros());
            Some(u64::try_from(us).unwrap_or(0))
        };
        span(text).or_else(at)
    });
    Some(RateLimit { limit, remaining, resets_in_us })
}

/// A span such as `6m0s`, `12ms`, `1h2m3.5s` or, without a unit, seconds; in microseconds.
pub(crate) fn span(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let factor = match unit {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            "" if tail.is_empty() && rest.len() == text.len() => 1_000_000,
            _ => return None,
        };
        let (micros, _) = decimal::scaled(number, 6)?;
        let micros = u64::try_from(micros).ok()?.checked_mul(factor)? / 1_000_000;
        sum = sum.checked_add(micros)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(sum)
}

/// An instant of RFC 3339 in UTC, in microseconds since the epoch.
fn instant(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let time = time.strip_suffix('Z').or_else(|| time.strip_suffix("+00:00"))?;
    let mut date = date.splitn(3, '-').map(|n| n.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (time.next()?.parse::<i64>().ok()?, time.next()?.parse::<i64>().ok()?);
    let (second, _) = decimal::scaled(time.next()?, 6)?;
    let ranges = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute);
    let second = i64::try_from(second).ok().filter(|s| (0..61_000_000).contains(s))?;
    let minutes = (http_date::days(year, month, day) * 24 + hour) * 60 + minute;
    ranges.then_some(minutes * 60_000_000 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(784_111_777_000_000);

    fn read(headers: &[(&str, &str)]) -> RateLimits {
        let lookup = |name: &str| {
            headers.iter().find(|(have, _)| *have == name).map(|(_, value)| (*value).to_owned())
        };
        RateLimits::read(&lookup, NOW)
    }

    #[test]
    fn both_families_of_headers_are_read() {
        let limits = read(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let limit =
            |limit, remaining, us| Some(RateLimit { limit, remaining, resets_in_us: Some(us) });
        assert_eq!(limits.requests, limit(Some(60), 59, 1_000_000));
        assert_eq!(limits.tokens, limit(None, 149_984, 360_000_000));
        let limits = read(&[
            ("anthropic-ratelimit-output-tokens-limit", "8000"),
            ("anthropic-ratelimit-output-tokens-remaining", "7000"),
            ("anthropic-ratelimit-output-tokens-reset", "1994-11-06T08:49:39.5Z"),
        ]);
        assert_eq!(limits.output_tokens, limit(Some(8_000), 7_000, 2_500_000));
        assert_eq!(limits.requests, None);
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let odd = [("-1", "-1"), ("0", "0"), ("x", "5"), ("5", "x")];
        for (limit, remaining) in odd {
            let limits = read(&[
                ("x-ratelimit-limit-requests", limit),
                ("x-ratelimit-remaining-requests", remaining),
            ]);
            assert_eq!(limits, RateLimits::default(), "{limit} {remaining}");
        }
    }

    #[test]
    fn spans_have_units_or_are_seconds() {
        let cases = [
            ("12ms", Some(12_000)),
            ("6m0s", Some(360_000_000)),
            ("1h2m3.5s", Some(3_723_500_000)),
            ("2", Some(2_000_000)),
            ("7.66s", Some(7_660_000)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("1m5", None),
            ("-3s", None),
            ("99999999999999999999s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(span(text), expected, "{text}");
        }
    }
}
