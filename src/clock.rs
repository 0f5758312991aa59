//! Wall time for rows and limits. The pure crates never read it: they are handed what `now` returns.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tollgate_accounting::Timestamp;

/// How long it is from now until an instant; nothing if it has passed.
pub fn until(at: Timestamp) -> Duration {
    let micros = at.micros().saturating_sub(now().micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// How long ago an instant is; nothing if it lies ahead.
pub fn since(at: Timestamp) -> Duration {
    let micros = now().micros().saturating_sub(at.micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// The present instant, in microseconds since the Unix epoch (UTC).
///
/// A clock before 1970 reads as the epoch: limits then refill late, never early.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A whole number and its unit; `None` if it is anything else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}
