//! Text in, exact token counts out: OpenAI's byte-pair encodings, whole or as a stream of deltas,
//! and what a chat request comes to under its model's rules.
//!
//! - [`Encoding`]: `count`, `count_up_to`, `encode`; linear in the text, whatever the text is.
//! - [`StreamCounter`]: the same count after every delta, however the text was cut.
//! - [`family`]: which encoding a model uses, and whether that is exact or an estimate.
//! - [`count_chat`]: messages, tools, schema and images of one request.
//!
//! Text is always ordinary text: `<|endoftext|>` in it counts as the characters it is written
//! with, never as the special token, because that is how a provider reads what a user wrote.

#[cfg(feature = "json")]
mod arrange;
mod bpe;
mod chat;
mod classes;
mod correction;
mod count;
mod encoding;
mod family;
mod hash;
mod json;
#[cfg(feature = "json")]
mod loaded;
mod memo;
mod split;
mod stream;
mod vocabulary;

pub use chat::{Chat, Count, Detail, Framing, Image, Message, Part, Role, ToolCall, count_chat};
pub use correction::Correction;
pub use encoding::Encoding;
pub use family::{Family, family};
#[cfg(feature = "json")]
pub use loaded::{LoadError, Loaded};
pub use memo::CountMemo;
pub use stream::StreamCounter;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
