//! Chat requests in OpenAI's words as Anthropic reads them.

use serde_json::{Value, json};
use tollgate_providers::{BadRequest, Bounds, Dialect, Encoded, Target, provider};

fn encode_for(model: &str, body: &Value) -> Result<Encoded, BadRequest> {
    let mut body = body.clone();
    body["model"] = json!("asked");
    if body["messages"].is_null() {
        body["messages"] = json!([{"role": "user", "content": "hi"}]);
    }
    let text = body.to_string();
    let req = Dialect::OpenAiChat.decode_chat(text.as_bytes(), &Bounds::default()).unwrap();
    let to = Target { model, max_output_tokens: None, stream: req.stream };
    provider("anthropic").unwrap().encode_chat(&req, &to)
}

fn sent(body: &Value) -> (Value, Vec<String>) {
    let encoded = encode_for("claude-new", body).unwrap();
    (serde_json::from_slice(&encoded.body).unwrap(), encoded.dropped)
}

#[test]
fn a_conversation_keeps_its_meaning() {
    let (body, dropped) = sent(&json!({
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "developer", "content": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": [{"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}}]},
            {"role": "assistant", "content": "calling", "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                {"id": "t2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "t1", "content": "one"},
            {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "go on"}],
        "max_tokens": 50, "stop": "END", "stream": true, "user": "u1"}));
    assert_eq!(
        body,
        json!({
        "model": "claude-new", "max_tokens": 50,
        "system": [{"type": "text", "text": "be brief"},
            {"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}, "title": "a.pdf"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "calling"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "g", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "one"}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "two"}]},
                {"type": "text", "text": "go on"}]}],
        "stop_sequences": ["END"], "stream": true, "metadata": {"user_id": "u1"}})
    );
    assert!(dropped.is_empty(), "{dropped:?}");
}

#[test]
fn tools_and_their_choice_are_carried() {
    let tools = json!([{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
        "parameters": {"type": "object"}}}, {"type": "function", "function": {"name": "g"}}]);
    let (body, _) = sent(&json!({"tools": tools}));
    assert_eq!(
        body["tools"],
        json!([
        {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": true},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}}])
    );
    assert!(body["tool_choice"].is_null());
    let named = json!({"type": "function", "function": {"name": "f"}});
    for (choice, parallel, expected) in [
        (json!("auto"), json!(null), json!({"type": "auto"})),
        (json!("none"), json!(false), json!({"type": "none"})),
        (
            json!("required"),
            json!(false),
            json!({"type": "any", "disable_parallel_tool_use": true}),
        ),
        (named, json!(true), json!({"type": "tool", "name": "f"})),
        (json!(null), json!(false), json!({"type": "auto", "disable_parallel_tool_use": true})),
    ] {
        let (body, _) =
            sent(&json!({"tools": tools, "tool_choice": choice, "parallel_tool_calls": parallel}));
        assert_eq!(body["tool_choice"], expected);
    }
}

#[test]
fn structured_outputs_are_asked_for_natively_or_in_words() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let (body, _) = sent(
        &json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}),
    );
    assert_eq!(body["output_config"], json!({"format": {"type": "json_schema", "schema": schema}}));
    let (body, _) = sent(&json!({"response_format": {"type": "json_object"}}));
    assert!(body["system"][0]["text"].as_str().unwrap().contains("JSON object"));
}

#[test]
fn sampling_goes_where_the_model_takes_it_and_is_reported_where_not() {
    let body = json!({"temperature": 1.5, "top_p": 0.50, "seed": 3, "frequency_penalty": 1});
    let new = encode_for("claude-new", &body).unwrap();
    assert_eq!(new.dropped, ["temperature", "top_p", "frequency_penalty", "seed"]);
    assert!(new.headers.contains(&("anthropic-version", "2026-10-21".into())));
    let old = encode_for("claude-sonnet-4-5", &body).unwrap();
    assert!(old.headers.contains(&("anthropic-version", "2023-06-01".into())));
    let text = String::from_utf8(old.body).unwrap();
    assert!(text.contains(r#""temperature":1,"top_p":0.5"#), "{text}");
    assert_eq!(old.dropped, ["temperature above 1", "frequency_penalty", "seed"]);
    let unsaid = encode_for("claude-sonnet-4-5", &json!({})).unwrap();
    assert!(unsaid.headers.contains(&("anthropic-version", "2026-10-21".into())));
}

#[test]
fn thinking_is_asked_for_as_the_model_knows_it() {
    let body = json!({"reasoning_effort": "high", "max_tokens": 9000});
    let (new, _) = sent(&body);
    assert_eq!(
        (&new["thinking"], &new["output_config"]),
        (&json!({"type": "adaptive"}), &json!({"effort": "high"}))
    );
    let old: Value =
        serde_json::from_slice(&encode_for("claude-sonnet-4-5", &body).unwrap().body).unwrap();
    assert_eq!(old["thinking"], json!({"type": "enabled", "budget_tokens": 8999}));
    let small =
        encode_for("claude-sonnet-4-5", &json!({"reasoning_effort": "high", "max_tokens": 500}))
            .unwrap();
    assert_eq!(small.dropped, ["reasoning_effort"]);
}

#[test]
fn a_cap_is_always_sent() {
    let cap = |model: &str| {
        let body = encode_for(model, &json!({})).unwrap().body;
        serde_json::from_slice::<Value>(&body).unwrap()["max_tokens"].clone()
    };
    assert_eq!(cap("claude-sonnet-4-5"), 64_000);
    assert_eq!(cap("claude-unheard-of"), 4_096);
}

#[test]
fn what_cannot_be_carried_is_refused_by_name_or_reported() {
    let user = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    let cases = [
        (json!({"n": 2}), "n"),
        (json!({"tools": [{"type": "web_search_preview"}]}), "tools[0]"),
        (json!({"response_format": {"type": "grammar"}}), "response_format"),
        (
            user(json!({"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}})),
            "messages[0].content",
        ),
        (user(json!({"type": "video_url", "video_url": {}})), "messages[0].content"),
        (
            user(json!({"type": "file", "file": {"file_data": "data:text/csv;base64,AA"}})),
            "messages[0].content",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function",
            "function": {"name": "f", "arguments": "not json"}}]}]}),
            "messages[0].tool_calls",
        ),
    ];
    for (body, param) in cases {
        assert_eq!(
            encode_for("claude-new", &body).unwrap_err().param.as_deref(),
            Some(param),
            "{body}"
        );
    }
    let (_, dropped) = sent(
        &json!({"logprobs": true, "top_logprobs": 2, "logit_bias": {"1": 2}, "store": true,
        "service_tier": "flex", "metadata": {"a": "b"}, "messages": [
            {"role": "user", "name": "bob", "content": "x"},
            {"role": "assistant", "content": "y", "reasoning_content": "hm"}, {"role": "user", "content": "z"}]}),
    );
    assert_eq!(
        dropped,
        [
            "messages.name",
            "messages.reasoning_content",
            "service_tier",
            "logprobs",
            "top_logprobs",
            "metadata",
            "logit_bias",
            "store"
        ]
    );
}
