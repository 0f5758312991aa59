//! Which target has lately worked on the beginning of a call: its provider's prompt cache may still
//! hold it, which makes the rest cheaper there. Only a hint: what it is worth is learned from the
//! cached tokens that replies report.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_providers::unified::{Block, Media};

use super::operation::Operation;
use crate::routing::{Route, Target};
use crate::tenants::Caller;

/// Providers keep a prefix for five minutes at least, and none shorter than so many tokens.
const KEPT_US: u64 = 300_000_000;
const SHORTEST: u64 = 1_024;
/// So many ends of prefixes are looked up, longest first.
const LOOKED_AT: usize = 32;
/// Prefixes that are remembered, in each of two generations; the older makes way.
const MOST: usize = 32_768;

/// Which target worked on which prefix.
#[derive(Default)]
pub struct Prefixes {
    known: Mutex<Known>,
    /// Seeded anew in each process: nobody can make two prefixes look the same.
    hashing: RandomState,
}

#[derive(Default)]
struct Known {
    young: HashMap<u64, Warm>,
    old: HashMap<u64, Warm>,
}

/// A target with a warm cache, and for how much of a prompt.
#[derive(Clone, Debug)]
pub(super) struct Warm {
    provider: Arc<str>,
    model: Arc<str>,
    tokens: u64,
    at: u64,
}

impl Warm {
    /// Tokens that should be cached there.
    pub(super) fn at(&self, target: &Target) -> u64 {
        let same = *self.provider == *target.provider_name && *self.model == *target.model;
        if same { self.tokens } else { 0 }
    }
}

/// The prefixes of one call: a hash and the bytes up to the end of each message.
pub(super) struct Trail(Vec<(u64, u64)>);

impl Prefixes {
    /// The prefixes of a call, where there is a choice that they may decide. Those of two accounts never
    /// meet.
    pub(super) fn trail(&self, route: &Route, caller: &Caller, operation: &Operation<'_>) -> Trail {
        let Operation::Chat(request) = operation else { return Trail(Vec::new()) };
        if route.targets.len() < 2 {
            return Trail(Vec::new());
        }
        let mut hasher = self.hashing.build_hasher();
        caller.account.hash(&mut hasher);
        request.model.hash(&mut hasher);
        let mut bytes = 0;
        let ends = request.messages.iter().map(|message| {
            std::mem::discriminant(&message.role).hash(&mut hasher);
            message.blocks.iter().for_each(|block| feed(block, &mut hasher, &mut bytes));
            (hasher.finish(), bytes)
        });
        Trail(ends.collect())
    }

    /// The target that worked on the longest of the prefixes.
    pub(super) fn find(&self, trail: &Trail, now: u64) -> Option<Warm> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest_first = trail.0.iter().rev().take(LOOKED_AT).chain(trail.0.first());
        longest_first.find_map(|(hash, _)| {
            let warm = known.young.get(hash).or_else(|| known.old.get(hash))?;
            (now.saturating_sub(warm.at) < KEPT_US).then(|| warm.clone())
        })
    }

    /// A target works on the call, whose input has so many tokens. The whole of it is remembered, and
    /// its first message, which other conversations may share.
    pub(super) fn note(&self, trail: &Trail, target: &Target, tokens: u64, now: u64) {
        let Some((_, all)) = trail.0.last() else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (hash, bytes) in [trail.0.last(), trail.0.first()].into_iter().flatten() {
            let part = u128::from(tokens) * u128::from(*bytes) / u128::from((*all).max(1));
            let tokens = u64::try_from(part).unwrap_or(tokens);
            if tokens < SHORTEST {
                continue;
            }
            if known.young.len() >= MOST {
                known.old = std::mem::take(&mut known.young);
            }
            let (provider, model) = (target.provider_name.clone(), target.model.clone());
            known.young.insert(*hash, Warm { provider, model, tokens, at: now });
        }
    }
}

fn feed(block: &Block<'_>, hasher: &mut impl Hasher, bytes: &mut u64) {
    std::mem::discriminant(block).hash(hasher);
    let mut text = |text: &str| {
        text.hash(hasher);
        *bytes += text.len() as u64;
    };
    match block {
        Block::Text { text: one, .. }
        | Block::Refusal { text: one }
        | Block::Thinking { text: one, .. } => text(one),
        Block::ToolCall { name, arguments, .. } => {
            text(name);
            text(arguments);
        }
        Block::Image { media, .. } | Block::File { media, .. } => match media {
            Media::Url(one) | Media::Id(one) => text(one),
            Media::Base64 { data, .. } => text(data),
        },
        Block::Audio { data, .. } | Block::RedactedThinking { data } => text(data),
        Block::ToolResult { content, .. } => {
            content.iter().for_each(|block| feed(block, hasher, bytes));
        }
        Block::Other { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use tollgate_providers::{Bounds, Dialect};

    use super::*;
    use crate::routing::{Health, Order};
    use crate::tenants::{Allowed, Holds};

    fn target(model: &str) -> Target {
        Target {
            provider: 0,
            provider_name: "p".into(),
            model: model.into(),
            prices: None,
            family: tollgate_tokenizer::family("gpt-4o"),
            counted_as: "gpt-4o".into(),
            max_output_tokens: None,
            abilities: crate::routing::Abilities::default(),
            weight: 1,
            keys: 1,
            tags: Arc::default(),
            health: Arc::new(Health::new(1)),
        }
    }

    fn trail(prefixes: &Prefixes, account: &str, messages: &[&str]) -> Trail {
        let mut book = tollgate_accounting::Book::new();
        let spec = tollgate_accounting::AccountSpec {
            path: account.into(),
            zone: "UTC".into(),
            limits: Vec::new(),
        };
        book.configure(tollgate_accounting::Timestamp::from_micros(1), &[spec]).unwrap();
        let caller = Caller {
            account: account.into(),
            key: "k".into(),
            charged: book.account(account).unwrap(),
            charged_path: account.into(),
            holds: Holds::Adaptive,
            models: Allowed::All,
            require: Arc::default(),
            terms: tollgate_accounting::Terms::default(),
            share: 1,
            priority: crate::tenants::Priority::Normal,
            expires_at: None,
            run: None,
        };
        let messages: Vec<_> = messages
            .iter()
            .map(|text| serde_json::json!({"role": "user", "content": text}))
            .collect();
        let body = serde_json::json!({"model": "m", "messages": messages}).to_string();
        let request = Dialect::OpenAiChat.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
        let route = Route::new(Order::Cheapest, vec![target("a"), target("b")]);
        prefixes.trail(&route, &caller, &Operation::Chat(Box::new(request)))
    }

    #[test]
    fn a_conversation_that_goes_on_finds_the_target_that_has_its_beginning() {
        let prefixes = Prefixes::default();
        let warm = |account: &str, messages: &[&str], now| {
            let found = prefixes.find(&trail(&prefixes, account, messages), now)?;
            Some((found.at(&target("a")), found.at(&target("b"))))
        };
        let first = trail(&prefixes, "x", &["12345678", "90"]);
        prefixes.note(&first, &target("b"), 5_000, 0);
        assert_eq!(warm("x", &["12345678", "90", "more", "and more"], 1), Some((0, 5_000)));
        assert_eq!(warm("x", &["12345678", "else"], 1), Some((0, 4_000)), "its first message");
        assert_eq!(warm("x", &["else", "90"], 1), None);
        assert_eq!(warm("y", &["12345678", "90"], 1), None, "another account's");
        assert_eq!(warm("x", &["12345678", "90"], KEPT_US), None, "too long ago");
        prefixes.note(&trail(&prefixes, "x", &["short"]), &target("a"), SHORTEST - 1, 0);
        assert_eq!(warm("x", &["short"], 1), None);
    }
}
