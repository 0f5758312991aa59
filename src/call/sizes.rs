//! What replies have come to lately, per target and account: how much an adaptive hold begins with.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_accounting::OutputSizes;

use super::planning::Candidate;
use crate::routing::Target;
use crate::tenants::Caller;

/// What is taken before anything was learned.
pub(super) const UNKNOWN: u64 = 256;
/// The share of replies that fit the hold they begin with; the others extend it.
const PERCENT: u8 = 90;
/// Replies after which an account's own sizes are taken, rather than the target's over all accounts.
const ENOUGH: u32 = 20;
/// Pairs of target and account that are remembered per shard. Beyond it, new pairs share the
/// target's figures.
const MOST: usize = 1024;
const SHARDS: usize = 16;
/// Between the parts of a stored name; no configured name holds it.
const SEPARATOR: char = '\n';

type Key = (Arc<str>, Arc<str>, Arc<str>);

/// Learned sizes of outputs.
pub struct Sizes {
    /// Whose sizes were not stored yet.
    changed: Mutex<HashSet<Key>>,
    shards: [Mutex<HashMap<Key, OutputSizes>>; SHARDS],
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { changed: Mutex::default(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Sizes {
    /// Output tokens that such a call is likely to need over all its choices, wherever it goes.
    pub(super) fn likely(&self, caller: &Caller, plan: &[Candidate<'_>], choices: u64) -> u64 {
        let of = |candidate: &Candidate<'_>| self.at(candidate.target, &caller.account);
        let one = plan.iter().map(of).max().unwrap_or(UNKNOWN);
        one.saturating_mul(choices)
    }

    /// Learns from a reply.
    pub(super) fn observe(&self, target: &Target, account: &Arc<str>, tokens: u64) {
        // A reply without any output says nothing about those that have some.
        if tokens == 0 {
            return;
        }
        self.note(key(target, account), tokens);
        self.note(key(target, &Arc::from("")), tokens);
    }

    fn at(&self, target: &Target, account: &Arc<str>) -> u64 {
        self.learned(target, account).unwrap_or(UNKNOWN)
    }

    /// What was learned of replies there: the account's own, once there are enough, else everybody's.
    pub(super) fn learned(&self, target: &Target, account: &Arc<str>) -> Option<u64> {
        self.of(target, account, |sizes| sizes.percentile(PERCENT))
    }

    /// The mean of the replies there, and how many it is of.
    pub(super) fn mean(&self, target: &Target, account: &Arc<str>) -> Option<(u64, u32)> {
        self.of(target, account, |sizes| Some((sizes.mean()?, sizes.observations())))
    }

    fn of<T>(
        &self,
        target: &Target,
        account: &Arc<str>,
        figure: impl Fn(&OutputSizes) -> Option<T>,
    ) -> Option<T> {
        let own = key(target, account);
        let learned = |key: &Key, least: u32| {
            let shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
            figure(shard.get(key).filter(|sizes| sizes.observations() >= least)?)
        };
        learned(&own, ENOUGH).or_else(|| learned(&key(target, &Arc::from("")), 1))
    }

    fn note(&self, key: Key, tokens: u64) {
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sizes) = shard.get_mut(&key) {
            sizes.observe(tokens);
        } else if shard.len() < MOST {
            let mut sizes = OutputSizes::new();
            sizes.observe(tokens);
            shard.insert(key.clone(), sizes);
        } else {
            return;
        }
        drop(shard);
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// Takes over what was stored; rows that no build can have written are passed over.
    pub fn load(&self, rows: impl IntoIterator<Item = (String, Vec<u8>)>) {
        for (name, bytes) in rows {
            let mut parts = name.splitn(3, SEPARATOR).map(Arc::<str>::from);
            let (Some(provider), Some(model), Some(account)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let pairs = bytes.chunks_exact(4).map(|pair| {
                let number = |at: usize| u16::from_le_bytes([pair[at], pair[at + 1]]);
                (number(0), number(2))
            });
            let Some(sizes) = OutputSizes::from_weights(pairs) else { continue };
            let key = (provider, model, account);
            let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
            if shard.len() < MOST {
                shard.insert(key, sizes);
            }
        }
    }

    /// What changed since it was last asked, to be stored.
    pub fn take_changed(&self) -> Vec<(String, Vec<u8>)> {
        let keys =
            std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
        let row = |key: Key| {
            let shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
            let weights = shard.get(&key)?.weights();
            let bytes = weights.flat_map(|(bucket, weight)| {
                let ([a, b], [c, d]) = (bucket.to_le_bytes(), weight.to_le_bytes());
                [a, b, c, d]
            });
            let (provider, model, account) = &key;
            let name = format!("{provider}{SEPARATOR}{model}{SEPARATOR}{account}");
            Some((name, bytes.collect()))
        };
        keys.into_iter().filter_map(row).collect()
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, OutputSizes>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        &self.shards[usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0)]
    }
}

fn key(target: &Target, account: &Arc<str>) -> Key {
    (target.provider_name.clone(), target.model.clone(), account.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_survives_being_stored() {
        let sizes = Sizes::default();
        let key: Key = ("p".into(), "m".into(), "acme/search".into());
        for tokens in [10, 200, 3_000, 3_100] {
            sizes.note(key.clone(), tokens);
        }
        let stored = sizes.take_changed();
        assert_eq!(stored.len(), 1);
        assert!(sizes.take_changed().is_empty());
        let next = Sizes::default();
        next.load(stored.into_iter().chain([("x".to_owned(), vec![1])]));
        let percentile = |sizes: &Sizes| sizes.shard(&key).lock().unwrap()[&key].percentile(90);
        assert_eq!(percentile(&next), percentile(&sizes));
        assert!(percentile(&next).is_some());
    }
}
