//! Anthropic's Messages as a well-behaved provider sends them, whole and streamed.

use std::time::Duration;

use serde_json::{Value, json};

use super::openai::{Usage, by_schema, pieces, some_words, words};
use super::script::{Reply, Script, Step};

/// What the reply says, in one block.
enum Speech {
    Text(Vec<String>),
    /// The tool's name and the pieces of its arguments.
    Tool(String, Vec<String>),
}

struct Call<'a> {
    body: &'a Value,
    script: &'a Script,
    id: &'a str,
    speech: Speech,
    stop: &'static str,
    usage: Usage,
}

pub(super) fn messages(body: &Value, script: &Script, id: &str) -> Reply {
    let (speech, stop) = speech(body, script);
    let prompt = script.prompt.unwrap_or_else(|| words(&body["messages"]) + words(&body["system"]));
    let completion = speech.pieces().len() as u64;
    let usage = Usage { prompt, cached: script.cached, completion, reasoning: 0 };
    let call = Call { body, script, id, speech, stop, usage };
    match body["stream"].as_bool() {
        Some(true) => call.stream(),
        _ => call.whole(),
    }
}

fn speech(body: &Value, script: &Script) -> (Speech, &'static str) {
    if let Some(tool) = wanted_tool(body) {
        let arguments = by_schema(&tool["input_schema"]).to_string();
        let name = tool["name"].as_str().unwrap_or_default().to_owned();
        return (Speech::Tool(name, pieces(&arguments)), "tool_use");
    }
    let schema = &body["output_config"]["format"]["schema"];
    if schema.is_object() {
        return (Speech::Text(pieces(&by_schema(schema).to_string())), "end_turn");
    }
    let cap = body["max_tokens"].as_u64().unwrap_or(u64::MAX);
    let stop = if script.tokens > cap { "max_tokens" } else { "end_turn" };
    (Speech::Text(some_words(script.tokens.min(cap))), stop)
}

fn wanted_tool(body: &Value) -> Option<&Value> {
    let tools = body["tools"].as_array()?;
    if body["tool_choice"]["type"] == "none" {
        return None;
    }
    let named = &body["tool_choice"]["name"];
    tools.iter().find(|tool| &tool["name"] == named).or(tools.first())
}

impl Speech {
    fn pieces(&self) -> &[String] {
        match self {
            Speech::Text(pieces) | Speech::Tool(_, pieces) => pieces,
        }
    }

    fn block(&self) -> Value {
        match self {
            Speech::Text(pieces) => json!({"type": "text", "text": pieces.concat()}),
            Speech::Tool(name, pieces) => {
                let input: Value = serde_json::from_str(&pieces.concat()).unwrap();
                json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": input})
            }
        }
    }

    fn begun(&self) -> Value {
        match self {
            Speech::Text(_) => json!({"type": "text", "text": ""}),
            Speech::Tool(name, _) => {
                json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {}})
            }
        }
    }

    fn delta(&self, piece: &str) -> Value {
        match self {
            Speech::Text(_) => json!({"type": "text_delta", "text": piece}),
            Speech::Tool(..) => json!({"type": "input_json_delta", "partial_json": piece}),
        }
    }
}

impl Call<'_> {
    fn whole(&self) -> Reply {
        let mut message = self.message(self.usage.completion);
        message["content"] = json!([self.speech.block()]);
        message["stop_reason"] = json!(self.stop);
        let mut reply = Reply::whole(200, "");
        let bytes = message.to_string().into_bytes();
        reply.steps = vec![Step::Send(bytes, self.usage.completion, Some(self.usage))];
        reply
    }

    fn stream(&self) -> Reply {
        let start = json!({"type": "message_start", "message": self.message(1)});
        let begun = self.speech.begun();
        let block = json!({"type": "content_block_start", "index": 0, "content_block": begun});
        let mut steps = vec![event(&start, 0, None), event(&block, 0, None)];
        steps.push(event(&json!({"type": "ping"}), 0, None));
        for (at, piece) in self.speech.pieces().iter().enumerate() {
            if self.script.error_after == Some(at as u64) {
                let error = json!({"type": "overloaded_error", "message": "Overloaded"});
                steps.push(event(&json!({"type": "error", "error": error}), 0, None));
                return Reply::stream(steps);
            }
            if self.script.pause > 0 {
                steps.push(Step::Pause(Duration::from_millis(self.script.pause)));
            }
            let delta = self.speech.delta(piece);
            let delta = json!({"type": "content_block_delta", "index": 0, "delta": delta});
            steps.push(event(&delta, 1, None));
        }
        if self.script.finish {
            steps.push(event(&json!({"type": "content_block_stop", "index": 0}), 0, None));
            let last = json!({"type": "message_delta",
                "delta": {"stop_reason": self.stop, "stop_sequence": null},
                "usage": {"output_tokens": self.usage.completion}});
            steps.push(event(&last, 0, Some(self.usage)));
        }
        if self.script.done {
            steps.push(event(&json!({"type": "message_stop"}), 0, None));
        }
        Reply::stream(steps)
    }

    fn message(&self, output: u64) -> Value {
        json!({"id": self.id, "type": "message", "role": "assistant", "model": self.body["model"],
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": block(self.usage, output)})
    }
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
