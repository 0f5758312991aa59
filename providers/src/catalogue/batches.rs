//! How much a model takes in one request that lists its inputs: data by the beginning of a model's name,
//! the longest beginning that fits, each with its source.

use std::sync::OnceLock;

use serde::Deserialize;

/// The most of one request, where it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchLimits {
    /// Inputs.
    pub items: Option<u64>,
    /// Tokens of all inputs together.
    pub tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    kinds: Vec<String>,
    models: Vec<String>,
    items: Option<u64>,
    tokens: Option<u64>,
    /// Where this is written.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for who reads the data; a test asks for it")
    )]
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "date")]
    _date: String,
    rules: Vec<Rule>,
}

/// What is known of a provider's model in this respect.
pub fn batch_limits(kind: &str, model: &str) -> BatchLimits {
    let fits = |rule: &&Rule| rule.kinds.iter().any(|name| name == kind);
    let starts = |rule: &'static Rule| {
        let begins = rule.models.iter().filter(|start| model.starts_with(start.as_str()));
        Some((begins.map(String::len).max()?, rule))
    };
    let longest = all().iter().filter(fits).filter_map(starts).max_by_key(|(length, _)| *length);
    longest.map_or_else(BatchLimits::default, |(_, rule)| BatchLimits {
        items: rule.items,
        tokens: rule.tokens,
    })
}

fn all() -> &'static [Rule] {
    static ALL: OnceLock<Vec<Rule>> = OnceLock::new();
    // What is built in is read by a test; without it, the operator's bounds are all there are.
    ALL.get_or_init(|| read().unwrap_or_default())
}

fn read() -> Result<Vec<Rule>, serde_json::Error> {
    let wire: Wire = serde_json::from_str(include_str!("../../data/batch-limits.json"))?;
    Ok(wire.rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_of_kinds_there_are_and_has_its_source() {
        let rules = read().unwrap();
        assert!(!rules.is_empty());
        for rule in &rules {
            assert!(rule.items.is_some() || rule.tokens.is_some(), "{rule:?}");
            assert!(rule.source.contains("https://"), "{rule:?}");
            for kind in &rule.kinds {
                assert!(crate::kinds().any(|known| known == kind), "{kind}");
            }
        }
    }

    #[test]
    fn the_longest_beginning_of_a_name_counts() {
        for (kind, model, items, tokens) in [
            ("openai", "text-embedding-3-small", Some(2_048), Some(300_000)),
            ("mistral", "mistral-embed-2312", None, Some(16_384)),
            ("compatible", "voyage-4-large", Some(1_000), Some(120_000)),
            ("compatible", "voyage-4", Some(1_000), Some(320_000)),
            ("compatible", "voyage-4-lite", Some(1_000), Some(1_000_000)),
            ("compatible", "voyage-law-2", Some(1_000), Some(120_000)),
            ("compatible", "embed-english-v3.0", Some(96), None),
            ("groq", "voyage-4", None, None),
            ("compatible", "nomic-embed-text", None, None),
        ] {
            assert_eq!(batch_limits(kind, model), BatchLimits { items, tokens }, "{kind} {model}");
        }
    }
}
