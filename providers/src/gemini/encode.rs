//! Writes requests from the hub's words. The rule is the one of every provider: what would change the
//! meaning and has no place is refused by name, what only tunes is left out and said so.

use serde_json::value::RawValue;

use crate::dialect::json::{Object, array, put_str};
use crate::openai::escaped;
use crate::turns::{Turns, turn};
use crate::unified::{
    BadRequest, Block, ChatRequest, Encoded, Media, Message, ReasoningEffort, ResponseFormat, Role,
    Target, Text, Tool, ToolChoice,
};

/// What stands for the signature of thinking that this request does not have: Gemini 3 wants one on
/// each call of a turn, and documents this for calls that it did not make itself.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Writes a chat request.
pub(super) fn chat(
    models: &str,
    req: &ChatRequest<'_>,
    to: &Target<'_>,
) -> Result<Encoded, BadRequest> {
    refuse(req)?;
    let mut writer = Writer { req, to, dropped: Vec::new() };
    let mut body = Vec::with_capacity(req.source.body.len() + 256);
    let mut top = Object::open(&mut body);
    writer.system(&mut top)?;
    writer.contents(top.key("contents"))?;
    writer.tools(&mut top);
    writer.config(&mut top);
    top.close();
    writer.rest();
    let method = if to.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    let path = format!("{models}{}:{method}", escaped(to.model));
    let headers = vec![("content-type", "application/json".to_owned())];
    Ok(Encoded { method: "POST", path, headers, body, dropped: writer.dropped })
}

fn refuse(req: &ChatRequest<'_>) -> Result<(), BadRequest> {
    let no = |param: String| {
        let message = format!("`{param}` is of a kind that this provider does not have");
        Err(BadRequest::field(param, message))
    };
    if let Some(i) = req.tools.iter().position(|t| matches!(t, Tool::Other { .. })) {
        return no(format!("tools[{i}]"));
    }
    if matches!(req.tool_choice, Some(ToolChoice::Other(_))) {
        return no("tool_choice".into());
    }
    if matches!(req.response_format, ResponseFormat::Other(_)) {
        return no("response_format".into());
    }
    Ok(())
}

struct Writer<'r, 'a, 't> {
    req: &'r ChatRequest<'a>,
    to: &'r Target<'t>,
    dropped: Vec<String>,
}

impl Writer<'_, '_, '_> {
    fn drop(&mut self, what: &str) {
        if !self.dropped.iter().any(|d| d == what) {
            self.dropped.push(what.to_owned());
        }
    }

    /// Models from the third generation on take levels of thinking and want their signatures back.
    fn third_generation(&self) -> bool {
        let name = self.to.model.rsplit('/').next().unwrap_or_default();
        let digits = name.strip_prefix("gemini-").and_then(|rest| rest.split(['-', '.']).next());
        digits.and_then(|d| d.parse::<u32>().ok()).is_some_and(|generation| generation >= 3)
    }

    fn system(&mut self, top: &mut Object<'_>) -> Result<(), BadRequest> {
        let mut texts = Vec::new();
        for (i, message) in self.req.messages.iter().enumerate() {
            if !matches!(message.role, Role::System | Role::Developer) {
                continue;
            }
            for block in &message.blocks {
                match block {
                    Block::Text { text, .. } if text.is_empty() => {}
                    Block::Text { text, .. } => texts.push(text),
                    _ => return Err(refused(i, "something that is no text in a system prompt")),
                }
            }
        }
        if !texts.is_empty() {
            let mut system = top.object("systemInstruction");
            array(system.key("parts"), texts, |out, text| {
                let mut part = Object::open(out);
                part.str("text", text);
                part.close();
            });
            system.close();
        }
        Ok(())
    }

    fn contents(&mut self, out: &mut Vec<u8>) -> Result<(), BadRequest> {
        let mut turns = Turns::open(out, "parts");
        for (i, message) in self.req.messages.iter().enumerate() {
            let Some(role) = turn(message.role, "model") else { continue };
            let mut said = Vec::new();
            self.parts(&mut said, i, message)?;
            turns.add(role, &said);
        }
        turns.close()
    }

    fn parts(
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
            if !self.part(out, i, block)? {
                out.truncate(before);
            }
        }
        Ok(())
    }

    fn part(&mut self, out: &mut Vec<u8>, i: usize, block: &Block<'_>) -> Result<bool, BadRequest> {
        match block {
            Block::Text { text, cache } => {
                if cache.is_some() {
                    self.drop("cache_control");
                }
                return Ok(write_text(out, text));
            }
            Block::Refusal { text } => return Ok(write_text(out, text)),
            Block::Image { media, detail } => {
                if detail.is_some() {
                    self.drop("messages.image_url.detail");
                }
                write_media(out, media, "image/jpeg");
            }
            Block::File { media, .. } => write_media(out, media, "application/pdf"),
            Block::Audio { data, format } => {
                let media_type = format!("audio/{format}").into();
                write_media(out, &Media::Base64 { media_type, data: data.clone() }, "");
            }
            Block::ToolCall { id, name, arguments } => {
                let args = if arguments.trim().is_empty() { "{}" } else { arguments.trim() };
                if !args.starts_with('{') || serde_json::from_str::<&RawValue>(args).is_err() {
                    let param = format!("messages[{i}].tool_calls");
                    let message = format!("`{param}` holds arguments that are no JSON object");
                    return Err(BadRequest::field(param, message));
                }
                let mut part = Object::open(out);
                let mut call = part.object("functionCall");
                call.str("id", id).str("name", name).raw("args", args);
                call.close();
                if self.third_generation() {
                    part.str("thoughtSignature", NO_SIGNATURE);
                }
                part.close();
            }
            Block::ToolResult { id, content, is_error } => {
                let mut text = String::new();
                for block in content {
                    match block {
                        Block::Text { text: more, .. } => text.push_str(more),
                        _ => return Err(refused(i, "a tool's result that is no text")),
                    }
                }
                let mut part = Object::open(out);
                let mut response = part.object("functionResponse");
                response.str("id", id).str("name", self.name_of(id));
                let mut inner = response.object("response");
                inner.str(if *is_error { "error" } else { "result" }, &text);
                inner.close();
                response.close();
                part.close();
            }
            Block::Thinking { .. } | Block::RedactedThinking { .. } => {
                self.drop("thinking");
                return Ok(false);
            }
            Block::Other { kind, .. } => return Err(refused(i, &format!("a `{kind}` part"))),
        }
        Ok(true)
    }

    /// Results name the function here, where elsewhere they name the call.
    fn name_of<'s>(&'s self, id: &'s str) -> &'s str {
        let blocks = self.req.messages.iter().flat_map(|m| &m.blocks);
        let mut calls = blocks.filter_map(|block| match block {
            Block::ToolCall { id, name, .. } => Some((id, name)),
            _ => None,
        });
        calls.find(|(call, _)| **call == id).map_or(id, |(_, name)| name)
    }

    fn tools(&mut self, top: &mut Object<'_>) {
        let req = self.req;
        if req.tools.is_empty() {
            return;
        }
        let out = top.key("tools");
        out.push(b'[');
        let mut group = Object::open(out);
        array(group.key("functionDeclarations"), &req.tools, |out, tool| {
            let Tool::Function { name, description, parameters, .. } = tool else { return };
            let mut function = Object::open(out);
            function.str("name", name);
            if let Some(description) = description {
                function.str("description", description);
            }
            if let Some(parameters) = parameters {
                function.raw("parametersJsonSchema", parameters.get());
            }
            function.close();
        });
        group.close();
        out.push(b']');
        let (mode, name) = match &req.tool_choice {
            None | Some(ToolChoice::Other(_)) => return,
            Some(ToolChoice::Auto) => ("AUTO", None),
            Some(ToolChoice::None) => ("NONE", None),
            Some(ToolChoice::Required) => ("ANY", None),
            Some(ToolChoice::Named(name)) => ("ANY", Some(name)),
        };
        let mut config = top.object("toolConfig");
        let mut calling = config.object("functionCallingConfig");
        calling.str("mode", mode);
        if let Some(name) = name {
            array(calling.key("allowedFunctionNames"), [name], |out, name| put_str(out, name));
        }
        calling.close();
        config.close();
    }

    fn config(&mut self, top: &mut Object<'_>) {
        let (req, to) = (self.req, self.to);
        let mut config = top.object("generationConfig");
        if let Some(cap) = to.max_output_tokens.or(req.max_output_tokens) {
            config.num("maxOutputTokens", cap);
        }
        if req.n > 1 {
            config.num("candidateCount", u64::from(req.n));
        }
        for (name, number) in req.sampling.set() {
            let name = match name {
                "top_p" => "topP",
                "top_k" => "topK",
                "frequency_penalty" => "frequencyPenalty",
                "presence_penalty" => "presencePenalty",
                other => other,
            };
            config.raw(name, number.as_str());
        }
        if !req.stop.is_empty() {
            array(config.key("stopSequences"), &req.stop, |out, stop| put_str(out, stop));
        }
        if req.logprobs {
            config.raw("responseLogprobs", "true");
            if let Some(count) = req.top_logprobs {
                config.num("logprobs", u64::from(count));
            }
        }
        match &req.response_format {
            ResponseFormat::Text | ResponseFormat::Other(_) => {}
            ResponseFormat::JsonObject | ResponseFormat::JsonSchema { schema: None, .. } => {
                config.str("responseMimeType", "application/json");
            }
            ResponseFormat::JsonSchema { schema: Some(schema), .. } => {
                config.str("responseMimeType", "application/json");
                config.raw("responseJsonSchema", schema.get());
            }
        }
        let third = self.third_generation();
        let thinking = match &req.reasoning_effort {
            None | Some(ReasoningEffort::Adaptive) => None,
            Some(ReasoningEffort::Off) => Some(("thinkingBudget", "0".to_owned())),
            Some(ReasoningEffort::Budget(tokens)) => Some(("thinkingBudget", tokens.to_string())),
            Some(ReasoningEffort::Level(level)) => match (level.as_str(), third) {
                ("none", false) => Some(("thinkingBudget", "0".to_owned())),
                ("none" | "minimal" | "low", true) => Some(("thinkingLevel", "\"low\"".to_owned())),
                ("minimal" | "low", false) => Some(("thinkingBudget", "1024".to_owned())),
                ("medium", false) => Some(("thinkingBudget", "8192".to_owned())),
                ("medium" | "high" | "xhigh" | "max", true) => {
                    Some(("thinkingLevel", "\"high\"".to_owned()))
                }
                ("high" | "xhigh" | "max", false) => Some(("thinkingBudget", "24576".to_owned())),
                _ => {
                    self.drop("reasoning_effort");
                    None
                }
            },
        };
        if let Some((name, json)) = thinking {
            let mut inner = config.object("thinkingConfig");
            inner.raw(name, &json);
            inner.close();
        }
        config.close();
    }

    fn rest(&mut self) {
        let req = self.req;
        for (there, name) in [
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
    }
}

fn refused(i: usize, what: &str) -> BadRequest {
    let param = format!("messages[{i}].content");
    let message = format!("`{param}` holds {what}, which this provider cannot be sent");
    BadRequest::field(param, message)
}

fn write_text(out: &mut Vec<u8>, text: &Text<'_>) -> bool {
    if text.is_empty() {
        return false;
    }
    let mut part = Object::open(out);
    part.str("text", text);
    part.close();
    true
}

fn write_media(out: &mut Vec<u8>, media: &Media<'_>, otherwise: &str) {
    let mut part = Object::open(out);
    match media {
        Media::Base64 { media_type, data } => {
            let mut inline = part.object("inlineData");
            inline.str("mimeType", media_type).str("data", data);
            inline.close();
        }
        Media::Url(uri) | Media::Id(uri) => {
            let mut file = part.object("fileData");
            file.str("mimeType", media_type_of(uri).unwrap_or(otherwise)).str("fileUri", uri);
            file.close();
        }
    }
    part.close();
}

/// The media type by the end of an address.
fn media_type_of(uri: &str) -> Option<&'static str> {
    let path = uri.split(['?', '#']).next()?;
    Some(match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => return None,
    })
}
