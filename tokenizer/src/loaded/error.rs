//! Why a file is not taken.

use std::fmt;

/// Why a `tokenizer.json` can't be counted with. What is taken is counted exactly, so that whatever
/// isn't known to be is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is no JSON object, or lacks what every tokenizer has.
    Malformed(&'static str),
    /// The file asks for something that isn't built: what, and how it reads in the file.
    Unsupported {
        /// The part of the file.
        part: &'static str,
        /// The beginning of it.
        found: String,
    },
    /// The vocabulary contradicts itself or the limits: in what.
    Vocabulary(String),
    /// A process takes 14 different tokenizers in its life, and has them.
    TooMany,
}

impl LoadError {
    pub(super) fn unsupported(part: &'static str, found: &str) -> Self {
        let cut = found.char_indices().nth(160).map_or(found.len(), |(at, _)| at);
        Self::Unsupported { part, found: found.get(..cut).unwrap_or_default().to_owned() }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "no tokenizer: {why}"),
            Self::Unsupported { part, found } => {
                write!(f, "a {part} that can't be counted with exactly: {found}")
            }
            Self::Vocabulary(why) => write!(f, "a vocabulary that can't be used: {why}"),
            Self::TooMany => f.write_str("more different tokenizers than a process takes (14)"),
        }
    }
}

impl std::error::Error for LoadError {}
