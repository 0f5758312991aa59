//! `tollgate key`: on the database where no gateway runs on it, else through the running one.

use anyhow::{Result, bail};
use http::Method;
use serde_json::{Value, json};
use tollgate::app::{Gateway, StartError};
use tollgate::cli::{Cell, Column, Exit, Format, Global, KeyCommand, Output, Table};
use tollgate::clock;
use tollgate::config::Snapshot;
use tollgate::control::NewKey;
use tollgate::http::view::key_json;
use tollgate::ledger::{OpenError, Reader, StoreError};
use tollgate_accounting::Timestamp;

use super::{admin, configuration, source};
use std::sync::Arc;

pub(super) fn run(global: &Global, command: KeyCommand, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    match command {
        KeyCommand::Create(args) => {
            let zone = zone(&snapshot, &args.account);
            let expires_at = args.expires.map(|w| w.resolve(clock::now(), &zone)).transpose()?;
            let limits: Vec<String> = args.limits.iter().map(|l| l.describe()).collect();
            let name = args.name.unwrap_or_default();
            let new = NewKey { account: args.account, name, limits, expires_at };
            let made = create(global, &snapshot, new)?;
            if output.json() {
                output.line(&made.to_string())?;
            } else {
                output.line(made["key"].as_str().unwrap_or_default())?;
                let remark = format!(
                    "key {} of {}; it is shown this once, keep it safe",
                    made["id"].as_str().unwrap_or_default(),
                    made["account"].as_str().unwrap_or_default(),
                );
                output.remark(&remark)?;
            }
        }
        KeyCommand::List(args) => {
            let now = clock::now();
            let rows = match Reader::open(&snapshot.storage.path) {
                Ok(reader) => reader.keys()?,
                // Nothing was served and no key was made yet.
                Err(StoreError::Missing(_)) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            let over = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
            let below = |path: &str, of: &str| {
                path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let rows: Vec<Value> = rows
                .iter()
                .filter(|r| args.all || !(over(r.revoked_at) || over(r.expires_at)))
                .filter(|r| args.account.as_deref().is_none_or(|of| below(&r.account, of)))
                .map(key_json)
                .collect();
            output.table(&table(&rows), Format::chosen(None, global))?;
        }
        KeyCommand::Revoke(args) => {
            let row = revoke(global, &snapshot, &args.id)?;
            if output.json() {
                output.line(&row.to_string())?;
            } else {
                output.line(&format!("revoked {}", args.id))?;
            }
        }
    }
    Ok(Exit::Good)
}

fn create(global: &Global, snapshot: &Arc<Snapshot>, new: NewKey) -> Result<Value> {
    match open(global, snapshot)? {
        Some(gateway) => {
            let made = gateway.control().create_key(new);
            gateway.close();
            let (key, row) = made?;
            let mut value = key_json(&row);
            value["key"] = key.into();
            Ok(value)
        }
        None => {
            let expires_at = new.expires_at.map(|at| at.to_string());
            let wish = json!({
                "account": new.account,
                "name": new.name,
                "limits": new.limits,
                "expires_at": expires_at,
            });
            admin::ask(snapshot, Method::POST, "/admin/keys", &wish)
        }
    }
}

fn revoke(global: &Global, snapshot: &Arc<Snapshot>, id: &str) -> Result<Value> {
    if !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        bail!("{id:?} is no key id: `tollgate key list` shows them");
    }
    match open(global, snapshot)? {
        Some(gateway) => {
            let revoked = gateway.control().revoke_key(id);
            gateway.close();
            Ok(key_json(&revoked?))
        }
        None => {
            let path = format!("/admin/keys/{id}");
            admin::ask(snapshot, Method::DELETE, &path, &Value::Null)
        }
    }
}

/// The ledger, if no gateway has it.
pub(super) fn open(global: &Global, snapshot: &Arc<Snapshot>) -> Result<Option<Gateway>> {
    match Gateway::open(snapshot.clone(), source(global.config())) {
        Ok(gateway) => Ok(Some(gateway)),
        Err(StartError::Ledger(OpenError::Store(StoreError::InUse(_)))) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn zone(snapshot: &Snapshot, account: &str) -> String {
    let found = snapshot.accounts.iter().find(|a| a.path == account);
    found.map_or_else(|| "UTC".to_owned(), |a| a.timezone.clone())
}

fn table(rows: &[Value]) -> Table {
    let names =
        ["id", "account", "name", "hint", "limits", "created_at", "expires_at", "revoked_at"];
    let mut table = Table::new(names.iter().map(|name| Column::text(name)).collect());
    for row in rows {
        let cell = |name: &&str| match &row[*name] {
            Value::Null => Cell::Null,
            Value::String(text) => Cell::Text(text.clone()),
            Value::Array(items) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                Cell::Text(items.join("; "))
            }
            other => Cell::Text(other.to_string()),
        };
        table.rows.push(names.iter().map(cell).collect());
    }
    table
}
