//! Runs: children of an account, minted by the account itself with a budget and an end. What a run
//! spends is charged to it and to the whole path above it; stopped or over, it has nothing in flight.

use std::sync::Arc;

use tollgate_accounting::{AccountSpec, ConfigureError, DAY, Limit, Timestamp};

use super::{ADMIN, Control, ControlError, Tenancy, change, limit};
use crate::clock;
use crate::ledger::{Change, RunRow};
use crate::tenants::{Caller, Credential, KeyId, RunOf, mint};

/// The longest that a run may last.
const LONGEST: i64 = 30 * DAY;
/// The most runs of an account, and the most of all, that are open at once.
const MOST_OF_ACCOUNT: usize = 10_000;
const MOST: usize = 100_000;
/// The most limits of a run.
const MOST_LIMITS: usize = 16;
/// What the names of runs begin with.
const PREFIX: &str = "run_";

/// A run as it is wished.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// What people call it.
    pub name: String,
    /// Its budget: at least one limit.
    pub limits: Vec<String>,
    /// Its end.
    pub expires_at: Timestamp,
}

/// Whether a path is a run's.
pub(super) fn is_run(path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(_, last)| last.starts_with(PREFIX))
}

impl Control {
    /// Mints a run below the caller. The text of its key is returned here and is nowhere kept.
    pub fn create_run(&self, by: &Caller, new: NewRun) -> Result<(String, RunRow), ControlError> {
        if by.run.is_some() {
            return Err(ControlError::OnlyForKeys);
        }
        let now = clock::now();
        let limits = limits(&new.limits)?;
        if new.expires_at <= now {
            return Err(ControlError::Expired);
        }
        if new.expires_at > now.saturating_plus(LONGEST) {
            return Err(ControlError::TooMuch("a run lasts 30 days at most".to_owned()));
        }
        let tenancy = self.lock();
        let open = self.directory.runs_of(&by.account);
        if open >= MOST_OF_ACCOUNT || self.directory.runs() >= MOST {
            return Err(ControlError::TooMuch(format!("{open} runs of the account are open")));
        }
        let (key, credential) = mint(self.directory.pepper()).map_err(ControlError::Random)?;
        let row = RunRow {
            id: format!("{PREFIX}{}", credential.id),
            digest: credential.digest,
            hint: credential.hint,
            account: by.account.to_string(),
            parent: by.charged_path.to_string(),
            key: by.key.to_string(),
            name: new.name,
            limits: limits.iter().map(Limit::describe).collect::<Vec<_>>().join("\n"),
            created_at: now,
            expires_at: new.expires_at,
            stopped_at: None,
        };
        let budget = row.limits.replace('\n', "; ");
        let words = format!("run {} was minted with {budget} until {}", row.id, row.expires_at);
        self.ledger.put_run(change(&row.account, &row.key, "run", words), row.clone())?;
        let zone = tenancy.account(&row.account)?.zone.clone();
        let spec = AccountSpec { path: row.path(), zone, limits };
        self.ledger.put_account(&spec).map_err(ControlError::Conflict)?;
        if let Some((credential, caller)) = self.run_caller(&tenancy, &row) {
            self.directory.add_run(credential, caller);
        }
        Ok((key, row))
    }

    /// Stops a run of the caller's account, or the run that the caller is.
    pub fn stop_run(&self, by: &Caller, run: RunRow) -> Result<RunRow, ControlError> {
        self.stop(run, &by.key)
    }

    /// Stops a run on the operator's word.
    pub fn stop_any_run(&self, id: &str) -> Result<RunRow, ControlError> {
        let row = self.reader.run(id)?;
        self.stop(row.ok_or_else(|| unknown(id))?, ADMIN)
    }

    /// A run of an account, or of one below it; another's is as unknown as one that never was.
    pub fn run_of(&self, account: &str, id: &str) -> Result<RunRow, ControlError> {
        let below = |row: &RunRow| {
            let rest = row.account.strip_prefix(account);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.reader.run(id)?.filter(below).ok_or_else(|| unknown(id))
    }

    /// Takes no new calls of it, settles those in flight and ends their streams.
    fn stop(&self, mut row: RunRow, by: &str) -> Result<RunRow, ControlError> {
        let _one_at_a_time = self.lock();
        if row.stopped_at.is_some() || row.expires_at <= clock::now() {
            return Ok(row);
        }
        row.stopped_at = Some(clock::now());
        let words = format!("run {} was stopped", row.id);
        let told: Change = change(&row.account, by, "run", words);
        self.ledger.put_run(told, row.clone())?;
        self.end(&row.id);
        Ok(row)
    }

    /// Ends the runs whose time is over.
    pub(super) fn end_runs(&self) {
        for id in self.directory.runs_over(clock::now()) {
            self.end(&id);
        }
    }

    fn end(&self, id: &str) {
        let Some(caller) = KeyId::parse(id.trim_start_matches(PREFIX))
            .and_then(|id| self.directory.remove_run(&id))
        else {
            return;
        };
        // Streams end themselves and say why; what nobody polls is settled here.
        if let Some(run) = &caller.run {
            run.stop.cancel();
        }
        self.ledger.end_account(&caller.charged_path, &caller.key);
    }

    /// Makes these the open runs; those that stay keep what they have in flight.
    pub(super) fn set_runs(&self, tenancy: &Tenancy, rows: &[RunRow]) {
        let callers = rows.iter().filter_map(|row| self.run_caller(tenancy, row));
        self.directory.replace_runs(callers.collect::<Vec<_>>());
    }

    fn run_caller(&self, tenancy: &Tenancy, row: &RunRow) -> Option<(Credential, Caller)> {
        let account = tenancy.account(&row.account).ok()?;
        let charged_path: Arc<str> = row.path().into();
        let charged = self.ledger.with_book(|book| book.account(&charged_path))?;
        let id = KeyId::parse(row.id.strip_prefix(PREFIX)?)?;
        let credential = Credential { id, digest: row.digest, hint: row.hint.clone() };
        let caller = Caller {
            account: row.parent.as_str().into(),
            key: row.id.as_str().into(),
            charged,
            charged_path,
            holds: account.holds,
            models: account.models.clone(),
            require: account.require.clone(),
            terms: account.terms,
            share: account.share,
            priority: account.priority,
            expires_at: Some(row.expires_at),
            run: Some(RunOf {
                account: account.path.as_str().into(),
                stop: self.stop.child_token(),
            }),
        };
        Some((credential, caller))
    }
}

fn limits(texts: &[String]) -> Result<Vec<Limit>, ControlError> {
    if texts.is_empty() || texts.len() > MOST_LIMITS {
        let message = format!("a run has a budget: 1 to {MOST_LIMITS} limits");
        return Err(ControlError::TooMuch(message));
    }
    let mut limits: Vec<Limit> = Vec::with_capacity(texts.len());
    for text in texts {
        let new = limit(text)?;
        if limits.iter().any(|have| have.key() == new.key()) {
            let (account, limit) = ("the run".to_owned(), text.clone());
            return Err(ControlError::Conflict(ConfigureError::DuplicateLimit { account, limit }));
        }
        limits.push(new);
    }
    Ok(limits)
}

fn unknown(id: &str) -> ControlError {
    ControlError::NoSuch { what: "run", id: id.to_owned() }
}
