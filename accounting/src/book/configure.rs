//! The account tree and its limits, as configured; changed all at once or not at all.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::{Account, AccountId, Book, Node};
use crate::amounts::Units;
use crate::state::{Rule, State};
use crate::{BadLimit, Limit, Timestamp, Zone};

/// An account and its own limits; a call is also counted against those of every ancestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSpec {
    /// Segments with `/` between them, `acme/search`; the parent is what is before the last one.
    /// The empty path is the root above all, for global limits.
    pub path: String,
    /// The IANA zone of its calendar periods, `Europe/Berlin`.
    pub zone: String,
    /// Its limits.
    pub limits: Vec<Limit>,
}

/// Why a configuration is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigureError {
    /// A segment of the path is empty.
    BadPath {
        /// The path.
        account: String,
    },
    /// The account is there twice.
    DuplicateAccount {
        /// Its path.
        account: String,
    },
    /// The zone database has no such zone.
    UnknownZone {
        /// The account's path.
        account: String,
        /// The zone.
        zone: String,
    },
    /// A limit makes no sense.
    BadLimit {
        /// The account's path.
        account: String,
        /// The limit in words.
        limit: String,
        /// Why.
        why: BadLimit,
    },
    /// Two limits of an account would share their state.
    DuplicateLimit {
        /// The account's path.
        account: String,
        /// The second limit in words.
        limit: String,
    },
}

/// An account that was checked.
struct Prepared<'a> {
    path: &'a str,
    zone: Zone,
    limits: Vec<(Limit, Arc<str>)>,
}

impl Book {
    /// Makes these the accounts, and no others. What a limit counted lives on where its
    /// [key](Limit::key) is unchanged, whatever its amount was and is. An account that is left out
    /// takes no new holds; its open ones still settle. Ancestors that aren't listed have no limits.
    pub fn configure(
        &mut self,
        now: Timestamp,
        specs: &[AccountSpec],
    ) -> Result<(), ConfigureError> {
        let mut zones = HashMap::new();
        let prepared = specs.iter().map(|spec| prepare(spec, &mut zones));
        let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
        let mut paths = HashSet::new();
        if let Some(twice) = prepared.iter().find(|account| !paths.insert(account.path)) {
            return Err(ConfigureError::DuplicateAccount { account: twice.path.to_owned() });
        }
        let now = self.clock(now);
        let gone = self.accounts.iter().filter(|a| a.is_live && !paths.contains(&*a.path));
        for path in gone.map(|account| account.path.clone()).collect::<Vec<_>>() {
            self.retire(&path);
        }
        for account in prepared {
            self.install(now, account);
        }
        Ok(())
    }

    /// Adds or changes one account, as [`Book::configure`] does for all.
    pub fn put(&mut self, now: Timestamp, spec: &AccountSpec) -> Result<AccountId, ConfigureError> {
        let prepared = prepare(spec, &mut HashMap::new())?;
        let index = self.install(now, prepared);
        let generation = self.accounts[index as usize].generation;
        Ok(AccountId { index, generation })
    }

    /// Removes one account: it takes no new holds, its open ones still settle.
    pub fn retire(&mut self, path: &str) -> bool {
        let Some(index) = self.by_path.get(path).copied() else { return false };
        let account = &mut self.accounts[index as usize];
        let was_live = account.is_live;
        account.is_live = false;
        account.generation = account.generation.wrapping_add(1);
        let limits = std::mem::take(&mut account.limits);
        limits.into_iter().for_each(|limit| self.end_limit(limit));
        was_live
    }

    /// The node of that path, made with its ancestors if it isn't there. New ones aren't live.
    pub(super) fn ensure_account(&mut self, path: &str) -> u32 {
        if let Some(index) = self.by_path.get(path) {
            return *index;
        }
        let mut chain = match path.rsplit_once('/') {
            _ if path.is_empty() => Vec::new(),
            Some((parent, _)) => self.chain_of(parent),
            None => self.chain_of(""),
        };
        let new = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        let index = self.free_accounts.pop().unwrap_or(new);
        chain.push(index);
        let path: Arc<str> = Arc::from(path);
        self.by_path.insert(path.clone(), index);
        let generation = self.accounts.get(index as usize).map_or(0, |old| old.generation);
        let account = Account {
            path,
            zone: Zone::UTC,
            chain: chain.into_boxed_slice(),
            limits: Vec::new(),
            retired: Vec::new(),
            parked: Vec::new(),
            is_live: false,
            generation,
            totals: Units::NONE,
            open: Units::NONE,
            is_dirty: false,
        };
        match self.accounts.get_mut(index as usize) {
            Some(place) => *place = account,
            None => self.accounts.push(account),
        }
        index
    }

    fn chain_of(&mut self, path: &str) -> Vec<u32> {
        let index = self.ensure_account(path);
        self.accounts[index as usize].chain.to_vec()
    }

    fn install(&mut self, now: Timestamp, prepared: Prepared<'_>) -> u32 {
        let now = self.clock(now);
        let index = self.ensure_account(prepared.path);
        let account = &mut self.accounts[index as usize];
        let old_zone = std::mem::replace(&mut account.zone, prepared.zone);
        account.is_live = true;
        let mut live = std::mem::take(&mut account.limits);
        let mut retired = std::mem::take(&mut account.retired);
        let mut current = Vec::with_capacity(prepared.limits.len());
        for (limit, key) in prepared.limits {
            let at = if let Some(at) = self.remove_key(&mut live, &key) {
                self.limits[at as usize].become_limit(limit, &old_zone, now);
                self.limits[at as usize].touch(at, &mut self.dirty_limits);
                at
            } else if let Some(at) = self.remove_key(&mut retired, &key) {
                self.limits[at as usize].become_limit(limit, &old_zone, now);
                self.begin_limit(at);
                at
            } else {
                self.add_limit(index, limit, key)
            };
            current.push(at);
        }
        let account = &mut self.accounts[index as usize];
        account.limits = current;
        account.retired = retired;
        live.into_iter().for_each(|limit| self.end_limit(limit));
        index
    }

    /// Counts no new holds by the limit, and has written how it stands: its rule is forgotten
    /// with the process.
    fn end_limit(&mut self, index: u32) {
        let node = &mut self.limits[index as usize];
        let account = &mut self.accounts[node.account as usize];
        // Beyond the calendar's years nothing rolls.
        let _ = node.state.advance(&node.rule, &account.zone, self.latest);
        node.touch(index, &mut self.dirty_limits);
        account.retired.push(index);
    }

    fn remove_key(&self, among: &mut Vec<u32>, key: &Arc<str>) -> Option<u32> {
        let place = among.iter().position(|at| self.limits[*at as usize].key == *key)?;
        Some(among.remove(place))
    }

    fn add_limit(&mut self, account: u32, limit: Limit, key: Arc<str>) -> u32 {
        let rule = Rule::of(&limit);
        let new = u32::try_from(self.limits.len()).unwrap_or(u32::MAX);
        let index = self.free_limits.pop().unwrap_or(new);
        let node = Node {
            rule,
            state: State::new(&rule),
            words: Arc::from(limit.describe()),
            limit,
            key: key.clone(),
            account,
            since: self.latest,
            is_restored: false,
            is_dirty: false,
            told: None,
        };
        match self.limits.get_mut(index as usize) {
            Some(place) => *place = node,
            None => self.limits.push(node),
        }
        let parked = &mut self.accounts[account as usize].parked;
        let waiting = parked.extract_if(.., |row| row.limit_key == key).collect::<Vec<_>>();
        for row in waiting {
            // A row that no book can have written restores nothing.
            let _ = self.restore_row(index, row.period, row.fields);
        }
        self.begin_limit(index);
        index
    }

    /// From now on holds are counted by the limit: strictly later than every hold that was taken
    /// without it, so that after a restart it is known which ones were.
    fn begin_limit(&mut self, index: u32) {
        if self.last_taken == self.latest {
            self.latest = self.latest.saturating_plus(1);
        }
        let node = &mut self.limits[index as usize];
        node.since = self.latest;
        node.touch(index, &mut self.dirty_limits);
    }
}

impl Node {
    /// Everything is to be written: what was durable was counted under another rule.
    fn touch(&mut self, index: u32, dirty: &mut Vec<u32>) {
        self.state.touch();
        self.mark(index, dirty);
    }

    /// Changes what may change under the same key. Time up to now passed under the old rule.
    fn become_limit(&mut self, limit: Limit, old_zone: &Zone, now: Timestamp) {
        // Beyond the calendar's years nothing rolls; the next hold is refused for it.
        let _ = self.state.advance(&self.rule, old_zone, now);
        self.rule = Rule::of(&limit);
        self.words = Arc::from(limit.describe());
        self.limit = limit;
        if let State::Bucket(bucket) = &mut self.state {
            bucket.excuse(&self.rule);
        }
    }
}

fn prepare<'a>(
    spec: &'a AccountSpec,
    zones: &mut HashMap<&'a str, Zone>,
) -> Result<Prepared<'a>, ConfigureError> {
    let AccountSpec { path, zone, limits } = spec;
    let account = || path.clone();
    if !path.is_empty() && path.split('/').any(str::is_empty) {
        return Err(ConfigureError::BadPath { account: account() });
    }
    let zone = match zones.get(zone.as_str()) {
        Some(zone) => zone.clone(),
        None => {
            let unknown = || ConfigureError::UnknownZone { account: account(), zone: zone.clone() };
            let found = Zone::named(zone).ok_or_else(unknown)?;
            zones.insert(zone, found.clone());
            found
        }
    };
    let mut checked: Vec<(Limit, Arc<str>)> = Vec::with_capacity(limits.len());
    for limit in limits {
        limit.check().map_err(|why| ConfigureError::BadLimit {
            account: account(),
            limit: limit.describe(),
            why,
        })?;
        let key: Arc<str> = Arc::from(limit.key());
        if checked.iter().any(|(_, other)| *other == key) {
            let limit = limit.describe();
            return Err(ConfigureError::DuplicateLimit { account: account(), limit });
        }
        checked.push((limit.clone(), key));
    }
    Ok(Prepared { path, zone, limits: checked })
}

impl fmt::Display for ConfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigureError::BadPath { account } => {
                write!(f, "account '{account}': a segment of the path is empty")
            }
            ConfigureError::DuplicateAccount { account } => {
                write!(f, "account '{account}' is there twice")
            }
            ConfigureError::UnknownZone { account, zone } => {
                write!(f, "account '{account}': no time zone is called '{zone}'")
            }
            ConfigureError::BadLimit { account, limit, why } => {
                write!(f, "account '{account}', limit '{limit}': {why}")
            }
            ConfigureError::DuplicateLimit { account, limit } => {
                write!(f, "account '{account}', limit '{limit}': another one counts the same")
            }
        }
    }
}

impl std::error::Error for ConfigureError {}
