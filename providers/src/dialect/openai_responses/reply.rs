//! Writes a whole reply in this dialect.

use super::output::{Head, Item, Kind, Piece, Status};
use crate::dialect::EncodeOptions;
use crate::dialect::openai_chat::tier_word;
use crate::unified::{Block, Choice, Reply};

/// The body of a whole reply. This dialect has one choice.
pub(crate) fn encode_reply(reply: &Reply<'_>, options: &EncodeOptions<'_>) -> Vec<u8> {
    let mut head = Head::new(options);
    if let Some(model) = &reply.model {
        head.model = model.to_string();
    }
    head.created = reply.created.unwrap_or(options.created);
    head.service_tier = reply.service_tier.as_deref().and_then(tier_word).map(str::to_owned);
    head.usage = reply.usage;
    let choice = reply.choices.first();
    let items = choice.map(|choice| items(&head.id, choice)).unwrap_or_default();
    let mut out = Vec::with_capacity(2048);
    head.write(&mut out, &Status::of(choice.and_then(|c| c.finish.as_ref())), &items);
    out
}

/// The answer's blocks as items: what was said in a row is one message.
fn items(reply: &str, choice: &Choice<'_>) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::with_capacity(choice.blocks.len());
    let mut call = 0;
    for block in &choice.blocks {
        let kind = match block {
            Block::Text { text, .. } | Block::Refusal { text } => {
                let refusal = matches!(block, Block::Refusal { .. });
                let piece = Piece { text: text.to_string(), ..Piece::new(refusal) };
                if let Some(Item { kind: Kind::Message(pieces), .. }) = items.last_mut() {
                    pieces.push(piece);
                    continue;
                }
                Kind::Message(vec![piece])
            }
            Block::Thinking { text, signature } => Kind::Reasoning {
                text: Some(text.to_string()),
                encrypted: signature.as_ref().map(ToString::to_string),
            },
            Block::RedactedThinking { data } => {
                Kind::Reasoning { text: None, encrypted: Some(data.to_string()) }
            }
            Block::ToolCall { id, name, arguments } => {
                call += 1;
                Kind::Call {
                    index: call,
                    call_id: id.to_string(),
                    name: name.to_string(),
                    arguments: arguments.to_string(),
                }
            }
            // This dialect has no place for them in an answer.
            Block::Image { .. }
            | Block::Audio { .. }
            | Block::File { .. }
            | Block::ToolResult { .. }
            | Block::Other { .. } => continue,
        };
        items.push(Item { done: true, ..Item::new(reply, items.len(), kind) });
    }
    let said = items.iter_mut().find_map(|item| match &mut item.kind {
        Kind::Message(pieces) => pieces.first_mut(),
        Kind::Reasoning { .. } | Kind::Call { .. } => None,
    });
    if let (Some(piece), Some(raw)) = (said, choice.logprobs) {
        piece.add_logprobs(raw.get());
    }
    items
}
