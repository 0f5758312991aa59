//! Prompts that accounts share: whose one is, who asked to use it, and what the owner said. A subscriber
//! pays for its own calls; what is decided here is only whether it may make them, and within which limits.

use tollgate_accounting::{Filter, Limit};

use super::plans::{MOST_OPEN, short};
use super::{ADMIN, Control, ControlError, Tenancy, change, limit, name};
use crate::clock;
use crate::ledger::{Administered, PromptOwnerRow, SubscriptionRow, SubscriptionState};
use crate::prompts::{Owned, Shares};
use crate::tenants::Caller;

/// The most limits of a subscription.
const MOST_LIMITS: usize = 16;

/// A subscription as it is wished.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    /// The template's name.
    pub prompt: String,
    /// Limits of its use.
    pub limits: Vec<String>,
    /// Why.
    pub reason: String,
}

/// What is said to one.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether the prompt may be used.
    pub accepted: bool,
    /// Other limits than those wished.
    pub limits: Option<Vec<String>>,
    /// For the subscriber.
    pub note: Option<String>,
}

impl Control {
    /// Gives a prompt to an account, or to everybody. Where it was another's, its subscriptions end: the
    /// new owner accepted none of them.
    pub fn give_prompt(
        &self,
        prompt: &str,
        owner: Option<&str>,
        offered: bool,
    ) -> Result<(), ControlError> {
        let tenancy = self.lock();
        if self.shelf.library().versions(prompt).next().is_none() {
            return Err(unknown("prompt", prompt));
        }
        let account = owner.map(|owner| tenancy.account(owner)).transpose()?;
        let row = account.map(|account| PromptOwnerRow {
            prompt: prompt.to_owned(),
            account: account.path.clone(),
            offered,
        });
        self.own(&tenancy, ADMIN, prompt, row)
    }

    /// Offers an account's own prompt to others, or no longer. Subscriptions that hold go on holding.
    pub fn offer_prompt(
        &self,
        by: &Caller,
        prompt: &str,
        offered: bool,
    ) -> Result<(), ControlError> {
        only_keys(by)?;
        let tenancy = self.lock();
        let owners = self.reader.administered(clock::now())?.owners;
        let mine = |row: &PromptOwnerRow| row.prompt == prompt && *row.account == *by.account;
        let row = owners.into_iter().find(mine).ok_or_else(|| unknown("prompt", prompt))?;
        self.own(&tenancy, &by.key, prompt, Some(PromptOwnerRow { offered, ..row }))
    }

    fn own(
        &self,
        tenancy: &Tenancy,
        by: &str,
        prompt: &str,
        row: Option<PromptOwnerRow>,
    ) -> Result<(), ControlError> {
        let added = self.reader.administered(clock::now())?;
        let before = added.owners.iter().find(|have| have.prompt == prompt);
        let owner = row.as_ref().map(|row| &row.account);
        let stays = before.map(|have| &have.account) == owner;
        let ended = added.subscriptions.into_iter().filter(|have| !stays && have.prompt == prompt);
        let ended: Vec<_> = ended.map(ended_now).collect();
        let told = match &row {
            None => format!("prompt {prompt} is everybody's now"),
            Some(PromptOwnerRow { account, offered, .. }) => {
                let offered = if *offered { "offered to others" } else { "not offered to others" };
                format!("prompt {prompt} is of {account} now, {offered}")
            }
        };
        let about = owner.or(before.map(|have| &have.account)).cloned().unwrap_or_default();
        let change = change(&about, by, "prompt", told);
        self.ledger.put_prompt_owner(change, prompt.to_owned(), row, ended)?;
        self.close()?;
        self.apply(tenancy)
    }

    /// Files an account's wish to use a prompt that is offered.
    pub fn subscribe(
        &self,
        by: &Caller,
        new: NewSubscription,
    ) -> Result<SubscriptionRow, ControlError> {
        only_keys(by)?;
        let _one_at_a_time = self.lock();
        let added = self.reader.administered(clock::now())?;
        let open = |row: &&SubscriptionRow| {
            row.state == SubscriptionState::Open && *row.account == *by.account
        };
        if added.subscriptions.iter().filter(open).count() >= MOST_OPEN {
            let message = format!("{MOST_OPEN} requests of the account wait for an answer already");
            return Err(ControlError::TooMuch(message));
        }
        let row = wished(&added, &by.account, &by.key, new, false)?;
        let words = format!("asked to use prompt {} of {}{}", row.prompt, row.owner, within(&row));
        self.ledger
            .put_subscription(change(&row.account, &row.key, "prompt", words), row.clone())?;
        Ok(row)
    }

    /// Lets an account use a prompt on the operator's word, offered or not.
    pub fn subscribe_account(
        &self,
        account: &str,
        new: NewSubscription,
    ) -> Result<SubscriptionRow, ControlError> {
        let tenancy = self.lock();
        let account = tenancy.account(account)?.path.clone();
        let added = self.reader.administered(clock::now())?;
        let mut row = wished(&added, &account, ADMIN, new, true)?;
        (row.state, row.decided_at) = (SubscriptionState::Accepted, Some(clock::now()));
        self.decided(&tenancy, ADMIN, row)
    }

    /// Answers a subscription: its prompt's owner does, or the operator, who is no caller.
    pub fn answer_subscription(
        &self,
        by: Option<&Caller>,
        id: &str,
        answer: Answer,
    ) -> Result<SubscriptionRow, ControlError> {
        let tenancy = self.lock();
        let mut row = self.known(by, id, |row, by| row.owner == by)?;
        if row.state != SubscriptionState::Open {
            return Err(ControlError::Decided { id: row.id, state: row.state.name() });
        }
        let Answer { accepted, limits, note } = answer;
        short("note", note.as_deref().unwrap_or_default())?;
        if let Some(limits) = limits {
            row.limits = texts(&limits)?;
        }
        (row.note, row.decided_at) = (note, Some(clock::now()));
        row.state = if accepted { SubscriptionState::Accepted } else { SubscriptionState::Refused };
        self.decided(&tenancy, by.map_or(ADMIN, |by| &by.key), row)
    }

    /// Ends a subscription: its prompt's owner does, who has it, or the operator. The next call is refused.
    pub fn end_subscription(
        &self,
        by: Option<&Caller>,
        id: &str,
    ) -> Result<SubscriptionRow, ControlError> {
        let tenancy = self.lock();
        let row = self.known(by, id, |row, by| row.owner == by || row.account == by)?;
        if !row.is_live() {
            return Ok(row);
        }
        self.decided(&tenancy, by.map_or(ADMIN, |by| &by.key), ended_now(row))
    }

    fn decided(
        &self,
        tenancy: &Tenancy,
        by: &str,
        row: SubscriptionRow,
    ) -> Result<SubscriptionRow, ControlError> {
        let what = match row.state {
            SubscriptionState::Accepted => format!("was accepted{}", within(&row)),
            SubscriptionState::Refused => "was refused".to_owned(),
            SubscriptionState::Open | SubscriptionState::Ended => "was ended".to_owned(),
        };
        let words = format!("subscription to prompt {} of {} {what}", row.prompt, row.owner);
        self.ledger.put_subscription(change(&row.account, by, "prompt", words), row.clone())?;
        if row.state == SubscriptionState::Ended {
            self.close()?;
        }
        self.apply(tenancy)?;
        Ok(row)
    }

    /// Takes prompts from who may not use them any more, before the limits of their use go.
    fn close(&self) -> Result<(), ControlError> {
        self.shelf.share(shares(&self.reader.administered(clock::now())?));
        Ok(())
    }

    /// A subscription that is the caller's to see, and of which it is the party that is wanted.
    fn known(
        &self,
        by: Option<&Caller>,
        id: &str,
        party: impl Fn(&SubscriptionRow, &str) -> bool,
    ) -> Result<SubscriptionRow, ControlError> {
        by.map_or(Ok(()), only_keys)?;
        let row = self.reader.subscription(id)?;
        let row = row.filter(|row| by.is_none_or(|by| party(row, &by.account)));
        row.ok_or_else(|| unknown("subscription", id))
    }
}

/// Who may use which prompts.
pub(super) fn shares(added: &Administered) -> Shares {
    Shares::new(added.owners.iter().map(|PromptOwnerRow { prompt, account, offered }| {
        let of = |row: &&SubscriptionRow| {
            row.prompt == *prompt && row.state == SubscriptionState::Accepted
        };
        let subscribers = added.subscriptions.iter().filter(of).map(|row| row.account.clone());
        let (account, offered) = (account.clone(), *offered);
        (prompt.clone(), Owned { account, offered, subscribers: subscribers.collect() })
    }))
}

/// The limits that a subscription puts on its account's calls of the prompt.
pub(super) fn in_force(row: &SubscriptionRow) -> Result<Vec<Limit>, ControlError> {
    if row.state != SubscriptionState::Accepted {
        return Ok(Vec::new());
    }
    let of_prompt = |text: &str| {
        let filter = Filter { prompts: vec![row.prompt.clone()], ..Filter::default() };
        limit(text).map(|limit| Limit { filter, ..limit })
    };
    row.limits.lines().map(of_prompt).collect()
}

/// A subscription that may be filed. One to a prompt that is not offered is one to none.
fn wished(
    added: &Administered,
    account: &str,
    key: &str,
    new: NewSubscription,
    offered: bool,
) -> Result<SubscriptionRow, ControlError> {
    let NewSubscription { prompt, limits, reason } = new;
    short("reason", &reason)?;
    let mine = |row: &&SubscriptionRow| row.prompt == prompt && row.account == account;
    if let Some(have) = added.subscriptions.iter().find(mine) {
        return Err(ControlError::Decided { id: have.id.clone(), state: have.state.name() });
    }
    let found = added.owners.iter().find(|row| row.prompt == prompt && row.account != account);
    let found = found.filter(|row| row.offered || offered);
    let owner = found.ok_or_else(|| unknown("prompt on offer", &prompt))?.account.clone();
    Ok(SubscriptionRow {
        id: name("psub")?,
        prompt,
        owner,
        account: account.to_owned(),
        key: key.to_owned(),
        limits: texts(&limits)?,
        reason,
        filed_at: clock::now(),
        state: SubscriptionState::Open,
        decided_at: None,
        note: None,
    })
}

fn ended_now(row: SubscriptionRow) -> SubscriptionRow {
    let decided_at = Some(clock::now());
    SubscriptionRow { state: SubscriptionState::Ended, decided_at, ..row }
}

/// Limits as a row has them, each checked.
fn texts(limits: &[String]) -> Result<String, ControlError> {
    if limits.len() > MOST_LIMITS {
        return Err(ControlError::TooMuch(format!("there are more than {MOST_LIMITS} limits")));
    }
    let texts = limits.iter().map(|text| limit(text).map(|limit| limit.describe()));
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// The limits in words, for the entry of a change.
fn within(row: &SubscriptionRow) -> String {
    if row.limits.is_empty() {
        return String::new();
    }
    format!(" within {}", row.limits.replace('\n', "; "))
}

fn only_keys(by: &Caller) -> Result<(), ControlError> {
    if by.run.is_some() { Err(ControlError::OnlyForKeys) } else { Ok(()) }
}

fn unknown(what: &'static str, id: &str) -> ControlError {
    ControlError::NoSuch { what, id: id.to_owned() }
}
