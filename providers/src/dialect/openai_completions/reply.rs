//! Writes a whole reply in this dialect.

use super::finish_word;
use crate::dialect::EncodeOptions;
use crate::dialect::json::{Object, array};
use crate::dialect::openai_chat::{has_both_sides, write_usage};
use crate::unified::{Block, Choice, Reply};

/// The body of a whole reply.
pub(crate) fn encode_reply(reply: &Reply<'_>, options: &EncodeOptions<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut top = Object::open(&mut out);
    top.str("id", reply.id.as_deref().unwrap_or(options.id));
    top.str("object", "text_completion");
    top.num("created", reply.created.unwrap_or(options.created));
    top.str("model", reply.model.as_deref().unwrap_or(options.model));
    array(top.key("choices"), &reply.choices, |out, choice| {
        let reason = choice.finish.as_ref().map(finish_word);
        write_choice(out, choice.index, &text(choice), reason);
    });
    if has_both_sides(&reply.usage.usage) {
        write_usage(top.key("usage"), &reply.usage.usage, &[]);
    }
    top.close();
    out
}

/// What a choice says in words; a refusal is words too, and there is no other place for it.
fn text(choice: &Choice<'_>) -> String {
    let words = choice.blocks.iter().filter_map(|block| match block {
        Block::Text { text, .. } | Block::Refusal { text } => Some(text.as_str()),
        _ => None,
    });
    words.collect()
}

/// Writes a choice, whole or a piece of it.
pub(super) fn write_choice(out: &mut Vec<u8>, index: u32, text: &str, reason: Option<&str>) {
    let mut object = Object::open(out);
    object.str("text", text).num("index", u64::from(index)).raw("logprobs", "null");
    match reason {
        Some(word) => object.str("finish_reason", word),
        None => object.raw("finish_reason", "null"),
    };
    object.close();
}
