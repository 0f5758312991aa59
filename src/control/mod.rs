//! What an operator changes while the gateway runs: credentials, limits, plans, raises and runs. Each
//! change is committed to the ledger with the entry that tells of it, and then takes effect at once,
//! for all callers.

mod keys;
mod limits;
mod plans;
mod prompts;
mod runs;
mod sharing;
mod specs;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tollgate_accounting::{AccountSpec, ConfigureError, Limit, Terms, Timestamp};

use crate::clock;
use crate::ledger::{Administered, Change, Ledger, Reader, Refused, StoreError};
use crate::prompts::Shelf;
use crate::tenants::{Allowed, Directory, Holds, Priority};

pub use keys::NewKey;
pub use plans::{NewRaise, NewRequest, Verdict};
pub use prompts::{PromptError, Publisher, library, number};
pub use runs::NewRun;
pub use sharing::{Answer, NewSubscription};

/// Who decides, where it is the operator.
const ADMIN: &str = "admin";

/// The configuration's tenants.
#[derive(Clone, Debug, Default)]
pub struct Tenancy {
    /// The accounts; a parent stands before its children.
    pub accounts: Vec<Account>,
    /// The plans that accounts can be on.
    pub plans: Vec<Plan>,
    /// Limits of the whole gateway, over all accounts.
    pub limits: Vec<Limit>,
    /// The zone of the gateway's own periods.
    pub zone: String,
}

/// An account as the configuration has it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its path.
    pub path: String,
    /// For people.
    pub name: Option<String>,
    /// The IANA zone of its periods.
    pub zone: String,
    /// The plan it is on, unless another was decided on while running.
    pub plan: Option<String>,
    /// Its limits.
    pub limits: Vec<Limit>,
    /// How much its calls hold.
    pub holds: Holds,
    /// What it may ask for.
    pub models: Allowed,
    /// What a provider must be tagged with to be asked.
    pub require: Arc<[Arc<str>]>,
    /// On what terms its calls are charged.
    pub terms: Terms,
    /// How much its tenant gets of a provider's limits, beside other tenants.
    pub share: u32,
    /// How urgent its calls are at most.
    pub priority: Priority,
}

/// A named set of limits.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Its limits.
    pub limits: Vec<Limit>,
}

/// Why a change was refused. Nothing was changed.
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
    /// There is no such plan.
    #[error("account {account:?}: the configuration has no plan {plan:?}")]
    NoPlan {
        /// The account.
        account: String,
        /// The plan.
        plan: String,
    },
    /// The account has no limit that counts the same, so there is nothing to raise.
    #[error("account {account:?} has no limit that {limit:?} would raise; it has: {have}")]
    NothingToRaise {
        /// The account.
        account: String,
        /// The limit.
        limit: String,
        /// What it has.
        have: String,
    },
    /// It is no more than there is already.
    #[error("{limit:?} is not more than {have:?}")]
    NotMore {
        /// As wished.
        limit: String,
        /// What there is.
        have: String,
    },
    /// There is no such raise, request or run.
    #[error("there is no {what} {id:?}")]
    NoSuch {
        /// What it would be.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// The request was decided before.
    #[error("the request {id:?} was {state} before")]
    Decided {
        /// The request.
        id: String,
        /// What became of it.
        state: &'static str,
    },
    /// A run's credential may make calls, and nothing else.
    #[error("a run cannot do this: it takes a key of its account")]
    OnlyForKeys,
    /// What was asked for is beyond what there can be.
    #[error("{0}")]
    TooMuch(String),
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
    #[error("it would be over before it begins")]
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

/// The operator's hand on accounts, credentials and limits.
pub struct Control {
    ledger: Ledger,
    directory: Arc<Directory>,
    reader: Arc<Reader>,
    /// Where it is said who may use which prompts.
    shelf: Arc<Shelf>,
    /// The configuration's tenants. Also the lock under which changes are made one at a time.
    tenancy: Mutex<Tenancy>,
    /// Ends what runs have in flight when the gateway's streams must end.
    stop: CancellationToken,
}

impl Control {
    /// Takes over a ledger and a directory; nothing is in force until `set_tenancy`.
    pub fn new(
        ledger: Ledger,
        directory: Arc<Directory>,
        reader: Arc<Reader>,
        shelf: Arc<Shelf>,
        stop: CancellationToken,
    ) -> Control {
        Control { ledger, directory, reader, shelf, tenancy: Mutex::default(), stop }
    }

    /// What the book is made of, from the configuration and what the ledger's file holds.
    pub fn specs(
        tenancy: &Tenancy,
        added: &Administered,
    ) -> Result<Vec<AccountSpec>, ControlError> {
        specs::specs(tenancy, added, &keys::in_force(&tenancy.accounts, &added.keys))
    }

    /// Makes these the configured tenants: all of it takes effect, or none.
    pub fn set_tenancy(&self, tenancy: Tenancy) -> Result<(), ControlError> {
        let mut current = self.lock();
        self.apply(&tenancy)?;
        *current = tenancy;
        Ok(())
    }

    /// The configured accounts.
    pub fn accounts(&self) -> Vec<Account> {
        self.lock().accounts.clone()
    }

    /// The limits of the whole gateway.
    pub fn gateway_limits(&self) -> Vec<Limit> {
        self.lock().limits.clone()
    }

    /// Looks after what ends by itself: raises, runs, and credentials with limits of their own.
    pub fn tick(&self) -> Result<(), ControlError> {
        self.end_raises()?;
        self.end_runs();
        self.ledger.forget_retired(runs::is_run)?;
        Ok(())
    }

    /// The account trees of the book and the directory of callers, made anew from the configuration
    /// and the file.
    fn apply(&self, tenancy: &Tenancy) -> Result<(), ControlError> {
        let added = self.reader.administered(clock::now())?;
        let keys = keys::in_force(&tenancy.accounts, &added.keys);
        let specs = specs::specs(tenancy, &added, &keys)?;
        self.ledger.configure(&specs).map_err(ControlError::Conflict)?;
        let callers = keys.iter().filter_map(|row| self.caller(tenancy, row));
        self.directory.replace(callers.collect::<Vec<_>>());
        self.set_runs(tenancy, &added.runs);
        // Last, so that nobody uses a prompt before the limits of its use hold.
        self.shelf.share(sharing::shares(&added));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Tenancy> {
        self.tenancy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenancy {
    fn account(&self, path: &str) -> Result<&Account, ControlError> {
        let found = self.accounts.iter().find(|account| account.path == path);
        found.ok_or_else(|| ControlError::NoAccount(path.to_owned()))
    }
}

fn change(account: &str, by: &str, what: &'static str, words: String) -> Change {
    Change { account: account.to_owned(), by: by.to_owned(), what, words, at: clock::now() }
}

fn limit(text: &str) -> Result<Limit, ControlError> {
    let bad = |why: String| ControlError::BadLimit { text: text.to_owned(), why };
    text.parse::<Limit>().map_err(|error| bad(error.to_string()))
}

/// An instant in words, for the entry of a change.
fn until(end: Option<Timestamp>) -> String {
    end.map_or(String::new(), |end| format!(" until {end}"))
}

/// A name of our own making: what it is, and 80 random bits.
fn name(what: &str) -> Result<String, ControlError> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(ControlError::Random)?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{what}_{digits}"))
}
