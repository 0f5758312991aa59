//! Reads whole replies, and what they share with streams: usage, and why they end.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use crate::counts::Counts;
use crate::unified::{
    Block, Choice, ErrorKind, FinishReason, ProviderError, Reply, Text, UsageReport,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReply<'a> {
    #[serde(borrow, default)]
    output: Option<WireOutput<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireOutput<'a> {
    #[serde(borrow, default)]
    message: Option<WireMessage<'a>>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow, default)]
    content: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBlock<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_use: Option<WireToolUse<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<WireReasoning<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireToolUse<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReasoning<'a> {
    #[serde(borrow, default)]
    reasoning_text: Option<WireThought<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireThought<'a> {
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireUsage<'a> {
    #[serde(borrow, default)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_read_input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_write_input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_details: Option<Vec<WireLifetime<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLifetime<'a> {
    #[serde(borrow, default)]
    ttl: Option<Text<'a>>,
    #[serde(borrow, default)]
    input_tokens: Option<&'a RawValue>,
}

/// Reads a reply.
pub(super) fn decode<'b>(body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
    let malformed = |why: String| ProviderError::new(ErrorKind::Malformed, why);
    let unreadable = |e: serde_json::Error| malformed(format!("the reply cannot be read: {e}"));
    let wire: WireReply<'b> = serde_json::from_slice(body).map_err(unreadable)?;
    let message = wire.output.and_then(|o| o.message);
    let message = message.ok_or_else(|| malformed("the reply has no `output.message`".into()))?;
    let blocks = message.content.into_iter().map(|raw| block(raw).map_err(unreadable));
    let choice = Choice {
        index: 0,
        blocks: blocks.collect::<Result<_, _>>()?,
        finish: wire.stop_reason.map(finish),
        logprobs: None,
    };
    let usage = wire.usage.map_or_else(UsageReport::default, |raw| usage(raw.get()));
    Ok(Reply { choices: vec![choice], usage, ..Reply::default() })
}

fn block(raw: &RawValue) -> Result<Block<'_>, serde_json::Error> {
    let wire: WireBlock<'_> = serde_json::from_str(raw.get())?;
    let reasoning = wire.reasoning_content.map(|r| (r.reasoning_text, r.redacted_content));
    Ok(match (wire.text, wire.tool_use, reasoning) {
        (Some(text), _, _) => Block::Text { text, cache: None },
        (None, Some(call), _) => {
            let arguments = call.input.map_or("{}", RawValue::get).into();
            Block::ToolCall { id: call.tool_use_id, name: call.name, arguments }
        }
        (None, None, Some((Some(thought), _))) => {
            Block::Thinking { text: thought.text, signature: thought.signature }
        }
        (None, None, Some((None, Some(data)))) => Block::RedactedThinking { data },
        (None, None, _) => Block::Other { kind: "block".into(), raw },
    })
}

/// The wire's reason as the hub's.
pub(super) fn finish(word: Text<'_>) -> FinishReason<'_> {
    match word.as_str() {
        "end_turn" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "stop_sequence" => FinishReason::StopSequence(None),
        "tool_use" => FinishReason::ToolCalls,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        _ => FinishReason::Other(word),
    }
}

/// Reads a usage object. The input excludes what was read from and written to the cache.
pub(super) fn usage(json: &str) -> UsageReport {
    let Ok(wire) = serde_json::from_str::<WireUsage<'_>>(json) else { return Counts::unreadable() };
    let mut counts = Counts::default();
    let long = wire.cache_details.iter().flatten().filter(|d| d.ttl.as_deref() == Some("1h"));
    let long = long.fold(None, |sum: Option<u64>, detail| {
        let count = counts.read(detail.input_tokens);
        count.map_or(sum, |n| Some(sum.unwrap_or(0).saturating_add(n)))
    });
    let input = counts.read(wire.input_tokens);
    let output = counts.read(wire.output_tokens);
    let read = counts.read(wire.cache_read_input_tokens);
    let written = counts.read(wire.cache_write_input_tokens);
    counts.set(Class::Input, input);
    counts.set(Class::CacheRead, read);
    counts.total(written, Class::CacheWrite, &[(Class::CacheWriteLong, long)]);
    counts.set(Class::Output, output);
    counts.finish()
}
