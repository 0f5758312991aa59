//! `tollgate prompt share`, `subscribe`, `subscriptions`, `answer`, `unsubscribe`.

use std::sync::Arc;

use anyhow::{Result, bail};
use http::Method;
use serde_json::{Value, json};
use tollgate::cli::{
    Cell, Column, Exit, Format, Global, Output, PromptAnswerArgs, PromptShareArgs,
    PromptSubscribeArgs, PromptVerdict, Table,
};
use tollgate::config::Snapshot;
use tollgate::control::{Answer, Control, ControlError, NewSubscription};
use tollgate::http::view::subscription_json;
use tollgate::ledger::{Reader, StoreError};
use tollgate_accounting::Limit;

use super::super::{admin, key::open};
use super::text;

/// Changes the ledger where no gateway has it, else asks the one that does.
fn change(
    global: &Global,
    snapshot: &Arc<Snapshot>,
    (method, path, body): (Method, &str, &Value),
    direct: impl FnOnce(&Control) -> Result<Value, ControlError>,
) -> Result<Value> {
    match open(global, snapshot)? {
        Some(gateway) => {
            let changed = direct(gateway.control());
            gateway.close();
            Ok(changed?)
        }
        None => admin::ask(snapshot, method, path, body),
    }
}

pub(super) fn share(
    global: &Global,
    snapshot: &Arc<Snapshot>,
    args: &PromptShareArgs,
    output: &mut Output,
) -> Result<Exit> {
    let PromptShareArgs { name, account, offer } = args;
    let body = json!({ "prompt": name, "account": account, "offered": offer });
    let told =
        change(global, snapshot, (Method::POST, "/admin/prompt-owners", &body), |control| {
            control.give_prompt(name, account.as_deref(), *offer).map(|()| body.clone())
        })?;
    if output.json() {
        output.line(&told.to_string())?;
    } else {
        let whose = account.as_ref().map_or("everybody's".to_owned(), |account| {
            let offered = if *offer { ", offered to others" } else { "" };
            format!("of {account} now{offered}")
        });
        output.line(&format!("{name} is {whose}"))?;
    }
    Ok(Exit::Good)
}

pub(super) fn subscribe(
    global: &Global,
    snapshot: &Arc<Snapshot>,
    args: &PromptSubscribeArgs,
    output: &mut Output,
) -> Result<Exit> {
    let PromptSubscribeArgs { name, account, limits } = args;
    let limits = words(limits);
    let body = json!({ "prompt": name, "account": account, "limits": limits });
    let path = "/admin/prompt-subscriptions";
    let row = change(global, snapshot, (Method::POST, path, &body), |control| {
        let new = NewSubscription { prompt: name.clone(), limits, reason: String::new() };
        control.subscribe_account(account, new).map(|row| subscription_json(&row))
    })?;
    told(&row, output)
}

pub(super) fn answer(
    global: &Global,
    snapshot: &Arc<Snapshot>,
    args: &PromptAnswerArgs,
    output: &mut Output,
) -> Result<Exit> {
    let PromptAnswerArgs { id, verdict, limits, note } = args;
    let accepted = *verdict == PromptVerdict::Accepted;
    if !accepted && !limits.is_empty() {
        bail!("a refused subscription has no limits");
    }
    let limits = (!limits.is_empty()).then(|| words(limits));
    let state = if accepted { "accepted" } else { "refused" };
    let body = json!({ "state": state, "limits": limits, "note": note });
    let row = change(global, snapshot, (Method::POST, &path(id)?, &body), |control| {
        let answer = Answer { accepted, limits, note: note.clone() };
        control.answer_subscription(None, id, answer).map(|row| subscription_json(&row))
    })?;
    told(&row, output)
}

pub(super) fn end(
    global: &Global,
    snapshot: &Arc<Snapshot>,
    id: &str,
    output: &mut Output,
) -> Result<Exit> {
    let row = change(global, snapshot, (Method::DELETE, &path(id)?, &Value::Null), |control| {
        control.end_subscription(None, id).map(|row| subscription_json(&row))
    })?;
    told(&row, output)
}

pub(super) fn list(global: &Global, snapshot: &Snapshot, output: &mut Output) -> Result<Exit> {
    let rows = match Reader::open(&snapshot.storage.path) {
        Ok(reader) => reader.subscriptions(None)?,
        // Nothing was served yet.
        Err(StoreError::Missing(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let columns = ["id", "prompt", "owner", "account", "limits", "filed_at", "state"];
    let mut table = Table::new(columns.iter().map(|name| Column::text(name)).collect());
    for row in rows.iter().map(subscription_json) {
        let cell = |name: &&str| match &row[*name] {
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(text).collect();
                Cell::Text(items.join("; "))
            }
            other => Cell::Text(text(other)),
        };
        table.rows.push(columns.iter().map(cell).collect());
    }
    output.table(&table, Format::chosen(None, global))?;
    Ok(Exit::Good)
}

fn told(row: &Value, output: &mut Output) -> Result<Exit> {
    if output.json() {
        output.line(&row.to_string())?;
    } else {
        let get = |name: &str| text(&row[name]);
        let [id, state, account, prompt] = ["id", "state", "account", "prompt"].map(get);
        output.line(&format!("{id}: {account} to {prompt} is {state}"))?;
    }
    Ok(Exit::Good)
}

fn words(limits: &[Limit]) -> Vec<String> {
    limits.iter().map(Limit::describe).collect()
}

fn path(id: &str) -> Result<String> {
    if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        bail!("{id:?} is no subscription: `tollgate prompt subscriptions` shows them");
    }
    Ok(format!("/admin/prompt-subscriptions/{id}"))
}
