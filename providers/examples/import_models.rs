//! Reduces models.dev's `api.json` to the rows that the catalogue reads: see `data/README.md`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The providers that are kept; the others resell these or sell subscriptions.
const KEPT: [&str; 42] = [
    "alibaba",
    "amazon-bedrock",
    "anthropic",
    "azure",
    "baseten",
    "cerebras",
    "cohere",
    "databricks",
    "deepinfra",
    "deepseek",
    "digitalocean",
    "fireworks-ai",
    "friendli",
    "github-models",
    "google",
    "google-vertex",
    "google-vertex-anthropic",
    "groq",
    "huggingface",
    "inception",
    "llama",
    "minimax",
    "mistral",
    "moonshotai",
    "morph",
    "nebius",
    "novita-ai",
    "nvidia",
    "ollama-cloud",
    "openai",
    "openrouter",
    "ovhcloud",
    "perplexity",
    "scaleway",
    "siliconflow",
    "stepfun",
    "togetherai",
    "upstage",
    "vercel",
    "wandb",
    "xai",
    "zai",
];

#[derive(Deserialize)]
struct Provider {
    models: BTreeMap<String, Model>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    attachment: bool,
    #[serde(default)]
    reasoning: bool,
    #[serde(default)]
    tool_call: bool,
    #[serde(default)]
    structured_output: bool,
    temperature: Option<bool>,
    status: Option<String>,
    release_date: Option<String>,
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    modalities: Modalities,
    cost: Option<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
struct Limit {
    context: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
}

#[derive(Deserialize, Default)]
struct Modalities {
    #[serde(default)]
    input: Vec<String>,
    #[serde(default)]
    output: Vec<String>,
}

#[derive(Serialize)]
struct Row(
    Option<u64>,
    Option<u64>,
    Option<u64>,
    String,
    String,
    String,
    String,
    Option<Box<RawValue>>,
);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(date)) = (arguments.next(), arguments.next()) else {
        return Err("usage: import_models API.json DATE".into());
    };
    let mut all: BTreeMap<String, Provider> =
        serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let mut out = std::io::stdout().lock();
    write!(out, "{{\"retrieved\":{},\"providers\":{{", serde_json::to_string(&date)?)?;
    for (i, name) in KEPT.iter().enumerate() {
        let provider = all.remove(*name).ok_or_else(|| format!("{name} is no longer there"))?;
        write!(out, "{}\n\"{name}\":{{", if i > 0 { "," } else { "" })?;
        for (j, (id, model)) in provider.models.into_iter().enumerate() {
            let id = serde_json::to_string(&id)?;
            let row = serde_json::to_string(&row(model)?)?;
            write!(out, "{}\n{id}:{row}", if j > 0 { "," } else { "" })?;
        }
        write!(out, "}}")?;
    }
    writeln!(out, "}}}}")?;
    Ok(())
}

fn row(model: Model) -> Result<Row, serde_json::Error> {
    let letters =
        |names: &[String]| names.iter().filter_map(|n| n.chars().next()).collect::<String>();
    let mut flags = String::new();
    for (on, flag) in [
        (model.reasoning, 'r'),
        (model.tool_call, 't'),
        (model.structured_output, 's'),
        (model.attachment, 'a'),
        (model.temperature == Some(true), 'T'),
        (model.temperature == Some(false), 'N'),
        (model.status.as_deref() == Some("deprecated"), 'd'),
    ] {
        if on {
            flags.push(flag);
        }
    }
    // The source is indented; the text of its numbers is kept.
    let cost = model.cost.map(|raw| {
        let compact: String = raw.get().chars().filter(|c| !c.is_whitespace()).collect();
        RawValue::from_string(compact)
    });
    let Limit { context, input, output } = model.limit;
    let (takes, gives) = (letters(&model.modalities.input), letters(&model.modalities.output));
    let released = model.release_date.unwrap_or_default();
    Ok(Row(context, input, output, flags, takes, gives, released, cost.transpose()?))
}
