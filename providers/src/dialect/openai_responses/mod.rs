//! OpenAI's responses as a client writes and reads them: the conversation is a list of items, and so
//! is the answer.

mod item;
mod output;
mod prompt;
mod reply;
mod request;
mod stored;
mod stream;

pub(crate) use item::add as add_item;
pub use prompt::{Prompt, prompt};
pub(crate) use reply::encode_reply;
pub(crate) use request::decode;
pub(crate) use stored::echo;
pub use stored::{Continued, conversation, input_items, joined, read};
pub(crate) use stream::Encoder;

/// A reply's id, from the id it is given: the same digits behind this dialect's prefix.
fn reply_id(id: &str) -> String {
    format!("resp_{}", digits(id))
}

/// What tells an id apart from others, without its prefix.
fn digits(id: &str) -> &str {
    id.split_once('_').map_or(id, |(_, digits)| digits)
}
