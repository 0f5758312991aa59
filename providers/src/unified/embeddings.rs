//! Requests for embeddings and their replies.

use serde_json::value::RawValue;

use super::chat::Source;
use super::text::Text;
use super::usage::UsageReport;

/// A request to embed one or many inputs.
#[derive(Debug)]
pub struct EmbeddingsRequest<'a> {
    /// The model as the client named it.
    pub model: Text<'a>,
    /// What to embed, one entry a vector.
    pub input: Vec<EmbeddingInput<'a>>,
    /// How vectors are to be written.
    pub format: VectorFormat,
    /// The length of the vectors, where asked for.
    pub dimensions: Option<u32>,
    /// The caller's end user.
    pub user: Option<Text<'a>>,
    /// Every other top-level field.
    pub rest: Vec<(Text<'a>, &'a RawValue)>,
    /// Where all this came from.
    pub source: Source<'a>,
}

/// One thing to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbeddingInput<'a> {
    /// A text.
    Text(Text<'a>),
    /// Text that is already tokens: their number is their count.
    Tokens(Vec<u32>),
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VectorFormat {
    /// JSON numbers.
    #[default]
    Float,
    /// Base64 of little-endian 32-bit floats.
    Base64,
}

/// A reply to [`EmbeddingsRequest`].
#[derive(Debug)]
pub struct EmbeddingsReply<'a> {
    /// The model as the provider names it.
    pub model: Option<Text<'a>>,
    /// The vectors as they are written: arrays of numbers, or base64 where that was asked for.
    pub vectors: Vec<&'a RawValue>,
    /// What was used.
    pub usage: UsageReport,
}
