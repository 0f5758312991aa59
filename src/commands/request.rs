//! `tollgate request show`.

use anyhow::{Context, Result};
use serde_json::Value;
use tollgate::cli::{Exit, Global, Output, RequestCommand};
use tollgate::http::view::explain;
use tollgate::ledger::{CallId, Reader};

use super::configuration;

pub(super) fn run(global: &Global, command: RequestCommand, output: &mut Output) -> Result<Exit> {
    let RequestCommand::Show(args) = command;
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let id = CallId::parse(&args.id).with_context(|| {
        format!("{:?} is no request id: it looks like req_ and 32 digits", args.id)
    })?;
    let reader = Reader::open(&snapshot.storage.path)?;
    let Some(explained) = explain(&reader, id)? else {
        output.error(&format!("the ledger has no request {id}"))?;
        return Ok(Exit::Found);
    };
    if output.json() {
        output.line(&explained.value.to_string())?;
    } else {
        output.answer(&human(&explained.value))?;
    }
    Ok(Exit::Good)
}

fn human(call: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        if !text.is_empty() {
            out.push_str(&format!("{name:<12} {text}\n"));
        }
    };
    line("request", text(&call["id"]));
    line("received", text(&call["received_at"]));
    line("account", text(&call["account"]));
    line("key", text(&call["key"]));
    line("asked for", format!("{} ({})", text(&call["model"]), text(&call["endpoint"])));
    line("tags", text(&call["tags"]));
    line("outcome", text(&call["outcome"]));
    line(
        "tokens",
        format!("{} in, {} out", text(&call["input_tokens"]), text(&call["output_tokens"])),
    );
    line("charged", format!("${}", text(&call["charged_usd"])));
    for attempt in call["attempts"].as_array().into_iter().flatten() {
        out.push_str(&self::attempt(attempt));
    }
    for correction in call["adjustments"].as_array().into_iter().flatten() {
        let get = |name: &str| text(&correction[name]);
        out.push_str(&format!(
            "\nadjusted {}: {}\n  charged ${}, owed ${}, markup ${}, absorbed ${}\n",
            get("at"),
            get("reason"),
            get("charged_usd"),
            get("owed_usd"),
            get("markup_usd"),
            get("absorbed_usd"),
        ));
    }
    out
}

fn attempt(attempt: &Value) -> String {
    let get = |name: &str| text(&attempt[name]);
    let mut out = format!(
        "\nattempt {}: {}/{} {} ({} ms)\n",
        get("attempt"),
        get("provider"),
        get("model"),
        get("outcome"),
        get("total_ms"),
    );
    if !get("reason").is_empty() {
        out.push_str(&format!("  chosen: {}\n", get("reason")));
    }
    if !get("error").is_empty() {
        out.push_str(&format!("  {}\n", get("error")));
    }
    let price = &attempt["price"];
    for line in attempt["lines"].as_array().into_iter().flatten() {
        let side = if line["class"].as_str().is_some_and(is_output) { "output" } else { "input" };
        out.push_str(&format!(
            "  {:<18} {:>10} x ${} per million = {} pico-dollars ({})\n",
            text(&line["class"]),
            text(&line["quantity"]),
            text(&line["usd_per_million"]),
            text(&line["pico_usd"]),
            get(&format!("{side}_provenance")),
        ));
    }
    if !get("markup").is_empty() {
        let terms = get("markup");
        out.push_str(&format!("  {:<18} {terms} = ${}\n", "markup", get("markup_usd")));
    }
    out.push_str(&format!(
        "  charged ${}, owed ${}, absorbed ${}, held ${}\n",
        get("charged_usd"),
        get("owed_usd"),
        get("absorbed_usd"),
        get("held_usd"),
    ));
    if !get("reported_cost_usd").is_empty() {
        out.push_str(&format!("  the provider says ${}\n", get("reported_cost_usd")));
    }
    let tier = get("tier");
    let tier = if tier.is_empty() { tier } else { format!(", {tier} tier") };
    let (version, source) = (text(&price["version"]), text(&price["source"]));
    out.push_str(&format!("  price {version} from {source}{tier}\n"));
    out
}

fn is_output(class: &str) -> bool {
    tollgate_accounting::Class::from_name(class).is_some_and(|class| class.is_output())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
