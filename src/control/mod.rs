//! What an operator changes while the gateway runs: credentials and limits. Each change is committed
//! to the ledger's file first and then takes effect at once, for all callers.

mod prompts;

use std::sync::{Arc, Mutex, PoisonError};

use tollgate_accounting::{AccountSpec, ConfigureError, Limit, Terms, Timestamp};

pub use prompts::{PromptError, Publisher, library, number};

use crate::clock;
use crate::ledger::{KeyRow, Ledger, Reader, Refused, StoreError};
use crate::tenants::{Allowed, Caller, Credential, Directory, Holds, KeyId, mint};

/// An account as the configuration has it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its path.
    pub path: String,
    /// For people.
    pub name: Option<String>,
    /// The IANA zone of its periods.
    pub zone: String,
    /// Its limits.
    pub limits: Vec<Limit>,
    /// How much its calls hold.
    pub holds: Holds,
    /// What it may ask for.
    pub models: Allowed,
    /// On what terms its calls are charged.
    pub terms: Terms,
}

/// Why an operator's change was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such account.
    #[error("there is no account {0:?}")]
    NoAccount(String),
    /// There is no such key.
    #[error("there is no key {0:?}")]
    NoKey(String),
    /// There is no such limit to take back; those of the configuration are changed there.
    #[error("account {account:?} has no limit {limit:?} that was added while running")]
    NoLimit {
        /// The account.
        account: String,
        /// The limit.
        limit: String,
    },
    /// A limit cannot be read.
    #[error("{text:?} is not a limit: {why}")]
    BadLimit {
        /// As written.
        text: String,
        /// Why.
        why: String,
    },
    /// The account has the limit already, or the limits do not fit each other.
    #[error("{0}")]
    Conflict(ConfigureError),
    /// The expiry lies in the past.
    #[error("the key would expire before it is made")]
    Expired,
    /// No randomness could be had for a key.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The ledger takes no writes now.
    #[error("the ledger takes no writes now")]
    Ledger(Refused),
    /// The ledger's file cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refused> for ControlError {
    fn from(refused: Refused) -> ControlError {
        ControlError::Ledger(refused)
    }
}

/// What a new key is to be.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// The account it belongs to.
    pub account: String,
    /// What people call it.
    pub name: String,
    /// Limits of its own.
    pub limits: Vec<String>,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
}

/// The operator's hand on accounts, credentials and limits.
pub struct Control {
    ledger: Ledger,
    directory: Arc<Directory>,
    reader: Arc<Reader>,
    /// The configuration's accounts. Also the lock under which changes are made one at a time.
    accounts: Mutex<Vec<Account>>,
}

impl Control {
    /// Takes over a ledger and a directory; nothing is in force until `set_accounts`.
    pub fn new(ledger: Ledger, directory: Arc<Directory>, reader: Arc<Reader>) -> Control {
        Control { ledger, directory, reader, accounts: Mutex::default() }
    }

    /// What the book is made of, from the configuration and what the ledger's file holds.
    pub fn specs(
        accounts: &[Account],
        keys: &[KeyRow],
        extra: &[(String, String)],
    ) -> Result<Vec<AccountSpec>, ControlError> {
        specs(accounts, extra, &in_force(accounts, keys))
    }

    /// Makes these the configured accounts: all of it takes effect, or none.
    pub fn set_accounts(&self, accounts: Vec<Account>) -> Result<(), ControlError> {
        let mut current = self.lock();
        self.apply(&accounts)?;
        *current = accounts;
        Ok(())
    }

    /// The configured accounts.
    pub fn accounts(&self) -> Vec<Account> {
        self.lock().clone()
    }

    /// Makes a key. Its text is returned here and is nowhere kept.
    pub fn create_key(&self, new: NewKey) -> Result<(String, KeyRow), ControlError> {
        let accounts = self.lock();
        if !accounts.iter().any(|a| a.path == new.account) {
            return Err(ControlError::NoAccount(new.account));
        }
        let now = clock::now();
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(ControlError::Expired);
        }
        for text in &new.limits {
            limit(text)?;
        }
        let (key, credential) = mint(self.directory.pepper()).map_err(ControlError::Random)?;
        let row = KeyRow {
            id: credential.id.to_string(),
            digest: credential.digest,
            account: new.account,
            name: new.name,
            hint: credential.hint,
            limits: new.limits.join("\n"),
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
        };
        self.ledger.put_key(row.clone())?;
        self.apply(&accounts)?;
        Ok((key, row))
    }

    /// Refuses a key from now on. Calls in flight are not stopped.
    pub fn revoke_key(&self, id: &str) -> Result<KeyRow, ControlError> {
        let accounts = self.lock();
        let found = self.reader.keys()?.into_iter().find(|row| row.id == id);
        let mut row = found.ok_or_else(|| ControlError::NoKey(id.to_owned()))?;
        row.revoked_at.get_or_insert(clock::now());
        self.ledger.put_key(row.clone())?;
        self.apply(&accounts)?;
        Ok(row)
    }

    /// Adds a limit to an account, beside those of the configuration.
    pub fn add_limit(&self, account: &str, text: &str) -> Result<(), ControlError> {
        let accounts = self.lock();
        let configured = accounts.iter().find(|a| a.path == account);
        let configured = configured.ok_or_else(|| ControlError::NoAccount(account.to_owned()))?;
        let added = limit(text)?;
        let extra = self.reader.extra_limits()?;
        let mut mine: Vec<Limit> = configured.limits.clone();
        for (_, text) in extra.iter().filter(|(path, _)| path == account) {
            mine.push(limit(text)?);
        }
        if mine.iter().any(|have| have.key() == added.key()) {
            let (account, limit) = (account.to_owned(), text.to_owned());
            return Err(ControlError::Conflict(ConfigureError::DuplicateLimit { account, limit }));
        }
        self.ledger.put_limit(account.to_owned(), text.to_owned(), clock::now())?;
        self.apply(&accounts)
    }

    /// Takes a limit back that `add_limit` added.
    pub fn remove_limit(&self, account: &str, text: &str) -> Result<(), ControlError> {
        let accounts = self.lock();
        let extra = self.reader.extra_limits()?;
        if !extra.iter().any(|(path, have)| path == account && have == text) {
            let (account, limit) = (account.to_owned(), text.to_owned());
            return Err(ControlError::NoLimit { account, limit });
        }
        self.ledger.remove_limit(account.to_owned(), text.to_owned())?;
        self.apply(&accounts)
    }

    /// The account trees of the book and the directory of callers, made anew from the configuration
    /// and the file.
    fn apply(&self, accounts: &[Account]) -> Result<(), ControlError> {
        let (keys, extra) = (self.reader.keys()?, self.reader.extra_limits()?);
        let keys = in_force(accounts, &keys);
        let specs = specs(accounts, &extra, &keys)?;
        self.ledger.configure(&specs).map_err(ControlError::Conflict)?;
        let callers = keys.iter().filter_map(|row| {
            let account = accounts.iter().find(|a| a.path == row.account)?;
            let charged_path = charged_path(row);
            let charged = self.ledger.with_book(|book| book.account(&charged_path))?;
            let id = KeyId::parse(&row.id)?;
            let credential = Credential { id, digest: row.digest, hint: row.hint.clone() };
            let caller = Caller {
                account: account.path.as_str().into(),
                key: row.id.as_str().into(),
                charged,
                charged_path: charged_path.into(),
                holds: account.holds,
                models: account.models.clone(),
                terms: account.terms,
                expires_at: row.expires_at,
            };
            Some((credential, caller))
        });
        self.directory.replace(callers.collect::<Vec<_>>());
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys that open: not revoked, not expired, of an account that there is.
fn in_force<'k>(accounts: &[Account], keys: &'k [KeyRow]) -> Vec<&'k KeyRow> {
    let now = clock::now();
    let opens = |row: &&KeyRow| {
        row.revoked_at.is_none()
            && row.expires_at.is_none_or(|end| end > now)
            && accounts.iter().any(|a| a.path == row.account)
    };
    keys.iter().filter(opens).collect()
}

/// The book's accounts: the configuration's, with limits added while running, and a node below its
/// account for each key that has limits of its own.
fn specs(
    accounts: &[Account],
    extra: &[(String, String)],
    keys: &[&KeyRow],
) -> Result<Vec<AccountSpec>, ControlError> {
    let mut specs = Vec::with_capacity(accounts.len() + keys.len());
    for account in accounts {
        let mut limits = account.limits.clone();
        for (_, text) in extra.iter().filter(|(path, _)| *path == account.path) {
            let added = limit(text)?;
            // The configuration may have got the same limit since; there it says the amount.
            if !limits.iter().any(|have| have.key() == added.key()) {
                limits.push(added);
            }
        }
        specs.push(AccountSpec { path: account.path.clone(), zone: account.zone.clone(), limits });
    }
    for row in keys.iter().filter(|row| !row.limits.is_empty()) {
        let zone = accounts.iter().find(|a| a.path == row.account).map(|a| a.zone.clone());
        let limits = row.limits.lines().map(limit).collect::<Result<_, _>>()?;
        let zone = zone.unwrap_or_else(|| "UTC".to_owned());
        specs.push(AccountSpec { path: charged_path(row), zone, limits });
    }
    Ok(specs)
}

fn charged_path(row: &KeyRow) -> String {
    if row.limits.is_empty() { row.account.clone() } else { format!("{}/{}", row.account, row.id) }
}

fn limit(text: &str) -> Result<Limit, ControlError> {
    let bad = |why: String| ControlError::BadLimit { text: text.to_owned(), why };
    text.parse::<Limit>().map_err(|error| bad(error.to_string()))
}
