//! Anthropic's Messages as a well-behaved provider sends them, whole and streamed.

use std::time::Duration;

use serde_json::{Value, json};

use super::openai::{Usage, some_words, words};
use super::script::{Reply, Script, Step};

pub(super) fn messages(body: &Value, script: &Script, id: &str) -> Reply {
    let cap = body["max_tokens"].as_u64().unwrap_or(u64::MAX);
    let pieces = some_words(script.tokens.min(cap));
    let stop = if script.tokens > cap { "max_tokens" } else { "end_turn" };
    let prompt = script.prompt.unwrap_or_else(|| words(&body["messages"]) + words(&body["system"]));
    let completion = pieces.len() as u64;
    let usage = Usage { prompt, cached: script.cached, completion, reasoning: 0 };
    match body["stream"].as_bool() {
        Some(true) => stream(body, script, id, &pieces, stop, usage),
        _ => whole(body, id, &pieces, stop, usage),
    }
}

fn whole(body: &Value, id: &str, pieces: &[String], stop: &str, usage: Usage) -> Reply {
    let message = json!({
        "id": id, "type": "message", "role": "assistant", "model": body["model"],
        "content": [{"type": "text", "text": pieces.concat()}],
        "stop_reason": stop, "stop_sequence": null, "usage": block(usage, usage.completion),
    });
    let mut reply = Reply::whole(200, "");
    let bytes = message.to_string().into_bytes();
    reply.steps = vec![Step::Send(bytes, usage.completion, Some(usage))];
    reply
}

fn stream(
    body: &Value,
    script: &Script,
    id: &str,
    pieces: &[String],
    stop: &str,
    usage: Usage,
) -> Reply {
    let start = json!({"type": "message_start", "message": {
        "id": id, "type": "message", "role": "assistant", "model": body["model"], "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": block(usage, 1),
    }});
    let mut steps = vec![event(&start, 0, None)];
    steps.push(event(
        &json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}}),
        0,
        None,
    ));
    steps.push(event(&json!({"type": "ping"}), 0, None));
    for (at, piece) in pieces.iter().enumerate() {
        if script.error_after == Some(at as u64) {
            let error = json!({"type": "overloaded_error", "message": "Overloaded"});
            steps.push(event(&json!({"type": "error", "error": error}), 0, None));
            return Reply::stream(steps);
        }
        if script.pause > 0 {
            steps.push(Step::Pause(Duration::from_millis(script.pause)));
        }
        let delta = json!({"type": "text_delta", "text": piece});
        let delta = json!({"type": "content_block_delta", "index": 0, "delta": delta});
        steps.push(event(&delta, 1, None));
    }
    steps.push(event(&json!({"type": "content_block_stop", "index": 0}), 0, None));
    let last = json!({"type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": null},
        "usage": {"output_tokens": usage.completion}});
    steps.push(event(&last, 0, Some(usage)));
    if script.done {
        steps.push(event(&json!({"type": "message_stop"}), 0, None));
    }
    Reply::stream(steps)
}

/// Anthropic's input leaves out what was read from the cache.
fn block(usage: Usage, output: u64) -> Value {
    json!({"input_tokens": usage.prompt - usage.cached, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached, "output_tokens": output,
        "service_tier": "standard"})
}

fn event(payload: &Value, tokens: u64, usage: Option<Usage>) -> Step {
    let name = payload["type"].as_str().unwrap_or_default();
    Step::Send(format!("event: {name}\ndata: {payload}\n\n").into_bytes(), tokens, usage)
}

pub(super) fn refuse(status: u16, script: &Script) -> Reply {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let message = format!("The provider answers {status}.");
    let body = json!({"type": "error", "error": {"type": kind, "message": message}});
    let mut reply = Reply::whole(status, &body.to_string());
    if let Some(value) = &script.retry_after {
        reply = reply.with_header("retry-after", value);
    }
    reply
}
