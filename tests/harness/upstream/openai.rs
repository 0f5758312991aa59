//! OpenAI's chat, embeddings and models as a well-behaved provider sends them.
//!
//! One word is one token, in what is produced and in what is reported, so a reported prompt is
//! never more than an exact count of the same text.

use serde_json::{Value, json};

use super::script::{Reply, Script, Step};
use std::time::Duration;

/// What a reply reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    /// Of the prompt.
    pub(crate) cached: u64,
    pub(crate) completion: u64,
    /// Of the completion.
    pub(crate) reasoning: u64,
}

const CREATED: u64 = 1_790_000_000;
const WORDS: [&str; 8] = [" the", " of", " and", " to", " in", " is", " for", " that"];

/// What one choice says.
enum Speech {
    Content(Vec<String>),
    Refusal(Vec<String>),
    /// The function's name and the pieces of its arguments.
    Tool(String, Vec<String>),
}

pub(super) fn chat(body: &Value, script: &Script, id: &str) -> Reply {
    let choices = body["n"].as_u64().unwrap_or(1);
    let (speech, finish) = speech(body, script);
    let usage = Usage {
        prompt: script.prompt.unwrap_or_else(|| words(&body["messages"])),
        cached: script.cached,
        completion: choices * (speech.tokens() + script.reasoning),
        reasoning: choices * script.reasoning,
    };
    let call = Call { body, script, id, choices, speech, finish, usage };
    match body["stream"].as_bool() {
        Some(true) => call.stream(),
        _ => call.whole(),
    }
}

struct Call<'a> {
    body: &'a Value,
    script: &'a Script,
    id: &'a str,
    choices: u64,
    speech: Speech,
    finish: &'a str,
    usage: Usage,
}

impl Call<'_> {
    fn block(&self) -> Value {
        let mut block = self.usage.block();
        if let Ok(cost) = serde_json::from_str(&self.script.cost) {
            block["cost"] = cost;
        }
        block
    }

    fn whole(&self) -> Reply {
        if let Some(after) = self.script.error_after {
            let text = format!("The model broke after {after} tokens.");
            return Reply::whole(200, &error(&text, "server_error").to_string());
        }
        let choices: Vec<Value> = (0..self.choices).map(|index| self.choice(index)).collect();
        let mut reply = json!({
            "id": self.id, "object": "chat.completion", "created": CREATED,
            "model": self.body["model"], "choices": choices, "service_tier": self.tier(),
        });
        let (usage, reported) = self.usage_block();
        if let Some(usage) = usage {
            reply["usage"] = usage;
        }
        let mut whole = Reply::whole(200, "");
        let tokens = self.usage.completion;
        whole.steps = vec![Step::Send(reply.to_string().into_bytes(), tokens, reported)];
        whole
    }

    fn choice(&self, index: u64) -> Value {
        let message = match &self.speech {
            Speech::Content(pieces) => {
                json!({"role": "assistant", "content": pieces.concat(), "refusal": null})
            }
            Speech::Refusal(pieces) => {
                json!({"role": "assistant", "content": null, "refusal": pieces.concat()})
            }
            Speech::Tool(name, pieces) => json!({
                "role": "assistant", "content": null, "refusal": null,
                "tool_calls": [{"id": "call_1", "type": "function",
                    "function": {"name": name, "arguments": pieces.concat()}}],
            }),
        };
        json!({"index": index, "message": message, "finish_reason": self.finish,
            "logprobs": self.logprobs(self.speech.pieces())})
    }

    fn stream(&self) -> Reply {
        let mut steps = Vec::new();
        for index in 0..self.choices {
            steps.push(self.frame(index, &json!({"role": "assistant", "content": ""}), None, 0));
        }
        if self.script.flood > 0 {
            steps.push(Step::text("data: "));
            steps.push(Step::Flood(self.script.flood));
        }
        for (at, piece) in self.speech.pieces().iter().enumerate() {
            if self.script.error_after == Some(at as u64) {
                steps.push(data(&error("The model broke.", "server_error"), 0, None));
                return Reply::stream(steps);
            }
            if self.script.pause > 0 {
                steps.push(Step::Pause(Duration::from_millis(self.script.pause)));
            }
            for index in 0..self.choices {
                let logprobs = self.logprobs(std::slice::from_ref(piece));
                steps.push(self.frame(index, &self.delta(at, piece), Some(logprobs), 1));
            }
        }
        if self.script.finish {
            steps.extend((0..self.choices).map(|index| self.last_frame(index)));
        }
        self.usage_frames(&mut steps);
        if self.script.done {
            steps.push(Step::text("data: [DONE]\n\n"));
        }
        Reply::stream(steps)
    }

    fn tier(&self) -> &str {
        if self.script.tier.is_empty() { "default" } else { &self.script.tier }
    }

    fn delta(&self, at: usize, piece: &str) -> Value {
        match &self.speech {
            Speech::Content(_) => json!({"content": piece}),
            Speech::Refusal(_) => json!({"refusal": piece}),
            Speech::Tool(name, _) if at == 0 => json!({"tool_calls": [{"index": 0, "id": "call_1",
                "type": "function", "function": {"name": name, "arguments": piece}}]}),
            Speech::Tool(..) => {
                json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
            }
        }
    }

    fn frame(&self, index: u64, delta: &Value, logprobs: Option<Value>, tokens: u64) -> Step {
        let logprobs = logprobs.unwrap_or_default();
        let choice = json!({"index": index, "delta": delta, "logprobs": logprobs,
            "finish_reason": null});
        data(&self.chunk(&json!([choice])), tokens, None)
    }

    fn last_frame(&self, index: u64) -> Step {
        let choice = json!({"index": index, "delta": {}, "logprobs": null,
            "finish_reason": self.finish});
        data(&self.chunk(&json!([choice])), 0, None)
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({"id": self.id, "object": "chat.completion.chunk", "created": CREATED,
            "model": self.body["model"], "service_tier": self.tier(), "choices": choices})
    }

    /// The usage chunk, where it was asked for: as it should be, or as the script spoils it.
    fn usage_frames(&self, steps: &mut Vec<Step>) {
        if self.body["stream_options"]["include_usage"] != json!(true) {
            return;
        }
        let mut send = |block: Value, reported: Option<Usage>| {
            let mut chunk = self.chunk(&json!([]));
            chunk["usage"] = block;
            steps.push(data(&chunk, 0, reported));
        };
        let (right, reported) = self.usage_block();
        let less = Usage { completion: self.usage.completion / 2, ..self.usage };
        match (self.script.usage.as_str(), right) {
            ("twice", Some(right)) => {
                send(less.block(), Some(less));
                send(right, reported);
            }
            ("decreasing", Some(right)) => {
                send(right, reported);
                send(less.block(), reported);
            }
            (_, Some(right)) => send(right, reported),
            (_, None) => {}
        }
    }

    /// The block as written, and what it truly reports.
    fn usage_block(&self) -> (Option<Value>, Option<Usage>) {
        let mut block = self.block();
        match self.script.usage.as_str() {
            "missing" => return (None, None),
            "null" => return (Some(Value::Null), None),
            "huge" => block["completion_tokens"] = json!(u64::MAX),
            "negative" => block["completion_tokens"] = json!(-5),
            _ => return (Some(block), Some(self.usage)),
        }
        (Some(block), None)
    }

    fn logprobs(&self, pieces: &[String]) -> Value {
        if self.body["logprobs"] != json!(true) {
            return Value::Null;
        }
        let one = |piece: &String| {
            let bytes = piece.as_bytes();
            json!({"token": piece, "logprob": -0.25, "bytes": bytes,
                "top_logprobs": [{"token": piece, "logprob": -0.25, "bytes": bytes}]})
        };
        json!({"content": pieces.iter().map(one).collect::<Vec<_>>(), "refusal": null})
    }
}

impl Speech {
    fn pieces(&self) -> &[String] {
        match self {
            Speech::Content(pieces) | Speech::Refusal(pieces) | Speech::Tool(_, pieces) => pieces,
        }
    }

    fn tokens(&self) -> u64 {
        self.pieces().len() as u64
    }
}

impl Usage {
    fn block(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt, "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
        })
    }
}

/// What a choice says, and why it stops.
fn speech(body: &Value, script: &Script) -> (Speech, &'static str) {
    if let Some(function) = wanted_function(body) {
        let arguments = by_schema(&function["parameters"]).to_string();
        let name = function["name"].as_str().unwrap_or_default().to_owned();
        return (Speech::Tool(name, pieces(&arguments)), "tool_calls");
    }
    if script.refuse {
        return (Speech::Refusal(pieces("I cannot help with that.")), "stop");
    }
    let schema = &body["response_format"]["json_schema"]["schema"];
    if schema.is_object() {
        return (Speech::Content(pieces(&by_schema(schema).to_string())), "stop");
    }
    let cap = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64());
    let tokens = script.tokens.min(cap.unwrap_or(u64::MAX));
    let finish = if tokens < script.tokens { "length" } else { "stop" };
    (Speech::Content(some_words(tokens)), finish)
}

fn wanted_function(body: &Value) -> Option<&Value> {
    let tools = body["tools"].as_array()?;
    if body["tool_choice"] == "none" {
        return None;
    }
    let named = &body["tool_choice"]["function"]["name"];
    let found = tools.iter().find(|tool| &tool["function"]["name"] == named);
    Some(&found.or(tools.first())?["function"])
}

/// The smallest sensible value of a JSON schema.
pub(super) fn by_schema(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object().cloned().unwrap_or_default();
            fields.into_iter().map(|(name, field)| (name, by_schema(&field))).collect()
        }
        Some("array") => json!([by_schema(&schema["items"])]),
        Some("integer") => json!(7),
        Some("number") => json!(7.5),
        Some("boolean") => json!(true),
        _ => json!("Paris"),
    }
}

pub(super) fn some_words(count: u64) -> Vec<String> {
    (0..count).map(|at| WORDS[at as usize % WORDS.len()].to_owned()).collect()
}

pub(super) fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(4).map(|piece| piece.iter().collect()).collect()
}

/// The words in every string below, at least one.
pub(super) fn words(value: &Value) -> u64 {
    fn count(value: &Value) -> u64 {
        match value {
            Value::String(text) => text.split_whitespace().count() as u64,
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(fields) => {
                let texts =
                    fields.iter().filter(|(name, _)| matches!(name.as_str(), "content" | "text"));
                texts.map(|(_, value)| count(value)).sum()
            }
            _ => 0,
        }
    }
    count(value).max(1)
}

fn data(payload: &Value, tokens: u64, usage: Option<Usage>) -> Step {
    Step::Send(format!("data: {payload}\n\n").into_bytes(), tokens, usage)
}

/// Text completions, last first; a prompt says by `item=N` how many words come of it.
pub(super) fn completions(body: &Value, script: &Script) -> Reply {
    let prompts: Vec<&str> = match &body["prompt"] {
        Value::Array(prompts) => prompts.iter().filter_map(Value::as_str).collect(),
        prompt => prompt.as_str().into_iter().collect(),
    };
    if prompts.iter().any(|prompt| prompt.contains("poison")) {
        return refuse(400, script);
    }
    let most = body["max_tokens"].as_u64().unwrap_or(16) as usize;
    let (mut choices, mut usage) =
        (Vec::new(), Usage { cached: script.cached, ..Usage::default() });
    for (index, prompt) in prompts.iter().enumerate().rev() {
        let said = prompt.split("item=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let item: usize = said.and_then(|said| said.parse().ok()).unwrap_or(index);
        let words = (item % 7 + 1).min(most);
        let finish = if words == most { "length" } else { "stop" };
        let text = WORDS.iter().cycle().skip(item).take(words).copied().collect::<String>();
        choices
            .push(json!({"text": text, "index": index, "logprobs": null, "finish_reason": finish}));
        usage.prompt += prompt.split_whitespace().count() as u64;
        usage.completion += words as u64;
    }
    let reply = json!({"id": "cmpl-1", "object": "text_completion", "created": CREATED,
        "model": body["model"], "choices": choices, "usage": usage.block()});
    let mut whole = Reply::whole(200, "");
    whole.steps = vec![Step::Send(reply.to_string().into_bytes(), usage.completion, Some(usage))];
    whole
}

pub(super) fn embeddings(body: &Value, script: &Script) -> Reply {
    let input = &body["input"];
    let many = input.as_array().is_some_and(|items| !items.iter().all(Value::is_number));
    let inputs: Vec<&Value> = match input.as_array() {
        Some(items) if many => items.iter().collect(),
        _ => vec![input],
    };
    let says = |input: &Value, word: &str| input.as_str().is_some_and(|text| text.contains(word));
    if inputs.iter().any(|input| says(input, "poison")) {
        return refuse(400, script);
    }
    let count = |input: &Value| match input {
        Value::String(text) => text.split_whitespace().count().max(1) as u64,
        Value::Array(tokens) => tokens.len() as u64,
        _ => 1,
    };
    let tokens: u64 =
        script.prompt.unwrap_or_else(|| inputs.iter().map(|input| count(input)).sum());
    let dimensions = body["dimensions"].as_u64().unwrap_or(8);
    let row = |(index, input): (usize, &&Value)| {
        // A text may say which number its vector is made of; else it is its place.
        let said = input.as_str().and_then(|text| text.split("item=").nth(1));
        let said = said.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        let of: usize = said.unwrap_or(index);
        let floats: Vec<f32> =
            (0..dimensions).map(|at| (at as f32 + 1.0) / 8.0 + of as f32).collect();
        let embedding = match body["encoding_format"].as_str() {
            Some("base64") => json!(base64(&floats)),
            _ => json!(floats),
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let rows: Vec<Value> = inputs.iter().enumerate().map(row).collect();
    let reply = json!({"object": "list", "data": rows, "model": body["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens}});
    let usage = Usage { prompt: tokens, ..Usage::default() };
    let mut whole = Reply::whole(200, "");
    whole.steps = vec![Step::Send(reply.to_string().into_bytes(), 0, Some(usage))];
    whole
}

fn base64(floats: &[f32]) -> String {
    use base64::Engine as _;
    let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(super) fn models() -> Reply {
    let model =
        |id: &str| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "up"});
    let list = json!({"object": "list", "data": [model("small"), model("large")]});
    Reply::whole(200, &list.to_string())
}

pub(super) fn refuse(status: u16, script: &Script) -> Reply {
    let kind = match status {
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let body = error(&format!("The provider answers {status}."), kind);
    let mut reply = Reply::whole(status, &body.to_string());
    if let Some(value) = &script.retry_after {
        reply = reply.with_header("retry-after", value);
    }
    if let Some(value) = &script.retry_after_ms {
        reply = reply.with_header("retry-after-ms", value);
    }
    reply
}

fn error(message: &str, kind: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
}
