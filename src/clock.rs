//! Wall time for rows and limits. The pure crates never read it: they are handed what `now` returns.

use std::time::{SystemTime, UNIX_EPOCH};

use tollgate_accounting::Timestamp;

/// The present instant, in microseconds since the Unix epoch (UTC).
///
/// A clock before 1970 reads as the epoch: limits then refill late, never early.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
