//! The configuration: one TOML file and the environment, checked as a whole into a [`Snapshot`].
//! All errors come at once, each with its place in the file, its dotted path and the nearest known
//! name. Loading either gives a whole snapshot or changes nothing, which makes a reload safe.

mod accounts;
mod alerts;
mod batches;
mod cache;
mod gateway;
mod imported;
mod lanes;
mod limits;
mod models;
mod names;
mod prices;
mod problem;
mod prompts;
mod providers;
mod reader;
mod secret;
mod server;
mod snapshot;
mod tokenizers;
mod values;
mod warnings;

use std::{io::Read, path::Path};

use toml::de::DeTable;

pub use imported::beside as imports_beside;
pub use limits::ENDPOINTS;
pub use problem::{Place, Problem, Severity};
pub use secret::Secret;
pub use snapshot::{
    Account, Admin, Alerts, Alias, AllowedModels, Durability, End, Gateway, Holds, OnClientGone,
    Prices, Prompts, Provider, Route, Server, Snapshot, Storage, Target, UnknownPrice,
};
pub use tokenizers::Tokenizers;

use self::{
    models::Placed,
    names::{Names, Served},
    reader::Reader,
};

/// A larger file is not a configuration.
const LARGEST: u64 = 4 << 20;

/// Reads and checks a file. `env` looks up environment variables.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Snapshot, Vec<Problem>> {
    let file_name = path.display().to_string();
    match read(path) {
        Ok(text) => parse(&text, &file_name, env),
        Err(why) => Err(vec![Problem::of_file(Severity::Error, &file_name, why)]),
    }
}

/// Checks a text. Relative paths in it mean relative to the folder of `file_name`.
///
/// On failure the warnings are given as well, for the one list shows all that is to be mended.
pub fn parse(
    text: &str,
    file_name: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Snapshot, Vec<Problem>> {
    let reader = Reader::new(file_name, text, env);
    let (table, broken) = DeTable::parse_recoverable(text);
    for error in &broken {
        let message = format!("not TOML: {}", error.message());
        reader.report(Severity::Error, error.span().unwrap_or(0..0), "", message, None);
    }
    // What can be read of a broken file would be judged by what cannot, so it isn't judged at all.
    let snapshot = broken.is_empty().then(|| snapshot(&reader, table.get_ref()));
    let problems = reader.into_problems();
    match snapshot {
        Some(snapshot) if !problems.iter().any(Problem::is_error) => {
            Ok(Snapshot { warnings: problems, ..snapshot })
        }
        _ => Err(problems),
    }
}

/// Reads every table, then judges what only all of them together can tell.
fn snapshot<'t>(reader: &'t Reader<'t>, table: &'t DeTable<'t>) -> Snapshot {
    let root = reader.root(table);
    let server = server::server(&root);
    let storage = server::storage(&root);
    let providers = providers::providers(&root);
    let prices = prices::prices(&root, &providers);
    let unknown_price = prices::unknown_price(&root);
    let catalogue = imported::catalogue(&storage.path, reader);
    let served = Served::new(&providers, &prices, catalogue);
    let tokenizers = tokenizers::tokenizers(&root, &served);
    let aliases = models::models(&root, &served);
    let prompts = prompts::prompts(&root);
    let names = Names::new(&served, &aliases, prompts.is_some());
    models::successors(&aliases, &names);
    if let Some(prompts) = &prompts {
        prompts::models(prompts, &names, reader);
    }
    let alerts = alerts::alerts(&root);
    let gateway = gateway::gateway(&root, &names);
    let plans = gateway::plans(&root, &names);
    let accounts = accounts::accounts(&root, &names, &plans);
    models::payers(&aliases, &accounts);
    let cache = cache::cache(&root, &storage.path, &names, &accounts);
    let batches = batches::batches(&root);
    let lanes = lanes::lanes(&root);
    warnings::aliases(&aliases, &served, &accounts);
    warnings::emptiness(&root, &aliases, &served, &accounts);
    warnings::prices(&root, &aliases, &served, unknown_price);
    root.done();
    let by_name = |Placed { alias, .. }: Placed<'_>| (alias.name.clone(), alias);
    let models = aliases.into_iter().map(by_name).collect();
    let warnings = Vec::new();
    Snapshot {
        server,
        storage,
        cache,
        batches,
        lanes,
        providers,
        prices,
        catalogue,
        unknown_price,
        tokenizers,
        models,
        gateway,
        plans,
        accounts,
        prompts,
        alerts,
        warnings,
    }
}

fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("larger than {LARGEST} bytes"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = e.as_bytes().get(..e.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("not UTF-8 at line {line}")
    })
}

#[cfg(test)]
mod tests;
