//! Reads a request. Google reads each field under two spellings, `camelCase` and `snake_case`; so does this.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::content::{Calls, WireContent, message, system};
use crate::dialect::Dialect;
use crate::dialect::fields::{Field, indexed, members, missing, says};
use crate::dialect::json::Object;
use crate::guard::{Bounds, outline};
use crate::unified::{
    BadRequest, Block, ChatRequest, Message, ReasoningEffort, ResponseFormat, Role, Sampling,
    Source, Spans, Text, Tool, ToolChoice,
};

/// The body with the model and the manner that its address names, and with its schemas' types in the
/// spelling of JSON Schema. Those members are the address's to say: a body that has them is refused.
pub fn body(
    body: &[u8],
    bounds: &Bounds,
    model: &str,
    stream: bool,
) -> Result<Vec<u8>, BadRequest> {
    let outline = outline(body, bounds.max_depth, bounds.max_fields)?;
    let mut out = Vec::with_capacity(body.len() + model.len() + 32);
    let mut object = Object::open(&mut out);
    object.str("model", model).value("stream", &stream);
    for member in &outline.members {
        let text = &outline.text[member.value.clone()];
        match member.key {
            // The SDKs' own batch shapes repeat the model; the address decides.
            "model" if !member.escaped => {}
            "stream" => {
                return Err(BadRequest::field("stream", "`stream` is no field of this request"));
            }
            "tools" | "generationConfig" | "generation_config" if has_old_types(text) => {
                let mut value: Value = serde_json::from_str(text).map_err(|e| {
                    BadRequest::field(member.key, format!("`{}` {}", member.key, says(&e)))
                })?;
                lower_types(&mut value);
                object.value(member.key, &value);
            }
            key => {
                // The name as it was written, escapes and all.
                object.members("\"");
                object.out.extend_from_slice(key.as_bytes());
                object.out.extend_from_slice(b"\":");
                object.out.extend_from_slice(text.as_bytes());
            }
        }
    }
    object.close();
    Ok(out)
}

const OLD_TYPES: [&str; 7] = ["OBJECT", "STRING", "INTEGER", "NUMBER", "ARRAY", "BOOLEAN", "NULL"];

fn has_old_types(json: &str) -> bool {
    OLD_TYPES.iter().any(|word| json.contains(word))
}

fn lower_types(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(word) if name == "type" && OLD_TYPES.contains(&word.as_str()) => {
                        word.make_ascii_lowercase();
                    }
                    other => lower_types(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(lower_types),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[derive(Deserialize)]
struct WireTools<'a> {
    #[serde(borrow, default, rename = "functionDeclarations", alias = "function_declarations")]
    functions: Option<Vec<WireFunction<'a>>>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "parametersJsonSchema", alias = "parameters_json_schema")]
    json_schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireToolConfig<'a> {
    #[serde(borrow, default, rename = "functionCallingConfig", alias = "function_calling_config")]
    calling: Option<WireCalling<'a>>,
}

#[derive(Deserialize)]
struct WireCalling<'a> {
    #[serde(borrow, default)]
    mode: Option<Text<'a>>,
    #[serde(borrow, default, rename = "allowedFunctionNames", alias = "allowed_function_names")]
    allowed: Option<Vec<Text<'a>>>,
}

#[derive(Deserialize)]
struct WireThinking<'a> {
    #[serde(default, rename = "thinkingBudget", alias = "thinking_budget")]
    budget: Option<i64>,
    #[serde(borrow, default, rename = "thinkingLevel", alias = "thinking_level")]
    level: Option<Text<'a>>,
}

/// Reads a body as [`body`] gives it.
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
    contents: Option<Vec<Message<'a>>>,
    tools: Vec<Tool<'a>>,
    tool_choice: Option<ToolChoice<'a>>,
    json: bool,
    schema: Option<&'a RawValue>,
    cap: Option<u64>,
    n: Option<u64>,
    stop: Vec<Text<'a>>,
    stream: bool,
    sampling: Sampling<'a>,
    logprobs: bool,
    top_logprobs: Option<u32>,
    effort: Option<ReasoningEffort<'a>>,
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
            "stream" => {
                self.stream = field.read()?;
                self.spans.stream = Some(field.span);
            }
            "contents" => self.contents = Some(contents(&field)?),
            "systemInstruction" | "system_instruction" if !field.is_null() => {
                self.system = system(field.raw()?).map_err(|why| field.bad(why))?;
            }
            // A list of one may be written without the list, as everywhere in Google's JSON.
            "tools" if field.json.starts_with('{') => {
                self.tool(field.raw()?).map_err(|why| field.bad(why))?;
            }
            "tools" if !field.is_null() => field.each(|i, raw: &'a RawValue| {
                self.tool(raw).map_err(|why| indexed("tools", i, &why))
            })?,
            "toolConfig" | "tool_config" if !field.is_null() => {
                let config: WireToolConfig<'a> = field.read()?;
                if let Some(calling) = config.calling {
                    self.tool_choice = choice(&field, calling)?;
                }
            }
            "generationConfig" | "generation_config" if !field.is_null() => {
                self.config(&field, bounds)?;
            }
            "cachedContent" | "cached_content" if !field.is_null() => {
                return Err(
                    field.bad("is not supported here: it belongs to the provider's account")
                );
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

    fn tool(&mut self, raw: &'a RawValue) -> Result<(), String> {
        let wire: WireTools<'a> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
        let Some(functions) = wire.functions else {
            self.tools.push(Tool::Other { kind: "tool".into(), raw });
            return Ok(());
        };
        for WireFunction { name, description, parameters, json_schema } in functions {
            let parameters = json_schema.or(parameters).filter(|raw| raw.get() != "null");
            self.tools.push(Tool::Function {
                name,
                description,
                parameters,
                strict: None,
                cache: None,
            });
        }
        Ok(())
    }

    fn config(&mut self, config: &Field<'a>, bounds: &Bounds) -> Result<(), BadRequest> {
        if !config.json.starts_with('{') {
            return Err(config.bad("must be an object"));
        }
        members(config.json.as_bytes(), bounds, |mut field| {
            let short = field.name.clone();
            field.name = format!("{}.{short}", config.name).into();
            match short.as_str() {
                "maxOutputTokens" | "max_output_tokens" => {
                    self.cap = field.count(1, bounds.max_output_tokens)?;
                }
                "candidateCount" | "candidate_count" => {
                    self.n = field.count(1, u64::from(bounds.max_choices))?;
                }
                "stopSequences" | "stop_sequences" => {
                    self.stop = field.optional()?.unwrap_or_default();
                }
                "temperature" => self.sampling.temperature = field.number()?,
                "topP" | "top_p" => self.sampling.top_p = field.number()?,
                "topK" | "top_k" => self.sampling.top_k = field.number()?,
                "frequencyPenalty" | "frequency_penalty" => {
                    self.sampling.frequency_penalty = field.number()?;
                }
                "presencePenalty" | "presence_penalty" => {
                    self.sampling.presence_penalty = field.number()?;
                }
                "seed" => self.sampling.seed = field.number()?,
                "responseMimeType" | "response_mime_type" => {
                    let kind: Option<Text<'a>> = field.optional()?;
                    self.json = match kind.as_deref() {
                        Some("application/json") => true,
                        None | Some("text/plain" | "") => false,
                        Some(_) => return Err(field.bad("is of a kind that is not known here")),
                    };
                }
                "responseSchema"
                | "response_schema"
                | "responseJsonSchema"
                | "response_json_schema"
                | "_responseJsonSchema" => {
                    self.schema = field.optional()?;
                }
                "responseLogprobs" | "response_logprobs" => {
                    self.logprobs = field.optional()?.unwrap_or(false);
                }
                "logprobs" => {
                    self.top_logprobs = field.count(0, 20)?.and_then(|n| u32::try_from(n).ok());
                }
                "thinkingConfig" | "thinking_config" if !field.is_null() => {
                    let thinking: WireThinking<'a> = field.read()?;
                    self.effort = match (thinking.level, thinking.budget) {
                        (Some(level), _) => {
                            Some(ReasoningEffort::Level(level.to_ascii_lowercase().into()))
                        }
                        (None, Some(0)) => Some(ReasoningEffort::Off),
                        (None, Some(tokens)) => Some(
                            u64::try_from(tokens)
                                .map_or(ReasoningEffort::Adaptive, ReasoningEffort::Budget),
                        ),
                        (None, None) => None,
                    };
                }
                _ => {
                    let raw = field.raw()?;
                    if raw.get() != "null" {
                        self.rest.push((field.name, raw));
                    }
                }
            }
            Ok(())
        })
        .map(drop)
    }

    fn finish(self, body: &'a [u8]) -> Result<ChatRequest<'a>, BadRequest> {
        let model = self.model.filter(|m| !m.is_empty()).ok_or_else(|| missing("model"))?;
        let said = self.contents.filter(|m| !m.is_empty()).ok_or_else(|| missing("contents"))?;
        let mut messages = Vec::with_capacity(said.len() + 1);
        if !self.system.is_empty() {
            messages.push(Message { role: Role::System, name: None, blocks: self.system });
        }
        messages.extend(said);
        let response_format = match (self.schema, self.json) {
            // A schema has no name here where other dialects want one.
            (Some(schema), _) => ResponseFormat::JsonSchema {
                name: "output".into(),
                description: None,
                schema: Some(schema),
                strict: None,
            },
            (None, true) => ResponseFormat::JsonObject,
            (None, false) => ResponseFormat::Text,
        };
        Ok(ChatRequest {
            model,
            messages,
            tools: self.tools,
            tool_choice: self.tool_choice,
            parallel_tool_calls: None,
            response_format,
            max_output_tokens: self.cap,
            n: self.n.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            stop: self.stop,
            stream: self.stream,
            // Usage is part of this dialect's streams.
            include_usage: true,
            sampling: self.sampling,
            logprobs: self.logprobs,
            top_logprobs: self.top_logprobs,
            reasoning_effort: self.effort,
            user: None,
            service_tier: None,
            metadata: None,
            rest: self.rest,
            source: Source { dialect: Dialect::GeminiGenerateContent, body, spans: self.spans },
        })
    }
}

/// The conversation: a list of turns, one turn, or a text alone.
fn contents<'a>(field: &Field<'a>) -> Result<Vec<Message<'a>>, BadRequest> {
    let mut calls = Calls::default();
    let mut messages = Vec::new();
    if field.json.starts_with('{') {
        messages.push(message(0, field.read()?, &mut calls)?);
        return Ok(messages);
    }
    field.each(|i, wire: WireContent<'a>| {
        messages.push(message(i, wire, &mut calls)?);
        Ok(())
    })?;
    Ok(messages)
}

fn choice<'a>(
    field: &Field<'a>,
    calling: WireCalling<'a>,
) -> Result<Option<ToolChoice<'a>>, BadRequest> {
    let mut allowed = calling.allowed.unwrap_or_default();
    Ok(match calling.mode.as_deref() {
        None | Some("MODE_UNSPECIFIED" | "") => None,
        Some("AUTO" | "auto" | "VALIDATED") => Some(ToolChoice::Auto),
        Some("NONE" | "none") => Some(ToolChoice::None),
        Some("ANY" | "any") => Some(match (allowed.len(), allowed.pop()) {
            (1, Some(name)) => ToolChoice::Named(name),
            (0, _) => ToolChoice::Required,
            _ => ToolChoice::Other(field.json.into()),
        }),
        Some(other) => return Err(field.bad(format_args!("has the mode `{other}`, which is none"))),
    })
}
