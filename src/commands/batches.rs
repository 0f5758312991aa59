//! `tollgate batches`: every account's batches, and how far they are.

use anyhow::Result;
use tollgate::cli::{BatchesArgs, Cell, Column, Exit, Format, Global, Output, Table};
use tollgate::ledger::{BatchProgress, BatchRow, Handover, Page, Reader};

use super::configuration;

pub(super) fn run(global: &Global, args: &BatchesArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let reader = Reader::open(&snapshot.storage.path)?;
    let texts = ["id", "account", "status", "endpoint", "model", "created_at", "ended_at"];
    let texts = texts.into_iter().chain(["way", "remote_id"]).map(Column::text);
    let numbers = ["total", "completed", "failed"].map(Column::number);
    let mut table = Table::new(texts.chain(numbers).collect());
    let page = Page { limit: args.limit, after: None, oldest_first: false };
    let number = |count: u64| Cell::Integer(count.into());
    for row in reader.batches(args.account.as_deref(), &page)?.0 {
        let (way, remote) = way(row.handover.as_ref());
        let BatchRow { id, account, status, endpoint, model, created_at, ended_at, .. } = row;
        let BatchProgress { total, completed, failed, .. } = row.progress;
        table.rows.push(vec![
            id.into(),
            account.into(),
            status.name().to_owned().into(),
            endpoint.into(),
            model.map_or(Cell::Null, Cell::Text),
            created_at.to_string().into(),
            ended_at.map_or(Cell::Null, |at| Cell::Text(at.to_string())),
            way.into(),
            remote.map_or(Cell::Null, Cell::Text),
            number(total),
            number(completed),
            number(failed),
        ]);
    }
    output.table(&table, Format::chosen(args.format, global))?;
    Ok(Exit::Good)
}

/// Whether a batch's lines are made here or by a provider, and what that one calls it.
fn way(handover: Option<&Handover>) -> (String, Option<String>) {
    match handover {
        None => ("lines".to_owned(), None),
        Some(Handover { note: Some(why), remote, .. }) => (format!("lines: {why}"), remote.clone()),
        Some(to) => (format!("{}, {}", to.provider, to.stage.name()), to.remote.clone()),
    }
}
