//! Requests for pictures.

use super::chat::Source;
use super::text::Text;

/// A request whose answer is not text. The answer is the provider's own.
#[derive(Debug)]
pub struct MediaRequest<'a> {
    /// The model as the client named it.
    pub model: Text<'a>,
    /// What is asked for.
    pub medium: Medium<'a>,
    /// Where all this came from.
    pub source: Source<'a>,
}

/// What is asked for.
#[derive(Debug)]
pub enum Medium<'a> {
    /// Pictures of what a text says.
    Pictures(Pictures<'a>),
}

/// Pictures to be drawn.
#[derive(Debug)]
pub struct Pictures<'a> {
    /// What they are to show.
    pub prompt: Text<'a>,
    /// How many.
    pub n: u64,
    /// Width and height in pixels; nothing where they are the model's to choose.
    pub size: Option<(u64, u64)>,
    /// How carefully; the most careful where that is the model's to choose.
    pub quality: Quality,
}

/// How carefully a picture is drawn, which decides its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// In the fewest tokens.
    Low,
    /// Between.
    Medium,
    /// In the most tokens.
    High,
}
