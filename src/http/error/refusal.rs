//! A limit's refusal as its caller is told it: which limit, what of it is left, and when to come back.

use http::StatusCode;
use serde_json::{Value, json};
use tollgate_accounting::{DAY, Metric, Money, Refusal, RefusalKind, Timestamp, Why};

use super::{Failed, LONGEST_WAIT_MICROS};
use crate::clock;

/// A limit that resets later than this is never given anew.
const NEVER_MICROS: i64 = 100 * 365 * DAY;

/// The refusal, final where the wait is longer than a client should hang.
pub(super) fn limit(refusal: &Refusal) -> Failed {
    let Refusal { kind, why, account, limit, metric, asked, .. } = refusal;
    let amount = |value: i64| amount(*metric, value);
    match why {
        Why::Limit => {}
        Why::DuplicateHold | Why::NoSuchHold | Why::NoSuchAccount | Why::Overflow => {
            return Failed::invalid(
                StatusCode::FORBIDDEN,
                "account_closed",
                "this account takes no calls now",
            );
        }
    }
    let whose = if account.is_empty() { "the gateway" } else { account };
    let words = |value| match amount(value) {
        Value::String(dollars) => format!("${dollars}"),
        other => other.to_string(),
    };
    let state = format!(
        "{whose} has a limit of {limit}: asked {}, posted {}, held by calls in flight {}, available {}",
        words(*asked),
        words(refusal.posted),
        words(refusal.held),
        words(refusal.available),
    );
    let mut failed = match kind {
        RefusalKind::Never => {
            let message = format!("{state}; the call can never fit this limit");
            Failed::invalid(StatusCode::BAD_REQUEST, "request_exceeds_limit", message)
        }
        RefusalKind::Later { retry_at } => {
            let wait = retry_at.micros().saturating_sub(clock::now().micros()).max(0);
            if wait <= LONGEST_WAIT_MICROS {
                let kind = "rate_limit_exceeded";
                Failed::new(StatusCode::TOO_MANY_REQUESTS, kind, kind, state).retry_after(wait)
            } else {
                let message = match refusal.resets_at {
                    Some(_) => format!("{state}; it can be retried at {retry_at}"),
                    None => format!("{state}; it is used up"),
                };
                let kind = "insufficient_quota";
                Failed::new(StatusCode::TOO_MANY_REQUESTS, kind, kind, message).final_word()
            }
        }
    };
    let resets_at = match kind {
        RefusalKind::Later { retry_at } => refusal
            .resets_at
            .or(Some(*retry_at))
            .filter(|at| at.micros().saturating_sub(clock::now().micros()) < NEVER_MICROS),
        RefusalKind::Never => refusal.resets_at,
    };
    failed.wire.extra = vec![
        ("limit", limit.to_string().into()),
        ("account", account.to_string().into()),
        ("asked", amount(*asked)),
        ("capacity", amount(refusal.capacity)),
        ("posted", amount(refusal.posted)),
        ("held", amount(refusal.held)),
        ("available", amount(refusal.available)),
        ("resets_at", resets_at.map_or(Value::Null, |at: Timestamp| json!(at.to_string()))),
    ];
    failed
}

/// An amount as the client reads it: dollars as a decimal string, anything else as a number.
pub(in crate::http) fn amount(metric: Option<Metric>, value: i64) -> Value {
    match metric {
        Some(Metric::Cost) => Money::from_nanos(value).to_string().into(),
        _ => value.into(),
    }
}
