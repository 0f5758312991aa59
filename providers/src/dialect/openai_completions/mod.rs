//! OpenAI's older text completions as a client writes and reads them. The prompt becomes one message of
//! the user, so that every provider can be asked.

mod reply;
mod request;
mod stream;

pub(crate) use reply::encode_reply;
pub(crate) use request::decode;
pub(crate) use stream::Encoder;

use crate::unified::FinishReason;

/// The hub's reason in this dialect's words, which are fewer than those of chats.
fn finish_word(reason: &FinishReason<'_>) -> &'static str {
    match reason {
        FinishReason::Length => "length",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filter",
        FinishReason::Stop
        | FinishReason::StopSequence(_)
        | FinishReason::Pause
        | FinishReason::ToolCalls
        | FinishReason::FunctionCall
        | FinishReason::Other(_) => "stop",
    }
}
