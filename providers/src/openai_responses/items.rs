//! Writes a conversation in the hub's words as items.
//!
//! What would change the meaning of the answer and has no place on this wire is refused, naming the
//! field; what only tunes it is left out, and said so.

use crate::dialect::json::{Object, array};
use crate::openai::media_address;
use crate::unified::{BadRequest, Block, ChatRequest, Media, Message, Role};

/// Writes the messages; what of them is left out is added to `dropped`.
pub(super) fn write(
    out: &mut Vec<u8>,
    req: &ChatRequest<'_>,
    dropped: &mut Vec<String>,
) -> Result<(), BadRequest> {
    out.push(b'[');
    for (index, message) in req.messages.iter().enumerate() {
        let mut writer = Writer { out, index, dropped };
        if message.name.is_some() {
            writer.drop("name");
        }
        writer.message(message)?;
    }
    out.push(b']');
    Ok(())
}

struct Writer<'o, 'd> {
    out: &'o mut Vec<u8>,
    index: usize,
    dropped: &'d mut Vec<String>,
}

impl Writer<'_, '_> {
    fn drop(&mut self, what: &str) {
        if !self.dropped.iter().any(|dropped| dropped == what) {
            self.dropped.push(what.to_owned());
        }
    }

    fn refuse(&self, what: &str) -> BadRequest {
        let param = format!("messages[{}].content", self.index);
        let message = format!("`{param}` holds {what}, which this provider cannot be sent");
        BadRequest::field(param, message)
    }

    fn open(&mut self, kind: &str) -> Object<'_> {
        if self.out.last() != Some(&b'[') {
            self.out.push(b',');
        }
        let mut object = Object::open(self.out);
        object.str("type", kind);
        object
    }

    /// One message is as many items as it has turns between words and calls.
    fn message(&mut self, message: &Message<'_>) -> Result<(), BadRequest> {
        let role = match message.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let mut said: Vec<&Block<'_>> = Vec::new();
        for block in &message.blocks {
            match block {
                Block::ToolCall { id, name, arguments } => {
                    self.said(role, &mut said)?;
                    let mut call = self.open("function_call");
                    call.str("call_id", id).str("name", name).str("arguments", arguments);
                    call.close();
                }
                Block::ToolResult { id, content, is_error } => {
                    self.said(role, &mut said)?;
                    if *is_error {
                        self.drop("tool_result.is_error");
                    }
                    self.result(id, content)?;
                }
                // Only the provider that thought can read its thinking again.
                Block::Thinking { .. } | Block::RedactedThinking { .. } => self.drop("thinking"),
                block => said.push(block),
            }
        }
        self.said(role, &mut said)
    }

    fn result(&mut self, id: &str, content: &[Block<'_>]) -> Result<(), BadRequest> {
        if let Some(bad) = content.iter().find_map(|block| self.refused("user", block)) {
            return Err(bad);
        }
        let mut result = self.open("function_call_output");
        result.str("call_id", id);
        if content.iter().all(|block| matches!(block, Block::Text { .. })) {
            let text = content.iter().filter_map(|block| match block {
                Block::Text { text, .. } => Some(text.as_str()),
                _ => None,
            });
            result.str("output", &text.collect::<String>());
        } else {
            array(result.key("output"), content, |out, block| part(out, "user", block));
        }
        result.close();
        Ok(())
    }

    fn said(&mut self, role: &str, said: &mut Vec<&Block<'_>>) -> Result<(), BadRequest> {
        if said.is_empty() {
            return Ok(());
        }
        if let Some(bad) = said.iter().find_map(|block| self.refused(role, block)) {
            return Err(bad);
        }
        let mut message = self.open("message");
        message.str("role", role);
        array(message.key("content"), said.drain(..), |out, block| part(out, role, block));
        message.close();
        Ok(())
    }

    fn refused(&self, role: &str, block: &Block<'_>) -> Option<BadRequest> {
        let own = role == "assistant";
        match block {
            Block::Text { .. } => None,
            Block::Refusal { .. } if own => None,
            Block::Image { .. } | Block::File { .. } if !own => None,
            Block::Audio { .. } => Some(self.refuse("sound")),
            Block::Other { kind, .. } => Some(self.refuse(&format!("a `{kind}` part"))),
            _ if own => Some(self.refuse("something an assistant cannot say")),
            _ => Some(self.refuse("something only an assistant can say")),
        }
    }
}

fn part(out: &mut Vec<u8>, role: &str, block: &Block<'_>) {
    let mut object = Object::open(out);
    match block {
        Block::Image { media, detail } => {
            object.str("type", "input_image");
            match media {
                Media::Id(id) => object.str("file_id", id),
                other => object.str("image_url", &media_address(other)),
            };
            object.str("detail", detail.as_deref().unwrap_or("auto"));
        }
        Block::File { media, name } => {
            object.str("type", "input_file");
            match media {
                Media::Id(id) => object.str("file_id", id),
                Media::Url(url) => object.str("file_url", url),
                data @ Media::Base64 { .. } => object.str("file_data", &media_address(data)),
            };
            if let Some(name) = name {
                object.str("filename", name);
            }
        }
        Block::Refusal { text } => {
            object.str("type", "refusal").str("refusal", text);
        }
        // `refused` let none of the others through.
        block => {
            let text = if let Block::Text { text, .. } = block { text.as_str() } else { "" };
            let kind = if role == "assistant" { "output_text" } else { "input_text" };
            object.str("type", kind).str("text", text);
        }
    }
    object.close();
}
