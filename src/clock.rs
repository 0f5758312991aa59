//! Wall time for rows and limits. The pure crates never read it: they are handed what `now` returns.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tollgate_accounting::Timestamp;

/// How long it is from now until an instant; nothing if it has passed.
pub fn until(at: Timestamp) -> Duration {
    let micros = at.micros().saturating_sub(now().micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// The present instant, in microseconds since the Unix epoch (UTC).
///
/// A clock before 1970 reads as the epoch: limits then refill late, never early.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
