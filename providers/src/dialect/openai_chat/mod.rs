//! OpenAI's chat completions as a client writes and reads them.

mod message;
mod reply;
mod request;
mod stream;

pub(crate) use message::{Arguments, WireContent, WireMessage, media_of_url, part};
pub(crate) use reply::{encode_reply, has_both_sides, write_call, write_usage};
pub(crate) use request::{decode, include_usage, stop};
pub(crate) use stream::Encoder;

use tollgate_accounting::ServiceTier;

use crate::unified::FinishReason;

/// OpenAI's word for the service tier that a provider names, for its clients read no other; none where
/// it has none, as for a batch's.
pub(crate) fn tier_word(tier: &str) -> Option<&str> {
    match ServiceTier::reported(tier) {
        Some(ServiceTier::Standard) => Some("default"),
        Some(ServiceTier::Flex) => Some("flex"),
        Some(ServiceTier::Priority) => Some("priority"),
        Some(ServiceTier::Batch) => None,
        None => matches!(tier, "auto" | "scale").then_some(tier),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_providers_service_tier_is_told_in_words_that_clients_know() {
        for (theirs, told) in [
            ("standard", Some("default")),
            ("on_demand", Some("default")),
            ("PRIORITY", Some("priority")),
            ("flex", Some("flex")),
            ("auto", Some("auto")),
            ("batch", None),
            ("dedicated", None),
        ] {
            assert_eq!(tier_word(theirs), told, "{theirs}");
        }
    }
}
