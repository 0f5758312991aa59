//! Whose answers are given to whom, and for how long: by model, account and key.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Place};

/// What the configuration says of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How much is kept, and how long where nothing below says otherwise.
    pub bounds: Bounds,
    /// By the model's name as it is asked for. `None`: never.
    pub models: BTreeMap<String, Option<Duration>>,
    /// By account, with all below it; the nearest counts. `None`: never.
    pub accounts: BTreeMap<String, Option<Duration>>,
    /// By the credential's id. `None`: never.
    pub keys: BTreeMap<String, Option<Duration>>,
    /// The group of an account and all below it: within a group, answers are shared.
    pub groups: BTreeMap<String, String>,
    /// A file for what is to be kept for longer than memory does.
    pub disk: Option<Place>,
}

/// Who may be given an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// One account.
    Account(&'a str),
    /// The accounts of a group.
    Group(&'a str),
}

impl Policy {
    /// Everything kept so long, for its own account.
    pub fn of(bounds: Bounds) -> Policy {
        let (models, accounts) = (BTreeMap::new(), BTreeMap::new());
        Policy {
            bounds,
            models,
            accounts,
            keys: BTreeMap::new(),
            groups: BTreeMap::new(),
            disk: None,
        }
    }

    /// How long an answer to that call is given again: the shortest that its model, account and key
    /// say, else what the bounds say. `None` where any of them says never.
    pub fn keep_for(&self, account: &str, key: &str, model: &str) -> Option<Duration> {
        let said = [self.models.get(model), nearest(&self.accounts, account), self.keys.get(key)];
        let mut shortest = None::<Duration>;
        for said in said.into_iter().flatten() {
            let said = (*said)?;
            shortest = Some(shortest.map_or(said, |least| least.min(said)));
        }
        Some(shortest.unwrap_or(self.bounds.ttl))
    }

    /// Who has a call's answer.
    pub fn owner<'a>(&'a self, account: &'a str) -> Owner<'a> {
        nearest(&self.groups, account).map_or(Owner::Account(account), |name| Owner::Group(name))
    }
}

/// What is said of an account, or of the nearest above it.
fn nearest<'m, T>(map: &'m BTreeMap<String, T>, account: &str) -> Option<&'m T> {
    let mut path = account;
    loop {
        if let Some(said) = map.get(path) {
            return Some(said);
        }
        path = path.rsplit_once('/')?.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy() -> Policy {
        let bounds = Bounds { max_bytes: 1, max_reply_bytes: 1, ttl: SECOND * 100 };
        let named = |list: &[(&str, Option<u32>)]| {
            let entry = |(name, ttl): &(&str, Option<u32>)| {
                ((*name).to_owned(), ttl.map(|seconds| SECOND * seconds))
            };
            list.iter().map(entry).collect()
        };
        Policy {
            models: named(&[("long", Some(1000)), ("short", Some(5)), ("never", None)]),
            accounts: named(&[("acme", Some(50)), ("acme/legal", None), ("acme/legal/x", Some(9))]),
            keys: named(&[("k", Some(1)), ("off", None)]),
            groups: [("acme/a", "g"), ("globex", "g")]
                .map(|(a, g)| (a.to_owned(), g.to_owned()))
                .into(),
            ..Policy::of(bounds)
        }
    }

    #[test]
    fn the_shortest_that_is_said_counts_and_never_is_never() {
        let policy = policy();
        for (account, key, model, seconds) in [
            ("other", "", "m", Some(100)),
            ("other", "", "long", Some(1000)),
            ("acme/x", "", "long", Some(50)),
            ("acme/x", "", "short", Some(5)),
            ("acme/x", "k", "short", Some(1)),
            ("acme/x", "off", "short", None),
            ("other", "", "never", None),
            ("acme/legal", "", "m", None),
            ("acme/legal/y", "", "m", None),
            ("acme/legal/x", "", "m", Some(9)),
            ("acmes", "", "m", Some(100)),
        ] {
            let kept = policy.keep_for(account, key, model);
            assert_eq!(kept, seconds.map(|s| SECOND * s), "{account} {key} {model}");
        }
    }

    #[test]
    fn answers_are_an_accounts_own_but_in_a_group() {
        let policy = policy();
        for (account, owner) in [
            ("acme", Owner::Account("acme")),
            ("acme/a", Owner::Group("g")),
            ("acme/a/b", Owner::Group("g")),
            ("acme/ab", Owner::Account("acme/ab")),
            ("globex", Owner::Group("g")),
        ] {
            assert_eq!(policy.owner(account), owner);
        }
    }
}
