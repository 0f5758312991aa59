//! A memory of counts: a conversation is sent again on every turn, so a message and a tools array
//! are counted once and recognised after that.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use crate::chat::{self, Chat, Count};
use crate::encoding::Encoding;
use crate::family::{Family, family};
use crate::hash::fold;

/// A bounded memory of counts, shared by threads. A text is known by a 128-bit hash under keys
/// drawn at start, so that no one can make two texts collide on purpose; no text is kept.
#[derive(Debug)]
pub struct CountMemo {
    keys: [u64; 4],
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    /// Sets of [`WAYS`] entries: hash, count.
    entries: Box<[(u128, u64)]>,
    /// Which entry of a set the next new one replaces.
    next: usize,
}

const SHARDS: usize = 16;
const WAYS: usize = 4;

/// A text shorter than this is counted sooner than it is looked up.
const SHORT: usize = 256;

impl CountMemo {
    /// A memory of at most about `entries` counts, at 32 bytes each.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let sets = (entries / SHARDS / WAYS).max(1);
        let shard = || Mutex::new(Shard { entries: vec![(0, 0); sets * WAYS].into(), next: 0 });
        let random = RandomState::new();
        Self {
            keys: [0, 1, 2, 3].map(|key: u64| random.hash_one(key) | 1),
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    /// [`Encoding::count`], remembered.
    #[must_use]
    pub fn count(&self, encoding: Encoding, text: &str) -> u64 {
        if text.len() < SHORT {
            return encoding.count(text);
        }
        self.count_as(encoding, "text", text, || encoding.count(text))
    }

    /// [`crate::count_chat`], with every long text and the tools remembered.
    #[must_use]
    pub fn count_chat(&self, model: &str, chat: &Chat<'_>) -> Count {
        self.count_chat_as(model, family(model), chat)
    }

    /// The same for a model that is of another family than its name tells.
    #[must_use]
    pub fn count_chat_as(&self, model: &str, family: Family, chat: &Chat<'_>) -> Count {
        chat::counted(model, family, chat, Some(self))
    }

    /// A count that is derived from `text` in the way that `what` names.
    pub(crate) fn count_as(
        &self,
        encoding: Encoding,
        what: &'static str,
        text: &str,
        count: impl FnOnce() -> u64,
    ) -> u64 {
        let hash = self.hash(encoding, what, text);
        let Some(shard) = self.shards.get(hash as usize % SHARDS) else { return count() };
        let sets = |shard: &Shard| shard.entries.len() / WAYS;
        {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let set = (hash >> 64) as usize % sets(&shard) * WAYS;
            let held = shard.entries.get(set..set + WAYS).unwrap_or_default();
            if let Some((_, count)) = held.iter().find(|(held, _)| *held == hash) {
                return *count;
            }
        }
        // Counted without the lock, since it takes long.
        let counted = count();
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let set = (hash >> 64) as usize % sets(&shard) * WAYS;
        let way = shard.next % WAYS;
        shard.next = shard.next.wrapping_add(1);
        if let Some(entry) = shard.entries.get_mut(set + way) {
            *entry = (hash, counted);
        }
        counted
    }

    /// Two lanes of multiply-and-fold under the memory's keys, each over all of the text.
    fn hash(&self, encoding: Encoding, what: &str, text: &str) -> u128 {
        let [a, b, c, d] = self.keys;
        let domain =
            (encoding.vocabulary().mark() << 32 | what.len() as u64) ^ (text.len() as u64) << 33;
        let (mut one, mut two) = (a ^ domain, c ^ domain);
        let (blocks, rest) = text.as_bytes().as_chunks::<16>();
        for block in blocks {
            let raw = u128::from_le_bytes(*block);
            let (low, high) = (raw as u64, (raw >> 64) as u64);
            one = fold(one ^ low, high ^ b).wrapping_add(high);
            two = fold(two ^ high, low ^ d).wrapping_add(low);
        }
        let mut last = [0; 16];
        if let Some(last) = last.get_mut(..rest.len()) {
            last.copy_from_slice(rest);
        }
        let raw = u128::from_le_bytes(last);
        let (low, high) = (raw as u64, (raw >> 64) as u64);
        one = fold(fold(one ^ low, high ^ b) ^ c, a);
        two = fold(fold(two ^ high, low ^ d) ^ b, c);
        // Zero is an empty entry.
        u128::from(one) << 64 | u128::from(two) | 1 << 127
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_count_is_the_count() {
        let memo = CountMemo::new(64);
        let long = "It was the best of times, it was the worst of times. ".repeat(20);
        for round in 0..3 {
            for cut in 0..200 {
                let text = &long[cut..];
                for encoding in Encoding::ALL {
                    assert_eq!(memo.count(encoding, text), encoding.count(text), "{round} {cut}");
                }
            }
        }
    }

    #[test]
    fn texts_that_differ_in_one_byte_or_in_length_are_told_apart() {
        let memo = CountMemo::new(0);
        let mut seen = std::collections::HashSet::new();
        let zeros = "\0".repeat(600);
        for length in 0..600 {
            assert!(seen.insert(memo.hash(Encoding::O200kBase, "text", &zeros[..length])));
        }
        for at in 0..600 {
            let text = format!("{}a{}", &zeros[..at], &zeros[at + 1..]);
            assert!(seen.insert(memo.hash(Encoding::O200kBase, "text", &text)));
        }
        assert!(seen.insert(memo.hash(Encoding::Cl100kBase, "text", &zeros)));
        assert!(seen.insert(memo.hash(Encoding::O200kBase, "compact", &zeros)));
    }

    #[test]
    fn two_memories_hash_under_different_keys() {
        let hash = |memo: CountMemo| memo.hash(Encoding::O200kBase, "text", "the same");
        assert_ne!(hash(CountMemo::new(1)), hash(CountMemo::new(1)));
    }
}
