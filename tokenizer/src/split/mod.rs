//! Cuts text into the pieces that are encoded on their own, as the encodings' patterns do.

pub(crate) mod block;
pub(crate) mod masks;
mod scalar;

/// Which published pattern cuts the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Pattern {
    O200k,
    Cl100k,
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
