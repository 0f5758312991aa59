//! Reads a chat request. Known fields are read once and typed; the rest stays as it was written.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::WireMessage;
use crate::dialect::Dialect;
use crate::dialect::fields::{Field, indexed, members, missing};
use crate::guard::Bounds;
use crate::unified::{
    BadRequest, ChatRequest, Message, ReasoningEffort, ResponseFormat, Sampling, Source, Spans,
    Text, Tool, ToolChoice,
};

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<WireFunction<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    json_schema: Option<WireSchema<'a>>,
}

#[derive(Deserialize)]
struct WireSchema<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(borrow, default)]
    function: Option<WireName<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireName<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize, Default)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

/// Reads a body. Nothing is copied that the body holds in one piece.
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
    messages: Option<Vec<Message<'a>>>,
    tools: Vec<Tool<'a>>,
    tool_choice: Option<ToolChoice<'a>>,
    parallel_tool_calls: Option<bool>,
    response_format: ResponseFormat<'a>,
    cap: Option<u64>,
    legacy_cap: Option<u64>,
    n: Option<u64>,
    stop: Vec<Text<'a>>,
    stream: bool,
    include_usage: bool,
    stream_options: bool,
    sampling: Sampling<'a>,
    logprobs: bool,
    top_logprobs: Option<u32>,
    reasoning_effort: Option<ReasoningEffort<'a>>,
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
            "messages" => {
                let mut messages = Vec::new();
                field.each(|i, m: WireMessage<'a>| {
                    messages.push(m.into_request(i)?);
                    Ok(())
                })?;
                self.messages = Some(messages);
            }
            "tools" if !field.is_null() => field.each(|i, raw: &'a RawValue| {
                self.tools.push(tool(raw).map_err(|why| indexed("tools", i, &why))?);
                Ok(())
            })?,
            "functions" if !field.is_null() => field.each(|_, f: WireFunction<'a>| {
                self.tools.push(f.into_tool(None));
                Ok(())
            })?,
            "tool_choice" | "function_call" if !field.is_null() => {
                self.tool_choice = Some(tool_choice(&field)?);
            }
            "parallel_tool_calls" => self.parallel_tool_calls = field.optional()?,
            "response_format" if !field.is_null() => {
                self.response_format = response_format(&field)?
            }
            "max_completion_tokens" => {
                self.cap = field.count(1, bounds.max_output_tokens)?;
                self.spans.output_cap = Some(("max_completion_tokens", field.span));
            }
            "max_tokens" => {
                self.legacy_cap = field.count(1, bounds.max_output_tokens)?;
                // Where both are written the newer name is the one a provider obeys.
                self.spans.output_cap.get_or_insert(("max_tokens", field.span));
            }
            "n" => self.n = field.count(1, u64::from(bounds.max_choices))?,
            "stop" => self.stop = stop(&field)?,
            "stream" => {
                self.stream = field.optional()?.unwrap_or(false);
                self.spans.stream = Some(field.span);
            }
            "stream_options" => {
                let asked = include_usage(&field)?;
                self.stream_options = asked.is_some();
                self.include_usage = asked.unwrap_or(false);
                self.spans.stream_options = Some(field.span);
            }
            "temperature" => self.sampling.temperature = field.number()?,
            "top_p" => self.sampling.top_p = field.number()?,
            "top_k" => self.sampling.top_k = field.number()?,
            "frequency_penalty" => self.sampling.frequency_penalty = field.number()?,
            "presence_penalty" => self.sampling.presence_penalty = field.number()?,
            "seed" => self.sampling.seed = field.number()?,
            "logprobs" => self.logprobs = field.optional()?.unwrap_or(false),
            "top_logprobs" => {
                let count = field.count(0, 20)?;
                self.top_logprobs = count.and_then(|n| u32::try_from(n).ok());
            }
            "reasoning_effort" => {
                self.reasoning_effort = field.optional()?.map(ReasoningEffort::Level);
            }
            "user" => self.user = field.optional()?,
            "service_tier" => self.service_tier = field.optional()?,
            "metadata" => self.metadata = field.optional()?,
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
        let model = self.model.ok_or_else(|| missing("model"))?;
        if model.is_empty() {
            return Err(BadRequest::field("model", "`model` is empty"));
        }
        let messages = self.messages.ok_or_else(|| missing("messages"))?;
        if messages.is_empty() {
            return Err(BadRequest::field("messages", "`messages` is empty"));
        }
        if let (Some(_), Some(_)) = (self.cap, self.legacy_cap) {
            let message = "`max_tokens` and `max_completion_tokens` cannot both be given";
            return Err(BadRequest::field("max_tokens", message));
        }
        if self.stream_options && !self.stream {
            let message = "`stream_options` is only allowed where `stream` is true";
            return Err(BadRequest::field("stream_options", message));
        }
        Ok(ChatRequest {
            model,
            messages,
            tools: self.tools,
            tool_choice: self.tool_choice,
            parallel_tool_calls: self.parallel_tool_calls,
            response_format: self.response_format,
            max_output_tokens: self.cap.or(self.legacy_cap),
            n: self.n.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            stop: self.stop,
            stream: self.stream,
            include_usage: self.include_usage,
            sampling: self.sampling,
            logprobs: self.logprobs,
            top_logprobs: self.top_logprobs,
            reasoning_effort: self.reasoning_effort,
            user: self.user,
            service_tier: self.service_tier,
            metadata: self.metadata,
            rest: self.rest,
            source: Source { dialect: Dialect::OpenAiChat, body, spans: self.spans },
        })
    }
}

fn tool(raw: &RawValue) -> Result<Tool<'_>, String> {
    let tool: WireTool<'_> =
        serde_json::from_str(raw.get()).map_err(|e| crate::dialect::fields::says(&e))?;
    // Some clients leave out the type of a function.
    let kind = tool.kind.or(tool.function.is_some().then(|| "function".into()));
    let kind = kind.ok_or("has no `type`")?;
    match (kind.as_str(), tool.function) {
        ("function", Some(function)) => Ok(function.into_tool(tool.cache_control)),
        ("function", None) => Err("is of type `function` but has no `function`".into()),
        _ => Ok(Tool::Other { kind, raw }),
    }
}

impl<'a> WireFunction<'a> {
    fn into_tool(self, cache: Option<&'a RawValue>) -> Tool<'a> {
        let WireFunction { name, description, parameters, strict } = self;
        Tool::Function { name, description, parameters, strict, cache }
    }
}

fn tool_choice<'a>(field: &Field<'a>) -> Result<ToolChoice<'a>, BadRequest> {
    if field.json.starts_with('"') {
        let word: Text<'a> = field.read()?;
        return match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            // Mistral's word for the same.
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(field.bad(format_args!("is `{word}`, which is no choice"))),
        };
    }
    let choice: WireChoice<'a> = field.read()?;
    Ok(match choice.function.map(|f| f.name).or(choice.name) {
        Some(name) => ToolChoice::Named(name),
        None => ToolChoice::Other(field.json.into()),
    })
}

fn response_format<'a>(field: &Field<'a>) -> Result<ResponseFormat<'a>, BadRequest> {
    let format: WireFormat<'a> = field.read()?;
    match (format.kind.as_str(), format.json_schema) {
        ("text", _) => Ok(ResponseFormat::Text),
        ("json_object", _) => Ok(ResponseFormat::JsonObject),
        ("json_schema", Some(WireSchema { name, description, schema, strict })) => {
            Ok(ResponseFormat::JsonSchema { name, description, schema, strict })
        }
        ("json_schema", None) => {
            Err(field.bad("is of type `json_schema` but has no `json_schema`"))
        }
        _ => field.raw().map(ResponseFormat::Other),
    }
}

/// Whether `stream_options` ask for usage, where they are given.
pub(crate) fn include_usage(field: &Field<'_>) -> Result<Option<bool>, BadRequest> {
    let options: Option<StreamOptions> = field.optional()?;
    Ok(options.map(|options| options.include_usage.unwrap_or(false)))
}

/// The strings that end an answer: one, or a list.
pub(crate) fn stop<'a>(field: &Field<'a>) -> Result<Vec<Text<'a>>, BadRequest> {
    if field.is_null() {
        return Ok(Vec::new());
    }
    if field.json.starts_with('"') {
        return Ok(vec![field.read()?]);
    }
    field.read()
}
