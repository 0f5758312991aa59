//! Writes a whole reply in this dialect.

use serde_json::value::RawValue;
use tollgate_accounting::{Class, Usage};

use super::stop_word;
use crate::dialect::EncodeOptions;
use crate::dialect::json::Object;
use crate::unified::{Block, FinishReason, Reply};

/// The body of a whole reply. This dialect has one choice.
pub(crate) fn encode_reply(reply: &Reply<'_>, options: &EncodeOptions<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut top = Object::open(&mut out);
    top.str("id", reply.id.as_deref().unwrap_or(options.id));
    top.str("type", "message").str("role", "assistant");
    top.str("model", reply.model.as_deref().unwrap_or(options.model));
    let choice = reply.choices.first();
    let content = top.key("content");
    content.push(b'[');
    for block in choice.map(|c| &c.blocks[..]).unwrap_or_default() {
        let before = content.len();
        if content.last() != Some(&b'[') {
            content.push(b',');
        }
        if !write_block(content, block) {
            content.truncate(before);
        }
    }
    content.push(b']');
    write_stop(&mut top, choice.and_then(|c| c.finish.as_ref()));
    write_usage(top.key("usage"), &reply.usage.usage, &[]);
    top.close();
    out
}

/// Writes why the reply ended.
pub(super) fn write_stop(object: &mut Object<'_>, reason: Option<&FinishReason<'_>>) {
    object.value("stop_reason", &reason.map(stop_word));
    match reason {
        Some(FinishReason::StopSequence(Some(sequence))) => object.str("stop_sequence", sequence),
        _ => object.raw("stop_sequence", "null"),
    };
}

fn write_block(out: &mut Vec<u8>, block: &Block<'_>) -> bool {
    match block {
        Block::Text { text, .. } | Block::Refusal { text } => {
            let mut object = Object::open(out);
            object.str("type", "text").str("text", text);
            object.close();
        }
        Block::Thinking { text, signature } => {
            let mut object = Object::open(out);
            object.str("type", "thinking").str("thinking", text);
            object.str("signature", signature.as_deref().unwrap_or_default());
            object.close();
        }
        Block::RedactedThinking { data } => {
            let mut object = Object::open(out);
            object.str("type", "redacted_thinking").str("data", data);
            object.close();
        }
        Block::ToolCall { id, name, arguments } => {
            let mut object = Object::open(out);
            object.str("type", "tool_use").str("id", id).str("name", name);
            let text = arguments.trim();
            if text.is_empty() {
                object.raw("input", "{}");
            } else if text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok() {
                object.raw("input", text);
            } else {
                // What a model wrote is kept where it is no object, though nothing can call with it.
                let mut input = object.object("input");
                input.str("arguments", text);
                input.close();
            }
            object.close();
        }
        Block::Image { .. }
        | Block::Audio { .. }
        | Block::File { .. }
        | Block::ToolResult { .. }
        | Block::Other { .. } => return false,
    }
    true
}

/// Writes a usage object: the input without what was read from and written to the cache.
pub(super) fn write_usage(
    out: &mut Vec<u8>,
    usage: &Usage,
    extra: &[(&'static str, serde_json::Value)],
) {
    let sum = |classes: &[Class]| {
        classes.iter().filter_map(|c| usage.get(*c)).fold(0, u64::saturating_add)
    };
    let mut top = Object::open(out);
    top.num("input_tokens", sum(&[Class::Input, Class::AudioInput, Class::ImageInput]));
    top.num("cache_creation_input_tokens", sum(&[Class::CacheWrite, Class::CacheWriteLong]));
    top.num("cache_read_input_tokens", sum(&[Class::CacheRead]));
    if let Some(long) = usage.get(Class::CacheWriteLong) {
        let mut split = top.object("cache_creation");
        split.num("ephemeral_5m_input_tokens", sum(&[Class::CacheWrite]));
        split.num("ephemeral_1h_input_tokens", long);
        split.close();
    }
    top.num("output_tokens", usage.output_total().unwrap_or(0));
    if let Some(thinking) = usage.get(Class::Reasoning) {
        let mut details = top.object("output_tokens_details");
        details.num("thinking_tokens", thinking);
        details.close();
    }
    if let Some(searches) = usage.get(Class::WebSearch) {
        let mut tools = top.object("server_tool_use");
        tools.num("web_search_requests", searches);
        tools.close();
    }
    for (name, value) in extra {
        top.value(name, value);
    }
    top.close();
}
