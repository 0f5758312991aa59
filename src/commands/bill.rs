//! Reads bills: OpenAI's organization costs and usage pages, Anthropic's cost and usage reports, and a
//! CSV with the columns `day`, `model`, `cost_usd`, `input_tokens`, `output_tokens`.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate::ledger::{ALL_MODELS, Billed};
use tollgate_accounting::Money;
use tollgate_providers::decimal;

/// Seconds of a day, the longest bucket that is told apart.
const DAY: i64 = 86_400;

#[derive(Deserialize)]
struct Page<'b> {
    #[serde(borrow)]
    data: Vec<Bucket<'b>>,
}

/// A span of time: OpenAI's in Unix seconds, Anthropic's in RFC 3339.
#[derive(Deserialize)]
struct Bucket<'b> {
    start_time: Option<i64>,
    end_time: Option<i64>,
    starting_at: Option<&'b str>,
    ending_at: Option<&'b str>,
    #[serde(borrow)]
    results: Vec<Line<'b>>,
}

/// What any of the four says.
#[derive(Deserialize)]
struct Line<'b> {
    /// OpenAI's `{value, currency}`, or Anthropic's cents as text.
    #[serde(borrow, default)]
    amount: Option<&'b RawValue>,
    #[serde(default)]
    currency: Option<String>,
    /// OpenAI's: `gpt-4o-2024-08-06, input`.
    #[serde(default)]
    line_item: Option<String>,
    #[serde(default)]
    model: Option<String>,
    /// OpenAI's, cached ones included.
    #[serde(default)]
    input_tokens: Option<u64>,
    /// Anthropic's, cached ones apart.
    #[serde(default)]
    uncached_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation: Option<Written>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    ephemeral_5m_input_tokens: u64,
    #[serde(default)]
    ephemeral_1h_input_tokens: u64,
}

#[derive(Deserialize)]
struct Amount<'b> {
    #[serde(borrow)]
    value: &'b RawValue,
    #[serde(default)]
    currency: Option<String>,
}

/// Every line of a bill.
pub(super) fn read(text: &str) -> Result<Vec<Billed>> {
    if text.trim_start().starts_with('{') { pages(text) } else { csv(text) }
}

fn pages(text: &str) -> Result<Vec<Billed>> {
    let page: Page<'_> = serde_json::from_str(text).context(
        "neither a page of OpenAI's costs or usage nor of Anthropic's cost or usage report",
    )?;
    let mut lines = Vec::new();
    for bucket in &page.data {
        let day = bucket.day()?;
        for line in &bucket.results {
            lines.push(line.billed(&day).with_context(|| format!("on {day}"))?);
        }
    }
    Ok(lines)
}

impl Bucket<'_> {
    /// The day it lies in.
    fn day(&self) -> Result<String> {
        let instant = |seconds: Option<i64>, text: Option<&str>| match (seconds, text) {
            (Some(seconds), _) => Ok(jiff::Timestamp::from_second(seconds)?),
            (None, Some(text)) => Ok(text.parse::<jiff::Timestamp>()?),
            (None, None) => bail!("a bucket does not say when it begins and ends"),
        };
        let start = instant(self.start_time, self.starting_at)?;
        let end = instant(self.end_time, self.ending_at)?;
        if end.as_second() - start.as_second() > DAY {
            bail!("the bucket of {start} is longer than a day: ask for buckets of a day");
        }
        Ok(jiff::tz::TimeZone::UTC.to_datetime(start).date().to_string())
    }
}

impl Line<'_> {
    fn billed(&self, day: &str) -> Result<Billed> {
        let (cost, currency) = match self.amount {
            None => (None, None),
            Some(raw) if raw.get().starts_with('{') => {
                let amount: Amount<'_> = serde_json::from_str(raw.get())?;
                (Some(money(amount.value.get().trim_matches('"'), 0)?), amount.currency)
            }
            // Cents.
            Some(raw) => (Some(money(raw.get().trim_matches('"'), -2)?), self.currency.clone()),
        };
        if let Some(other) = currency.filter(|currency| !currency.eq_ignore_ascii_case("usd")) {
            bail!("the bill is in {other}; only dollars can be compared");
        }
        let item = self.line_item.as_deref().map(|item| item.split(", ").next().unwrap_or(item));
        let model = self.model.as_deref().or(item).unwrap_or(ALL_MODELS);
        let written = self.cache_creation.as_ref();
        let written = written.map(|w| [w.ephemeral_5m_input_tokens, w.ephemeral_1h_input_tokens]);
        let parts = [self.uncached_input_tokens, self.cache_read_input_tokens];
        let parts = parts.into_iter().flatten().chain(written.into_iter().flatten());
        let apart = parts.reduce(u64::saturating_add);
        Ok(Billed {
            day: day.to_owned(),
            model: model.to_owned(),
            cost,
            input_tokens: self.input_tokens.or(apart),
            output_tokens: self.output_tokens,
        })
    }
}

/// A decimal number of ten to the power `unit` dollars, to the nearest nano-dollar: bills carry digits
/// of binary fractions behind it.
fn money(text: &str, unit: i32) -> Result<Money> {
    let scaled = decimal::scaled(text, 10 + unit);
    let (tenths, _) = scaled.with_context(|| format!("{text:?} is no amount"))?;
    let nanos = i64::try_from((tenths + 5).div_euclid(10));
    Ok(Money::from_nanos(nanos.with_context(|| format!("{text} is out of range"))?))
}

fn csv(text: &str) -> Result<Vec<Billed>> {
    let mut rows = text.lines().map(|line| line.trim_end_matches('\r')).enumerate();
    let header = rows.next().map(|(_, line)| fields(line)).unwrap_or_default();
    let column = |name: &str| header.iter().position(|field| field == name);
    let day_at = column("day").context("the first line names no column `day`")?;
    let (model, cost) = (column("model"), column("cost_usd"));
    let (input, output) = (column("input_tokens"), column("output_tokens"));
    if cost.is_none() && input.is_none() && output.is_none() {
        bail!("the first line names no column `cost_usd`, `input_tokens` or `output_tokens`");
    }
    let mut lines = Vec::new();
    for (number, line) in rows.filter(|(_, line)| !line.trim().is_empty()) {
        let fields = fields(line);
        let get = |at: Option<usize>| {
            at.and_then(|at| fields.get(at)).map(|field| field.trim()).filter(|f| !f.is_empty())
        };
        let read = || -> Result<Billed> {
            let day = get(Some(day_at)).context("no day")?;
            day.parse::<jiff::civil::Date>().with_context(|| format!("{day:?} is no date"))?;
            let count = |at| -> Result<Option<u64>> { Ok(get(at).map(str::parse).transpose()?) };
            Ok(Billed {
                day: day.to_owned(),
                model: get(model).unwrap_or(ALL_MODELS).to_owned(),
                cost: get(cost).map(|text| money(text, 0)).transpose()?,
                input_tokens: count(input)?,
                output_tokens: count(output)?,
            })
        };
        lines.push(read().with_context(|| format!("line {}", number + 1))?);
    }
    Ok(lines)
}

/// The fields of a line; quotes may hold commas.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_bill_says_what_is_wrong() {
        let cases = [
            ("{}", "neither a page"),
            (r#"{"data":[{"results":[]}]}"#, "when it begins"),
            (r#"{"data":[{"start_time":0,"end_time":604800,"results":[]}]}"#, "longer than a day"),
            (
                r#"{"data":[{"start_time":0,"end_time":1,"results":[{"amount":{"value":1,"currency":"eur"}}]}]}"#,
                "only dollars",
            ),
            (r#"{"data":[{"start_time":0,"end_time":1,"results":[{"amount":"x"}]}]}"#, "no amount"),
            ("", "no column `day`"),
            ("day,model\n", "no column `cost_usd`"),
            ("day,cost_usd\n2026-13-01,1\n", "line 2"),
            ("day,cost_usd\n2026-11-01,x\n", "line 2"),
            ("day,input_tokens\n2026-11-01,-1\n", "line 2"),
        ];
        for (text, expected) in cases {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn amounts_are_read_to_the_nano_dollar() {
        let cases = [
            ("0.06", 0, 60_000_000),
            ("1e-9", 0, 1),
            ("6.0000000001e-2", 0, 60_000_000),
            ("123.45", -2, 1_234_500_000),
            ("-1", 0, -1_000_000_000),
            ("0.00000005", -2, 1),
        ];
        for (text, unit, nanos) in cases {
            assert_eq!(money(text, unit).unwrap().nanos(), nanos, "{text}");
        }
        assert_eq!(fields(r#"a,"b, c",,d"#), ["a", "b, c", "", "d"]);
    }
}
