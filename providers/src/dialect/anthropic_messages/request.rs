//! Reads a request. As with every dialect, known fields are typed and the rest stays as written.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::anthropic::{block, texts_or};
use crate::dialect::Dialect;
use crate::dialect::fields::{Field, indexed, members, missing, says};
use crate::guard::Bounds;
use crate::unified::{
    BadRequest, Block, ChatRequest, Message, ReasoningEffort, ResponseFormat, Role, Sampling,
    Source, Spans, Text, Tool, ToolChoice,
};

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    input_schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
struct WireThinking<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    budget_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct WireConfig<'a> {
    #[serde(borrow, default)]
    effort: Option<Text<'a>>,
    #[serde(borrow, default)]
    format: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireMetadata<'a> {
    #[serde(borrow, default)]
    user_id: Option<Text<'a>>,
}

/// Reads a body.
pub(crate) fn decode<'a>(body: &'a [u8], bounds: &Bounds) -> Result<ChatRequest<'a>, BadRequest> {
    let mut draft = Draft::default();
    let spans = members(body, bounds, |field| draft.take(field, bounds))?;
    draft.spans.insert_at = spans.insert_at;
    draft.spans.empty = spans.empty;
    draft.finish(body)
}

/// The fields as they are met.
#[derive(Default)]
struct Draft<'a> {
    model: Option<Text<'a>>,
    system: Vec<Block<'a>>,
    messages: Option<Vec<Message<'a>>>,
    tools: Vec<Tool<'a>>,
    tool_choice: Option<ToolChoice<'a>>,
    parallel_tool_calls: Option<bool>,
    response_format: ResponseFormat<'a>,
    cap: Option<u64>,
    stop: Vec<Text<'a>>,
    stream: bool,
    sampling: Sampling<'a>,
    effort: Option<Text<'a>>,
    thinking: Option<ReasoningEffort<'a>>,
    user: Option<Text<'a>>,
    service_tier: Option<Text<'a>>,
    rest: Vec<(Text<'a>, &'a RawValue)>,
    spans: Spans,
}

impl<'a> Draft<'a> {
    fn take(&mut self, field: Field<'a>, bounds: &Bounds) -> Result<(), BadRequest> {
        match field.name.as_str() {
            "model" => {
                self.model = Some(field.read()?);
                self.spans.model = Some(field.span);
            }
            "system" if !field.is_null() => {
                self.system = texts_or(field.raw()?, &block).map_err(|why| field.bad(why))?;
            }
            "messages" => {
                let mut messages = Vec::new();
                field.each(|i, m: WireMessage<'a>| {
                    messages.push(message(i, m)?);
                    Ok(())
                })?;
                self.messages = Some(messages);
            }
            "max_tokens" => {
                self.cap = field.count(1, bounds.max_output_tokens)?;
                self.spans.output_cap = Some(("max_tokens", field.span));
            }
            "tools" if !field.is_null() => field.each(|i, raw: &'a RawValue| {
                self.tools.push(tool(raw).map_err(|why| indexed("tools", i, &why))?);
                Ok(())
            })?,
            "tool_choice" if !field.is_null() => {
                let choice: WireChoice<'a> = field.read()?;
                self.parallel_tool_calls = choice.disable_parallel_tool_use.map(|alone| !alone);
                self.tool_choice = Some(match (choice.kind.as_str(), choice.name) {
                    ("auto", _) => ToolChoice::Auto,
                    ("none", _) => ToolChoice::None,
                    ("any", _) => ToolChoice::Required,
                    ("tool", Some(name)) => ToolChoice::Named(name),
                    ("tool", None) => return Err(field.bad("is of type `tool` but has no `name`")),
                    _ => ToolChoice::Other(field.json.into()),
                });
            }
            "thinking" if !field.is_null() => {
                let thinking: WireThinking<'a> = field.read()?;
                self.thinking = match (thinking.kind.as_str(), thinking.budget_tokens) {
                    ("enabled", Some(tokens)) => Some(ReasoningEffort::Budget(tokens)),
                    ("disabled", _) => Some(ReasoningEffort::Off),
                    ("adaptive" | "enabled", _) => Some(ReasoningEffort::Adaptive),
                    _ => return Err(field.bad("is of a type that is not known")),
                };
            }
            "output_config" if !field.is_null() => {
                let config: WireConfig<'a> = field.read()?;
                self.effort = config.effort;
                if let Some(raw) = config.format.filter(|raw| raw.get() != "null") {
                    self.response_format = format(raw).map_err(|why| field.bad(why))?;
                }
            }
            "output_format" if !field.is_null() => {
                self.response_format = format(field.raw()?).map_err(|why| field.bad(why))?;
            }
            "stop_sequences" => self.stop = field.optional()?.unwrap_or_default(),
            "stream" => {
                self.stream = field.optional()?.unwrap_or(false);
                self.spans.stream = Some(field.span);
            }
            "temperature" => self.sampling.temperature = field.number()?,
            "top_p" => self.sampling.top_p = field.number()?,
            "top_k" => self.sampling.top_k = field.number()?,
            "metadata" => {
                let metadata: Option<WireMetadata<'a>> = field.optional()?;
                self.user = metadata.and_then(|m| m.user_id);
            }
            "service_tier" => {
                self.service_tier = field.optional()?.map(|tier: Text<'a>| {
                    if tier == "standard_only" { "default".into() } else { tier }
                });
            }
            _ => {
                let raw = field.raw()?;
                if raw.get() != "null" {
                    self.rest.push((field.name, raw));
                }
            }
        }
        Ok(())
    }

    fn finish(self, body: &'a [u8]) -> Result<ChatRequest<'a>, BadRequest> {
        let model = self.model.filter(|m| !m.is_empty()).ok_or_else(|| missing("model"))?;
        let said = self.messages.filter(|m| !m.is_empty()).ok_or_else(|| missing("messages"))?;
        let cap = self.cap.ok_or_else(|| missing("max_tokens"))?;
        let mut messages = Vec::with_capacity(said.len() + 1);
        if !self.system.is_empty() {
            messages.push(Message { role: Role::System, name: None, blocks: self.system });
        }
        messages.extend(said);
        Ok(ChatRequest {
            model,
            messages,
            tools: self.tools,
            tool_choice: self.tool_choice,
            parallel_tool_calls: self.parallel_tool_calls,
            response_format: self.response_format,
            max_output_tokens: Some(cap),
            n: 1,
            stop: self.stop,
            stream: self.stream,
            // Usage is part of this dialect's streams.
            include_usage: true,
            sampling: self.sampling,
            logprobs: false,
            top_logprobs: None,
            reasoning_effort: self.effort.map(ReasoningEffort::Level).or(self.thinking),
            user: self.user,
            service_tier: self.service_tier,
            metadata: None,
            rest: self.rest,
            source: Source { dialect: Dialect::AnthropicMessages, body, spans: self.spans },
        })
    }
}

fn message<'a>(index: usize, wire: WireMessage<'a>) -> Result<Message<'a>, BadRequest> {
    let role = match wire.role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            return Err(indexed(
                "messages",
                index,
                &format!("has the role `{other}`, which is none"),
            ));
        }
    };
    let blocks = texts_or(wire.content, &block).map_err(|why| {
        let param = format!("messages[{index}].content");
        let message = format!("`{param}` {why}");
        BadRequest::field(param, message)
    })?;
    Ok(Message { role, name: None, blocks })
}

fn tool(raw: &RawValue) -> Result<Tool<'_>, String> {
    let wire: WireTool<'_> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
    match wire.kind.filter(|kind| *kind != "custom") {
        Some(kind) => Ok(Tool::Other { kind, raw }),
        None => Ok(Tool::Function {
            name: wire.name.ok_or("has no `name`")?,
            description: wire.description,
            parameters: wire.input_schema,
            strict: wire.strict,
            cache: wire.cache_control,
        }),
    }
}

fn format(raw: &RawValue) -> Result<ResponseFormat<'_>, String> {
    let wire: WireFormat<'_> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
    if wire.kind != "json_schema" {
        return Ok(ResponseFormat::Other(raw));
    }
    // A schema has no name here where other dialects want one.
    let name = "output".into();
    Ok(ResponseFormat::JsonSchema {
        name,
        description: None,
        schema: wire.schema,
        strict: Some(true),
    })
}
