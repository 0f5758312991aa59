//! `tollgate prompt`: what there is, what it says, what it costs, and whether its tests pass.

mod diff;
mod import;
mod run;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use tollgate::app::runtime;
use tollgate::cli::{
    Column, Exit, Format, Global, Output, PromptCommand, PromptPublishArgs, Table,
};
use tollgate::config::Snapshot;
use tollgate::control::{library, number};
use tollgate::ledger::{Reader, StoreError};
use tollgate::prompts::{Library, Version};

use super::{admin, configuration, key::open};

pub(super) fn run(global: &Global, command: PromptCommand, output: &mut Output) -> Result<Exit> {
    // Another maker's file has nothing to do with a gateway.
    if let PromptCommand::Import(args) = &command {
        return import::run(args, output);
    }
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    match command {
        PromptCommand::List => list(global, &snapshot, output),
        PromptCommand::Show(args) => show(&snapshot, &args.name, output),
        PromptCommand::Run(args) => run::run(&snapshot, &args, output),
        PromptCommand::Test(args) => run::test(global, &snapshot, &args, output),
        PromptCommand::Diff(args) => {
            let library = shelf(&snapshot)?;
            let [old, new] = [find(&library, &args.old)?, find(&library, &args.new)?];
            diff::show(&runtime(&snapshot)?, [old, new], output)?;
            Ok(if old.digest == new.digest { Exit::Good } else { Exit::Found })
        }
        PromptCommand::Import(args) => import::run(&args, output),
        PromptCommand::Publish(args) => publish(global, &snapshot, &args, output),
        PromptCommand::Share(args) => shared::share(global, &snapshot, &args, output),
        PromptCommand::Subscribe(args) => shared::subscribe(global, &snapshot, &args, output),
        PromptCommand::Subscriptions => shared::list(global, &snapshot, output),
        PromptCommand::Answer(args) => shared::answer(global, &snapshot, &args, output),
        PromptCommand::Unsubscribe(args) => shared::end(global, &snapshot, &args.id, output),
    }
}

/// What a gateway would serve: the folder as it is now, and what the ledger's file keeps.
fn shelf(snapshot: &Snapshot) -> Result<Library> {
    let (mut versions, labels) = match Reader::open(&snapshot.storage.path) {
        Ok(reader) => reader.prompts()?,
        // Nothing was served yet, so the folder has the first versions.
        Err(StoreError::Missing(_)) => Default::default(),
        Err(error) => return Err(error.into()),
    };
    let (mut current, mut new) = (BTreeMap::new(), Vec::new());
    for file in snapshot.prompts.iter().flat_map(|prompts| &prompts.files) {
        let number = number(&mut versions, &mut new, &file.name, &file.text);
        current.insert(file.name.clone(), number);
    }
    Ok(library(versions, labels, current))
}

fn find<'l>(library: &'l Library, name: &str) -> Result<&'l Arc<Version>> {
    let known = || library.served().map(|v| v.name.to_string()).collect::<Vec<_>>().join(", ");
    library
        .find(name)
        .ok()
        .with_context(|| format!("there is no prompt {name:?}; there are: {}", known()))
}

fn list(global: &Global, snapshot: &Snapshot, output: &mut Output) -> Result<Exit> {
    let library = shelf(snapshot)?;
    let columns = ["prompt", "version", "labels", "model", "inputs", "answers", "description"];
    let mut table = Table::new(columns.iter().map(|name| Column::text(name)).collect());
    for version in library.served() {
        let template = &version.template;
        let inputs = template.inputs()["properties"].as_object();
        let inputs: Vec<&str> =
            inputs.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        table.rows.push(vec![
            version.name.to_string().into(),
            version.number.to_string().into(),
            library.labels(version).join(", ").into(),
            template.model.clone().into(),
            inputs.join(", ").into(),
            if template.output().is_some() { "an object" } else { "a text" }.to_owned().into(),
            template.description.clone().unwrap_or_default().into(),
        ]);
    }
    output.table(&table, Format::chosen(None, global))?;
    Ok(Exit::Good)
}

fn show(snapshot: &Snapshot, name: &str, output: &mut Output) -> Result<Exit> {
    let library = shelf(snapshot)?;
    let version = find(&library, name)?;
    if output.json() {
        let template = &version.template;
        let value = json!({
            "prompt": &*version.tag,
            "labels": library.labels(version),
            "model": template.model,
            "inputs": template.inputs(),
            "output": template.output(),
            "source": version.text,
        });
        output.line(&value.to_string())?;
    } else {
        output.remark(&format!(
            "{} of {} versions",
            version.tag,
            library.versions(&version.name).count()
        ))?;
        output.answer(&version.text)?;
    }
    Ok(Exit::Good)
}

fn publish(
    global: &Global,
    snapshot: &Arc<Snapshot>,
    args: &PromptPublishArgs,
    output: &mut Output,
) -> Result<Exit> {
    let PromptPublishArgs { name, label, version, percent } = args;
    let library = shelf(snapshot)?;
    let asked = version.map_or(name.clone(), |number| format!("{name}@{number}"));
    let found = find(&library, &asked)?;
    if version.is_some() && label.is_none() {
        bail!("a version that is published already needs a --label to move");
    }
    let body = json!({ "name": name, "source": found.text, "label": label, "percent": percent });
    let answer = match open(global, snapshot)? {
        Some(gateway) => {
            let published =
                gateway.publisher().publish(name, &found.text, label.as_deref(), *percent);
            gateway.close();
            json!({ "name": name, "version": published?, "label": label })
        }
        None => admin::ask(snapshot, Method::POST, "/admin/prompts", &body)?,
    };
    if output.json() {
        output.line(&answer.to_string())?;
    } else {
        let also = label.as_ref().map_or(String::new(), |label| match percent {
            None => format!(", which {name}@{label} stands for now"),
            Some(percent) => format!(", which {name}@{label} tries for {percent} in 100 calls"),
        });
        output.line(&format!("{name}@{}{also}", answer["version"]))?;
    }
    Ok(Exit::Good)
}

/// A field of an answer, as text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
