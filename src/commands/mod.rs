//! The commands, one file each.

mod admin;
mod alerts;
mod audit;
mod backup;
mod batches;
mod bill;
mod check;
mod count;
mod demo;
mod focus;
mod import;
mod key;
mod models;
mod prices;
mod prompt;
mod quote;
mod reconcile;
mod report;
mod request;
mod rerate;
mod serve;
mod statement;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tollgate::cli::{CheckReport, Cli, Command, Exit, Global, Output};
use tollgate::config::{self, Snapshot};

/// Runs what was asked for.
pub(crate) fn run(cli: Cli, output: &mut Output) -> Result<Exit> {
    let Cli { global, command } = cli;
    match command {
        Command::Demo(args) => demo::run(&args, output),
        Command::Serve => serve::run(&global, output),
        Command::Check => check::run(&global, output),
        Command::Key(command) => key::run(&global, command, output),
        Command::Report(args) => report::run(&global, args, output),
        Command::Statement(args) => statement::run(&global, &args, output),
        Command::Request(command) => request::run(&global, command, output),
        Command::Count(args) => count::run(&global, &args, output),
        Command::Quote(args) => quote::run(&global, &args, output),
        Command::Models(args) => models::run(&global, &args, output),
        Command::Prices(args) => prices::run(&global, &args, output),
        Command::Prompt(command) => prompt::run(&global, command, output),
        Command::Rerate(args) => rerate::run(&global, &args, output),
        Command::Reconcile(args) => reconcile::run(&global, &args, output),
        Command::Alerts(command) => alerts::run(&global, command, output),
        Command::Batches(args) => batches::run(&global, &args, output),
        Command::Audit(_) => audit::run(&global, output),
        Command::Backup(args) => backup::backup(&global, &args, output),
        Command::Restore(args) => backup::restore(&global, &args, output),
    }
}

/// A request or text: a file, or standard input.
fn input(file: Option<&Path>) -> Result<String> {
    match file {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        }
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            Ok(text)
        }
    }
}

/// The process's environment, for secrets named `env:NAME`.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The configuration, or everything that is wrong with it on the screen and nothing.
fn configuration(global: &Global, output: &mut Output) -> Result<Option<Arc<Snapshot>>> {
    match config::load(global.config(), &environment) {
        Ok(snapshot) => Ok(Some(Arc::new(snapshot))),
        Err(problems) => {
            let file = global.config().display().to_string();
            output.refused_by_check(&CheckReport { file: &file, problems: &problems })?;
            Ok(None)
        }
    }
}

/// Reads the file again for a reload: all of it is right, or the error says what is not.
fn source(path: &Path) -> tollgate::app::Source {
    let path = path.to_owned();
    Arc::new(move || {
        config::load(&path, &environment).map_err(|problems| {
            let file = path.display().to_string();
            CheckReport { file: &file, problems: &problems }.human(false)
        })
    })
}
