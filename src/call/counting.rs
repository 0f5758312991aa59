//! The input of a call as its target's model counts it: remembered for texts that come again, and
//! corrected by what the provider bills where it can only be estimated.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock};

use tollgate_accounting::Provenance;
use tollgate_tokenizer::{Correction, CountMemo, Family, Framing};

use super::operation::Operation;
use crate::ledger::Counted;
use crate::routing::Target;

/// Counts that are remembered: 64 thousand, in 2 MB.
const REMEMBERED: usize = 65_536;
/// Models that are learned. Beyond it, new ones stay uncorrected.
const MOST: usize = 4_096;

/// Counts inputs, and learns.
pub struct Counting {
    memo: CountMemo,
    /// By `provider/model`.
    learned: RwLock<HashMap<String, Correction>>,
    /// Names whose correction was not stored yet.
    changed: Mutex<HashSet<String>>,
}

/// An input before its correction: what the correction is learned from once it is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    tokens: u64,
    with_tools: bool,
}

/// The count of a call at all targets of a family and a framing.
pub(super) struct Alike {
    family: Family,
    framing: Framing,
    count: Counted,
}

impl Default for Counting {
    fn default() -> Counting {
        Counting {
            memo: CountMemo::new(REMEMBERED),
            learned: RwLock::default(),
            changed: Mutex::default(),
        }
    }
}

impl Counting {
    /// The input's tokens at a target, and what they were before they were corrected.
    pub(super) fn input(
        &self,
        operation: &Operation<'_>,
        target: &Target,
    ) -> (Counted, Option<Estimate>) {
        self.input_once(operation, target, &mut Vec::new())
    }

    /// The same; of targets that count alike only the first is counted for, as long as `counts` is theirs.
    pub(super) fn input_once(
        &self,
        operation: &Operation<'_>,
        target: &Target,
        counts: &mut Vec<Alike>,
    ) -> (Counted, Option<Estimate>) {
        let (family, framing) = (target.family, Framing::of(&target.counted_as));
        let known = counts.iter().find(|have| have.family == family && have.framing == framing);
        let count = match known {
            Some(have) => have.count,
            None => {
                let count = self.uncorrected(operation, &target.counted_as, &family);
                counts.push(Alike { family, framing, count });
                count
            }
        };
        // What is foreseen by rule is a bound, and no estimate to be corrected.
        if count.provenance == Provenance::Tokenized || operation.is_media() {
            return (count, None);
        }
        let estimate = Estimate { tokens: count.tokens, with_tools: operation.has_tools() };
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        let tokens = learned
            .get(&name(target))
            .map_or(count.tokens, |c| c.apply(estimate.tokens, estimate.with_tools));
        (Counted { tokens, ..count }, Some(estimate))
    }

    /// The input's tokens as that model counts them, as far as can be told from the request.
    pub fn uncorrected(&self, operation: &Operation<'_>, model: &str, family: &Family) -> Counted {
        operation.count(&self.memo, model, family)
    }

    /// Learns what an estimated input was billed as.
    pub(super) fn learn(&self, target: &Target, estimate: Option<Estimate>, billed: Option<u64>) {
        let (Some(Estimate { tokens, with_tools }), Some(billed)) = (estimate, billed) else {
            return;
        };
        let name = name(target);
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        if learned.len() >= MOST && !learned.contains_key(&name) {
            return;
        }
        learned.entry(name.clone()).or_default().observe(tokens, with_tools, billed);
        drop(learned);
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }

    /// Takes over what was stored; rows that no build can have written are passed over.
    pub fn load(&self, rows: impl IntoIterator<Item = (String, Vec<u8>)>) {
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        let corrections = rows.into_iter().filter_map(|(name, bytes)| {
            Some((name, Correction::from_bytes(bytes.as_slice().try_into().ok()?)?))
        });
        learned.extend(corrections.take(MOST));
    }

    /// What changed since it was last asked, to be stored.
    pub fn take_changed(&self) -> Vec<(String, Vec<u8>)> {
        let names =
            std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        let row = |name: String| {
            let bytes = learned.get(&name)?.to_bytes().to_vec();
            Some((name, bytes))
        };
        names.into_iter().filter_map(row).collect()
    }

    /// What was learned of a model, for people.
    pub fn correction(&self, provider: &str, model: &str) -> Option<Correction> {
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        learned.get(&format!("{provider}/{model}")).copied()
    }
}

fn name(target: &Target) -> String {
    format!("{}/{}", target.provider_name, target.model)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_providers::{Bounds, Dialect};
    use tollgate_tokenizer::family;

    use super::*;

    fn target(model: &str) -> Target {
        Target {
            provider: 0,
            provider_name: "p".into(),
            model: model.into(),
            prices: None,
            family: family(model),
            counted_as: model.into(),
            max_output_tokens: None,
            abilities: crate::routing::Abilities::default(),
            weight: 1,
            keys: 1,
            tags: Arc::default(),
            health: Arc::default(),
        }
    }

    fn count(counting: &Counting, target: &Target) -> (Counted, Option<Estimate>) {
        let body =
            br#"{"model":"m","messages":[{"role":"user","content":"How many tokens are these?"}]}"#;
        let request = Dialect::OpenAiChat.decode_chat(body, &Bounds::default()).unwrap();
        counting.input(&Operation::Chat(Box::new(request)), target)
    }

    #[test]
    fn an_estimate_moves_towards_what_is_billed_and_an_exact_count_does_not() {
        let counting = Counting::default();
        let (claude, gpt) = (target("claude-sonnet-4-5"), target("gpt-4o"));
        let (first, estimate) = count(&counting, &claude);
        assert_eq!(first.provenance, Provenance::Estimated);
        for _ in 0..30 {
            counting.learn(&claude, estimate, Some(first.tokens + 300));
        }
        let (later, _) = count(&counting, &claude);
        assert!(later.tokens > first.tokens + 200, "{later:?} after {first:?}");

        let (exact, estimate) = count(&counting, &gpt);
        counting.learn(&gpt, estimate, Some(exact.tokens + 300));
        assert_eq!(count(&counting, &gpt).0, exact);
    }

    #[test]
    fn targets_that_count_alike_are_counted_for_once() {
        let counting = Counting::default();
        let body = br#"{"model":"m","messages":[{"role":"user","content":"How many?"}]}"#;
        let request = Dialect::OpenAiChat.decode_chat(body, &Bounds::default()).unwrap();
        let operation = Operation::Chat(Box::new(request));
        let mut counts = Vec::new();
        for model in ["gpt-4o", "gpt-4o-mini", "openai/gpt-4o", "claude-sonnet-4-5", "gpt-4"] {
            let target = target(model);
            let shared = counting.input_once(&operation, &target, &mut counts);
            assert_eq!(shared, counting.input(&operation, &target), "{model}");
        }
        assert!((2..5).contains(&counts.len()), "{}", counts.len());
    }

    #[test]
    fn what_was_learned_survives_being_stored() {
        let counting = Counting::default();
        let claude = target("claude-sonnet-4-5");
        let (first, estimate) = count(&counting, &claude);
        (0..30).for_each(|_| counting.learn(&claude, estimate, Some(first.tokens * 2)));
        let stored = counting.take_changed();
        assert_eq!(stored.len(), 1);
        assert!(counting.take_changed().is_empty());
        let next = Counting::default();
        next.load(stored.into_iter().chain([("x".to_owned(), vec![1, 2, 3])]));
        assert_eq!(count(&next, &claude), count(&counting, &claude));
    }
}
