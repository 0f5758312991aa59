//! Cuts text into the pieces that are encoded on their own, as the encodings' patterns do.

pub(crate) mod block;
pub(crate) mod deepseek;
pub(crate) mod joints;
pub(crate) mod masks;
mod scalar;

use crate::classes::Class;
use joints::Joints;

/// Which published pattern cuts the text.
#[cfg_attr(not(feature = "json"), expect(dead_code, reason = "only loaded vocabularies use it"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    O200k,
    Cl100k,
    /// `O200k` without contractions, and each digit alone: Mistral's since Nemo.
    Tekken,
    /// `Cl100k` with whitespace at the end of a text cut as everywhere.
    Llama3,
    /// The same with each digit alone.
    Qwen2,
    /// The same with marks in words.
    Qwen35,
    DeepSeek,
    /// No pattern: cut wherever no token of the vocabulary could lie across.
    Joined(Joints),
}

/// What the patterns that are alike differ in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Words have upper-case letters only at their start, and letters without a case are of both.
    pub(crate) cased: bool,
    /// `\p{M}` belongs to words, not to punctuation. In `cased` patterns it may be in both.
    pub(crate) marks: bool,
    /// `'s` and the like belong to the word before them.
    pub(crate) suffix: bool,
    /// The most digits of a piece.
    pub(crate) digits: usize,
    /// Behind punctuation, slashes belong to it as newlines do.
    pub(crate) slash: bool,
    /// Whitespace at the end of a text is one piece.
    pub(crate) whole_end: bool,
}

impl Pattern {
    /// The rules of the pattern. Those of the last two are not used but where they fit.
    pub(crate) const fn rules(self) -> Rules {
        let llama = Rules {
            cased: false,
            marks: false,
            suffix: false,
            digits: 3,
            slash: false,
            whole_end: false,
        };
        match self {
            Self::O200k => Rules { cased: true, marks: true, suffix: true, slash: true, ..llama },
            Self::Tekken => Rules { cased: true, marks: true, slash: true, digits: 1, ..llama },
            Self::Cl100k => Rules { whole_end: true, ..llama },
            Self::Llama3 | Self::Joined(_) => llama,
            Self::Qwen2 => Rules { digits: 1, ..llama },
            Self::Qwen35 => Rules { digits: 1, marks: true, ..llama },
            Self::DeepSeek => Rules { marks: true, ..llama },
        }
    }
}

impl Rules {
    /// Whether a word may have it.
    #[inline(always)]
    pub(crate) const fn letter(&self, class: Class) -> bool {
        match class {
            Class::Upper | Class::Lower | Class::Uncased => true,
            Class::Mark => self.marks,
            _ => false,
        }
    }

    /// Whether punctuation may have it.
    #[inline(always)]
    pub(crate) const fn punctuation(&self, class: Class) -> bool {
        match class {
            Class::Other => true,
            Class::Mark => self.cased || !self.marks,
            _ => false,
        }
    }
}

/// Where a piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The byte after the piece.
    pub(crate) end: usize,
    /// Whether text appended later could still move the end: the decision met the end of the text.
    pub(crate) open: bool,
}

/// The piece of `text` that starts at byte `at`, which must be a character boundary before the end.
pub(crate) fn next(pattern: Pattern, text: &str, at: usize) -> Piece {
    scalar::next(pattern, text, at)
}
