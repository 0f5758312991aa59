//! OpenAI's chat completions as a client writes and reads them.

mod message;
mod reply;
mod request;
mod stream;

pub(crate) use message::{Arguments, WireContent, WireMessage, media_of_url, part};
pub(crate) use reply::{encode_reply, has_both_sides, write_call, write_usage};
pub(crate) use request::{decode, include_usage, stop};
pub(crate) use stream::Encoder;

use crate::unified::FinishReason;

/// The hub's reason in this dialect's words.
pub(crate) fn finish_word<'f>(reason: &'f FinishReason<'_>) -> &'f str {
    match reason {
        FinishReason::Stop | FinishReason::StopSequence(_) | FinishReason::Pause => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::FunctionCall => "function_call",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filter",
        FinishReason::Other(word) => word,
    }
}
/// This dialect's word as the hub's reason.
pub(crate) fn finish_reason(word: crate::Text<'_>) -> FinishReason<'_> {
    match word.as_str() {
        "stop" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "tool_calls" => FinishReason::ToolCalls,
        "function_call" => FinishReason::FunctionCall,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other(word),
    }
}
