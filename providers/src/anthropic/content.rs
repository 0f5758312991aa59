//! Messages and their blocks, as requests carry them.

use serde_json::value::RawValue;

use super::encode::Writer;
use crate::dialect::json::Object;
use crate::turns::{Turns, turn};
use crate::unified::{BadRequest, Block, Media, Message, Role, Text};

impl Writer<'_, '_, '_> {
    pub(super) fn messages(&mut self, out: &mut Vec<u8>) -> Result<(), BadRequest> {
        let mut turns = Turns::open(out, "content");
        for (i, message) in self.req.messages.iter().enumerate() {
            let Some(role) = turn(message.role, "assistant") else { continue };
            let mut said = Vec::new();
            self.blocks(&mut said, i, message)?;
            turns.add(role, &said);
        }
        turns.close()
    }

    fn blocks(
        &mut self,
        out: &mut Vec<u8>,
        i: usize,
        message: &Message<'_>,
    ) -> Result<(), BadRequest> {
        if message.name.is_some() && message.role != Role::Tool {
            self.drop("messages.name");
        }
        for block in &message.blocks {
            let before = out.len();
            if before > 0 {
                out.push(b',');
            }
            if !self.block(out, i, block)? {
                out.truncate(before);
            }
        }
        Ok(())
    }

    /// Writes a block; says whether there was anything to write.
    fn block(
        &mut self,
        out: &mut Vec<u8>,
        i: usize,
        block: &Block<'_>,
    ) -> Result<bool, BadRequest> {
        match block {
            // Empty text is refused here.
            Block::Text { text, .. } | Block::Refusal { text } if text.is_empty() => {
                return Ok(false);
            }
            Block::Text { text, cache } => write_text(out, text, *cache),
            Block::Refusal { text } => write_text(out, text, None),
            Block::Image { media, .. } => write_media(out, "image", media, None),
            Block::File { media, name } => {
                if let Media::Base64 { media_type, .. } = media
                    && *media_type != "application/pdf"
                {
                    return Err(refused(i, "a document that is no PDF"));
                }
                write_media(out, "document", media, name.as_ref());
            }
            Block::Audio { .. } => return Err(refused(i, "sound")),
            Block::ToolCall { id, name, arguments } => {
                let input = input(arguments).ok_or_else(|| {
                    let param = format!("messages[{i}].tool_calls");
                    let message = format!("`{param}` holds arguments that are no JSON object");
                    BadRequest::field(param, message)
                })?;
                let mut object = Object::open(out);
                object.str("type", "tool_use").str("id", id).str("name", name).raw("input", input);
                object.close();
            }
            Block::ToolResult { id, content, is_error } => {
                let mut inner = Vec::new();
                for block in content {
                    let before = inner.len();
                    if before > 0 {
                        inner.push(b',');
                    }
                    if matches!(block, Block::ToolResult { .. })
                        || !self.block(&mut inner, i, block)?
                    {
                        inner.truncate(before);
                    }
                }
                let mut object = Object::open(out);
                object.str("type", "tool_result").str("tool_use_id", id);
                let content = object.key("content");
                content.push(b'[');
                content.extend_from_slice(&inner);
                content.push(b']');
                if *is_error {
                    object.raw("is_error", "true");
                }
                object.close();
            }
            Block::Thinking { text, signature: Some(signature) } => {
                let mut object = Object::open(out);
                object.str("type", "thinking").str("thinking", text).str("signature", signature);
                object.close();
            }
            Block::Thinking { signature: None, .. } => {
                self.drop("messages.reasoning_content");
                return Ok(false);
            }
            Block::RedactedThinking { data } => {
                let mut object = Object::open(out);
                object.str("type", "redacted_thinking").str("data", data);
                object.close();
            }
            Block::Other { kind, .. } => return Err(refused(i, &format!("a `{kind}` part"))),
        }
        Ok(true)
    }
}

/// What this provider cannot be sent.
pub(super) fn refused(i: usize, what: &str) -> BadRequest {
    let param = format!("messages[{i}].content");
    let message = format!("`{param}` holds {what}, which this provider cannot be sent");
    BadRequest::field(param, message)
}

/// Arguments as the object they must be here; none at all are an empty one.
fn input<'a>(arguments: &'a Text<'_>) -> Option<&'a str> {
    let text = arguments.trim();
    if text.is_empty() {
        return Some("{}");
    }
    let object = text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok();
    object.then_some(text)
}

pub(super) fn write_text(out: &mut Vec<u8>, text: &str, cache: Option<&RawValue>) {
    let mut object = Object::open(out);
    object.str("type", "text").str("text", text);
    if let Some(cache) = cache {
        object.raw("cache_control", cache.get());
    }
    object.close();
}

fn write_media(out: &mut Vec<u8>, kind: &str, media: &Media<'_>, title: Option<&Text<'_>>) {
    let mut object = Object::open(out);
    object.str("type", kind);
    let mut source = object.object("source");
    match media {
        Media::Url(url) => source.str("type", "url").str("url", url),
        Media::Base64 { media_type, data } => {
            source.str("type", "base64").str("media_type", media_type).str("data", data)
        }
        Media::Id(id) => source.str("type", "file").str("file_id", id),
    };
    source.close();
    if let Some(title) = title {
        object.str("title", title);
    }
    object.close();
}
