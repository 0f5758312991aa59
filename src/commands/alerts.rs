//! `tollgate alerts`: a trial of the webhook, and what the outbox holds.

use anyhow::{Context, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::alerts::Hook;
use tollgate::cli::{
    AlertsCommand, AlertsListArgs, Cell, Column, Exit, Format, Global, Output, Table,
};
use tollgate::clock;
use tollgate::config::Snapshot;
use tollgate::ledger::{Alert, CallId, Message, Reader};
use tollgate::upstream::Poster;
use tollgate_accounting::Timestamp;

use super::configuration;

pub(super) fn run(global: &Global, command: AlertsCommand, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    match command {
        AlertsCommand::Test => test(&snapshot, output),
        AlertsCommand::List(args) => list(global, &snapshot, &args, output),
    }
}

/// The trial is no row of the ledger: it tells of nothing that happened.
fn test(snapshot: &Snapshot, output: &mut Output) -> Result<Exit> {
    let alerts = snapshot.alerts.as_ref().context("the configuration has no [alerts]")?;
    let hook = Hook::new(alerts.url.clone(), alerts.secret.expose())?;
    let poster = Poster::new(CancellationToken::new())?;
    let trial = Alert {
        kind: "alerts.test",
        about: String::new(),
        at: clock::now(),
        data: json!({ "message": "A trial of the webhook, sent by `tollgate alerts test`." }),
    };
    let id = format!("msg_{:032x}", CallId::new().0);
    let sent = hook.send(&poster, &id, &trial.body());
    let why = sent.err().map(|error| error.to_string());
    if output.json() {
        output.line(&json!({ "id": id, "delivered": why.is_none(), "error": why }).to_string())?;
    } else {
        match &why {
            None => output.line(&format!("{} took {id}", alerts.url))?,
            Some(why) => output.error(&format!("{} did not take it: {why}", alerts.url))?,
        }
    }
    Ok(if why.is_none() { Exit::Good } else { Exit::Found })
}

fn list(
    global: &Global,
    snapshot: &Snapshot,
    args: &AlertsListArgs,
    output: &mut Output,
) -> Result<Exit> {
    let reader = Reader::open(&snapshot.storage.path)?;
    let names = ["id", "at", "kind", "about", "state", "attempts", "next_at", "error"];
    let column = |name: &&str| match *name {
        "attempts" => Column::number(name),
        _ => Column::text(name),
    };
    let mut table = Table::new(names.iter().map(column).collect());
    for message in reader.told(Timestamp::MAX, args.limit)? {
        let Message { id, about, kind, at, body: _, attempts, next_at, delivered_at, error } =
            message;
        let state = match (delivered_at, next_at) {
            (Some(_), _) => "delivered",
            (None, Some(_)) => "waits",
            (None, None) => "given up",
        };
        let maybe = |text: Option<String>| text.map_or(Cell::Null, Cell::Text);
        table.rows.push(vec![
            id.into(),
            at.to_string().into(),
            kind.into(),
            about.into(),
            state.to_owned().into(),
            Cell::Integer(attempts.into()),
            maybe(next_at.map(|at| at.to_string())),
            maybe(error),
        ]);
    }
    output.table(&table, Format::chosen(args.format, global))?;
    Ok(Exit::Good)
}
