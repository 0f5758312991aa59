//! Which encoding a model's text is counted with, and how far that can be trusted.

use crate::encoding::Encoding;

/// How a model's text is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// A short name: `gpt-4o`, `claude`, `other`.
    pub name: &'static str,
    /// The encoding to count with.
    pub encoding: Encoding,
    /// Whether the provider uses this very encoding; otherwise a count is an estimate.
    pub exact: bool,
    /// For an estimate: the model's tokens for 1,000 tokens of `encoding`, on the average.
    pub per_mille: u32,
}

impl Family {
    const fn exact(name: &'static str, encoding: Encoding) -> Self {
        Self { name, encoding, exact: true, per_mille: 1000 }
    }

    const fn estimate(name: &'static str, per_mille: u32) -> Self {
        Self { name, encoding: Encoding::O200kBase, exact: false, per_mille }
    }

    /// What an operator's own tokenizer file makes of a model: its text is counted exactly, what
    /// frames a chat's messages is not known.
    #[must_use]
    pub const fn named(encoding: Encoding) -> Self {
        Self::exact("named by the operator", encoding)
    }

    /// The count of a text: exact, or scaled by the family's average and rounded up.
    #[must_use]
    pub fn count(&self, text: &str) -> u64 {
        self.scale(self.encoding.count(text))
    }

    /// Turns a count in `encoding` into the family's own.
    #[must_use]
    pub const fn scale(&self, tokens: u64) -> u64 {
        if self.exact {
            return tokens;
        }
        // In parts, so that no count can overflow.
        let per_mille = self.per_mille as u64;
        (tokens / 1000)
            .saturating_mul(per_mille)
            .saturating_add(((tokens % 1000) * per_mille).div_ceil(1000))
    }
}

/// The family of a model name, with or without a provider's prefix and a date's suffix.
#[must_use]
pub fn family(model: &str) -> Family {
    let bare = bare(model);
    TABLE.iter().find(|(prefix, _)| bare.starts_with(prefix)).map_or(OTHER, |(_, family)| *family)
}

/// A model's name in lower case, from where a known name starts in it: `ft:gpt-4o:org`,
/// `openai/gpt-4o`, `us.anthropic.claude-…`, `azure:gpt-4o` all name their model after a mark.
pub(crate) fn bare(model: &str) -> String {
    let lower = model.to_ascii_lowercase();
    let starts = std::iter::once(0)
        .chain(lower.match_indices(['/', ':', '.', '@', '|']).map(|(mark, _)| mark + 1));
    let known = |start: &usize| {
        let rest = lower.get(*start..).unwrap_or_default();
        TABLE.iter().any(|(prefix, _)| rest.starts_with(prefix))
    };
    let start = starts.clone().find(known).or_else(|| {
        // Unknown: what is behind the provider.
        lower.rfind('/').map(|slash| slash + 1)
    });
    lower.get(start.unwrap_or(0)..).unwrap_or_default().to_owned()
}

const OTHER: Family = Family::estimate("other", 1150);

/// The first prefix that fits decides.
const TABLE: &[(&str, Family)] = &[
    ("gpt-oss", Family::exact("gpt-oss", Encoding::O200kHarmony)),
    ("gpt-4o", Family::exact("gpt-4o", Encoding::O200kBase)),
    ("chatgpt-4o", Family::exact("gpt-4o", Encoding::O200kBase)),
    ("gpt-4.1", Family::exact("gpt-4.1", Encoding::O200kBase)),
    ("gpt-4.5", Family::exact("gpt-4.5", Encoding::O200kBase)),
    ("gpt-5", Family::exact("gpt-5", Encoding::O200kBase)),
    ("o1", Family::exact("o1", Encoding::O200kBase)),
    ("o3", Family::exact("o3", Encoding::O200kBase)),
    ("o4-mini", Family::exact("o4", Encoding::O200kBase)),
    ("gpt-4", Family::exact("gpt-4", Encoding::Cl100kBase)),
    ("gpt-3.5", Family::exact("gpt-3.5", Encoding::Cl100kBase)),
    ("gpt-35", Family::exact("gpt-3.5", Encoding::Cl100kBase)),
    ("text-embedding-3", Family::exact("embedding", Encoding::Cl100kBase)),
    ("text-embedding-ada-002", Family::exact("embedding", Encoding::Cl100kBase)),
    ("davinci-002", Family::exact("davinci", Encoding::Cl100kBase)),
    ("babbage-002", Family::exact("davinci", Encoding::Cl100kBase)),
    ("gpt-", Family::estimate("gpt", 1000)),
    ("codex", Family::estimate("gpt", 1000)),
    ("claude", Family::estimate("claude", 1160)),
    ("gemini", Family::estimate("gemini", 1080)),
    ("grok", Family::estimate("grok", 1100)),
    ("nova", Family::estimate("nova", 1000)),
    ("deepseek", Family::estimate("deepseek", 1000)),
    ("mistral", Family::estimate("mistral", 1100)),
    ("ministral", Family::estimate("mistral", 1100)),
    ("magistral", Family::estimate("mistral", 1100)),
    ("codestral", Family::estimate("mistral", 1100)),
    ("pixtral", Family::estimate("mistral", 1100)),
    ("llama", Family::estimate("llama", 1050)),
    ("qwen", Family::estimate("qwen", 1050)),
    ("command", Family::estimate("command", 1100)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_with_any_provider_before_and_any_date_behind_its_name() {
        for (model, name, encoding, exact) in [
            ("gpt-4o", "gpt-4o", Encoding::O200kBase, true),
            ("openai/gpt-4o-mini-2024-07-18", "gpt-4o", Encoding::O200kBase, true),
            ("azure:gpt-4.1-nano", "gpt-4.1", Encoding::O200kBase, true),
            ("ft:gpt-4o-2024-08-06:org::id", "gpt-4o", Encoding::O200kBase, true),
            ("GPT-5.6-sol", "gpt-5", Encoding::O200kBase, true),
            ("o3-mini", "o3", Encoding::O200kBase, true),
            ("gpt-4-0613", "gpt-4", Encoding::Cl100kBase, true),
            ("gpt-3.5-turbo", "gpt-3.5", Encoding::Cl100kBase, true),
            ("text-embedding-3-small", "embedding", Encoding::Cl100kBase, true),
            ("openai/gpt-oss-120b:free", "gpt-oss", Encoding::O200kHarmony, true),
            ("gpt-6-preview", "gpt", Encoding::O200kBase, false),
            ("us.anthropic.claude-sonnet-4-5-v1:0", "claude", Encoding::O200kBase, false),
            ("google/gemini-2.5-flash", "gemini", Encoding::O200kBase, false),
            ("demo/echo", "other", Encoding::O200kBase, false),
            ("", "other", Encoding::O200kBase, false),
        ] {
            let family = family(model);
            assert_eq!(
                (family.name, family.encoding, family.exact),
                (name, encoding, exact),
                "{model}"
            );
        }
    }

    #[test]
    fn an_estimate_is_scaled_and_rounded_up_and_an_exact_count_is_left_alone() {
        assert_eq!(family("gpt-4o").scale(u64::MAX), u64::MAX);
        assert_eq!(family("claude-x").scale(1000), 1160);
        assert_eq!(family("claude-x").scale(1), 2);
        assert_eq!(family("claude-x").scale(u64::MAX), u64::MAX);
    }
}
