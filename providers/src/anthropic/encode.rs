//! Writes requests from the hub's words.
//!
//! The rule: what would change the meaning of the answer and has no place here is refused, naming the
//! field; what only tunes it, or only adds to what comes back, is left out and said so.

use serde_json::value::RawValue;

use super::content::{refused, write_text};
use super::{OLD_VERSION, VERSION, VERTEX_VERSION};
use crate::catalogue::{Catalogue, refusals};
use crate::dialect::Dialect;
use crate::dialect::json::{Object, array, put_str};
use crate::guard::outline;
use crate::openai::escaped;
use crate::splice::Splice;
use crate::unified::{
    BadRequest, Block, ChatRequest, Encoded, ReasoningEffort, ResponseFormat, Role, Target, Tool,
    ToolChoice,
};

/// The cap where nobody gave one: it is mandatory here.
const DEFAULT_CAP: u64 = 4_096;
/// The least tokens of thinking that can be asked for.
const LEAST_THINKING: u64 = 1_024;

/// Writes a chat request.
pub(super) fn chat(
    kind: &'static str,
    req: &ChatRequest<'_>,
    to: &Target<'_>,
) -> Result<Encoded, BadRequest> {
    if req.source.dialect == Dialect::AnthropicMessages {
        return splice(kind, req, to);
    }
    refuse(req)?;
    let mut writer = Writer { kind, req, to, dropped: Vec::new(), version: VERSION };
    let mut body = Vec::with_capacity(req.source.body.len() + 256);
    let mut top = Object::open(&mut body);
    writer.top(&mut top)?;
    top.close();
    Ok(encoded(writer.version, body, writer.dropped))
}

/// The client's own body, with model, cap and stream as the target wants them. A client that said which
/// version of the wire it speaks is to be believed before the header given here.
fn splice(kind: &str, req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
    let spans = &req.source.spans;
    let mut splice = Splice::new(&req.source);
    if req.model != to.model {
        let mut model = Vec::new();
        put_str(&mut model, to.model);
        splice.set("model", spans.model.as_ref(), model);
    }
    if let Some(cap) = to.max_output_tokens.filter(|cap| Some(*cap) != req.max_output_tokens) {
        let span = spans.output_cap.as_ref().map(|(_, span)| span);
        splice.set("max_tokens", span, cap.to_string().into_bytes());
    }
    if to.stream != req.stream {
        splice.set("stream", spans.stream.as_ref(), to.stream.to_string().into_bytes());
    }
    let (body, dropped) = match refusals::of(kind, to.model) {
        Some(rule) => rule.apply(req, splice.finish())?,
        None => (splice.finish(), Vec::new()),
    };
    let tuned = req.sampling.set().any(|(name, _)| !dropped.iter().any(|drop| drop == name));
    Ok(encoded(if tuned { OLD_VERSION } else { VERSION }, body, dropped))
}

fn encoded(version: &str, body: Vec<u8>, dropped: Vec<String>) -> Encoded {
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("anthropic-version", version.to_owned()),
    ];
    Encoded { method: "POST", path: "/messages".to_owned(), headers, body, dropped }
}

/// The same request to Vertex: the model stands in the path and the version in the body.
pub(super) fn at_vertex(encoded: Encoded, to: &Target<'_>) -> Result<Encoded, BadRequest> {
    let verb = if to.stream { "streamRawPredict" } else { "rawPredict" };
    let path = format!("/publishers/anthropic/models/{}:{verb}", escaped(to.model));
    let outline = outline(&encoded.body, usize::MAX, usize::MAX)?;
    let mut body = Vec::with_capacity(encoded.body.len() + 48);
    let mut top = Object::open(&mut body);
    top.str("anthropic_version", VERTEX_VERSION);
    let ours = ["model", "anthropic_version"];
    for member in outline.members.iter().filter(|member| !ours.contains(&member.key)) {
        let value = &outline.text[member.value.clone()];
        top.members(&format!("\"{}\":{value}", member.key));
    }
    top.close();
    let headers = vec![("content-type", "application/json".to_owned())];
    Ok(Encoded { path, body, headers, ..encoded })
}

fn refuse(req: &ChatRequest<'_>) -> Result<(), BadRequest> {
    if req.n > 1 {
        return Err(BadRequest::field("n", "`n` must be 1 for this provider"));
    }
    if let Some(i) = req.tools.iter().position(|t| matches!(t, Tool::Other { .. })) {
        let param = format!("tools[{i}]");
        let message = format!("`{param}` is of a kind that this provider does not have");
        return Err(BadRequest::field(param, message));
    }
    if matches!(req.tool_choice, Some(ToolChoice::Other(_))) {
        let message = "`tool_choice` is of a kind that this provider does not have";
        return Err(BadRequest::field("tool_choice", message));
    }
    if matches!(req.response_format, ResponseFormat::Other(_)) {
        let message = "`response_format` is of a kind that this provider does not have";
        return Err(BadRequest::field("response_format", message));
    }
    Ok(())
}

pub(super) struct Writer<'r, 'a, 't> {
    kind: &'static str,
    pub(super) req: &'r ChatRequest<'a>,
    to: &'r Target<'t>,
    dropped: Vec<String>,
    version: &'static str,
}

impl Writer<'_, '_, '_> {
    pub(super) fn drop(&mut self, what: &str) {
        if !self.dropped.iter().any(|d| d == what) {
            self.dropped.push(what.to_owned());
        }
    }

    fn top(&mut self, top: &mut Object<'_>) -> Result<(), BadRequest> {
        let (req, to) = (self.req, self.to);
        let known = Catalogue::builtin().model(self.kind, to.model);
        let cap = to.max_output_tokens.or(req.max_output_tokens);
        let cap = cap.or(known.and_then(|m| m.max_output_tokens)).unwrap_or(DEFAULT_CAP);
        top.str("model", to.model);
        top.num("max_tokens", cap);
        self.system(top)?;
        self.messages(top.key("messages"))?;
        self.tools(top);
        let forced = matches!(req.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
        let takes_temperature = known.and_then(|m| m.temperature) == Some(true);
        let thinks = self.thinking(top, cap, forced, !takes_temperature);
        self.sampling(top, takes_temperature && !thinks);
        if !req.stop.is_empty() {
            array(top.key("stop_sequences"), &req.stop, |out, stop| put_str(out, stop));
        }
        if to.stream {
            top.raw("stream", "true");
        }
        if let Some(user) = &req.user {
            let mut metadata = top.object("metadata");
            metadata.str("user_id", user);
            metadata.close();
        }
        match req.service_tier.as_deref() {
            None => {}
            Some("auto") => {
                top.str("service_tier", "auto");
            }
            Some("default") => {
                top.str("service_tier", "standard_only");
            }
            Some(_) => self.drop("service_tier"),
        }
        for (there, name) in [
            (req.logprobs, "logprobs"),
            (req.top_logprobs.is_some(), "top_logprobs"),
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

    /// Newer models refuse sampling parameters, and the newer version of the wire does for all. Models
    /// known to take them are asked in the older version, where that loses nothing.
    fn sampling(&mut self, top: &mut Object<'_>, takes: bool) {
        for (name, number) in self.req.sampling.set() {
            match name {
                "temperature" | "top_p" | "top_k" if takes => {
                    self.version = OLD_VERSION;
                    // The scale ends at 1 here.
                    let high = name == "temperature"
                        && number.as_str().parse::<f64>().is_ok_and(|t| t > 1.0);
                    top.raw(name, if high { "1" } else { number.as_str() });
                    if high {
                        self.drop("temperature above 1");
                    }
                }
                _ => self.drop(name),
            }
        }
    }

    /// Writes how to think; says whether it will.
    fn thinking(&mut self, top: &mut Object<'_>, cap: u64, forced: bool, adaptive: bool) -> bool {
        let schema = match &self.req.response_format {
            ResponseFormat::JsonSchema { schema: Some(schema), .. } => Some(*schema),
            _ => None,
        };
        let (budget, effort) = match &self.req.reasoning_effort {
            None | Some(ReasoningEffort::Off) => (None, None),
            Some(ReasoningEffort::Adaptive) => (Some(0), None),
            Some(ReasoningEffort::Budget(tokens)) => (Some(*tokens), None),
            Some(ReasoningEffort::Level(level)) => match level.as_str() {
                "none" => (None, None),
                "minimal" | "low" => (Some(2_048), Some("low")),
                "medium" => (Some(8_192), Some("medium")),
                "high" => (Some(16_384), Some("high")),
                "xhigh" | "max" => (Some(32_768), Some("max")),
                _ => {
                    self.drop("reasoning_effort");
                    (None, None)
                }
            },
        };
        let effort = effort.filter(|_| adaptive);
        if schema.is_some() || effort.is_some() {
            let mut config = top.object("output_config");
            if let Some(effort) = effort {
                config.str("effort", effort);
            }
            if let Some(schema) = schema {
                let mut format = config.object("format");
                format.str("type", "json_schema").raw("schema", schema.get());
                format.close();
            }
            config.close();
        }
        let Some(budget) = budget else { return false };
        // A choice of tool that is forced rules thinking out, and thinking must leave room to answer.
        let budget = budget.max(LEAST_THINKING).min(cap.saturating_sub(1));
        if forced || (!adaptive && budget < LEAST_THINKING) {
            self.drop("reasoning_effort");
            return false;
        }
        let mut thinking = top.object("thinking");
        if adaptive {
            thinking.str("type", "adaptive");
        } else {
            thinking.str("type", "enabled").num("budget_tokens", budget);
        }
        thinking.close();
        true
    }

    /// System prompts stand apart here, wherever they stood in the conversation.
    fn system(&mut self, top: &mut Object<'_>) -> Result<(), BadRequest> {
        let mut texts: Vec<(&str, Option<&RawValue>)> = Vec::new();
        for (i, message) in self.req.messages.iter().enumerate() {
            if !matches!(message.role, Role::System | Role::Developer) {
                continue;
            }
            for block in &message.blocks {
                let Block::Text { text, cache } = block else {
                    return Err(refused(i, "something that is no text in a system prompt"));
                };
                if !text.is_empty() {
                    texts.push((text, *cache));
                }
            }
        }
        // There is no mode for it here; being told is what is left.
        match &self.req.response_format {
            ResponseFormat::JsonObject | ResponseFormat::JsonSchema { schema: None, .. } => {
                texts.push(("Answer with one JSON object and nothing else.", None));
            }
            _ => {}
        }
        if !texts.is_empty() {
            array(top.key("system"), texts, |out, (text, cache)| write_text(out, text, cache));
        }
        Ok(())
    }

    fn tools(&mut self, top: &mut Object<'_>) {
        let req = self.req;
        if req.tools.is_empty() {
            return;
        }
        array(top.key("tools"), &req.tools, |out, tool| {
            let Tool::Function { name, description, parameters, strict, cache } = tool else {
                return;
            };
            let mut object = Object::open(out);
            object.str("name", name);
            if let Some(description) = description {
                object.str("description", description);
            }
            let none = "{\"type\":\"object\",\"properties\":{}}";
            object.raw("input_schema", parameters.map_or(none, RawValue::get));
            if *strict == Some(true) {
                object.raw("strict", "true");
            }
            if let Some(cache) = cache {
                object.raw("cache_control", cache.get());
            }
            object.close();
        });
        let alone = req.parallel_tool_calls == Some(false);
        let (kind, name) = match &req.tool_choice {
            None if !alone => return,
            None | Some(ToolChoice::Auto | ToolChoice::Other(_)) => ("auto", None),
            Some(ToolChoice::None) => ("none", None),
            Some(ToolChoice::Required) => ("any", None),
            Some(ToolChoice::Named(name)) => ("tool", Some(name)),
        };
        let mut choice = top.object("tool_choice");
        choice.str("type", kind);
        if let Some(name) = name {
            choice.str("name", name);
        }
        if alone && kind != "none" {
            choice.raw("disable_parallel_tool_use", "true");
        }
        choice.close();
    }
}
