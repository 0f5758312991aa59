//! Anthropic's messages as a client writes and reads them.

mod reply;
mod request;
mod stream;

pub(crate) use reply::encode_reply;
pub(crate) use request::decode;
pub(crate) use stream::Encoder;

use crate::unified::FinishReason;

/// The hub's reason in this dialect's words.
pub(crate) fn stop_word(reason: &FinishReason<'_>) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::Other(_) => "end_turn",
        FinishReason::StopSequence(_) => "stop_sequence",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls | FinishReason::FunctionCall => "tool_use",
        FinishReason::ContentFilter | FinishReason::Refusal => "refusal",
        FinishReason::Pause => "pause_turn",
    }
}
