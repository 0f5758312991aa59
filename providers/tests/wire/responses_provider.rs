//! What is written for a provider of OpenAI's Responses, and that nothing is left there.

use serde_json::{Value, json};
use tollgate_providers::{BadRequest, Bounds, Dialect, Encoded, Target, provider};

fn encode(dialect: Dialect, body: &Value) -> Result<Encoded, BadRequest> {
    let body = body.to_string();
    let req = dialect.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
    let to = Target { model: "gpt-4.1", max_output_tokens: Some(40), stream: true };
    provider("openai_responses").unwrap().encode_chat(&req, &to)
}

fn sent(dialect: Dialect, body: &Value) -> (Value, Vec<String>) {
    let Encoded { path, body, dropped, .. } = encode(dialect, body).unwrap();
    assert_eq!(path, "/responses");
    (serde_json::from_slice(&body).unwrap(), dropped)
}

#[test]
fn a_body_of_the_same_dialect_keeps_its_members_and_leaves_nothing_at_the_provider() {
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"});
    let body = json!({"model": "m", "stream": false, "store": true, "previous_response_id": "resp_1",
        "input": [{"type": "message", "id": "msg_1", "role": "user", "content": "a"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "x"}, call,
            {"type": "function_call_output", "call_id": "c", "output": "1"}],
        "tools": [{"type": "custom", "name": "t"}], "truncation": "auto", "text": {"verbosity": "low"}});
    let (body, dropped) = sent(Dialect::OpenAiResponses, &body);
    assert_eq!(
        body,
        json!({"model": "gpt-4.1", "stream": true, "store": false, "max_output_tokens": 40,
            "input": [{"type": "message", "role": "user", "content": "a"},
                {"type": "reasoning", "summary": [], "encrypted_content": "x"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "1"}],
            "tools": [{"type": "custom", "name": "t"}], "truncation": "auto", "text": {"verbosity": "low"}})
    );
    assert_eq!(dropped, ["thinking"]);
}

#[test]
fn a_chat_is_written_as_items_and_what_has_no_place_is_named() {
    let schema = json!({"type": "object"});
    let body = json!({"model": "m", "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}]},
            {"role": "assistant", "content": "b", "tool_calls": [{"id": "c", "type": "function",
                "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "1"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": true}},
        "reasoning_effort": "low", "temperature": 0.50, "seed": 7, "logprobs": true, "user": "u"});
    let (body, dropped) = sent(Dialect::OpenAiChat, &body);
    assert_eq!(
        body,
        json!({"model": "gpt-4.1", "stream": true, "store": false, "max_output_tokens": 40,
            "input": [
                {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "s"}]},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"},
                    {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":1}"},
                {"type": "function_call_output", "call_id": "c", "output": "1"}],
            "tools": [{"type": "function", "name": "f", "parameters": schema, "strict": false}],
            "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": false,
            "text": {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": true}},
            "reasoning": {"effort": "low"}, "temperature": 0.5, "user": "u"})
    );
    assert_eq!(dropped, ["logprobs", "seed"]);
}

#[test]
fn what_would_change_the_answer_or_has_no_price_is_refused_by_its_field() {
    let chat = |more: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        encode(Dialect::OpenAiChat, &body).unwrap_err().param.unwrap()
    };
    assert_eq!(chat(json!({"stop": "X"})), "stop");
    assert_eq!(chat(json!({"n": 2})), "n");
    let sound = json!({"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}});
    assert_eq!(
        chat(json!({"messages": [{"role": "user", "content": [sound]}]})),
        "messages[0].content"
    );
    for kind in ["web_search", "code_interpreter", "image_generation", "file_search"] {
        let body = json!({"model": "m", "input": "a", "tools": [{"type": kind}]});
        let bad = encode(Dialect::OpenAiResponses, &body).unwrap_err();
        assert_eq!(bad.param.as_deref(), Some("tools[0]"), "{kind}");
    }
}
