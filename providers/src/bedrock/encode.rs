//! Writes requests from the hub's words, by the same rule as elsewhere.

use serde_json::value::RawValue;

use crate::dialect::json::{Object, array, put_str};
use crate::openai::escaped;
use crate::turns::{Turns, turn};
use crate::unified::{
    BadRequest, Block, ChatRequest, Encoded, Media, Message, ReasoningEffort, ResponseFormat, Role,
    Target, Tool, ToolChoice,
};

/// Writes a chat request.
pub(super) fn chat(req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
    if req.n > 1 {
        return Err(BadRequest::field("n", "`n` must be 1 for this provider"));
    }
    if let Some(i) = req.tools.iter().position(|t| matches!(t, Tool::Other { .. })) {
        let param = format!("tools[{i}]");
        let message = format!("`{param}` is of a kind that this provider does not have");
        return Err(BadRequest::field(param, message));
    }
    let mut writer = Writer { req, dropped: Vec::new() };
    let mut body = Vec::with_capacity(req.source.body.len() + 256);
    let mut top = Object::open(&mut body);
    writer.system(&mut top)?;
    writer.messages(top.key("messages"))?;
    writer.config(&mut top, to);
    writer.tools(&mut top)?;
    writer.rest(&mut top)?;
    top.close();
    let method = if to.stream { "converse-stream" } else { "converse" };
    let path = format!("/model/{}/{method}", escaped(to.model));
    let headers = vec![("content-type", "application/json".to_owned())];
    Ok(Encoded { method: "POST", path, headers, body, dropped: writer.dropped })
}

struct Writer<'r, 'a> {
    req: &'r ChatRequest<'a>,
    dropped: Vec<String>,
}

impl Writer<'_, '_> {
    fn drop(&mut self, what: &str) {
        if !self.dropped.iter().any(|d| d == what) {
            self.dropped.push(what.to_owned());
        }
    }

    fn system(&mut self, top: &mut Object<'_>) -> Result<(), BadRequest> {
        let mut parts = Vec::new();
        for (i, message) in self.req.messages.iter().enumerate() {
            if matches!(message.role, Role::System | Role::Developer) {
                for block in &message.blocks {
                    if !matches!(block, Block::Text { .. }) {
                        return Err(refused(i, "something that is no text in a system prompt"));
                    }
                    self.block(&mut parts, i, block)?;
                }
            }
        }
        if matches!(self.req.response_format, ResponseFormat::JsonObject) {
            // There is no mode for it here; being told is what is left.
            write_text(&mut parts, "Answer with one JSON object and nothing else.");
        }
        if !parts.is_empty() {
            let out = top.key("system");
            out.push(b'[');
            out.extend_from_slice(&parts);
            out.push(b']');
        }
        Ok(())
    }

    fn messages(&mut self, out: &mut Vec<u8>) -> Result<(), BadRequest> {
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
        message.blocks.iter().try_for_each(|block| self.block(out, i, block))
    }

    /// Appends a block, behind a comma where it is not the first.
    fn block(&mut self, out: &mut Vec<u8>, i: usize, block: &Block<'_>) -> Result<(), BadRequest> {
        match block {
            Block::Text { text, cache } => {
                write_text(out, text);
                if cache.is_some() {
                    next(out);
                    out.extend_from_slice(b"{\"cachePoint\":{\"type\":\"default\"}}");
                }
            }
            Block::Refusal { text } => write_text(out, text),
            Block::Image { media: Media::Base64 { media_type, data }, .. } => {
                let format =
                    media_type.strip_prefix("image/").ok_or_else(|| refused(i, "no picture"))?;
                let mut object = open(out);
                let mut image = object.object("image");
                write_bytes(&mut image, format, data);
                image.close();
                object.close();
            }
            Block::File { media: Media::Base64 { media_type, data }, name } => {
                let format = match media_type.as_str() {
                    "application/pdf" => "pdf",
                    "text/plain" => "txt",
                    "text/csv" => "csv",
                    "text/html" => "html",
                    "text/markdown" => "md",
                    _ => return Err(refused(i, "a document of a kind that is not known")),
                };
                let mut object = open(out);
                let mut document = object.object("document");
                // Names may hold letters, digits and a few marks only.
                let name: String =
                    name.as_deref().unwrap_or("document").chars().map(plain).collect();
                document.str("name", &name);
                write_bytes(&mut document, format, data);
                document.close();
                object.close();
            }
            Block::Image { .. } | Block::File { .. } => {
                return Err(refused(i, "a picture or document that is not in the request itself"));
            }
            Block::Audio { .. } => return Err(refused(i, "sound")),
            Block::ToolCall { id, name, arguments } => {
                let args = if arguments.trim().is_empty() { "{}" } else { arguments.trim() };
                if !args.starts_with('{') || serde_json::from_str::<&RawValue>(args).is_err() {
                    let param = format!("messages[{i}].tool_calls");
                    let message = format!("`{param}` holds arguments that are no JSON object");
                    return Err(BadRequest::field(param, message));
                }
                let mut object = open(out);
                let mut call = object.object("toolUse");
                call.str("toolUseId", id).str("name", name).raw("input", args);
                call.close();
                object.close();
            }
            Block::ToolResult { id, content, is_error } => {
                let mut inner = Vec::new();
                for block in content {
                    if !matches!(block, Block::ToolResult { .. }) {
                        self.block(&mut inner, i, block)?;
                    }
                }
                let mut object = open(out);
                let mut result = object.object("toolResult");
                result.str("toolUseId", id);
                let content = result.key("content");
                content.push(b'[');
                content.extend_from_slice(&inner);
                content.push(b']');
                if *is_error {
                    result.str("status", "error");
                }
                result.close();
                object.close();
            }
            Block::Thinking { text, signature: Some(signature) } => {
                let mut object = open(out);
                let mut reasoning = object.object("reasoningContent");
                let mut thought = reasoning.object("reasoningText");
                thought.str("text", text).str("signature", signature);
                thought.close();
                reasoning.close();
                object.close();
            }
            Block::Thinking { signature: None, .. } => self.drop("messages.reasoning_content"),
            Block::RedactedThinking { data } => {
                let mut object = open(out);
                let mut reasoning = object.object("reasoningContent");
                reasoning.str("redactedContent", data);
                reasoning.close();
                object.close();
            }
            Block::Other { kind, .. } => return Err(refused(i, &format!("a `{kind}` part"))),
        }
        Ok(())
    }

    fn config(&mut self, top: &mut Object<'_>, to: &Target<'_>) {
        let req = self.req;
        let mut config = top.object("inferenceConfig");
        if let Some(cap) = to.max_output_tokens.or(req.max_output_tokens) {
            config.num("maxTokens", cap);
        }
        for (name, number) in req.sampling.set() {
            match name {
                "temperature" => {
                    config.raw("temperature", number.as_str());
                }
                "top_p" => {
                    config.raw("topP", number.as_str());
                }
                _ => self.drop(name),
            }
        }
        if !req.stop.is_empty() {
            array(config.key("stopSequences"), &req.stop, |out, stop| put_str(out, stop));
        }
        config.close();
    }

    fn tools(&mut self, top: &mut Object<'_>) -> Result<(), BadRequest> {
        let req = self.req;
        let used = |b: &Block<'_>| matches!(b, Block::ToolCall { .. } | Block::ToolResult { .. });
        let in_use = req.messages.iter().any(|m| m.blocks.iter().any(used));
        let none = matches!(req.tool_choice, Some(ToolChoice::None));
        // There is no choice of none here. Tools that nothing speaks of are left out instead.
        if req.tools.is_empty() || (none && !in_use) {
            return Ok(());
        }
        if none {
            self.drop("tool_choice");
        }
        let mut config = top.object("toolConfig");
        array(config.key("tools"), &req.tools, |out, tool| {
            let Tool::Function { name, description, parameters, .. } = tool else { return };
            let mut object = Object::open(out);
            let mut spec = object.object("toolSpec");
            spec.str("name", name);
            if let Some(description) = description {
                spec.str("description", description);
            }
            let mut schema = spec.object("inputSchema");
            let nothing = "{\"type\":\"object\",\"properties\":{}}";
            schema.raw("json", parameters.map_or(nothing, RawValue::get));
            schema.close();
            spec.close();
            object.close();
        });
        match &req.tool_choice {
            None | Some(ToolChoice::None) => {}
            Some(ToolChoice::Auto) => {
                config.raw("toolChoice", "{\"auto\":{}}");
            }
            Some(ToolChoice::Required) => {
                config.raw("toolChoice", "{\"any\":{}}");
            }
            Some(ToolChoice::Named(name)) => {
                let mut choice = config.object("toolChoice");
                let mut tool = choice.object("tool");
                tool.str("name", name);
                tool.close();
                choice.close();
            }
            Some(ToolChoice::Other(_)) => {
                let message = "`tool_choice` is of a kind that this provider does not have";
                return Err(BadRequest::field("tool_choice", message));
            }
        }
        config.close();
        Ok(())
    }

    fn rest(&mut self, top: &mut Object<'_>) -> Result<(), BadRequest> {
        let req = self.req;
        match &req.response_format {
            ResponseFormat::Text | ResponseFormat::JsonObject => {}
            ResponseFormat::JsonSchema { name, schema: Some(schema), .. } => {
                let mut config = top.object("outputConfig");
                let mut format = config.object("textFormat");
                format.str("type", "json_schema");
                let mut structure = format.object("structure");
                let mut inner = structure.object("jsonSchema");
                // The schema stands in a string here.
                inner.str("name", name).str("schema", schema.get());
                inner.close();
                structure.close();
                format.close();
                config.close();
            }
            ResponseFormat::JsonSchema { schema: None, .. } | ResponseFormat::Other(_) => {
                let message = "`response_format` is of a kind that this provider does not have";
                return Err(BadRequest::field("response_format", message));
            }
        }
        let effort = !matches!(req.reasoning_effort, None | Some(ReasoningEffort::Off));
        for (there, name) in [
            (effort, "reasoning_effort"),
            (req.logprobs, "logprobs"),
            (req.top_logprobs.is_some(), "top_logprobs"),
            (req.parallel_tool_calls == Some(false), "parallel_tool_calls"),
            (req.user.is_some(), "user"),
            (req.service_tier.is_some(), "service_tier"),
            (req.metadata.is_some(), "metadata"),
        ] {
            if there {
                self.drop(name);
            }
        }
        for (name, _) in &req.rest {
            self.drop(name);
        }
        Ok(())
    }
}

fn plain(c: char) -> char {
    if c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '(' | ')' | '[' | ']') {
        c
    } else {
        '-'
    }
}

fn refused(i: usize, what: &str) -> BadRequest {
    let param = format!("messages[{i}].content");
    let message = format!("`{param}` holds {what}, which this provider cannot be sent");
    BadRequest::field(param, message)
}

fn next(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
}

fn open(out: &mut Vec<u8>) -> Object<'_> {
    next(out);
    Object::open(out)
}

/// Empty text is refused here, so none is written.
fn write_text(out: &mut Vec<u8>, text: &str) {
    if !text.is_empty() {
        let mut object = open(out);
        object.str("text", text);
        object.close();
    }
}

fn write_bytes(object: &mut Object<'_>, format: &str, data: &str) {
    object.str("format", format);
    let mut source = object.object("source");
    source.str("bytes", data);
    source.close();
}
