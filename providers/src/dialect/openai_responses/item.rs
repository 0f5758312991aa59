//! The items of a conversation, read into the hub's messages. What the model did in a row is one message.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::fields::says;
use crate::dialect::openai_chat::{Arguments, WireContent, media_of_url, part as chat_part};
use crate::unified::{BadRequest, Block, Media, Message, Role, Text};

#[derive(Deserialize)]
struct WireItem<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: WireContent<'a>,
    #[serde(borrow, default)]
    call_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Arguments<'a>>,
    #[serde(borrow, default)]
    output: WireContent<'a>,
    #[serde(borrow, default)]
    summary: WireContent<'a>,
    #[serde(borrow, default)]
    encrypted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    image_url: Option<Text<'a>>,
    #[serde(borrow, default)]
    detail: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_data: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_url: Option<Text<'a>>,
    #[serde(borrow, default)]
    filename: Option<Text<'a>>,
}

/// Adds the item at `input[index]` to the conversation.
pub(crate) fn add<'a>(
    messages: &mut Vec<Message<'a>>,
    index: usize,
    raw: &'a RawValue,
) -> Result<(), BadRequest> {
    let bad = |member: &str, why: &str| {
        let param = format!("input[{index}]{member}");
        let message = format!("`{param}` {why}");
        BadRequest::field(param, message)
    };
    let wire: WireItem<'a> = serde_json::from_str(raw.get()).map_err(|e| bad("", &says(&e)))?;
    let missing = |member: &str| bad(&format!(".{member}"), "is missing");
    let kind = wire.kind.clone().unwrap_or_else(|| "message".into());
    match kind.as_str() {
        "message" => {
            let role = match wire.role.as_deref() {
                Some("user") => Role::User,
                Some("assistant") => Role::Assistant,
                Some("system") => Role::System,
                Some("developer") => Role::Developer,
                Some(other) => {
                    return Err(bad(".role", &format!("is `{other}`, which is no role")));
                }
                None => return Err(missing("role")),
            };
            if matches!(wire.content, WireContent::None) {
                return Err(missing("content"));
            }
            let said = blocks(wire.content)
                .map_err(|(part, why)| bad(&format!(".content[{part}]"), &why))?;
            if role == Role::Assistant {
                assistant(messages).extend(said);
            } else {
                messages.push(Message { role, name: None, blocks: said });
            }
        }
        "function_call" => {
            let id = wire.call_id.ok_or_else(|| missing("call_id"))?;
            let name = wire.name.ok_or_else(|| missing("name"))?;
            let arguments = wire.arguments.map(|a| a.0).unwrap_or_default();
            assistant(messages).push(Block::ToolCall { id, name, arguments });
        }
        "function_call_output" => {
            let id = wire.call_id.ok_or_else(|| missing("call_id"))?;
            if matches!(wire.output, WireContent::None) {
                return Err(missing("output"));
            }
            let content = blocks(wire.output)
                .map_err(|(part, why)| bad(&format!(".output[{part}]"), &why))?;
            let blocks = vec![Block::ToolResult { id, content, is_error: false }];
            messages.push(Message { role: Role::Tool, name: None, blocks });
        }
        "reasoning" => {
            let read = |content| text_of(content).map_err(|why| bad("", &why));
            let text = [read(wire.content)?, read(wire.summary)?]
                .into_iter()
                .find(|text| !text.is_empty());
            let signature = wire.encrypted_content.filter(|s| !s.is_empty());
            match (text, signature) {
                (Some(text), signature) => {
                    assistant(messages).push(Block::Thinking { text: text.into(), signature });
                }
                (None, Some(data)) => assistant(messages).push(Block::RedactedThinking { data }),
                (None, None) => {}
            }
        }
        "item_reference" => {
            return Err(bad("", "refers to an item that is not kept here: send the item itself"));
        }
        _ => assistant(messages).push(Block::Other { kind, raw }),
    }
    Ok(())
}

/// The blocks of the model's turn that is being written.
fn assistant<'m, 'a>(messages: &'m mut Vec<Message<'a>>) -> &'m mut Vec<Block<'a>> {
    if messages.last().is_none_or(|last| last.role != Role::Assistant) {
        messages.push(Message { role: Role::Assistant, name: None, blocks: Vec::new() });
    }
    let last = messages.len() - 1;
    &mut messages[last].blocks
}

fn blocks(content: WireContent<'_>) -> Result<Vec<Block<'_>>, (usize, String)> {
    match content {
        WireContent::Parts(parts) => parts
            .into_iter()
            .enumerate()
            .map(|(i, raw)| part(raw).map_err(|why| (i, why)))
            .collect(),
        other => {
            let mut out = Vec::new();
            other.into_blocks(&mut out)?;
            Ok(out)
        }
    }
}

fn part(raw: &RawValue) -> Result<Block<'_>, String> {
    let wire: WirePart<'_> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
    match wire.kind.as_deref() {
        Some("input_image") => {
            let media = match (wire.image_url, wire.file_id) {
                (Some(url), _) => media_of_url(url)?,
                (None, Some(id)) => Media::Id(id),
                (None, None) => return Err("has neither `image_url` nor `file_id`".into()),
            };
            Ok(Block::Image { media, detail: wire.detail })
        }
        Some("input_file") => {
            let media = match (wire.file_id, wire.file_data, wire.file_url) {
                (Some(id), _, _) => Media::Id(id),
                (None, Some(data), _) => media_of_url(data)?,
                (None, None, Some(url)) => Media::Url(url),
                (None, None, None) => {
                    return Err("has none of `file_id`, `file_data`, `file_url`".into());
                }
            };
            Ok(Block::File { media, name: wire.filename })
        }
        Some("summary_text" | "reasoning_text") => {
            Ok(Block::Text { text: wire.text.unwrap_or_default(), cache: None })
        }
        _ => chat_part(raw),
    }
}

fn text_of(content: WireContent<'_>) -> Result<String, String> {
    let blocks = blocks(content).map_err(|(_, why)| why)?;
    let mut all = String::new();
    for block in &blocks {
        if let Block::Text { text, .. } = block {
            all.push_str(text);
        }
    }
    Ok(all)
}
