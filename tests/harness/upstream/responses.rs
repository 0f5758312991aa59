//! OpenAI's Responses as a well-behaved provider sends them, whole and streamed: text only.

use std::time::Duration;

use serde_json::{Value, json};

use super::openai::{Usage, some_words, words};
use super::script::{Reply, Script, Step};

pub(super) fn responses(body: &Value, script: &Script, id: &str) -> Reply {
    let cap = body["max_output_tokens"].as_u64().unwrap_or(u64::MAX);
    let said = some_words(script.tokens.min(cap));
    let usage = Usage {
        prompt: script.prompt.unwrap_or_else(|| words(&body["input"])),
        cached: script.cached,
        completion: said.len() as u64,
        reasoning: 0,
    };
    let status = if script.tokens > cap { "incomplete" } else { "completed" };
    let response = |status: &str, text: Option<String>, used: Option<Usage>| {
        let part = |text| json!({"type": "output_text", "annotations": [], "text": text});
        let item = |text| {
            json!({"id": "msg_1", "type": "message", "status": "completed",
                "role": "assistant", "content": [part(text)]})
        };
        let why = json!({"reason": "max_output_tokens"});
        json!({"id": id, "object": "response", "created_at": 1_790_000_000, "status": status,
            "error": null, "incomplete_details": (status == "incomplete").then_some(why),
            "model": body["model"], "output": text.map(item).into_iter().collect::<Vec<_>>(),
            "service_tier": "default", "store": body["store"], "usage": used.map(block)})
    };
    let whole = response(status, Some(said.concat()), Some(usage));
    if body["stream"] != json!(true) {
        let mut reply = Reply::whole(200, "");
        let bytes = whole.to_string().into_bytes();
        reply.steps = vec![Step::Send(bytes, usage.completion, Some(usage))];
        return reply;
    }
    let begun = json!({"response": response("in_progress", None, None)});
    let mut steps = vec![event("response.created", 0, begun, 0, None)];
    let item = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": []});
    let added = json!({"output_index": 0, "item": item});
    steps.push(event("response.output_item.added", 1, added, 0, None));
    for (at, word) in said.iter().enumerate() {
        if script.pause > 0 {
            steps.push(Step::Pause(Duration::from_millis(script.pause)));
        }
        let delta =
            json!({"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": word});
        steps.push(event("response.output_text.delta", at + 2, delta, 1, None));
    }
    if script.done {
        let name = format!("response.{status}");
        steps.push(event(&name, said.len() + 2, json!({"response": whole}), 0, Some(usage)));
    }
    Reply::stream(steps)
}

fn block(usage: Usage) -> Value {
    json!({"input_tokens": usage.prompt, "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.completion, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.completion})
}

fn event(kind: &str, number: usize, mut payload: Value, tokens: u64, usage: Option<Usage>) -> Step {
    payload["type"] = json!(kind);
    payload["sequence_number"] = json!(number);
    Step::Send(format!("event: {kind}\ndata: {payload}\n\n").into_bytes(), tokens, usage)
}
