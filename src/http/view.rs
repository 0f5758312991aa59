//! What the ledger knows, as JSON for people and programs. Used by the data plane, the admin plane and
//! the command line, so that all three say the same.

use serde_json::{Map, Value, json};
use tollgate_accounting::{
    Amounts, Class, Fit, Forecast, Metric, Money, ServiceTier, Standing, Timestamp,
};

use super::Failed;
use super::error::amount;
use crate::call::Operation;
use crate::call::quote::{LeftOut, Offer, Quote, Taken};
use crate::ledger::{
    CallId, Entry, GroupBy, KeyRow, Kind, Lookup, Measure, Reader, Refused, ReportRow, StoreError,
    SubscriptionRow,
};

/// One call, explained: its attempts, counts with provenance, and cost line by line on the price card
/// it was settled with. `None` where the ledger has no such call.
pub fn explain(reader: &Reader, id: CallId) -> Result<Option<Explained>, StoreError> {
    let entries = reader.call(id)?;
    let (corrections, made): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| entry.kind == Kind::Adjustment);
    let Some(last) = made.last().or(corrections.last()) else { return Ok(None) };
    let account = last.account.to_string();
    let attempts = made.iter().map(|e| attempt(reader, e)).collect::<Result<Vec<_>, _>>()?;
    let charged: i64 = entries.iter().map(|e| e.charged.nanos()).sum();
    let value = json!({
        "id": id.to_string(),
        "account": account,
        "key": &*last.key,
        "endpoint": &*last.endpoint,
        "model": &*last.asked_model,
        "prompt": last.prompt.as_deref(),
        "tags": last.tags.as_deref(),
        "stream": last.stream,
        "received_at": last.received_at.to_string(),
        "outcome": last.outcome.name(),
        "cache": last.cache.map(Lookup::name),
        "requests": entries.iter().map(|e| e.requests).sum::<u64>(),
        "input_tokens": entries.iter().map(|e| e.posted_input).sum::<u64>(),
        "output_tokens": entries.iter().map(|e| e.posted_output).sum::<u64>(),
        "charged_usd": Money::from_nanos(charged).to_string(),
        "attempts": attempts,
        "adjustments": corrections.iter().map(|e| adjustment(e)).collect::<Vec<_>>(),
    });
    Ok(Some(Explained { account, value }))
}

/// A correction: what it changed, why, and by which card.
fn adjustment(entry: &Entry) -> Value {
    json!({
        "attempt": entry.attempt,
        "at": entry.at.to_string(),
        "reason": entry.error.as_deref(),
        "price_version": &*entry.card,
        "charged_usd": entry.charged.to_string(),
        "owed_usd": entry.owed.to_string(),
        "markup_usd": entry.markup.to_string(),
        "absorbed_usd": entry.absorbed.to_string(),
    })
}

/// A call and whose it is.
pub struct Explained {
    /// The account that was charged.
    pub account: String,
    /// The call as JSON.
    pub value: Value,
}

fn attempt(reader: &Reader, entry: &Entry) -> Result<Value, StoreError> {
    let card = reader.card(&entry.card)?;
    let lines = card.as_ref().and_then(|card| card.lines(&entry.usage).ok()).unwrap_or_default();
    let lines: Vec<Value> = lines
        .iter()
        .filter(|_| !entry.usage.is_empty())
        .map(|line| {
            json!({
                "class": line.name(),
                "quantity": line.quantity,
                "usd_per_million": line.unit_price.to_string(),
                "pico_usd": line.pico.to_string(),
            })
        })
        .collect();
    let mut usage = Map::new();
    for class in Class::ALL {
        if let Some(count) = entry.usage.get(class) {
            usage.insert(class.name().to_owned(), count.into());
        }
    }
    Ok(json!({
        "attempt": entry.attempt,
        "kind": entry.kind.name(),
        "provider": &*entry.provider,
        "model": &*entry.model,
        "outcome": entry.outcome.name(),
        "status": entry.status,
        "tier": entry.tier.as_deref(),
        "reason": entry.why.as_deref(),
        "error": entry.error.as_deref(),
        "usage": usage,
        "input_provenance": entry.input_provenance.map(|p| p.name()),
        "output_provenance": entry.output_provenance.map(|p| p.name()),
        "counted_input_tokens": entry.counted_input,
        "delivered_output_tokens": entry.delivered_output,
        "price": {
            "version": &*entry.card,
            "source": card.as_ref().map(|card| card.source.as_str()),
            "effective_from": card.as_ref().and_then(|card| since(card.effective_from)),
        },
        "lines": lines,
        "markup": entry.terms.map(|terms| terms.to_string()),
        "charged_usd": entry.charged.to_string(),
        "owed_usd": entry.owed.to_string(),
        "reported_cost_usd": entry.reported_cost.map(|cost| cost.to_string()),
        "markup_usd": entry.markup.to_string(),
        "absorbed_usd": entry.absorbed.to_string(),
        "saved_usd": entry.saved.to_string(),
        "held_usd": (entry.kind != Kind::Attempt).then(|| entry.held.to_string()),
        "first_byte_ms": entry.first_byte_us.map(|us| us / 1000),
        "total_ms": entry.total_us / 1000,
        "settled_at": entry.at.to_string(),
    }))
}

/// An instant; none where a price was never anything else.
pub fn since(at: Timestamp) -> Option<String> {
    (at.micros() > 0).then(|| at.to_string())
}

/// How one limit stands.
pub fn standing(standing: &Standing) -> Value {
    let Standing {
        account,
        limit,
        limit_key,
        metric,
        capacity,
        posted,
        held,
        available,
        resets_at,
        forecast,
    } = standing;
    let unit = if *metric == Metric::Cost { "usd" } else { metric.name() };
    let amount = |value: &i64| amount(Some(*metric), *value);
    json!({
        "account": &**account,
        "limit": &**limit,
        "key": &**limit_key,
        "metric": metric.name(),
        "unit": unit,
        "capacity": amount(capacity),
        "posted": amount(posted),
        "held": amount(held),
        "available": amount(available),
        "resets_at": resets_at.map(|at| at.to_string()),
        "forecast": forecast.map(|forecast| heading(*metric, &forecast)),
    })
}

/// Where a period is heading, if use goes on as it has since the period began.
fn heading(metric: Metric, forecast: &Forecast) -> Value {
    let Forecast { period, per_day, burn_permille, at_end, exhausted_at } = forecast;
    json!({
        "starts_at": period.start.to_string(),
        "ends_at": period.end.to_string(),
        "per_day": amount(Some(metric), *per_day),
        "burn_rate": burn_permille.map(thousandths),
        "at_end": amount(Some(metric), *at_end),
        "exhausted_at": exhausted_at.map(|at| at.to_string()),
    })
}

/// Thousandths as a decimal: 1,500 is `1.5`. Digits of an integer, never a float's.
pub fn thousandths(value: i64) -> String {
    let text = format!("{}.{:03}", value / 1_000, value % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a call of that account would come to.
pub fn quote(account: &str, operation: &Operation<'_>, quote: Quote) -> Value {
    let Quote { order, offers, left_out, cap, cap_is_ours, holds, worst, fits, verdict } = quote;
    let mut value = json!({
        "object": "quote",
        "account": account,
        "endpoint": operation.endpoint(),
        "model": operation.model(),
        "stream": operation.stream(),
        "choices": operation.choices(),
        "route": order.name(),
        "targets": offers.iter().map(offer).collect::<Vec<_>>(),
        "left_out": left_out.iter().map(self::left_out).collect::<Vec<_>>(),
        "max_output_tokens": (operation.asked_output() != Some(0)).then_some(cap),
        "max_output_tokens_from": if cap_is_ours { "gateway" } else { "request" },
        "holds": holds.name(),
        "worst": amounts(&worst),
        "limits": fits.iter().map(fit).collect::<Vec<_>>(),
        "admitted": verdict.is_ok(),
    });
    match verdict {
        Ok(Taken { held, cap }) => {
            value["held"] = amounts(&held);
            value["sent_max_output_tokens"] = cap.into();
        }
        Err(refused) => {
            let waits = matches!(&refused, Refused::Limit(refusal) if refusal.soft);
            let (status, error) = Failed::from(refused).told();
            value["waits"] = waits.into();
            value["status"] = status.into();
            value["error"] = error;
        }
    }
    value
}

fn offer(offer: &Offer) -> Value {
    let Offer { provider, model, card, tier, input, worst, likely, likely_output, learned, reason } =
        offer;
    json!({
        "provider": &**provider,
        "model": &**model,
        "input_tokens": input.tokens,
        "input_provenance": input.provenance.name(),
        "price": {
            "version": card.version,
            "source": card.source,
            "effective_from": since(card.effective_from),
        },
        "deferred_to": tier.map(ServiceTier::name),
        "worst_usd": worst.to_string(),
        "likely_usd": likely.to_string(),
        "likely_output_tokens": likely_output,
        "likely_from": if *learned { "learned" } else { "default" },
        "reason": reason.to_string(),
    })
}

fn left_out(out: &LeftOut) -> Value {
    let LeftOut { provider, model, name, why } = out;
    json!({ "provider": &**provider, "model": &**model, "reason": name, "why": why })
}

fn amounts(amounts: &Amounts) -> Value {
    let Amounts { requests, input_tokens, output_tokens, cost } = amounts;
    json!({
        "requests": requests,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_usd": cost.to_string(),
    })
}

/// How a limit stands, and what it would say to the worst case.
fn fit(fit: &Fit) -> Value {
    let metric = fit.standing.metric;
    let mut value = standing(&fit.standing);
    value["asked"] = amount(Some(metric), fit.asked);
    value["remains"] = fit.remains().map_or(Value::Null, |left| amount(Some(metric), left));
    let refusal = fit.refusal.clone().map(|refusal| Failed::from(Refused::Limit(refusal)));
    value["refused"] = refusal.map_or(Value::Null, |refused| refused.words().into());
    value
}

/// The columns of a report behind its groups: name and value, in their order. The command line, the
/// admin plane and every format show these.
pub fn measures(row: &ReportRow) -> impl Iterator<Item = (&'static str, Figure)> + '_ {
    let sums = Measure::ALL.into_iter().map(|measure| {
        let figure = if measure.is_money() {
            Figure::Money(row.money(measure))
        } else {
            Figure::Count(Some(row.count(measure)))
        };
        (measure.name(), figure)
    });
    let times = PERCENTILES.into_iter().map(|(name, first_byte, per_cent)| {
        let times = if first_byte { row.first_byte() } else { row.latency() };
        let millis = times.percentile_ms(per_cent).map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        (name, Figure::Count(millis))
    });
    sums.chain([("cache_hit_rate", Figure::Share(hit_rate(row)))]).chain(times)
}

/// Of the calls that the gateway's own cache could answer, how many it did, in thousandths; none where
/// there were none.
fn hit_rate(row: &ReportRow) -> Option<i64> {
    let hits = row.count(Measure::CacheHits);
    let all = hits.saturating_add(row.count(Measure::CacheMisses));
    // In whole numbers, and wide: a sum of counts may be as large as there are.
    i64::try_from((i128::from(hits) * 1_000).checked_div(i128::from(all))?).ok()
}

/// Times that a report tells, in milliseconds: the name, whether to the first byte, the per cent.
const PERCENTILES: [(&str, bool, u64); 5] = [
    ("latency_p50_ms", false, 50),
    ("latency_p95_ms", false, 95),
    ("latency_p99_ms", false, 99),
    ("first_byte_p50_ms", true, 50),
    ("first_byte_p95_ms", true, 95),
];

/// One value of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// A number; none where nothing was measured.
    Count(Option<i64>),
    /// Thousandths of a whole; none where there is no whole.
    Share(Option<i64>),
    /// Dollars.
    Money(Money),
}

impl Figure {
    /// As JSON: money and shares as decimal strings.
    pub fn json(self) -> Value {
        match self {
            Figure::Count(count) => count.into(),
            Figure::Share(share) => share.map(thousandths).into(),
            Figure::Money(money) => money.to_string().into(),
        }
    }
}

/// One row of a report, with the names of what it is split by.
pub fn report_row(row: &ReportRow, by: &[GroupBy]) -> Value {
    let groups = by.iter().zip(&row.keys).map(|(by, key)| (by.to_string(), Value::from(&**key)));
    let figures = measures(row).map(|(name, figure)| (name.to_owned(), figure.json()));
    Value::Object(groups.chain(figures).collect())
}

/// A credential without its digest.
pub fn key_json(row: &KeyRow) -> Value {
    let KeyRow { id, digest: _, account, name, hint, limits, created_at, expires_at, revoked_at } =
        row;
    json!({
        "id": id,
        "account": account,
        "name": name,
        "hint": format!("...{hint}"),
        "limits": limits.lines().collect::<Vec<_>>(),
        "created_at": created_at.to_string(),
        "expires_at": expires_at.map(|at| at.to_string()),
        "revoked_at": revoked_at.map(|at| at.to_string()),
    })
}

/// A subscription as both sides see it; the credential it was filed with is on the ledger's row.
pub fn subscription_json(row: &SubscriptionRow) -> Value {
    json!({
        "id": row.id,
        "object": "prompt.subscription",
        "prompt": row.prompt,
        "owner": row.owner,
        "account": row.account,
        "limits": row.limits.lines().collect::<Vec<_>>(),
        "reason": row.reason,
        "filed_at": row.filed_at.to_string(),
        "state": row.state.name(),
        "decided_at": row.decided_at.map(|at| at.to_string()),
        "note": row.note,
    })
}
