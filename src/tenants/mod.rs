//! Who a caller is: credentials to the account they are charged to. Holds digests, never secrets.

mod credential;
mod priority;
mod strangers;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tollgate_accounting::{AccountId, Terms, Timestamp};

pub use credential::{Credential, KeyId, Pepper, mint, well_formed};
pub use priority::Priority;
pub use strangers::Strangers;

/// How much a call of an account reserves before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// What such calls usually take, extended while the reply streams.
    Adaptive,
    /// The most it can take.
    Strict,
}

impl Holds {
    /// The name, as in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Holds::Adaptive => "adaptive",
            Holds::Strict => "strict",
        }
    }
}

/// Which models an account may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Any.
    All,
    /// These names, or beginnings of names that end in `*`.
    Only(Vec<String>),
}

impl Allowed {
    /// Whether the name may be asked for.
    pub fn allows(&self, name: &str) -> bool {
        let covers = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => pattern == name,
        };
        match self {
            Allowed::All => true,
            Allowed::Only(patterns) => patterns.iter().any(covers),
        }
    }
}

/// What is true of every call that one credential makes.
#[derive(Debug)]
pub struct Caller {
    /// The tenant's path.
    pub account: Arc<str>,
    /// The credential's id.
    pub key: Arc<str>,
    /// The node that is charged: the credential's own where it has limits, else the account's.
    pub charged: AccountId,
    /// Its path.
    pub charged_path: Arc<str>,
    /// How much its calls hold.
    pub holds: Holds,
    /// What it may ask for.
    pub models: Allowed,
    /// What a provider must be tagged with to be asked for it.
    pub require: Arc<[Arc<str>]>,
    /// On what terms its calls are charged.
    pub terms: Terms,
    /// How much its tenant gets of a provider's limits, beside other tenants.
    pub share: u32,
    /// How urgent its calls are at most, and are unless they say less.
    pub priority: Priority,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
    /// The run it is, if it is one.
    pub run: Option<RunOf>,
}

/// What is true of a run: a child of an account, with a budget and an end.
#[derive(Clone, Debug)]
pub struct RunOf {
    /// The tenant that minted it.
    pub account: Arc<str>,
    /// Cancelled when it is stopped, and whatever it has in flight with it.
    pub stop: CancellationToken,
}

/// Why a credential was refused. To the caller all are one and the same 401; the difference is for
/// the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// None was shown.
    Missing,
    /// It is not in the form of our keys; nothing was looked up.
    Malformed,
    /// No such key, or the secret does not belong to it.
    Unknown,
    /// Its time is over, or it was revoked.
    Over,
    /// The run that was named is not one of the caller's account, or is over.
    Run,
}

/// All credentials that are in force.
pub struct Directory {
    pepper: Pepper,
    entries: ArcSwap<HashMap<KeyId, Entry>>,
    /// Runs come and go by the hundred, so they are changed one at a time.
    runs: RwLock<HashMap<KeyId, Entry>>,
}

#[derive(Clone)]
struct Entry {
    digest: blake3::Hash,
    caller: Arc<Caller>,
}

impl Directory {
    /// A directory without credentials, which denies everybody.
    pub fn new(pepper: Pepper) -> Directory {
        Directory { pepper, entries: ArcSwap::default(), runs: RwLock::default() }
    }

    /// Replaces all credentials at once; what is not among them is refused from now on.
    pub fn replace(&self, credentials: impl IntoIterator<Item = (Credential, Caller)>) {
        let entries = credentials
            .into_iter()
            .map(|(credential, caller)| (credential.id, Entry::of(&credential, caller)));
        self.entries.store(Arc::new(entries.collect()));
    }

    /// The pepper that new credentials are digested with.
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// Finds who shows this credential.
    pub fn authenticate(&self, shown: Option<&str>, now: Timestamp) -> Result<Arc<Caller>, Denied> {
        let shown = shown.ok_or(Denied::Missing)?;
        let id = well_formed(shown).ok_or(Denied::Malformed)?;
        let entries = self.entries.load();
        // An unknown id is digested all the same, so that it takes as long as a wrong secret.
        let digest = self.pepper.digest(shown);
        let run = || self.read_runs().get(&id).cloned();
        let entry = entries.get(&id).cloned().or_else(run).ok_or(Denied::Unknown)?;
        // blake3's comparison takes the same time wherever the digests differ.
        if entry.digest != digest {
            return Err(Denied::Unknown);
        }
        match entry.caller.expires_at {
            Some(end) if end <= now => Err(Denied::Over),
            _ => Ok(entry.caller),
        }
    }

    /// The caller whose credential has this id, shown or not: who began something is who goes on.
    pub fn of_key(&self, id: &str, now: Timestamp) -> Result<Arc<Caller>, Denied> {
        let id = KeyId::parse(id).ok_or(Denied::Malformed)?;
        let caller = self.entries.load().get(&id).ok_or(Denied::Unknown)?.caller.clone();
        if caller.expires_at.is_some_and(|end| end <= now) { Err(Denied::Over) } else { Ok(caller) }
    }

    /// The run that a caller names to act as.
    pub fn run(&self, caller: &Caller, name: &str, now: Timestamp) -> Result<Arc<Caller>, Denied> {
        let id = name.strip_prefix("run_").and_then(KeyId::parse).ok_or(Denied::Run)?;
        let found = self.read_runs().get(&id).cloned().ok_or(Denied::Run)?;
        let run = found.caller;
        let ours = run.run.as_ref().is_some_and(|of| of.account == caller.account);
        let over = run.expires_at.is_some_and(|end| end <= now);
        if ours && !over && caller.run.is_none() { Ok(run) } else { Err(Denied::Run) }
    }

    /// Lets a run in.
    pub fn add_run(&self, credential: Credential, caller: Caller) {
        self.write_runs().insert(credential.id, Entry::of(&credential, caller));
    }

    /// Refuses a run from now on.
    pub fn remove_run(&self, id: &KeyId) -> Option<Arc<Caller>> {
        self.write_runs().remove(id).map(|entry| entry.caller)
    }

    /// Makes these the runs. One that was among them before keeps the token that stops it.
    pub fn replace_runs(&self, runs: impl IntoIterator<Item = (Credential, Caller)>) {
        let mut kept = self.write_runs();
        let mut new = HashMap::new();
        for (credential, mut caller) in runs {
            let before = kept.get(&credential.id).and_then(|entry| entry.caller.run.clone());
            caller.run = before.or(caller.run);
            new.insert(credential.id, Entry::of(&credential, caller));
        }
        *kept = new;
    }

    /// How many runs are open.
    pub fn runs(&self) -> usize {
        self.read_runs().len()
    }

    /// How many of an account.
    pub fn runs_of(&self, account: &str) -> usize {
        let of = |entry: &&Entry| entry.caller.run.as_ref().is_some_and(|r| *r.account == *account);
        self.read_runs().values().filter(of).count()
    }

    /// The names of those whose time is over.
    pub fn runs_over(&self, now: Timestamp) -> Vec<Arc<str>> {
        let over = |entry: &&Entry| entry.caller.expires_at.is_some_and(|end| end <= now);
        self.read_runs().values().filter(over).map(|entry| entry.caller.key.clone()).collect()
    }

    fn read_runs(&self) -> RwLockReadGuard<'_, HashMap<KeyId, Entry>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_runs(&self) -> RwLockWriteGuard<'_, HashMap<KeyId, Entry>> {
        self.runs.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn of(credential: &Credential, caller: Caller) -> Entry {
        Entry { digest: blake3::Hash::from_bytes(credential.digest), caller: Arc::new(caller) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(expires_at: Option<i64>) -> Caller {
        let mut book = tollgate_accounting::Book::new();
        let spec = tollgate_accounting::AccountSpec {
            path: "acme".into(),
            zone: "UTC".into(),
            limits: Vec::new(),
        };
        book.configure(Timestamp::from_micros(0), &[spec]).unwrap();
        Caller {
            account: "acme".into(),
            key: "k".into(),
            charged: book.account("acme").unwrap(),
            charged_path: "acme".into(),
            holds: Holds::Adaptive,
            models: Allowed::All,
            require: Arc::default(),
            terms: Terms::default(),
            share: 1,
            priority: Priority::Normal,
            expires_at: expires_at.map(Timestamp::from_micros),
            run: None,
        }
    }

    #[test]
    fn only_the_whole_key_of_a_credential_in_force_opens() {
        let directory = Directory::new(Pepper::random().unwrap());
        let (key, credential) = mint(directory.pepper()).unwrap();
        let (other, _) = mint(directory.pepper()).unwrap();
        let now = Timestamp::from_micros(10);
        assert_eq!(directory.authenticate(Some(&key), now).unwrap_err(), Denied::Unknown);

        directory.replace([(credential.clone(), caller(None))]);
        assert_eq!(&*directory.authenticate(Some(&key), now).unwrap().account, "acme");
        assert_eq!(directory.authenticate(None, now).unwrap_err(), Denied::Missing);
        assert_eq!(directory.authenticate(Some(&other), now).unwrap_err(), Denied::Unknown);
        assert_eq!(directory.authenticate(Some(&key[1..]), now).unwrap_err(), Denied::Malformed);

        directory.replace([(credential.clone(), caller(Some(10)))]);
        assert_eq!(directory.authenticate(Some(&key), now).unwrap_err(), Denied::Over);

        let elsewhere = Directory::new(Pepper::random().unwrap());
        elsewhere.replace([(credential, caller(None))]);
        assert_eq!(elsewhere.authenticate(Some(&key), now).unwrap_err(), Denied::Unknown);
    }

    #[test]
    fn an_allowed_list_takes_whole_names_and_beginnings() {
        let only = Allowed::Only(vec!["fast".into(), "local/*".into()]);
        for (name, allowed) in [("fast", true), ("faster", false), ("local/x", true), ("", false)] {
            assert_eq!(only.allows(name), allowed, "{name}");
        }
    }
}
