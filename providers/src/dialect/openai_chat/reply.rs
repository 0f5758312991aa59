//! Writes a whole reply in this dialect, its totals rebuilt from the disjoint classes.

use tollgate_accounting::{Class, Usage};

use super::{finish_word, tier_word};
use crate::dialect::EncodeOptions;
use crate::dialect::json::{Object, array};
use crate::unified::{Block, Choice, Reply};

/// The body of a whole reply.
pub(crate) fn encode_reply(reply: &Reply<'_>, options: &EncodeOptions<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut top = Object::open(&mut out);
    top.str("id", reply.id.as_deref().unwrap_or(options.id));
    top.str("object", "chat.completion");
    top.num("created", reply.created.unwrap_or(options.created));
    top.str("model", reply.model.as_deref().unwrap_or(options.model));
    array(top.key("choices"), &reply.choices, |out, choice| write_choice(out, choice));
    if let Some(tier) = reply.service_tier.as_deref().and_then(tier_word) {
        top.str("service_tier", tier);
    }
    if has_both_sides(&reply.usage.usage) {
        write_usage(top.key("usage"), &reply.usage.usage, &[]);
    }
    top.close();
    out
}

fn write_choice(out: &mut Vec<u8>, choice: &Choice<'_>) {
    let mut object = Object::open(out);
    object.num("index", u64::from(choice.index));
    write_message(object.key("message"), &choice.blocks);
    match choice.logprobs {
        Some(raw) => object.raw("logprobs", raw.get()),
        None => object.raw("logprobs", "null"),
    };
    match &choice.finish {
        Some(reason) => object.str("finish_reason", finish_word(reason)),
        None => object.raw("finish_reason", "null"),
    };
    object.close();
}

fn write_message(out: &mut Vec<u8>, blocks: &[Block<'_>]) {
    let mut object = Object::open(out);
    object.str("role", "assistant");
    let text = joined(blocks, |b| if let Block::Text { text, .. } = b { Some(text) } else { None });
    let refusal =
        joined(blocks, |b| if let Block::Refusal { text } = b { Some(text) } else { None });
    let thinking =
        joined(blocks, |b| if let Block::Thinking { text, .. } = b { Some(text) } else { None });
    match text {
        Some(text) => object.str("content", &text),
        None => object.raw("content", "null"),
    };
    match refusal {
        Some(refusal) => object.str("refusal", &refusal),
        None => object.raw("refusal", "null"),
    };
    if let Some(thinking) = thinking {
        object.str("reasoning_content", &thinking);
    }
    for block in blocks {
        if let Block::Other { kind, raw } = block
            && *kind == "audio"
        {
            object.raw("audio", raw.get());
        }
    }
    let calls = || blocks.iter().filter(|b| matches!(b, Block::ToolCall { .. }));
    if calls().next().is_some() {
        array(object.key("tool_calls"), calls(), |out, block| {
            if let Block::ToolCall { id, name, arguments } = block {
                write_call(out, id, name, arguments);
            }
        });
    }
    object.close();
}

/// Writes a tool call as messages hold it.
pub(crate) fn write_call(out: &mut Vec<u8>, id: &str, name: &str, arguments: &str) {
    let mut call = Object::open(out);
    call.str("id", id).str("type", "function");
    let mut function = call.object("function");
    function.str("name", name).str("arguments", arguments);
    function.close();
    call.close();
}

fn joined<'b>(
    blocks: &'b [Block<'_>],
    pick: impl Fn(&'b Block<'_>) -> Option<&'b crate::Text<'b>>,
) -> Option<String> {
    let mut texts = blocks.iter().filter_map(pick).peekable();
    texts.peek()?;
    Some(texts.map(|t| t.as_str()).collect())
}

/// A usage object has no way to say that one side is unknown: it is only written where both are known.
pub(crate) fn has_both_sides(usage: &Usage) -> bool {
    usage.input_total().is_some() && usage.output_total().is_some()
}

/// Writes a usage object: `prompt_tokens` holds every input class, `completion_tokens` every output class.
pub(crate) fn write_usage(
    out: &mut Vec<u8>,
    usage: &Usage,
    extra: &[(&'static str, serde_json::Value)],
) {
    let (input, output) = (usage.input_total().unwrap_or(0), usage.output_total().unwrap_or(0));
    let mut top = Object::open(out);
    top.num("prompt_tokens", input);
    top.num("completion_tokens", output);
    top.num("total_tokens", input.saturating_add(output));
    let mut details = top.object("prompt_tokens_details");
    details.num("cached_tokens", usage.get(Class::CacheRead).unwrap_or(0));
    details.num("audio_tokens", usage.get(Class::AudioInput).unwrap_or(0));
    let writes = [Class::CacheWrite, Class::CacheWriteLong].map(|class| usage.get(class));
    if writes.iter().any(Option::is_some) {
        details.num(
            "cache_write_tokens",
            writes.iter().flatten().fold(0, |a, b| a.saturating_add(*b)),
        );
    }
    if let Some(images) = usage.get(Class::ImageInput) {
        details.num("image_tokens", images);
    }
    details.close();
    let mut details = top.object("completion_tokens_details");
    details.num("reasoning_tokens", usage.get(Class::Reasoning).unwrap_or(0));
    details.num("audio_tokens", usage.get(Class::AudioOutput).unwrap_or(0));
    if let Some(images) = usage.get(Class::ImageOutput) {
        details.num("image_tokens", images);
    }
    details.close();
    for (name, value) in extra {
        top.value(name, value);
    }
    top.close();
}
