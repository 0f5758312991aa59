//! Plans, raises, and the requests of accounts for more.

use tollgate_accounting::{Limit, Timestamp};

use super::specs::{is_more, limits_of, plan_of};
use super::{ADMIN, Control, ControlError, Plan, Tenancy, change, limit, name, until};
use crate::clock;
use crate::ledger::{Administered, RaiseRow, RequestRow, RequestState};
use crate::tenants::Caller;

/// The most requests of an account that wait for an answer.
pub(super) const MOST_OPEN: usize = 20;
/// The longest text of a reason or note, in bytes.
const LONGEST_TEXT: usize = 2000;

/// A raise as it is wished.
#[derive(Clone, Debug)]
pub struct NewRaise {
    /// The account.
    pub account: String,
    /// The limit as it shall be.
    pub limit: String,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

/// A request for more, as an account files it.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// The limit as it is wished.
    pub limit: String,
    /// Why.
    pub reason: String,
    /// Until when it is wished.
    pub wanted_to: Option<Timestamp>,
}

/// An administrator's answer to a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The limit is raised: as wished, unless the administrator says otherwise.
    Accept {
        /// Another amount.
        limit: Option<String>,
        /// Another end.
        expires_at: Option<Timestamp>,
        /// For the account.
        note: Option<String>,
    },
    /// Nothing changes.
    Refuse {
        /// For the account.
        note: Option<String>,
    },
}

impl Control {
    /// The configured plans.
    pub fn plans(&self) -> Vec<Plan> {
        self.lock().plans.clone()
    }

    /// The plan that each account is on.
    pub fn plans_of_accounts(&self) -> Result<Vec<(String, Option<String>)>, ControlError> {
        let tenancy = self.lock();
        let added = self.reader.administered(clock::now())?;
        let plan = |a: &super::Account| plan_of(a, &added).map(str::to_owned);
        Ok(tenancy.accounts.iter().map(|a| (a.path.clone(), plan(a))).collect())
    }

    /// An account's plan, and the raises that it has now.
    pub fn plan(&self, account: &str) -> Result<(Option<String>, Vec<RaiseRow>), ControlError> {
        let tenancy = self.lock();
        let mut added = self.reader.administered(clock::now())?;
        let plan = plan_of(tenancy.account(account)?, &added).map(str::to_owned);
        added.raises.retain(|raise| raise.account == account);
        Ok((plan, added.raises))
    }

    /// Puts an account on a plan; none is the configuration's own. What was used stays used, as far as
    /// the new plan counts the same.
    pub fn set_plan(&self, account: &str, plan: Option<&str>) -> Result<(), ControlError> {
        let tenancy = self.lock();
        let found = tenancy.account(account)?;
        if let Some(plan) = plan
            && !tenancy.plans.iter().any(|have| have.name == plan)
        {
            let (account, plan) = (account.to_owned(), plan.to_owned());
            return Err(ControlError::NoPlan { account, plan });
        }
        let added = self.reader.administered(clock::now())?;
        let before = plan_of(found, &added).unwrap_or("none");
        let after = plan.or(found.plan.as_deref()).unwrap_or("none");
        let words = format!("plan changed from {before} to {after}");
        let change = change(account, ADMIN, "plan", words);
        self.ledger.put_plan(change, plan.map(str::to_owned))?;
        self.apply(&tenancy)
    }

    /// Raises a limit of an account, for a time or until it is taken back.
    pub fn raise(&self, new: NewRaise) -> Result<RaiseRow, ControlError> {
        let tenancy = self.lock();
        let added = self.reader.administered(clock::now())?;
        let raise = checked(&tenancy, &added, new)?;
        let words = format!("raised to {}{}", raise.text, until(raise.expires_at));
        self.ledger.put_raise(change(&raise.account, ADMIN, "raise", words), raise.clone())?;
        self.apply(&tenancy)?;
        Ok(raise)
    }

    /// Takes a raise back.
    pub fn end_raise(&self, id: &str) -> Result<RaiseRow, ControlError> {
        let tenancy = self.lock();
        let mut added = self.reader.administered(clock::now())?;
        let found = added.raises.iter().position(|raise| raise.id == id);
        let missing = || ControlError::NoSuch { what: "raise", id: id.to_owned() };
        let mut raise = added.raises.swap_remove(found.ok_or_else(missing)?);
        raise.ended_at = Some(clock::now());
        let words = format!("raise to {} was taken back", raise.text);
        self.ledger.put_raise(change(&raise.account, ADMIN, "raise", words), raise.clone())?;
        self.apply(&tenancy)?;
        Ok(raise)
    }

    /// Ends the raises whose time is over.
    pub(super) fn end_raises(&self) -> Result<(), ControlError> {
        let tenancy = self.lock();
        let now = clock::now();
        let ended = self.reader.raises_over(now)?;
        for mut raise in ended.iter().cloned() {
            raise.ended_at = Some(now);
            let words = format!("raise to {} ended", raise.text);
            self.ledger.put_raise(change(&raise.account, ADMIN, "raise", words), raise)?;
        }
        if ended.is_empty() { Ok(()) } else { self.apply(&tenancy) }
    }

    /// Files an account's request for more.
    pub fn file_request(&self, by: &Caller, new: NewRequest) -> Result<RequestRow, ControlError> {
        if by.run.is_some() {
            return Err(ControlError::OnlyForKeys);
        }
        let tenancy = self.lock();
        let NewRequest { limit, reason, wanted_to } = new;
        short("reason", &reason)?;
        let open =
            |row: &RequestRow| row.state == RequestState::Open && *row.account == *by.account;
        if self.reader.budget_requests()?.iter().filter(|row| open(row)).count() >= MOST_OPEN {
            let message = format!("{MOST_OPEN} requests of the account wait for an answer already");
            return Err(ControlError::TooMuch(message));
        }
        let added = self.reader.administered(clock::now())?;
        let account = by.account.to_string();
        let raise = checked(&tenancy, &added, NewRaise { account, limit, expires_at: wanted_to })?;
        let row = RequestRow {
            id: name("breq")?,
            account: raise.account,
            key: by.key.to_string(),
            text: raise.text,
            reason,
            wanted_to,
            filed_at: clock::now(),
            state: RequestState::Open,
            decided_at: None,
            note: None,
            raise: None,
        };
        let words = format!("asked for {}{}", row.text, until(wanted_to));
        let change = change(&row.account, &row.key, "request", words);
        self.ledger.put_budget_request(change, row.clone(), None)?;
        Ok(row)
    }

    /// Answers a request; accepted, it is a raise.
    pub fn decide_request(&self, id: &str, verdict: Verdict) -> Result<RequestRow, ControlError> {
        let tenancy = self.lock();
        let found = self.reader.budget_requests()?.into_iter().find(|row| row.id == id);
        let missing = || ControlError::NoSuch { what: "request", id: id.to_owned() };
        let mut row = found.ok_or_else(missing)?;
        if row.state != RequestState::Open {
            return Err(ControlError::Decided { id: row.id, state: row.state.name() });
        }
        row.decided_at = Some(clock::now());
        let (state, note, raise) = match verdict {
            Verdict::Refuse { note } => (RequestState::Refused, note, None),
            Verdict::Accept { limit, expires_at, note } => {
                let new = NewRaise {
                    account: row.account.clone(),
                    limit: limit.unwrap_or_else(|| row.text.clone()),
                    expires_at: expires_at.or(row.wanted_to),
                };
                let added = self.reader.administered(clock::now())?;
                (RequestState::Accepted, note, Some(checked(&tenancy, &added, new)?))
            }
        };
        short("note", note.as_deref().unwrap_or_default())?;
        (row.state, row.note) = (state, note);
        row.raise = raise.as_ref().map(|raise| raise.id.clone());
        let words = match &raise {
            None => format!("request for {} was refused", row.text),
            Some(raise) => format!(
                "request for {} was accepted: raised to {}{}",
                row.text,
                raise.text,
                until(raise.expires_at)
            ),
        };
        let change = change(&row.account, ADMIN, "request", words);
        self.ledger.put_budget_request(change, row.clone(), raise)?;
        self.apply(&tenancy)?;
        Ok(row)
    }
}

/// A raise that would raise something.
fn checked(
    tenancy: &Tenancy,
    added: &Administered,
    new: NewRaise,
) -> Result<RaiseRow, ControlError> {
    let NewRaise { account, limit: text, expires_at } = new;
    let wanted = limit(&text)?;
    let now = clock::now();
    if expires_at.is_some_and(|end| end <= now) {
        return Err(ControlError::Expired);
    }
    let limits = limits_of(tenancy, tenancy.account(&account)?, added)?;
    match limits.iter().find(|have| have.key() == wanted.key()) {
        None => {
            let have = limits.iter().map(Limit::describe).collect::<Vec<_>>().join("; ");
            let have = if have.is_empty() { "none".to_owned() } else { have };
            Err(ControlError::NothingToRaise { account, limit: wanted.describe(), have })
        }
        Some(have) if !is_more(&wanted, have) => {
            Err(ControlError::NotMore { limit: wanted.describe(), have: have.describe() })
        }
        Some(_) => Ok(RaiseRow {
            id: name("raise")?,
            account,
            text: wanted.describe(),
            created_at: now,
            expires_at,
            ended_at: None,
        }),
    }
}

pub(super) fn short(what: &str, text: &str) -> Result<(), ControlError> {
    if text.len() > LONGEST_TEXT {
        return Err(ControlError::TooMuch(format!(
            "the {what} is longer than {LONGEST_TEXT} bytes"
        )));
    }
    Ok(())
}
