//! Writes a whole reply in this dialect.

use serde_json::value::RawValue;
use tollgate_accounting::{Class, Usage};

use super::finish_word;
use crate::dialect::EncodeOptions;
use crate::dialect::json::{Object, array};
use crate::unified::{Block, Choice, FinishReason, Reply};

/// The body of a whole reply.
pub(crate) fn encode_reply(reply: &Reply<'_>, options: &EncodeOptions<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut top = Object::open(&mut out);
    array(top.key("candidates"), &reply.choices, |out, choice| candidate(out, choice));
    write_usage(&mut top, &reply.usage.usage, &[]);
    top.str("modelVersion", reply.model.as_deref().unwrap_or(options.model));
    top.str("responseId", reply.id.as_deref().unwrap_or(options.id));
    top.close();
    out
}

fn candidate(out: &mut Vec<u8>, choice: &Choice<'_>) {
    let parts = choice.blocks.iter().filter(|block| has_place(block));
    write_candidate(out, choice.index, choice.finish.as_ref(), |content| {
        array(content, parts, |out, block| part(out, block));
    });
}

/// Writes a candidate, its parts by `parts`.
pub(super) fn write_candidate(
    out: &mut Vec<u8>,
    index: u32,
    finish: Option<&FinishReason<'_>>,
    parts: impl FnOnce(&mut Vec<u8>),
) {
    let mut object = Object::open(out);
    let mut content = object.object("content");
    parts(content.key("parts"));
    content.str("role", "model");
    content.close();
    if let Some(reason) = finish {
        object.str("finishReason", finish_word(reason));
    }
    object.num("index", u64::from(index));
    object.close();
}

fn has_place(block: &Block<'_>) -> bool {
    matches!(
        block,
        Block::Text { .. }
            | Block::Refusal { .. }
            | Block::Thinking { .. }
            | Block::ToolCall { .. }
    )
}

fn part(out: &mut Vec<u8>, block: &Block<'_>) {
    let mut object = Object::open(out);
    match block {
        Block::Thinking { text, signature } => {
            object.str("text", text).raw("thought", "true");
            if let Some(signature) = signature {
                object.str("thoughtSignature", signature);
            }
        }
        Block::ToolCall { id, name, arguments } => write_call(&mut object, id, name, arguments),
        Block::Text { text, .. } | Block::Refusal { text } => drop(object.str("text", text)),
        // `has_place` let none of the others through.
        _ => {}
    }
    object.close();
}

/// Writes a call. Arguments are an object here; what is none is kept inside one.
pub(super) fn write_call(part: &mut Object<'_>, id: &str, name: &str, arguments: &str) {
    let mut call = part.object("functionCall");
    call.str("id", id).str("name", name);
    let text = arguments.trim();
    if text.is_empty() {
        call.raw("args", "{}");
    } else if text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok() {
        call.raw("args", text);
    } else {
        let mut args = call.object("args");
        args.str("arguments", text);
        args.close();
    }
    call.close();
}

/// Writes the usage, where both sides are known: the prompt holds what was read from the cache,
/// thinking stands beside the answer.
pub(super) fn write_usage(
    top: &mut Object<'_>,
    usage: &Usage,
    extra: &[(&'static str, serde_json::Value)],
) {
    let (Some(input), Some(output)) = (usage.input_total(), usage.output_total()) else { return };
    let thoughts = usage.get(Class::Reasoning);
    let mut object = top.object("usageMetadata");
    object.num("promptTokenCount", input);
    object.num("candidatesTokenCount", output.saturating_sub(thoughts.unwrap_or(0)));
    object.num("totalTokenCount", input.saturating_add(output));
    if let Some(cached) = usage.get(Class::CacheRead) {
        object.num("cachedContentTokenCount", cached);
    }
    if let Some(thoughts) = thoughts {
        object.num("thoughtsTokenCount", thoughts);
    }
    for (name, value) in extra {
        object.value(name, value);
    }
    object.close();
}
