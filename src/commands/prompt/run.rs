//! `prompt run` and `prompt test`: through the running gateway, so that they are held, charged and
//! recorded like any call.

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Map, Value, json};
use tollgate::cli::{
    Cell, Column, Exit, Format, Global, Output, PromptRunArgs, PromptTestArgs, Table,
};
use tollgate::config::Snapshot;
use tollgate::prompts::{Outcome, Version};
use tollgate::upstream::request_local;
use tollgate_accounting::Money;

use super::{find, shelf, text};

const KEY: &str = "TOLLGATE_API_KEY";

pub(super) fn run(snapshot: &Snapshot, args: &PromptRunArgs, output: &mut Output) -> Result<Exit> {
    let library = shelf(snapshot)?;
    let version = find(&library, &args.name)?;
    let mut inputs = Map::new();
    for given in &args.inputs {
        let (name, value) = given
            .split_once('=')
            .with_context(|| format!("{given:?} is not NAME=VALUE or NAME=@FILE"))?;
        let value = match value.strip_prefix('@') {
            Some(file) => crate::commands::input(Some(file.as_ref()))?,
            None => value.to_owned(),
        };
        inputs.insert(name.to_owned(), version.template.typed(name, &value));
    }
    let answer = ask(snapshot, args.key.as_deref(), &args.name, &inputs)?;
    if output.json() {
        output.line(&answer.to_string())?;
        return Ok(Exit::Good);
    }
    output.line(&match &answer["output"] {
        Value::String(text) => text.clone(),
        object => serde_json::to_string_pretty(object)?,
    })?;
    output.remark(&format!(
        "{}: {} tokens in, {} out, ${}, {}",
        text(&answer["prompt"]),
        answer["usage"]["prompt_tokens"],
        answer["usage"]["completion_tokens"],
        text(&answer["cost_usd"]),
        text(&answer["id"]),
    ))?;
    Ok(Exit::Good)
}

pub(super) fn test(
    global: &Global,
    snapshot: &Snapshot,
    args: &PromptTestArgs,
    output: &mut Output,
) -> Result<Exit> {
    let library = shelf(snapshot)?;
    let versions: Vec<&Version> = match args.names.as_slice() {
        [] => library.served().map(|version| &**version).collect(),
        names => names.iter().map(|name| Ok(&**find(&library, name)?)).collect::<Result<_>>()?,
    };
    let columns = [
        Column::text("prompt"),
        Column::text("test"),
        Column::text("result"),
        Column::number("tokens"),
        Column::number("cost_usd"),
        Column::text("why"),
    ];
    let mut table = Table::new(columns.to_vec());
    let mut failed = false;
    for version in versions {
        for case in &version.template.tests {
            let asked = ask(snapshot, args.key.as_deref(), &version.tag, &case.inputs);
            let (wrong, tokens, cost) = match asked.and_then(|answer| outcome(&answer)) {
                Ok(outcome) => {
                    let (tokens, cost) = (outcome.tokens.to_string(), Cell::Money(outcome.cost));
                    (case.judge(&outcome), Cell::Text(tokens), cost)
                }
                Err(error) => (vec![format!("{error:#}")], Cell::Null, Cell::Null),
            };
            failed |= !wrong.is_empty();
            table.rows.push(vec![
                version.tag.to_string().into(),
                case.name.clone().into(),
                if wrong.is_empty() { "passed" } else { "FAILED" }.to_owned().into(),
                tokens,
                cost,
                wrong.join("; ").into(),
            ]);
        }
    }
    if table.rows.is_empty() {
        bail!("there are no tests: [[tests]] in a template's front matter");
    }
    output.table(&table, Format::chosen(None, global))?;
    Ok(if failed { Exit::Found } else { Exit::Good })
}

fn outcome(answer: &Value) -> Result<Outcome> {
    let usage = &answer["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let cost: Option<Money> = answer["cost_usd"].as_str().and_then(|text| text.parse().ok());
    Ok(Outcome {
        output: answer["output"].clone(),
        cost: cost.context("the answer has no cost")?,
        tokens: count("prompt_tokens") + count("completion_tokens"),
    })
}

/// Runs a prompt at the running gateway.
fn ask(
    snapshot: &Snapshot,
    key: Option<&str>,
    name: &str,
    inputs: &Map<String, Value>,
) -> Result<Value> {
    let key = match key {
        Some(key) => key.to_owned(),
        None => crate::commands::environment(KEY)
            .with_context(|| format!("give a tenant's key with --key, or in {KEY}"))?,
    };
    let body = json!({ "inputs": inputs }).to_string().into_bytes();
    let path = format!("/v1/prompts/{name}");
    let (status, _, answer) =
        request_local(snapshot.server.listen, &key, Method::POST, &path, body)?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    if !status.is_success() {
        bail!("{}", answer["error"]["message"].as_str().unwrap_or("the gateway refused"));
    }
    Ok(answer)
}
