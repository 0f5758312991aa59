//! Reads a request. Known fields are typed and the rest stays as it was written; what asks for a
//! state that is not kept here is refused, since an answer without it would be another answer.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::item;
use crate::dialect::Dialect;
use crate::dialect::fields::{Field, indexed, members, missing, says};
use crate::guard::Bounds;
use crate::unified::{
    BadRequest, Block, ChatRequest, Message, ReasoningEffort, ResponseFormat, Role, Sampling,
    Source, Spans, Text, Tool, ToolChoice,
};

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireText<'a> {
    #[serde(borrow, default)]
    format: Option<&'a RawValue>,
    #[serde(borrow, default)]
    verbosity: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct WireReasoning<'a> {
    #[serde(borrow, default)]
    effort: Option<Text<'a>>,
    #[serde(borrow, default)]
    summary: Option<&'a RawValue>,
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
    instructions: Option<Text<'a>>,
    input: Option<Vec<Message<'a>>>,
    tools: Vec<Tool<'a>>,
    tool_choice: Option<ToolChoice<'a>>,
    parallel_tool_calls: Option<bool>,
    response_format: ResponseFormat<'a>,
    cap: Option<u64>,
    stream: bool,
    sampling: Sampling<'a>,
    logprobs: bool,
    top_logprobs: Option<u32>,
    effort: Option<Text<'a>>,
    user: Option<Text<'a>>,
    service_tier: Option<Text<'a>>,
    metadata: Option<&'a RawValue>,
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
            "input" if !field.is_null() => self.input = Some(input(&field)?),
            "instructions" => self.instructions = field.optional()?,
            "tools" if !field.is_null() => field.each(|i, raw: &'a RawValue| {
                self.tools.push(tool(raw).map_err(|why| indexed("tools", i, &why))?);
                Ok(())
            })?,
            "tool_choice" if !field.is_null() => self.tool_choice = Some(tool_choice(&field)?),
            "parallel_tool_calls" => self.parallel_tool_calls = field.optional()?,
            "text" if !field.is_null() => {
                let text: WireText<'a> = field.read()?;
                if let Some(raw) = text.format.filter(|raw| raw.get() != "null") {
                    self.response_format = format(raw).map_err(|why| {
                        BadRequest::field("text.format", format!("`text.format` {why}"))
                    })?;
                }
                self.keep("text.verbosity", text.verbosity);
            }
            "reasoning" if !field.is_null() => {
                let reasoning: WireReasoning<'a> = field.read()?;
                self.effort = reasoning.effort;
                self.keep("reasoning.summary", reasoning.summary);
            }
            "max_output_tokens" => {
                self.cap = field.count(1, bounds.max_output_tokens)?;
                self.spans.output_cap = Some(("max_output_tokens", field.span));
            }
            "stream" => {
                self.stream = field.optional()?.unwrap_or(false);
                self.spans.stream = Some(field.span);
            }
            "temperature" => self.sampling.temperature = field.number()?,
            "top_p" => self.sampling.top_p = field.number()?,
            "top_logprobs" => {
                let count = field.count(0, 20)?.and_then(|n| u32::try_from(n).ok());
                self.top_logprobs = count.filter(|n| *n > 0);
                self.logprobs |= self.top_logprobs.is_some();
            }
            "include" if !field.is_null() => field.each(|_, what: Text<'a>| {
                self.logprobs |= what == "message.output_text.logprobs";
                Ok(())
            })?,
            "user" | "safety_identifier" => {
                self.user = field.optional()?.or_else(|| self.user.take());
            }
            "service_tier" => self.service_tier = field.optional()?,
            "metadata" => self.metadata = field.optional()?,
            // Kept, and answered, by the gateway itself.
            "store" => drop(field.optional::<bool>()?),
            "previous_response_id" => drop(field.optional::<Text<'a>>()?),
            "background" => {
                if field.optional::<bool>()?.unwrap_or(false) {
                    return Err(field.bad("is not supported here: send the request with `stream`"));
                }
            }
            "conversation" | "prompt" if !field.is_null() => {
                return Err(field.bad("is not supported here"));
            }
            // Obfuscation pads a stream; there is nothing here that it would hide.
            "stream_options" => {}
            _ => {
                let raw = field.raw()?;
                if raw.get() != "null" {
                    self.rest.push((field.name, raw));
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, name: &'static str, value: Option<&'a RawValue>) {
        if let Some(raw) = value.filter(|raw| raw.get() != "null") {
            self.rest.push((name.into(), raw));
        }
    }

    fn finish(self, body: &'a [u8]) -> Result<ChatRequest<'a>, BadRequest> {
        let model = self.model.filter(|m| !m.is_empty()).ok_or_else(|| missing("model"))?;
        let said = self.input.filter(|m| !m.is_empty()).ok_or_else(|| missing("input"))?;
        let mut messages = Vec::with_capacity(said.len() + 1);
        if let Some(text) = self.instructions {
            let blocks = vec![Block::Text { text, cache: None }];
            messages.push(Message { role: Role::System, name: None, blocks });
        }
        messages.extend(said);
        Ok(ChatRequest {
            model,
            messages,
            tools: self.tools,
            tool_choice: self.tool_choice,
            parallel_tool_calls: self.parallel_tool_calls,
            response_format: self.response_format,
            max_output_tokens: self.cap,
            n: 1,
            stop: Vec::new(),
            stream: self.stream,
            // Usage is part of this dialect's streams.
            include_usage: true,
            sampling: self.sampling,
            logprobs: self.logprobs,
            top_logprobs: self.top_logprobs,
            reasoning_effort: self.effort.map(ReasoningEffort::Level),
            user: self.user,
            service_tier: self.service_tier,
            metadata: self.metadata,
            rest: self.rest,
            source: Source { dialect: Dialect::OpenAiResponses, body, spans: self.spans },
        })
    }
}

pub(super) fn input<'a>(field: &Field<'a>) -> Result<Vec<Message<'a>>, BadRequest> {
    if field.json.starts_with('"') {
        let blocks = vec![Block::Text { text: field.read()?, cache: None }];
        return Ok(vec![Message { role: Role::User, name: None, blocks }]);
    }
    let mut messages = Vec::new();
    field.each(|i, raw: &'a RawValue| item::add(&mut messages, i, raw))?;
    Ok(messages)
}

fn tool(raw: &RawValue) -> Result<Tool<'_>, String> {
    let wire: WireTool<'_> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
    if wire.kind != "function" {
        return Ok(Tool::Other { kind: wire.kind, raw });
    }
    Ok(Tool::Function {
        name: wire.name.ok_or("is of type `function` but has no `name`")?,
        description: wire.description,
        parameters: wire.parameters.filter(|raw| raw.get() != "null"),
        strict: wire.strict,
        cache: None,
    })
}

fn tool_choice<'a>(field: &Field<'a>) -> Result<ToolChoice<'a>, BadRequest> {
    if field.json.starts_with('"') {
        let word: Text<'a> = field.read()?;
        return match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(field.bad(format_args!("is `{word}`, which is no choice"))),
        };
    }
    let choice: WireChoice<'a> = field.read()?;
    Ok(match (choice.kind.as_str(), choice.name) {
        ("function", Some(name)) => ToolChoice::Named(name),
        ("function", None) => return Err(field.bad("is of type `function` but has no `name`")),
        _ => ToolChoice::Other(field.json.into()),
    })
}

fn format(raw: &RawValue) -> Result<ResponseFormat<'_>, String> {
    let wire: WireFormat<'_> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
    Ok(match wire.kind.as_str() {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => ResponseFormat::JsonSchema {
            name: wire.name.ok_or("is of type `json_schema` but has no `name`")?,
            description: wire.description,
            schema: wire.schema,
            strict: wire.strict,
        },
        _ => ResponseFormat::Other(raw),
    })
}
