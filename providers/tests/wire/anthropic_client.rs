//! Anthropic's messages as a client dialect: what is read, what is refused, what is written.

use serde_json::{Value, json};
use tollgate_accounting::{Class, Usage};
use tollgate_providers::{
    Bounds, Dialect, EncodeOptions, Event, FinishReason, Part, Target, UsageReport, WireError,
    provider,
};

const CLAUDE: Dialect = Dialect::AnthropicMessages;
const OPTIONS: EncodeOptions<'static> =
    EncodeOptions { id: "msg_1", model: "m", created: 1, include_usage: true, echo: "" };

#[test]
fn a_bad_field_is_named() {
    let cases = [
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#, "max_tokens"),
        (r#"{"max_tokens":5,"messages":[{"role":"user","content":"x"}]}"#, "model"),
        (r#"{"model":"m","max_tokens":5,"messages":[]}"#, "messages"),
        (r#"{"model":"m","max_tokens":-5,"messages":[]}"#, "max_tokens"),
        (r#"{"model":"m","max_tokens":5,"max_tokens":6,"messages":[]}"#, "max_tokens"),
        (
            r#"{"model":"m","max_tokens":5,"messages":[{"role":"boss","content":"x"}]}"#,
            "messages[0]",
        ),
        (
            r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            "messages[0].content",
        ),
        (r#"{"model":"m","max_tokens":5,"messages":[],"tools":[{}]}"#, "tools[0]"),
        (
            r#"{"model":"m","max_tokens":5,"messages":[],"tool_choice":{"type":"tool"}}"#,
            "tool_choice",
        ),
        (r#"{"model":"m","max_tokens":5,"messages":[],"thinking":{"type":"deep"}}"#, "thinking"),
        (r#"{"model":"m","max_tokens":5,"messages":[],"system":7}"#, "system"),
    ];
    for (body, param) in cases {
        let bad = CLAUDE.decode_chat(body.as_bytes(), &Bounds::default()).unwrap_err();
        assert_eq!(bad.param.as_deref(), Some(param), "{body}: {bad}");
    }
}

#[test]
fn a_request_reaches_a_provider_of_the_other_wire() {
    let body = json!({"model": "m", "max_tokens": 50, "system": [{"type": "text", "text": "brief", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "calling"}, {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": true,
                "content": [{"type": "text", "text": "one"}]}, {"type": "text", "text": "go on"}]}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true}, "stop_sequences": ["X"],
        "thinking": {"type": "enabled", "budget_tokens": 2000}, "metadata": {"user_id": "u"}, "top_k": 5, "stream": true,
        "betas": ["x"]});
    let text = body.to_string();
    let req = CLAUDE.decode_chat(text.as_bytes(), &Bounds::default()).unwrap();
    let to = Target { model: "gpt", max_output_tokens: None, stream: true };
    let encoded = provider("openai").unwrap().encode_chat(&req, &to).unwrap();
    let sent: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(
        sent,
        json!({"model": "gpt", "messages": [
        {"role": "system", "content": "brief"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "assistant", "content": "calling", "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "user", "content": "go on"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "tool_choice": "required", "parallel_tool_calls": false, "max_completion_tokens": 50, "stop": ["X"],
        "stream": true, "stream_options": {"include_usage": true}, "reasoning_effort": "low", "user": "u"})
    );
    assert_eq!(
        encoded.dropped,
        ["betas", "cache_control", "thinking", "tool_result.is_error", "top_k"]
    );
}

#[test]
fn the_same_wire_gets_the_same_bytes() {
    let body = r#"{ "model":"a", "messages":[{"role":"user","content":"x"}],"max_tokens":9, "new":{"b":[1 ]} }"#;
    let req = CLAUDE.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
    let to = Target { model: "b", max_output_tokens: Some(4), stream: true };
    let encoded = provider("anthropic").unwrap().encode_chat(&req, &to).unwrap();
    let expected = r#"{"stream":true, "model":"b", "messages":[{"role":"user","content":"x"}],"max_tokens":4, "new":{"b":[1 ]} }"#;
    assert_eq!(String::from_utf8(encoded.body).unwrap(), expected);
}

#[test]
fn a_stream_opens_grows_and_closes_one_block_at_a_time() {
    let usage = Usage::new()
        .with(Class::Input, 3)
        .with(Class::CacheRead, 4)
        .with(Class::Output, 5)
        .with(Class::Reasoning, 2);
    let delta = |part| Event::Delta { choice: 0, part };
    let events = [
        Event::Start {
            id: Some("r1".into()),
            model: Some("gpt".into()),
            created: None,
            service_tier: None,
        },
        delta(Part::Reasoning("hm".into())),
        delta(Part::Text("a".into())),
        delta(Part::Text("b".into())),
        delta(Part::ToolCallStart { index: 0, id: "t1".into(), name: "f".into() }),
        delta(Part::ToolCallArguments { index: 0, json: "{}".into() }),
        Event::Finish { choice: 0, reason: FinishReason::ToolCalls },
        Event::Usage(UsageReport { usage, ..UsageReport::default() }),
        Event::End,
    ];
    let mut encoder = CLAUDE.encoder(&OPTIONS);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.encode(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let kinds: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("event: ")).collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    let data: Vec<Value> =
        text.lines().filter_map(|l| serde_json::from_str(l.strip_prefix("data: ")?).ok()).collect();
    assert!(data.iter().zip(&kinds).all(|(data, kind)| data["type"] == **kind));
    assert_eq!(
        (&data[0]["message"]["id"], &data[0]["message"]["model"]),
        (&json!("r1"), &json!("gpt"))
    );
    assert_eq!(data[11]["delta"]["stop_reason"], "tool_use");
    assert_eq!(
        data[11]["usage"],
        json!({"input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4,
        "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 2}})
    );
}

#[test]
fn errors_take_the_shape_of_the_dialect() {
    let error = WireError {
        status: 429,
        kind: "insufficient_quota".into(),
        code: Some("budget".into()),
        message: "no".into(),
        extra: vec![("available", json!(0))],
        ..WireError::default()
    };
    let body: Value = serde_json::from_slice(&CLAUDE.encode_error(&error)).unwrap();
    assert_eq!(
        body,
        json!({"type": "error", "error": {"type": "billing_error", "message": "no",
        "details": {"error_code": "budget", "available": 0}}})
    );
    let body: Value = serde_json::from_slice(&Dialect::OpenAiChat.encode_error(&error)).unwrap();
    assert_eq!(
        body,
        json!({"error": {"message": "no", "type": "insufficient_quota", "param": null, "code": "budget", "available": 0}})
    );
    let mut out = Vec::new();
    CLAUDE.encoder(&OPTIONS).error(&error, &mut out);
    assert!(out.starts_with(b"event: error\ndata: {\"type\":\"error\"") && out.ends_with(b"}\n\n"));
}
