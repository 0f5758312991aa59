//! `tollgate quote`: on the configuration and the ledger's file, beside a running gateway or without.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use serde_json::value::RawValue;
use tollgate::app::Preview;
use tollgate::call::quote;
use tollgate::cli::{Cell, Column, Exit, Format, Global, Output, QuoteArgs, Table};
use tollgate::http::{Failed, view};

use super::configuration;

pub(super) fn run(global: &Global, args: &QuoteArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let mut text = super::input(args.file.as_deref())?;
    if let Some(model) = &args.model {
        text = asking_for(&text, model)?;
    }
    let preview = Preview::of(&snapshot)?;
    let bounds = preview.runtime().bounds;
    let asked = quote::Asked::of(text.as_bytes(), &bounds, None)?;
    let operation = asked.operation(&bounds)?;
    let account = args.account.as_deref();
    let quoted = preview.quote(account, &operation);
    let account = account.unwrap_or_default();
    let quoted = quoted.with_context(|| format!("there is no account {account:?}"))?;
    let quoted = quoted.map_err(|error| anyhow!("{}", Failed::from(error).words()))?;
    let value = view::quote(account, &operation, quoted);
    if output.json() {
        output.line(&value.to_string())?;
    } else {
        show(&value, output)?;
    }
    Ok(if value["admitted"] == true { Exit::Good } else { Exit::Found })
}

/// The request with another model. What is inside its fields stays as it was written, for it is
/// counted as it was written.
fn asking_for(request: &str, model: &str) -> Result<String> {
    let mut fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(request).context("the request is not a JSON object")?;
    let model = RawValue::from_string(Value::from(model).to_string())?;
    fields.insert("model".to_owned(), &model);
    Ok(serde_json::to_string(&fields)?)
}

fn show(quote: &Value, output: &mut Output) -> Result<()> {
    let get = |name: &str| words(&quote[name]);
    output.line(&format!("{} of {} ({})", get("endpoint"), get("model"), get("route")))?;
    output.line(&format!(
        "worst case   {} tokens in, {} out, ${}",
        words(&quote["worst"]["input_tokens"]),
        words(&quote["worst"]["output_tokens"]),
        words(&quote["worst"]["cost_usd"]),
    ))?;
    output.line("")?;
    let columns = [
        ("provider", Column::text("provider")),
        ("model", Column::text("model")),
        ("input_tokens", Column::number("input_tokens")),
        ("input_provenance", Column::text("counted")),
        ("worst_usd", Column::number("worst").in_unit("USD")),
        ("likely_usd", Column::number("likely").in_unit("USD")),
        ("likely_output_tokens", Column::number("likely_output").in_unit("tokens")),
        ("likely_from", Column::text("likely_from")),
        ("reason", Column::text("reason")),
    ];
    let mut targets = table(&quote["targets"], &columns);
    targets.columns.push(Column::text("price"));
    for (row, target) in
        targets.rows.iter_mut().zip(quote["targets"].as_array().into_iter().flatten())
    {
        row.push(words(&target["price"]["version"]).into());
    }
    output.table(&targets, Format::Table)?;
    for out in quote["left_out"].as_array().into_iter().flatten() {
        let (provider, model, why) = (words(&out["provider"]), words(&out["model"]), &out["why"]);
        output.line(&format!("left out     {provider}/{model} {}", words(why)))?;
    }
    if quote["limits"].as_array().is_some_and(|limits| !limits.is_empty()) {
        let columns = [
            ("account", Column::text("account")),
            ("limit", Column::text("limit")),
            ("asked", Column::number("asked")),
            ("available", Column::number("available")),
            ("remains", Column::number("remains")),
        ];
        output.line("")?;
        output.table(&table(&quote["limits"], &columns), Format::Table)?;
    }
    output.line("")?;
    for limit in quote["limits"].as_array().into_iter().flatten() {
        // The verdict says it, where that is what would happen.
        if !limit["refused"].is_null() && limit["refused"] != quote["error"]["message"] {
            output.line(&format!("the worst case is refused: {}", words(&limit["refused"])))?;
        }
    }
    output.line(&verdict(quote))?;
    Ok(())
}

fn verdict(quote: &Value) -> String {
    if quote["admitted"] == true {
        let held = &quote["held"];
        let (output, cost) = (words(&held["output_tokens"]), words(&held["cost_usd"]));
        let cap = match &quote["sent_max_output_tokens"] {
            Value::Null => String::new(),
            cap => format!(" under a cap of {cap}"),
        };
        return format!(
            "sent now it would be admitted, holding {output} output tokens and ${cost}{cap}"
        );
    }
    let error = words(&quote["error"]["message"]);
    let what = if quote["waits"] == true { "wait" } else { "be refused" };
    format!("sent now it would {what}: {error}")
}

fn table(rows: &Value, columns: &[(&str, Column)]) -> Table {
    let mut table = Table::new(columns.iter().map(|(_, column)| column.clone()).collect());
    for row in rows.as_array().into_iter().flatten() {
        let cell = |(name, _): &(&str, Column)| match &row[*name] {
            Value::Null => Cell::Null,
            Value::Number(number) => match number.as_i64() {
                Some(number) => number.into(),
                None => number.to_string().into(),
            },
            other => words(other).into(),
        };
        table.rows.push(columns.iter().map(cell).collect());
    }
    table
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_model_leaves_the_rest_as_it_was_written() {
        let request = r#"{"temperature":1.00,"tools":[{"b": 1,  "a":2}],"model":"x"}"#;
        let expected = r#"{"model":"y \"z\"","temperature":1.00,"tools":[{"b": 1,  "a":2}]}"#;
        assert_eq!(asking_for(request, "y \"z\"").unwrap(), expected);
        assert!(asking_for("[]", "y").is_err());
        assert!(asking_for("", "y").is_err());
    }
}
