//! `[alerts]`: what is told without being asked, and to whom.

use http::Uri;
use tollgate_accounting::Money;

use super::reader::Section;
use super::snapshot::Alerts;
use crate::alerts::Hook;

const THRESHOLDS: [u32; 3] = [50, 80, 100];
const BURN_PERCENT: u64 = 200;
const ANOMALY_TIMES: u64 = 5;
const ANOMALY_LEAST: Money = Money::from_nanos(1_000_000_000);
const DRIFT_PERCENT: u64 = 5;

/// `[alerts]`: all of it has defaults, except who is told.
pub(super) fn alerts(root: &Section<'_>) -> Option<Alerts> {
    let table = root.section("alerts")?;
    let url_field = table.require("webhook", "the address that alerts are posted to");
    let url = url_field.as_ref().and_then(|field| field.base_url());
    let secret_field = table.require("secret", "what alerts are signed with: \"env:NAME\"");
    let secret = secret_field.as_ref().and_then(|field| field.secret());
    let thresholds = table.get("thresholds").map(|field| {
        let parts = field.list().unwrap_or_default();
        let whole = parts.iter().filter_map(|part| part.whole(1..=1_000));
        whole.filter_map(|part| u32::try_from(part).ok()).collect()
    });
    let whole = |key, bounds| table.get(key).and_then(|field| field.whole(bounds));
    let burn = whole("burn_percent", 0..=100_000).unwrap_or(BURN_PERCENT);
    let times = whole("anomaly_times", 0..=1_000).unwrap_or(ANOMALY_TIMES);
    let least = table.get("anomaly_least").and_then(|field| field.dollars());
    let drift = whole("drift_percent", 0..=100).unwrap_or(DRIFT_PERCENT);
    table.done();
    let (url, secret) = (url?, secret?);
    let Ok(url) = url.parse::<Uri>() else { return url_field?.error("not an address") };
    if Hook::new(url.clone(), secret.expose()).is_err() {
        return secret_field?.error_help(
            "not the secret of a webhook",
            "it is `whsec_` and the base64 of 24 to 64 random bytes",
        );
    }
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Some(Alerts {
        url,
        secret,
        thresholds: thresholds.unwrap_or_else(|| THRESHOLDS.to_vec()),
        burn_percent: count(burn),
        anomaly_times: count(times),
        anomaly_least: least.unwrap_or(ANOMALY_LEAST),
        drift_percent: count(drift),
    })
}
