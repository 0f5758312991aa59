//! What only time brings about: budgets that will not last, hours that are not like others, providers
//! whose counts are not ours. All of it in integers, and told once each.

use std::collections::HashMap;

use serde_json::json;
use tollgate_accounting::{DAY, Forecast, HOUR, Metric, Money, Standing, Timestamp};

use super::Settings;
use crate::ledger::{
    Alert, Drift, Filter, GroupBy, Ledger, Measure, Question, Reader, ReportRow, Span, StoreError,
};

/// A budget of which less than one part in so many is used is not told to burn: it may be one call.
const USED: i64 = 10;
/// Days that an hour is compared with, and hours of them that must have had any use.
const DAYS: i64 = 7;
const HOURS: usize = 24;
/// The hour that is usual at most: that many in a hundred are no dearer.
const USUAL: usize = 95;
/// Calls that providers' counts are compared over, at most and at least.
const MOST_CALLS: u32 = 100_000;
const LEAST_CALLS: i64 = 20;

/// Budgets that will be used up before their period ends.
pub(super) fn burning(ledger: &Ledger, settings: &Settings, now: Timestamp) -> Vec<Alert> {
    if settings.burn_permille == 0 {
        return Vec::new();
    }
    let mut alerts = Vec::new();
    for path in &settings.accounts {
        let Some(account) = ledger.with_book(|book| book.account(path)) else { continue };
        let own = ledger.standing(account).into_iter().filter(|limit| *limit.account == **path);
        alerts.extend(own.filter_map(|limit| burns(&limit, settings.burn_permille, now)));
    }
    alerts
}

fn burns(limit: &Standing, permille: i64, now: Timestamp) -> Option<Alert> {
    let Standing { account, limit: words, limit_key, metric, capacity, posted, .. } = limit;
    let Forecast { period, burn_permille, at_end, exhausted_at, .. } = limit.forecast?;
    let (burn, exhausted_at) = (burn_permille?, exhausted_at?);
    let is_long = period.end.since(period.start).is_ok_and(|length| length >= DAY - DAY / 8);
    let is_begun = *posted >= *capacity / USED && posted < capacity;
    if !is_long || !is_begun || burn < permille {
        return None;
    }
    let money = |value: i64| match metric {
        Metric::Cost => Money::from_nanos(value).to_string().into(),
        _ => serde_json::Value::from(value),
    };
    let kind = "budget.burn_rate";
    let start = period.start;
    Some(Alert {
        kind,
        about: format!("{kind} {} {account} {limit_key}", start.micros()),
        at: now,
        data: json!({
            "account": &**account,
            "limit": &**words,
            "metric": metric.name(),
            "capacity": money(*capacity),
            "posted": money(*posted),
            "burn_permille": burn,
            "at_end": money(at_end),
            "exhausted_at": exhausted_at.to_string(),
            "period_starts_at": start.to_string(),
            "period_ends_at": period.end.to_string(),
        }),
    })
}

/// Hours that are not like others, and providers whose counts are not ours.
pub(super) fn figures(
    reader: &Reader,
    settings: &Settings,
    now: Timestamp,
) -> Result<Vec<Alert>, StoreError> {
    let mut alerts = Vec::new();
    if settings.anomaly_times > 0 {
        let hour = now.micros().div_euclid(HOUR);
        let at = |hour: i64| Timestamp::from_micros(hour.saturating_mul(HOUR));
        let filter = Filter { from: Some(at(hour - DAYS * 24)), ..Filter::default() };
        let by = vec![GroupBy::Account(Some(1)), GroupBy::Time(Span::Hour)];
        let rows = reader.report(&Question::new(filter, by).untimed())?;
        // The hour that runs, and the one before it: its last calls are settled only now.
        let charged: Vec<Hour<'_>> = rows.iter().filter_map(charged).collect();
        for hour in [hour - 1, hour] {
            alerts.extend(unusual(&charged, &name(at(hour)), settings, now));
        }
    }
    if settings.drift_percent > 0 {
        let since = Timestamp::from_micros(now.micros().saturating_sub(DAY));
        let drifts = reader.drift(since, MOST_CALLS)?;
        alerts.extend(drifts.iter().flat_map(|drift| drifted(drift, settings.drift_percent, now)));
    }
    Ok(alerts)
}

/// An hour as a report in UTC names it.
fn name(hour: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(hour.micros()).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:00Z").to_string()
}

/// A tenant, an hour, and what it was charged in it; nano-dollars.
type Hour<'r> = (&'r str, &'r str, i64);

fn charged(row: &ReportRow) -> Option<Hour<'_>> {
    let [tenant, hour] = row.keys.as_slice() else { return None };
    Some((tenant, hour, row.count(Measure::Charged)))
}

/// Tenants whose hour cost many times what their dear hours of the days before did.
fn unusual(hours: &[Hour<'_>], hour: &str, settings: &Settings, now: Timestamp) -> Vec<Alert> {
    let mut tenants: HashMap<&str, (i64, Vec<i64>)> = HashMap::new();
    for &(tenant, at, charged) in hours {
        let (this, before) = tenants.entry(tenant).or_default();
        match at.cmp(hour) {
            std::cmp::Ordering::Less if charged > 0 => before.push(charged),
            std::cmp::Ordering::Equal => *this = charged,
            _ => {}
        }
    }
    let mut alerts = Vec::new();
    for (tenant, (charged, mut before)) in tenants {
        before.sort_unstable();
        let Some(&usual) =
            before.get((before.len() * USUAL / 100).min(before.len().saturating_sub(1)))
        else {
            continue;
        };
        let is_many = i128::from(charged) >= i128::from(usual) * i128::from(settings.anomaly_times);
        if before.len() < HOURS || !is_many || Money::from_nanos(charged) < settings.anomaly_least {
            continue;
        }
        let kind = "account.anomaly";
        alerts.push(Alert {
            kind,
            about: format!("{kind} {hour} {tenant}"),
            at: now,
            data: json!({
                "account": tenant,
                "hour": hour,
                "charged_usd": Money::from_nanos(charged).to_string(),
                "usual_usd": Money::from_nanos(usual).to_string(),
                "hours_compared": before.len(),
            }),
        });
    }
    alerts.sort_by(|one, other| one.about.cmp(&other.about));
    alerts
}

/// The sides of a model's calls whose counts are apart, and their cost where the provider tells that.
fn drifted(drift: &Drift, percent: i64, now: Timestamp) -> Vec<Alert> {
    let Drift { provider, model, calls, input, output, costed, cost } = drift;
    let day = now.micros().div_euclid(DAY);
    let sides = [("input", calls, input), ("output", calls, output), ("cost", costed, cost)];
    let apart = sides.into_iter().filter(|(_, calls, [theirs, ours])| {
        let difference = (i128::from(*theirs) - i128::from(*ours)).abs();
        **calls >= LEAST_CALLS
            && *ours > 0
            && difference * 100 >= i128::from(*ours) * i128::from(percent)
    });
    let alert = |(side, calls, [theirs, ours]): (&str, &i64, &[i64; 2])| {
        let kind = "provider.drift";
        let mut data =
            json!({ "provider": provider, "model": model, "side": side, "calls": calls });
        if side == "cost" {
            data["reported_usd"] = Money::from_nanos(*theirs).to_string().into();
            data["owed_usd"] = Money::from_nanos(*ours).to_string().into();
        } else {
            data["reported_tokens"] = (*theirs).into();
            data["counted_tokens"] = (*ours).into();
        }
        Alert { kind, about: format!("{kind} {day} {provider}/{model} {side}"), at: now, data }
    };
    apart.map(alert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Hook;

    fn settings() -> Settings {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        Settings {
            hook: Hook::new(http::Uri::from_static("http://127.0.0.1:1/"), secret).unwrap(),
            thresholds: Vec::new(),
            burn_permille: 0,
            anomaly_times: 5,
            anomaly_least: Money::from_nanos(1_000),
            drift_percent: 5,
            accounts: Vec::new(),
        }
    }

    const NOW: Timestamp = Timestamp::from_micros(1_795_503_600_000_000);

    /// The tenants told of, where each of so many hours before cost the same and this one that.
    fn told(before: usize, usual: i64, this: i64) -> Vec<Alert> {
        let hours: Vec<String> = (0..=before).map(|hour| format!("2026-11-{hour:02}")).collect();
        let charge = |at: usize| if at == before { this } else { usual };
        let rows: Vec<Hour<'_>> = hours
            .iter()
            .enumerate()
            .map(|(at, hour)| ("acme", hour.as_str(), charge(at)))
            .collect();
        unusual(&rows, &hours[before], &settings(), NOW)
    }

    #[test]
    fn an_hour_is_unusual_that_costs_many_times_what_dear_hours_did() {
        let alerts = told(30, 1_000, 5_000);
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].data["usual_usd"], "0.000001");
        for (before, usual, this, why) in [
            (30, 1_000, 4_999, "not so many times"),
            (23, 1_000, 50_000, "too few hours to say what is usual"),
            (30, 100, 900, "too little money to matter"),
            (30, 0, 50_000, "hours without use say nothing"),
        ] {
            assert!(told(before, usual, this).is_empty(), "{why}");
        }
    }

    #[test]
    fn counts_are_apart_from_so_many_hundredths_on_and_enough_calls() {
        let sides = |calls, input: [i64; 2], output: [i64; 2]| -> Vec<String> {
            let (provider, model, costed) = ("up".to_owned(), "m".to_owned(), calls);
            let cost = if input == output { [1_200, 1_000] } else { [1, 1] };
            let drift = Drift { provider, model, calls, input, output, costed, cost };
            let alerts = drifted(&drift, 5, NOW);
            alerts.iter().map(|one| one.data["side"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(sides(20, [1_050, 1_000], [1_049, 1_000]), ["input"]);
        assert_eq!(sides(20, [1, 1], [1, 1]), ["cost"]);
        assert_eq!(sides(20, [950, 1_000], [2_000, 1_000]), ["input", "output"]);
        assert!(sides(19, [2_000, 1_000], [2_000, 1_000]).is_empty(), "too few calls");
        assert!(sides(20, [0, 0], [7, 0]).is_empty(), "nothing of ours to compare with");
    }
}
