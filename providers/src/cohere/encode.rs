//! Writes requests from the hub's words. Messages and tools look as they do on OpenAI's wire.

use crate::dialect::json::{Object, array, put_str};
use crate::openai::{write_messages, write_tools};
use crate::unified::{
    BadRequest, ChatRequest, Encoded, ReasoningEffort, ResponseFormat, Target, ToolChoice,
};

/// Writes a chat request.
pub(super) fn chat(req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
    if req.n > 1 {
        return Err(BadRequest::field("n", "`n` must be 1 for this provider"));
    }
    let mut dropped: Vec<String> = Vec::new();
    let mut body = Vec::with_capacity(req.source.body.len() + 256);
    let mut top = Object::open(&mut body);
    top.str("model", to.model);
    write_messages(top.key("messages"), req, &mut dropped)?;
    write_tools(&mut top, &req.tools)?;
    match &req.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) => {
            top.str("tool_choice", "NONE");
        }
        Some(ToolChoice::Required) => {
            top.str("tool_choice", "REQUIRED");
        }
        Some(ToolChoice::Named(_) | ToolChoice::Other(_)) => {
            let message = "`tool_choice` cannot name a tool for this provider";
            return Err(BadRequest::field("tool_choice", message));
        }
    }
    match &req.response_format {
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject | ResponseFormat::JsonSchema { schema: None, .. } => {
            top.raw("response_format", "{\"type\":\"json_object\"}");
        }
        ResponseFormat::JsonSchema { schema: Some(schema), .. } => {
            let mut format = top.object("response_format");
            format.str("type", "json_object").raw("json_schema", schema.get());
            format.close();
        }
        ResponseFormat::Other(_) => {
            let message = "`response_format` is of a kind that this provider does not have";
            return Err(BadRequest::field("response_format", message));
        }
    }
    tuning(&mut top, req, to, &mut dropped);
    top.close();
    let headers = vec![("content-type", "application/json".to_owned())];
    Ok(Encoded { method: "POST", path: "/chat".to_owned(), headers, body, dropped })
}

fn tuning(top: &mut Object<'_>, req: &ChatRequest<'_>, to: &Target<'_>, dropped: &mut Vec<String>) {
    if let Some(cap) = to.max_output_tokens.or(req.max_output_tokens) {
        top.num("max_tokens", cap);
    }
    for (name, number) in req.sampling.set() {
        let name = match name {
            "top_p" => "p",
            "top_k" => "k",
            other => other,
        };
        top.raw(name, number.as_str());
    }
    if !req.stop.is_empty() {
        array(top.key("stop_sequences"), &req.stop, |out, stop| put_str(out, stop));
    }
    if req.logprobs {
        top.raw("logprobs", "true");
    }
    if to.stream {
        top.raw("stream", "true");
    }
    match &req.reasoning_effort {
        None | Some(ReasoningEffort::Adaptive) => {}
        Some(ReasoningEffort::Off) => {
            top.raw("thinking", "{\"type\":\"disabled\"}");
        }
        Some(ReasoningEffort::Budget(tokens)) => {
            let mut thinking = top.object("thinking");
            thinking.str("type", "enabled").num("token_budget", *tokens);
            thinking.close();
        }
        Some(ReasoningEffort::Level(_)) => dropped.push("reasoning_effort".to_owned()),
    }
    for (there, name) in [
        (req.top_logprobs.is_some(), "top_logprobs"),
        (req.parallel_tool_calls.is_some(), "parallel_tool_calls"),
        (req.user.is_some(), "user"),
        (req.service_tier.is_some(), "service_tier"),
        (req.metadata.is_some(), "metadata"),
    ] {
        if there {
            dropped.push(name.to_owned());
        }
    }
    dropped.extend(req.rest.iter().map(|(name, _)| name.to_string()));
}
