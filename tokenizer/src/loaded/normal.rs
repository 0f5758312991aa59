//! What is done to a text before it is cut: its canonical composition, or a mark for each space.

use std::borrow::Cow;

use unicode_normalization_alignments::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::error::LoadError;
use super::file::{kind, text_of};
use crate::json::Value;

/// The ways that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Normal {
    /// As it is.
    Nothing,
    /// NFC.
    Composed,
    /// `▁` for every space.
    Marked,
    /// And one before a text.
    MarkedWithFirst,
}

/// What a space becomes.
const MARK: char = '▁';

impl Normal {
    pub(super) fn read(normalizer: Option<&Value<'_>>) -> Result<Self, LoadError> {
        let Some(value) = normalizer.filter(|value| **value != Value::Null) else {
            return Ok(Self::Nothing);
        };
        let one = std::slice::from_ref(value);
        let steps = if kind(value) == "Sequence" {
            value.get("normalizers").map_or(one, Value::items)
        } else {
            one
        };
        let is_composed = |step: &Value<'_>| kind(step) == "NFC";
        let is_marked = |step: &Value<'_>| {
            let pattern = step.get("pattern").and_then(|pattern| pattern.get("String")?.text());
            let content = step.get("content").and_then(Value::text);
            kind(step) == "Replace" && pattern == Some(" ") && content == Some("▁")
        };
        let is_first = |step: &Value<'_>| {
            kind(step) == "Prepend" && step.get("prepend").and_then(Value::text) == Some("▁")
        };
        match steps {
            [] => Ok(Self::Nothing),
            [one] if is_composed(one) => Ok(Self::Composed),
            [one] if is_marked(one) => Ok(Self::Marked),
            [one, two] if is_first(one) && is_marked(two) => Ok(Self::MarkedWithFirst),
            _ => Err(LoadError::unsupported("normalizer", &text_of(value))),
        }
    }

    /// The text as it is cut.
    pub(super) fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Nothing => Cow::Borrowed(text),
            Self::Composed if is_composed(text) => Cow::Borrowed(text),
            Self::Composed => Cow::Owned(text.nfc().map(|(point, _)| point).collect()),
            Self::Marked => Cow::Owned(marked(text)),
            Self::MarkedWithFirst if text.is_empty() => Cow::Borrowed(text),
            Self::MarkedWithFirst => Cow::Owned(format!("{MARK}{}", marked(text))),
        }
    }
}

/// The file's own form of the text's spaces.
fn marked(text: &str) -> String {
    text.replace(' ', "▁")
}

fn is_composed(text: &str) -> bool {
    text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes
}
