//! Writes requests: the client's own body where it spoke this dialect, else from the hub's words.

use serde_json::value::RawValue;

use super::items;
use crate::catalogue::refusals;
use crate::dialect::Dialect;
use crate::dialect::json::{Object, put_str};
use crate::guard::outline;
use crate::openai::{effort_level, has_cache_marks};
use crate::splice::Splice;
use crate::unified::{BadRequest, ChatRequest, Encoded, ResponseFormat, Target, Tool, ToolChoice};

/// Tools that the provider runs without a price of their own. The others (searches, code, pictures)
/// are billed apart, at prices that are not known here.
const UNPRICED_RUNS: [&str; 4] = ["custom", "mcp", "local_shell", "apply_patch"];

/// Fields of a client's body that are between it and the gateway.
const OURS: [&str; 3] = ["store", "previous_response_id", "background"];

/// A chat request.
pub(super) fn chat(
    kind: &str,
    req: &ChatRequest<'_>,
    to: &Target<'_>,
) -> Result<Encoded, BadRequest> {
    let (body, mut dropped) = if req.source.dialect == Dialect::OpenAiResponses {
        own(req, to)?
    } else {
        refuse(req)?;
        written(req, to)?
    };
    let (body, refused) = match refusals::of(kind, to.model) {
        Some(rule) => rule.apply(req, body)?,
        None => (body, Vec::new()),
    };
    dropped.extend(refused);
    let headers = vec![("content-type", "application/json".to_owned())];
    Ok(Encoded { method: "POST", path: "/responses".to_owned(), headers, body, dropped })
}

/// The client's own body, with model, cap and stream as the target wants them, and nothing kept there.
fn own(req: &ChatRequest<'_>, to: &Target<'_>) -> Result<(Vec<u8>, Vec<String>), BadRequest> {
    for (i, tool) in req.tools.iter().enumerate() {
        if let Tool::Other { kind, .. } = tool
            && !UNPRICED_RUNS.contains(&kind.as_str())
        {
            let param = format!("tools[{i}]");
            let message = format!("`{param}` (`{kind}`) is billed apart, at no price known here");
            return Err(BadRequest::field(param, message));
        }
    }
    let spans = &req.source.spans;
    let mut splice = Splice::new(&req.source);
    if req.model != to.model {
        let mut model = Vec::new();
        put_str(&mut model, to.model);
        splice.set("model", spans.model.as_ref(), model);
    }
    if let Some(cap) = to.max_output_tokens.filter(|cap| Some(*cap) != req.max_output_tokens) {
        let span = spans.output_cap.as_ref().map(|(_, span)| span);
        splice.set("max_output_tokens", span, cap.to_string().into_bytes());
    }
    if to.stream != req.stream {
        splice.set("stream", spans.stream.as_ref(), to.stream.to_string().into_bytes());
    }
    let body = splice.finish();
    let outline = outline(&body, usize::MAX, usize::MAX)?;
    let (mut out, mut dropped) = (Vec::with_capacity(body.len() + 16), Vec::new());
    let mut top = Object::open(&mut out);
    for member in outline.members.iter().filter(|member| !OURS.contains(&member.key)) {
        let value = &outline.text[member.value.clone()];
        if member.key == "input" && value.starts_with('[') {
            unnamed(top.key("input"), value, &mut dropped)?;
        } else {
            top.members(&format!("\"{}\":{value}", member.key));
        }
    }
    top.raw("store", "false");
    top.close();
    Ok((out, dropped))
}

/// The items without their ids: the provider keeps none, and refuses one that it is to look up. For the
/// same reason thinking goes along only where it is all there.
fn unnamed(out: &mut Vec<u8>, list: &str, dropped: &mut Vec<String>) -> Result<(), BadRequest> {
    let whole = |_| BadRequest::field("input", "`input` is not valid JSON");
    let items: Vec<&RawValue> = serde_json::from_str(list).map_err(whole)?;
    out.push(b'[');
    for raw in items {
        let item = outline(raw.get().as_bytes(), usize::MAX, usize::MAX)?;
        let value = |name: &str| {
            let found = item.members.iter().find(|member| member.key == name)?;
            Some(&item.text[found.value.clone()])
        };
        let sealed = value("encrypted_content").is_some_and(|value| value != "null");
        if value("type") == Some("\"reasoning\"") && !sealed {
            if !dropped.iter().any(|name| name == "thinking") {
                dropped.push("thinking".to_owned());
            }
            continue;
        }
        if out.last() != Some(&b'[') {
            out.push(b',');
        }
        let mut object = Object::open(out);
        for member in item.members.iter().filter(|member| member.key != "id") {
            let value = &item.text[member.value.clone()];
            object.members(&format!("\"{}\":{value}", member.key));
        }
        object.close();
    }
    out.push(b']');
    Ok(())
}

fn refuse(req: &ChatRequest<'_>) -> Result<(), BadRequest> {
    let field = |name: &str, why: &str| Err(BadRequest::field(name, format!("`{name}` {why}")));
    if req.n > 1 {
        return field("n", "must be 1 for this provider");
    }
    if !req.stop.is_empty() {
        return field("stop", "has no place at this provider");
    }
    if let Some(i) = req.tools.iter().position(|tool| matches!(tool, Tool::Other { .. })) {
        return field(&format!("tools[{i}]"), "is of a kind that this provider does not have");
    }
    if matches!(req.tool_choice, Some(ToolChoice::Other(_))) {
        return field("tool_choice", "is of a kind that this provider does not have");
    }
    if matches!(req.response_format, ResponseFormat::Other(_)) {
        return field("response_format", "is of a kind that this provider does not have");
    }
    Ok(())
}

/// A request of another dialect, from the hub's words; and what has no place here.
fn written(req: &ChatRequest<'_>, to: &Target<'_>) -> Result<(Vec<u8>, Vec<String>), BadRequest> {
    let mut dropped: Vec<String> = req.rest.iter().map(|(name, _)| name.to_string()).collect();
    let gone = [
        (has_cache_marks(req), "cache_control"),
        (req.logprobs, "logprobs"),
        (req.top_logprobs.is_some(), "top_logprobs"),
    ];
    dropped.extend(gone.into_iter().filter(|(there, _)| *there).map(|(_, name)| name.to_owned()));
    let mut out = Vec::with_capacity(req.source.body.len() + 256);
    let mut top = Object::open(&mut out);
    top.str("model", to.model);
    items::write(top.key("input"), req, &mut dropped)?;
    tools(&mut top, req);
    format(&mut top, &req.response_format);
    if let Some(cap) = to.max_output_tokens.or(req.max_output_tokens) {
        top.num("max_output_tokens", cap);
    }
    for (name, number) in req.sampling.set() {
        match name {
            "temperature" | "top_p" => drop(top.raw(name, number.as_str())),
            _ => dropped.push(name.to_owned()),
        }
    }
    if let Some(level) = req.reasoning_effort.as_ref().and_then(effort_level) {
        let mut reasoning = top.object("reasoning");
        reasoning.str("effort", level);
        reasoning.close();
    }
    for (name, text) in [("user", &req.user), ("service_tier", &req.service_tier)] {
        if let Some(text) = text {
            top.str(name, text);
        }
    }
    if let Some(metadata) = req.metadata {
        top.raw("metadata", metadata.get());
    }
    if to.stream {
        top.raw("stream", "true");
    }
    top.raw("store", "false");
    top.close();
    Ok((out, dropped))
}

/// Functions keep to their schema only where they are asked to: here it would be the default.
fn tools(top: &mut Object<'_>, req: &ChatRequest<'_>) {
    if req.tools.is_empty() {
        return;
    }
    crate::dialect::json::array(top.key("tools"), &req.tools, |out, tool| {
        let Tool::Function { name, description, parameters, strict, cache: _ } = tool else {
            return;
        };
        let mut function = Object::open(out);
        function.str("type", "function").str("name", name);
        if let Some(description) = description {
            function.str("description", description);
        }
        let none = "{\"type\":\"object\",\"properties\":{}}";
        function.raw("parameters", parameters.map_or(none, RawValue::get));
        function.value("strict", &strict.unwrap_or(false));
        function.close();
    });
    if let Some(parallel) = req.parallel_tool_calls {
        top.value("parallel_tool_calls", &parallel);
    }
    let word = match &req.tool_choice {
        None | Some(ToolChoice::Other(_)) => return,
        Some(ToolChoice::Auto) => "auto",
        Some(ToolChoice::None) => "none",
        Some(ToolChoice::Required) => "required",
        Some(ToolChoice::Named(name)) => {
            let mut choice = top.object("tool_choice");
            choice.str("type", "function").str("name", name);
            choice.close();
            return;
        }
    };
    top.str("tool_choice", word);
}

fn format(top: &mut Object<'_>, format: &ResponseFormat<'_>) {
    if matches!(format, ResponseFormat::Text | ResponseFormat::Other(_)) {
        return;
    }
    let mut text = top.object("text");
    let mut inner = text.object("format");
    if let ResponseFormat::JsonSchema { name, description, schema, strict } = format {
        inner.str("type", "json_schema").str("name", name);
        if let Some(description) = description {
            inner.str("description", description);
        }
        if let Some(schema) = schema {
            inner.raw("schema", schema.get());
        }
        if let Some(strict) = strict {
            inner.value("strict", strict);
        }
    } else {
        inner.str("type", "json_object");
    }
    inner.close();
    text.close();
}
