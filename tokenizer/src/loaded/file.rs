//! What a `tokenizer.json` says, as far as it is understood: the rest is refused by name.

use std::collections::HashMap;

use super::error::LoadError;
use super::normal::Normal;
use crate::json::{self, Value};
use crate::split::Pattern;

/// The file, read.
pub(super) struct File<'a> {
    pub(super) normal: Normal,
    /// `None` if nothing cuts the text.
    pub(super) pattern: Option<Pattern>,
    /// A piece that is a token is that token, whatever its merges make of it.
    pub(super) ignore_merges: bool,
    /// Token to number.
    pub(super) vocabulary: HashMap<&'a str, u32>,
    /// Left part, right part, in the order of their ranks.
    pub(super) merges: Vec<(&'a str, &'a str)>,
    pub(super) added: Vec<Added<'a>>,
}

/// A token that is found in the text before anything else is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added<'a> {
    pub(super) text: &'a str,
    pub(super) id: u32,
    /// Special tokens in a text are ordinary text.
    pub(super) is_special: bool,
    pub(super) is_normalized: bool,
}

impl<'a> File<'a> {
    pub(super) fn read(root: &'a Value<'a>) -> Result<Self, LoadError> {
        let model = root.get("model").ok_or(LoadError::Malformed("there is no model"))?;
        let pattern = pattern(root.get("pre_tokenizer"))?;
        check_model(model, pattern.is_some())?;
        Ok(Self {
            normal: Normal::read(root.get("normalizer"))?,
            pattern,
            ignore_merges: flag(model, "ignore_merges"),
            vocabulary: vocabulary(model)?,
            merges: merges(model)?,
            added: added(root)?,
        })
    }
}

/// The patterns that are known, as the files write them.
const PATTERNS: &[(&str, Pattern)] = &[
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Pattern::Llama3,
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Pattern::Qwen2,
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Pattern::Qwen35,
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Pattern::Tekken,
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Pattern::O200k,
    ),
];

/// DeepSeek's three.
const DEEPSEEK: [&str; 3] = [
    r"\p{N}{1,3}",
    "[一-龥\u{3040}-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
];

fn pattern(pre_tokenizer: Option<&Value<'_>>) -> Result<Option<Pattern>, LoadError> {
    const PART: &str = "pre_tokenizer";
    let Some(value) = pre_tokenizer.filter(|value| **value != Value::Null) else { return Ok(None) };
    let unsupported = || LoadError::unsupported(PART, &text_of(value));
    // Gemma's: cut at spaces, of which its normalizer leaves none.
    if kind(value) == "Split" && value.get("pattern").and_then(|p| p.get("String")).is_some() {
        let space = value.get("pattern").and_then(|pattern| pattern.get("String")?.text());
        return if space == Some(" ") { Ok(None) } else { Err(unsupported()) };
    }
    let steps = value.get("pretokenizers").ok_or_else(unsupported)?.items();
    let Some((bytes, splits)) = steps.split_last() else { return Err(unsupported()) };
    let plain_bytes = kind(bytes) == "ByteLevel"
        && !flag(bytes, "add_prefix_space")
        && bytes.get("use_regex") == Some(&Value::Bool(false));
    let mut patterns = Vec::new();
    for split in splits {
        let isolated = split.get("behavior").and_then(Value::text) == Some("Isolated");
        let pattern = split.get("pattern").and_then(|pattern| pattern.get("Regex")?.text());
        match pattern {
            Some(pattern) if isolated && kind(split) == "Split" && !flag(split, "invert") => {
                patterns.push(pattern);
            }
            _ => return Err(unsupported()),
        }
    }
    if !plain_bytes {
        return Err(unsupported());
    }
    let known = match patterns.as_slice() {
        [one] => PATTERNS.iter().find(|(pattern, _)| pattern == one).map(|(_, known)| *known),
        three if *three == DEEPSEEK => Some(Pattern::DeepSeek),
        _ => None,
    };
    known.map(Some).ok_or_else(unsupported)
}

fn check_model(model: &Value<'_>, has_pattern: bool) -> Result<(), LoadError> {
    if kind(model) != "BPE" {
        return Err(LoadError::unsupported("model", kind(model)));
    }
    let empty = |value: &Value<'_>| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.bytes().all(|byte| matches!(byte, b'0' | b'.')),
        _ => false,
    };
    for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
        if let Some(value) = model.get(key).filter(|value| !empty(value)) {
            return Err(LoadError::unsupported("model", &format!("{key} {}", text_of(value))));
        }
    }
    // Without a pattern to bytes, a character outside the vocabulary needs its bytes in it.
    if has_pattern == flag(model, "byte_fallback") {
        return Err(LoadError::unsupported("model", "byte_fallback"));
    }
    Ok(())
}

fn vocabulary<'a>(model: &'a Value<'a>) -> Result<HashMap<&'a str, u32>, LoadError> {
    let entries = model.get("vocab").map(Value::entries).unwrap_or_default();
    let number = |value: &Value<'_>| match value {
        Value::Number(number) => number.parse().ok(),
        _ => None,
    };
    let tokens = entries.iter().map(|(token, value)| Some((token.as_ref(), number(value)?)));
    let tokens: Option<HashMap<_, _>> = tokens.collect();
    tokens
        .filter(|tokens| !tokens.is_empty())
        .ok_or(LoadError::Malformed("its vocab isn't tokens and their numbers"))
}

fn merges<'a>(model: &'a Value<'a>) -> Result<Vec<(&'a str, &'a str)>, LoadError> {
    let merges = model.get("merges").map(Value::items).unwrap_or_default();
    let pair = |merge: &'a Value<'a>| match merge {
        Value::Array(pair) => match pair.as_slice() {
            [left, right] => left.text().zip(right.text()),
            _ => None,
        },
        merge => merge.text()?.split_once(' '),
    };
    let merges: Option<Vec<_>> = merges.iter().map(pair).collect();
    merges.ok_or(LoadError::Malformed("its merges aren't pairs of tokens"))
}

fn added<'a>(root: &'a Value<'a>) -> Result<Vec<Added<'a>>, LoadError> {
    let tokens = root.get("added_tokens").map(Value::items).unwrap_or_default();
    let mut added = Vec::new();
    for token in tokens {
        let text = token.get("content").and_then(Value::text).unwrap_or_default();
        let id = match token.get("id") {
            Some(Value::Number(number)) => number.parse().ok(),
            _ => None,
        };
        let is_special = flag(token, "special");
        let is_odd = ["single_word", "lstrip", "rstrip"].iter().any(|key| flag(token, key));
        if is_odd && !is_special || text.is_empty() {
            return Err(LoadError::unsupported("added token", &text_of(token)));
        }
        let id = id.ok_or(LoadError::Malformed("an added token without a number"))?;
        let is_normalized = flag(token, "normalized");
        added.push(Added { text, id, is_special, is_normalized });
    }
    Ok(added)
}

pub(super) fn kind<'a>(value: &'a Value<'_>) -> &'a str {
    value.get("type").and_then(Value::text).unwrap_or_default()
}

fn flag(value: &Value<'_>, key: &str) -> bool {
    value.get(key) == Some(&Value::Bool(true))
}

pub(super) fn text_of(value: &Value<'_>) -> String {
    let mut text = String::new();
    json::write(value, &mut text);
    text
}
