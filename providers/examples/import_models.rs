//! Reduces models.dev's `api.json` to the rows that the catalogue reads: see `data/README.md`.

use std::error::Error;
use std::io::Write;

use tollgate_providers::catalogue::reduce;

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

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(date)) = (arguments.next(), arguments.next()) else {
        return Err("usage: import_models API.json DATE".into());
    };
    let reduced = reduce(&std::fs::read_to_string(path)?, &date, Some(&KEPT));
    let reduced = reduced.map_err(|error| error.message)?;
    Ok(std::io::stdout().lock().write_all(reduced.as_bytes())?)
}
