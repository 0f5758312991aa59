//! Google's `generateContent` as a client writes and reads it. The model and the manner stand in the
//! address there; [`body`] puts them into the body, so that a request is one piece as elsewhere.

mod content;
mod reply;
mod request;
mod stream;

pub(crate) use reply::encode_reply;
pub use request::body;
pub(crate) use request::decode;
pub(crate) use stream::Encoder;

use crate::unified::FinishReason;

/// The hub's reason in this dialect's words.
fn finish_word(reason: &FinishReason<'_>) -> &'static str {
    match reason {
        FinishReason::Stop
        | FinishReason::StopSequence(_)
        | FinishReason::Pause
        | FinishReason::ToolCalls
        | FinishReason::FunctionCall => "STOP",
        FinishReason::Length => "MAX_TOKENS",
        FinishReason::ContentFilter | FinishReason::Refusal => "SAFETY",
        FinishReason::Other(_) => "OTHER",
    }
}
