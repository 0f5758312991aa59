//! `GET /admin/providers`: every target that was asked, as the planner sees it, and what it came to.

use serde_json::{Value, json};
use tollgate_accounting::Timestamp;

use crate::ledger::{Measure, ReportRow};
use crate::routing::{KeyReport, Report};

/// A target that was asked.
pub struct Watched {
    /// The provider.
    pub provider: String,
    /// The provider's model.
    pub model: String,
    /// How it is.
    pub report: Report,
}

/// The targets as JSON, with what the ledger has of each by provider and model.
pub(super) fn view(targets: &[Watched], rows: &[ReportRow]) -> Value {
    let one = |target: &Watched| {
        let same = |row: &&ReportRow| {
            row.keys.iter().map(|key| &**key).eq([&*target.provider, &*target.model])
        };
        watched(target, rows.iter().find(same))
    };
    json!({ "data": targets.iter().map(one).collect::<Vec<_>>() })
}

fn watched(target: &Watched, row: Option<&ReportRow>) -> Value {
    let Watched { provider, model, report } = target;
    let Report { breaker, first_us, token_ns, in_flight, most_in_flight, asked, times, keys } =
        report;
    let count = |of| row.map(|row| row.count(of));
    let money = |of| row.map(|row| row.money(of).to_string());
    json!({
        "provider": provider,
        "model": model,
        "breaker": breaker.name(),
        "asked": asked,
        "in_flight": in_flight,
        "most_in_flight": most_in_flight,
        "expected_first_token_ms": first_us / 1_000,
        "expected_token_us": token_ns / 1_000,
        "first_byte_ms": times.map(|[p50, p90, p99]| json!({ "p50": p50, "p90": p90, "p99": p99 })),
        "keys": keys.iter().map(key).collect::<Vec<_>>(),
        "attempts": count(Measure::Attempts),
        "requests": count(Measure::Requests),
        "charged_usd": money(Measure::Charged),
        "owed_usd": money(Measure::Owed),
        "absorbed_usd": money(Measure::Absorbed),
    })
}

fn key(key: &KeyReport) -> Value {
    let KeyReport { rests_until, refused_until, limits } = key;
    let at = |us: &Option<u64>| {
        us.map(|us| Timestamp::from_micros(i64::try_from(us).unwrap_or(i64::MAX)).to_string())
    };
    let limits: Vec<Value> = limits
        .iter()
        .map(|(name, limit, left)| json!({ "name": name, "limit": limit, "remaining": left }))
        .collect();
    json!({ "rests_until": at(rests_until), "refused_until": at(refused_until), "limits": limits })
}
