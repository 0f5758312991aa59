//! Corrections through the admin plane: a range rated anew, a bill booked. The command line says the
//! same of them, so what they come to is written here for both.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_accounting::Money;

use super::admin::{Admin, Problem, bad, blocking, instant, ok, read};
use crate::ledger::{AdjustError, Billed, Compared, Range, Rerated};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeWish {
    from: String,
    to: String,
    account: Option<String>,
    model: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// `POST /admin/rerate`.
pub(super) async fn rerate(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let RangeWish { from, to, account, model, dry_run } = read(&body)?;
    let (from, to) = (instant("from", &from)?, instant("to", &to)?);
    let range = Range { from, to, account, model };
    let found = blocking(move || {
        let prices = |provider: &str, model: &str| (admin.prices)(provider, model);
        if dry_run {
            admin.reader.rerate(&range, &prices)
        } else {
            admin.ledger.rerate(&admin.reader, &range, &prices)
        }
    });
    Ok(ok(&rerated(&found.await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BillWish {
    provider: String,
    lines: Vec<LineWish>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineWish {
    day: String,
    model: String,
    cost_usd: String,
}

/// `POST /admin/bills`: books what each line says beyond what is owed.
pub(super) async fn bill(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let BillWish { provider, lines } = read(&body)?;
    let line = |LineWish { day, model, cost_usd }| {
        day.parse::<jiff::civil::Date>().map_err(|_| bad(format!("{day:?} is no date")))?;
        let cost: Money =
            cost_usd.parse().map_err(|_| bad(format!("{cost_usd:?} is no amount of dollars")))?;
        let (input_tokens, output_tokens) = (None, None);
        Ok(Billed { day, model, cost: Some(cost), input_tokens, output_tokens })
    };
    let lines = lines.into_iter().map(line).collect::<Result<Vec<_>, Problem>>()?;
    let found = blocking(move || admin.ledger.book_bill(&admin.reader, &provider, &lines)).await?;
    Ok(ok(&json!({ "data": found.iter().map(compared).collect::<Vec<_>>() })))
}

impl From<AdjustError> for Problem {
    fn from(error: AdjustError) -> Problem {
        match error {
            AdjustError::Store(error) => error.into(),
            AdjustError::Refused(refused) => refused.into(),
            AdjustError::Overflow => bad(error.to_string()),
        }
    }
}

/// What rating a range anew came to.
pub fn rerated(found: &Rerated) -> Value {
    let Rerated { rows, differences, skipped } = found;
    let differences = differences.iter().map(|(key, difference)| {
        let [account, provider, model, from, to] = key.each_ref().map(|name| &**name);
        let legs = &difference.legs;
        json!({
            "account": account,
            "provider": provider,
            "model": model,
            "from_card": from,
            "to_card": to,
            "rows": difference.rows,
            "charged_usd": legs.charged().to_string(),
            "owed_usd": legs.owed().to_string(),
            "markup_usd": legs.markup().to_string(),
            "absorbed_usd": legs.absorbed().to_string(),
        })
    });
    json!({
        "rows": rows,
        "differences": differences.collect::<Vec<_>>(),
        "skipped": skipped.iter().map(|(reason, rows)| json!({ "reason": reason, "rows": rows }))
            .collect::<Vec<_>>(),
    })
}

/// A line of a bill beside the ledger's.
pub fn compared(line: &Compared) -> Value {
    let Compared { billed, owed, input_tokens, output_tokens } = line;
    let drift = line.drift().ok().flatten();
    json!({
        "day": billed.day,
        "model": billed.model,
        "billed_usd": billed.cost.map(|cost| cost.to_string()),
        "owed_usd": owed.to_string(),
        "drift_usd": drift.map(|drift| drift.to_string()),
        "billed_input_tokens": billed.input_tokens,
        "input_tokens": input_tokens,
        "billed_output_tokens": billed.output_tokens,
        "output_tokens": output_tokens,
    })
}
