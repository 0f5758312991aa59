//! What an operator sees of the running gateway: the log, and metrics fed from the ledger's entries, so
//! that a graph and a report never disagree.

use std::io::IsTerminal;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tollgate_accounting::{Class, Money};
use tracing_subscriber::filter::LevelFilter;

use crate::http::Watched;
use crate::ledger::Entry;
use crate::routing::Breaker;

/// Seconds: 0.01 * 2^n, the buckets OpenTelemetry's GenAI conventions advise.
const SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Starts the log on standard error: lines on a terminal, JSON elsewhere. `level` is `error`, `warn`,
/// `info`, `debug` or `trace`. A second start changes nothing.
pub fn log(level: Option<&str>) {
    let level = level.and_then(|l| l.parse::<LevelFilter>().ok()).unwrap_or(LevelFilter::INFO);
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(terminal)
        .with_writer(std::io::stderr);
    // JSON escapes control characters, so a logged field cannot forge a line.
    let _ = if terminal { builder.try_init() } else { builder.json().try_init() };
}

/// Starts the metrics; the handle renders them in Prometheus' text format.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    let suffix = |name: &str| Matcher::Suffix(name.to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(suffix("seconds"), &SECONDS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // A process has one recorder; a second gateway in it (as in tests) reports to the first.
    let _ = metrics::set_global_recorder(recorder);
    describe_counter!("tollgate_requests_total", "Calls settled, by outcome");
    describe_counter!("tollgate_attempts_total", "Attempts at providers, by outcome");
    describe_counter!("tollgate_tokens_total", "Tokens made by providers, by class and provenance");
    describe_counter!("tollgate_charged_nano_usd_total", "Charged to tenants");
    describe_counter!("tollgate_owed_nano_usd_total", "Owed to providers");
    describe_counter!("tollgate_absorbed_nano_usd_total", "Owed, and charged to no tenant");
    describe_counter!("tollgate_saved_nano_usd_total", "Spared by answers from the cache");
    describe_gauge!("tollgate_cache_bytes", "Bytes of replies that are kept");
    describe_histogram!("tollgate_first_byte_seconds", "From receipt to the provider's first byte");
    describe_histogram!("tollgate_call_seconds", "From receipt to settlement");
    describe_gauge!("tollgate_open_calls", "Calls in flight");
    describe_gauge!("tollgate_target_in_flight", "Attempts in flight at a target");
    describe_gauge!("tollgate_target_breaker_open", "1 while a target's breaker is not closed");
    describe_gauge!("tollgate_target_expected_first_token_seconds", "As the planner expects it");
    describe_gauge!("tollgate_target_limit_remaining", "Left of a provider's own limit");
    Ok(handle)
}

/// Counts an entry. Called by the ledger's writer once the entry is committed. Accounts are no label:
/// a ledger has any number of them, and reports answer for them.
pub fn entry(entry: &Entry) {
    let provider = entry.provider.to_string();
    let model = entry.model.to_string();
    let labels = || [("provider", provider.clone()), ("model", model.clone())];
    let outcome = entry.outcome.name();
    counter!("tollgate_attempts_total", "provider" => provider.clone(), "model" => model.clone(), "outcome" => outcome).increment(1);
    if entry.requests > 0 {
        let endpoint = entry.endpoint.to_string();
        counter!("tollgate_requests_total", "endpoint" => endpoint, "outcome" => outcome)
            .increment(entry.requests);
    }
    for (class, count) in entry.usage.iter().filter(|(_, count)| *count > 0) {
        let provenance = match class {
            Class::WebSearch => None,
            class if class.is_input() => entry.input_provenance,
            _ => entry.output_provenance,
        };
        let provenance = provenance.map_or("reported", |p| p.name());
        counter!("tollgate_tokens_total", "provider" => provider.clone(), "model" => model.clone(),
            "class" => class.name(), "provenance" => provenance)
        .increment(count);
    }
    let nanos = |money: Money| u64::try_from(money.nanos()).unwrap_or(0);
    counter!("tollgate_charged_nano_usd_total", &labels()).increment(nanos(entry.charged));
    counter!("tollgate_owed_nano_usd_total", &labels()).increment(nanos(entry.owed));
    counter!("tollgate_absorbed_nano_usd_total", &labels()).increment(nanos(entry.absorbed));
    counter!("tollgate_saved_nano_usd_total", &labels()).increment(nanos(entry.saved));
    if let Some(first) = entry.first_byte_us {
        histogram!("tollgate_first_byte_seconds", &labels()).record(seconds(first));
    }
    histogram!("tollgate_call_seconds", &labels()).record(seconds(entry.total_us));
}

/// Says how many calls are in flight.
pub fn open_calls(count: usize) {
    gauge!("tollgate_open_calls").set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
}

/// Says how each target is.
pub fn targets(targets: &[Watched]) {
    let small = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    for Watched { provider, model, report } in targets {
        let labels = || [("provider", provider.clone()), ("model", model.clone())];
        gauge!("tollgate_target_in_flight", &labels()).set(f64::from(report.in_flight));
        let closed = report.breaker == Breaker::Closed;
        gauge!("tollgate_target_breaker_open", &labels()).set(f64::from(u8::from(!closed)));
        let first = i64::try_from(report.first_us).unwrap_or(i64::MAX);
        gauge!("tollgate_target_expected_first_token_seconds", &labels()).set(seconds(first));
        // Of several keys: together.
        for name in ["requests", "tokens", "input_tokens", "output_tokens"] {
            let levels = report.keys.iter().flat_map(|key| &key.limits);
            let left: Vec<u64> = levels.filter(|l| l.0 == name).map(|l| l.2).collect();
            if !left.is_empty() {
                gauge!("tollgate_target_limit_remaining", "provider" => provider.clone(),
                    "model" => model.clone(), "limit" => name)
                .set(small(left.iter().sum()));
            }
        }
    }
}

/// Says how many bytes of replies are kept.
pub fn cached_bytes(bytes: u64) {
    let [a, b, c, d, e, f, g, h] = bytes.to_be_bytes();
    let (high, low) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    gauge!("tollgate_cache_bytes").set(f64::from(high) * 4_294_967_296.0 + f64::from(low));
}

fn seconds(micros: i64) -> f64 {
    std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64()
}
