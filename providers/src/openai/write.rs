//! Writes a chat request of another dialect from the hub's words.
//!
//! What would change the meaning of the answer and has no place on this wire is refused, naming the
//! field; what only tunes it is left out, and said so.

use super::Profile;
use crate::dialect::json::{Object, array, put_str};
use crate::dialect::openai_chat::write_call;
use crate::unified::{
    BadRequest, Block, ChatRequest, Media, Message, ReasoningEffort, ResponseFormat, Role, Target,
    Text, Tool, ToolChoice,
};

/// The body, and the names of what was left out.
pub(super) fn chat(
    profile: &Profile,
    req: &ChatRequest<'_>,
    to: &Target<'_>,
) -> Result<(Vec<u8>, Vec<String>), BadRequest> {
    let mut dropped: Vec<String> = req.rest.iter().map(|(name, _)| name.to_string()).collect();
    if has_cache_marks(req) {
        dropped.push("cache_control".to_owned());
    }
    let mut out = Vec::with_capacity(req.source.body.len() + 256);
    let mut top = Object::open(&mut out);
    top.str("model", to.model);
    messages(top.key("messages"), req, &mut dropped)?;
    tools(&mut top, &req.tools)?;
    choice(&mut top, req)?;
    format(&mut top, &req.response_format);
    manner(profile, profile.cap_field, req, to, &mut top, &mut dropped);
    rest(&mut top, req);
    top.close();
    Ok((out, dropped))
}

/// The body of a request to complete a text, and the names of what was left out.
pub(super) fn completion(
    profile: &Profile,
    req: &ChatRequest<'_>,
    to: &Target<'_>,
) -> (Vec<u8>, Vec<String>) {
    let mut dropped: Vec<String> = req.rest.iter().map(|(name, _)| name.to_string()).collect();
    let mut out = Vec::with_capacity(req.source.body.len() + 256);
    let mut top = Object::open(&mut out);
    top.str("model", to.model);
    let texts = req.messages.iter().flat_map(|m| &m.blocks).filter_map(|block| match block {
        Block::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    top.str("prompt", &texts.collect::<String>());
    manner(profile, "max_tokens", req, to, &mut top, &mut dropped);
    if let Some(user) = &req.user {
        top.str("user", user);
    }
    top.close();
    (out, dropped)
}

/// How it is to be answered: the cap, how many choices, what ends them, in a stream or not, sampling.
fn manner(
    profile: &Profile,
    cap_field: &str,
    req: &ChatRequest<'_>,
    to: &Target<'_>,
    top: &mut Object<'_>,
    dropped: &mut Vec<String>,
) {
    if let Some(cap) = to.max_output_tokens.or(req.max_output_tokens) {
        top.num(cap_field, cap);
    }
    if req.n > 1 {
        top.num("n", u64::from(req.n));
    }
    if !req.stop.is_empty() {
        array(top.key("stop"), &req.stop, |out, stop| put_str(out, stop));
    }
    if to.stream {
        top.raw("stream", "true");
        if profile.stream_options {
            top.raw("stream_options", "{\"include_usage\":true}");
        }
    }
    for (name, number) in req.sampling.set() {
        if name == "top_k" {
            dropped.push(name.to_owned());
        } else {
            top.raw(name, number.as_str());
        }
    }
}

/// This wire caches by itself; marks of what to cache have no place.
pub(crate) fn has_cache_marks(req: &ChatRequest<'_>) -> bool {
    let marked = |b: &Block<'_>| matches!(b, Block::Text { cache: Some(_), .. });
    let on_tool = |t: &Tool<'_>| matches!(t, Tool::Function { cache: Some(_), .. });
    req.messages.iter().any(|m| m.blocks.iter().any(marked)) || req.tools.iter().any(on_tool)
}

/// How hard to think in OpenAI's levels, of which a budget is one by its size.
pub(crate) fn effort_level<'r>(effort: &'r ReasoningEffort<'_>) -> Option<&'r str> {
    match effort {
        ReasoningEffort::Level(level) => Some(level),
        ReasoningEffort::Budget(0..=4_096) => Some("low"),
        ReasoningEffort::Budget(4_097..=16_384) => Some("medium"),
        ReasoningEffort::Budget(_) => Some("high"),
        ReasoningEffort::Adaptive | ReasoningEffort::Off => None,
    }
}

fn rest(top: &mut Object<'_>, req: &ChatRequest<'_>) {
    if req.logprobs {
        top.raw("logprobs", "true");
    }
    if let Some(count) = req.top_logprobs {
        top.num("top_logprobs", u64::from(count));
    }
    if let Some(level) = req.reasoning_effort.as_ref().and_then(effort_level) {
        top.str("reasoning_effort", level);
    }
    if let Some(user) = &req.user {
        top.str("user", user);
    }
    if let Some(tier) = &req.service_tier {
        top.str("service_tier", tier);
    }
    if let Some(metadata) = req.metadata {
        top.raw("metadata", metadata.get());
    }
}

/// Writes the tools, where there are any.
pub(crate) fn tools(top: &mut Object<'_>, tools: &[Tool<'_>]) -> Result<(), BadRequest> {
    if let Some(i) = tools.iter().position(|t| matches!(t, Tool::Other { .. })) {
        let message = format!("`tools[{i}]` is of a kind that this provider does not have");
        return Err(BadRequest::field(format!("tools[{i}]"), message));
    }
    if !tools.is_empty() {
        array(top.key("tools"), tools, |out, tool| {
            let Tool::Function { name, description, parameters, strict, cache: _ } = tool else {
                return;
            };
            let mut object = Object::open(out);
            object.str("type", "function");
            let mut function = object.object("function");
            function.str("name", name);
            if let Some(description) = description {
                function.str("description", description);
            }
            if let Some(parameters) = parameters {
                function.raw("parameters", parameters.get());
            }
            if let Some(strict) = strict {
                function.value("strict", strict);
            }
            function.close();
            object.close();
        });
    }
    Ok(())
}

fn choice(top: &mut Object<'_>, req: &ChatRequest<'_>) -> Result<(), BadRequest> {
    if let Some(parallel) = req.parallel_tool_calls.filter(|_| !req.tools.is_empty()) {
        top.value("parallel_tool_calls", &parallel);
    }
    match &req.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => {
            top.str("tool_choice", "auto");
        }
        Some(ToolChoice::None) => {
            top.str("tool_choice", "none");
        }
        Some(ToolChoice::Required) => {
            top.str("tool_choice", "required");
        }
        Some(ToolChoice::Named(name)) => {
            let mut choice = top.object("tool_choice");
            choice.str("type", "function");
            let mut function = choice.object("function");
            function.str("name", name);
            function.close();
            choice.close();
        }
        Some(ToolChoice::Other(_)) => {
            let message = "`tool_choice` is of a kind that this provider does not have";
            return Err(BadRequest::field("tool_choice", message));
        }
    }
    Ok(())
}

fn format(top: &mut Object<'_>, format: &ResponseFormat<'_>) {
    match format {
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject => {
            top.raw("response_format", "{\"type\":\"json_object\"}");
        }
        ResponseFormat::JsonSchema { name, description, schema, strict } => {
            let mut format = top.object("response_format");
            format.str("type", "json_schema");
            let mut inner = format.object("json_schema");
            inner.str("name", name);
            if let Some(description) = description {
                inner.str("description", description);
            }
            if let Some(schema) = schema {
                inner.raw("schema", schema.get());
            }
            if let Some(strict) = strict {
                inner.value("strict", strict);
            }
            inner.close();
            format.close();
        }
        ResponseFormat::Other(raw) => {
            top.raw("response_format", raw.get());
        }
    }
}

pub(crate) fn messages(
    out: &mut Vec<u8>,
    req: &ChatRequest<'_>,
    dropped: &mut Vec<String>,
) -> Result<(), BadRequest> {
    out.push(b'[');
    for (i, message) in req.messages.iter().enumerate() {
        let mut writer = Writer { out, index: i, dropped };
        match message.role {
            Role::Assistant => writer.assistant(message)?,
            Role::System => writer.plain("system", message)?,
            Role::Developer => writer.plain("developer", message)?,
            Role::User | Role::Tool => writer.user(message)?,
        }
    }
    out.push(b']');
    Ok(())
}

/// Writes one message of the hub as one or more of this wire.
struct Writer<'o, 'd> {
    out: &'o mut Vec<u8>,
    index: usize,
    dropped: &'d mut Vec<String>,
}

impl Writer<'_, '_> {
    fn open(&mut self, role: &str, name: Option<&Text<'_>>) -> Object<'_> {
        if self.out.last() != Some(&b'[') {
            self.out.push(b',');
        }
        let mut object = Object::open(self.out);
        object.str("role", role);
        if let Some(name) = name {
            object.str("name", name);
        }
        object
    }

    fn refuse(&self, what: &str) -> BadRequest {
        let param = format!("messages[{}].content", self.index);
        let message = format!("`{param}` holds {what}, which this provider cannot be sent");
        BadRequest::field(param, message)
    }

    fn drop(&mut self, what: &str) {
        if !self.dropped.iter().any(|d| d == what) {
            self.dropped.push(what.to_owned());
        }
    }

    fn plain(&mut self, role: &str, message: &Message<'_>) -> Result<(), BadRequest> {
        let blocks: Vec<&Block<'_>> = message.blocks.iter().collect();
        self.content(role, message.name.as_ref(), &blocks)
    }

    /// Tool results stand in messages of their own on this wire, before what the user says with them.
    fn user(&mut self, message: &Message<'_>) -> Result<(), BadRequest> {
        let mut said = Vec::new();
        for block in &message.blocks {
            let Block::ToolResult { id, content, is_error } = block else {
                said.push(block);
                continue;
            };
            if *is_error {
                self.drop("tool_result.is_error");
            }
            let (texts, others): (Vec<_>, Vec<_>) =
                content.iter().partition(|b| matches!(b, Block::Text { .. }));
            let mut object = self.open("tool", None);
            object.str("tool_call_id", id).str("content", &joined(&texts));
            object.close();
            // A tool's message holds text only: pictures follow as the user's.
            said.extend(others);
        }
        if said.is_empty() && message.role == Role::Tool {
            return Ok(());
        }
        if said.is_empty() && message.blocks.iter().any(|b| matches!(b, Block::ToolResult { .. })) {
            return Ok(());
        }
        self.content("user", message.name.as_ref(), &said)
    }

    fn assistant(&mut self, message: &Message<'_>) -> Result<(), BadRequest> {
        let (mut said, mut calls) = (Vec::new(), Vec::new());
        for block in &message.blocks {
            match block {
                Block::Text { .. } | Block::Refusal { .. } => said.push(block),
                Block::ToolCall { .. } => calls.push(block),
                // Only the provider that thought can read its thinking again.
                Block::Thinking { .. } | Block::RedactedThinking { .. } => self.drop("thinking"),
                Block::Other { kind, .. } => return Err(self.refuse(&format!("a `{kind}` part"))),
                Block::Image { .. }
                | Block::Audio { .. }
                | Block::File { .. }
                | Block::ToolResult { .. } => {
                    return Err(self.refuse("something an assistant cannot say"));
                }
            }
        }
        let texts: Vec<_> =
            said.iter().copied().filter(|b| matches!(b, Block::Text { .. })).collect();
        let mut object = self.open("assistant", message.name.as_ref());
        if texts.is_empty() {
            object.raw("content", "null");
        } else {
            object.str("content", &joined(&texts));
        }
        for block in &said {
            if let Block::Refusal { text } = block {
                object.str("refusal", text);
                break;
            }
        }
        if !calls.is_empty() {
            array(object.key("tool_calls"), calls, |out, call| {
                if let Block::ToolCall { id, name, arguments } = call {
                    write_call(out, id, name, arguments);
                }
            });
        }
        object.close();
        Ok(())
    }

    fn content(
        &mut self,
        role: &str,
        name: Option<&Text<'_>>,
        blocks: &[&Block<'_>],
    ) -> Result<(), BadRequest> {
        let refused = blocks.iter().find_map(|block| self.refused(block));
        if let Some(bad) = refused {
            return Err(bad);
        }
        let mut object = self.open(role, name);
        if blocks.iter().all(|b| matches!(b, Block::Text { .. })) && blocks.len() <= 1 {
            object.str("content", &joined(blocks));
        } else {
            array(object.key("content"), blocks, |out, block| part(out, block));
        }
        object.close();
        Ok(())
    }

    fn refused(&self, block: &Block<'_>) -> Option<BadRequest> {
        match block {
            Block::Text { .. } | Block::Audio { .. } => None,
            Block::Image { media: Media::Url(_) | Media::Base64 { .. }, .. } => None,
            Block::File { media: Media::Id(_) | Media::Base64 { .. }, .. } => None,
            Block::Image { media: Media::Id(_), .. } => Some(self.refuse("a picture by its id")),
            Block::File { media: Media::Url(_), .. } => {
                Some(self.refuse("a document by its address"))
            }
            Block::Other { kind, .. } => Some(self.refuse(&format!("a `{kind}` part"))),
            Block::ToolCall { .. }
            | Block::ToolResult { .. }
            | Block::Thinking { .. }
            | Block::RedactedThinking { .. }
            | Block::Refusal { .. } => Some(self.refuse("something only an assistant can say")),
        }
    }
}

fn joined(blocks: &[&Block<'_>]) -> String {
    blocks
        .iter()
        .filter_map(|b| if let Block::Text { text, .. } = b { Some(text.as_str()) } else { None })
        .collect()
}

fn part(out: &mut Vec<u8>, block: &Block<'_>) {
    let mut object = Object::open(out);
    match block {
        Block::Text { text, cache: _ } => {
            object.str("type", "text").str("text", text);
        }
        Block::Image { media, detail } => {
            object.str("type", "image_url");
            let mut image = object.object("image_url");
            image.str("url", &address(media));
            if let Some(detail) = detail {
                image.str("detail", detail);
            }
            image.close();
        }
        Block::Audio { data, format } => {
            object.str("type", "input_audio");
            let mut audio = object.object("input_audio");
            audio.str("data", data).str("format", format);
            audio.close();
        }
        Block::File { media, name } => {
            object.str("type", "file");
            let mut file = object.object("file");
            match media {
                Media::Id(id) => file.str("file_id", id),
                other => file.str("file_data", &address(other)),
            };
            if let Some(name) = name {
                file.str("filename", name);
            }
            file.close();
        }
        // `refused` let none of the others through.
        _ => {
            object.str("type", "text").str("text", "");
        }
    }
    object.close();
}

pub(crate) fn address(media: &Media<'_>) -> String {
    match media {
        Media::Url(url) => url.to_string(),
        Media::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        Media::Id(id) => id.to_string(),
    }
}
