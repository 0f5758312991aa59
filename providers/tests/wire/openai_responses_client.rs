//! OpenAI's Responses as a client dialect: what is read, what is refused, what is written.

use serde_json::{Value, json};
use tollgate_accounting::{Class, Usage};
use tollgate_providers::{
    Bounds, Dialect, EncodeOptions, Event, FinishReason, Part, Reply, Target, UsageReport,
    provider, responses,
};

const RESPONSES: Dialect = Dialect::OpenAiResponses;
const OPTIONS: EncodeOptions<'static> =
    EncodeOptions { id: "req_1", model: "m", created: 1, include_usage: true, echo: "\"x\":1" };

#[test]
fn a_bad_field_is_named() {
    let cases = [
        (r#"{"model":"m"}"#, "input"),
        (r#"{"input":"x"}"#, "model"),
        (r#"{"model":"","input":"x"}"#, "model"),
        (r#"{"model":"m","input":7}"#, "input"),
        (r#"{"model":"m","input":[]}"#, "input"),
        (r#"{"model":"m","input":["x"]}"#, "input[0]"),
        (r#"{"model":"m","input":[{"content":"x"}]}"#, "input[0].role"),
        (r#"{"model":"m","input":[{"role":"boss","content":"x"}]}"#, "input[0].role"),
        (r#"{"model":"m","input":[{"role":"user"}]}"#, "input[0].content"),
        (
            r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text"}]}]}"#,
            "input[0].content[0]",
        ),
        (
            r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_image"}]}]}"#,
            "input[0].content[0]",
        ),
        (r#"{"model":"m","input":[{"type":"function_call","name":"f"}]}"#, "input[0].call_id"),
        (r#"{"model":"m","input":[{"type":"function_call","call_id":"c"}]}"#, "input[0].name"),
        (
            r#"{"model":"m","input":[{"type":"function_call_output","call_id":"c"}]}"#,
            "input[0].output",
        ),
        (r#"{"model":"m","input":[{"type":"item_reference","id":"i"}]}"#, "input[0]"),
        (r#"{"model":"m","input":"x","input":"y"}"#, "input"),
        (r#"{"model":"m","input":"x","tools":[{"type":"function"}]}"#, "tools[0]"),
        (r#"{"model":"m","input":"x","tools":[{}]}"#, "tools[0]"),
        (r#"{"model":"m","input":"x","tool_choice":"maybe"}"#, "tool_choice"),
        (r#"{"model":"m","input":"x","text":{"format":{"type":"json_schema"}}}"#, "text.format"),
        (r#"{"model":"m","input":"x","max_output_tokens":0}"#, "max_output_tokens"),
        (r#"{"model":"m","input":"x","max_output_tokens":1.5}"#, "max_output_tokens"),
        (r#"{"model":"m","input":"x","temperature":1e400}"#, "temperature"),
        (r#"{"model":"m","input":"x","background":true}"#, "background"),
        (r#"{"model":"m","input":"x","store":1}"#, "store"),
        (r#"{"model":"m","input":"x","unknown":{"a":NaN}}"#, "unknown"),
    ];
    for (body, param) in cases {
        let bad = RESPONSES.decode_chat(body.as_bytes(), &Bounds::default()).unwrap_err();
        assert_eq!(bad.param.as_deref(), Some(param), "{body}: {bad}");
    }
}

fn encoded(body: &Value, kind: &str) -> (Value, Vec<String>) {
    let text = body.to_string();
    let req = RESPONSES.decode_chat(text.as_bytes(), &Bounds::default()).unwrap();
    let to = Target { model: "gpt", max_output_tokens: None, stream: false };
    let encoded = provider(kind).unwrap().encode_chat(&req, &to).unwrap();
    (serde_json::from_slice(&encoded.body).unwrap(), encoded.dropped)
}

#[test]
fn a_request_reaches_a_provider_of_the_other_wire() {
    let body = json!({"model": "m", "instructions": "brief", "max_output_tokens": 50, "store": false,
        "parallel_tool_calls": true, "temperature": 0.5, "user": "u", "metadata": {"k": "v"},
        "reasoning": {"effort": "low", "summary": "auto"}, "truncation": "auto",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}],
        "tool_choice": {"type": "function", "name": "f"},
        "input": [
            {"role": "developer", "content": "rules"},
            {"role": "user", "content": [{"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "calling", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]}]});
    let (sent, dropped) = encoded(&body, "openai");
    assert_eq!(
        sent,
        json!({"model": "gpt", "messages": [
            {"role": "system", "content": "brief"},
            {"role": "developer", "content": "rules"},
            {"role": "user", "content": [{"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"}}]},
            {"role": "assistant", "content": "calling", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": "two"}],
            "tools": [{"type": "function", "function": {"name": "f", "description": "d",
                "parameters": {"type": "object"}, "strict": true}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": true,
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
            "max_completion_tokens": 50, "temperature": 0.5, "reasoning_effort": "low", "user": "u",
            "metadata": {"k": "v"}})
    );
    assert_eq!(dropped, ["reasoning.summary", "truncation", "thinking"]);
}

#[test]
fn thinking_is_sent_back_to_the_provider_that_can_read_it() {
    let body = json!({"model": "m", "max_output_tokens": 9, "input": [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "sig"},
        {"type": "reasoning", "summary": [], "encrypted_content": "opaque"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"}]});
    let (sent, _) = encoded(&body, "anthropic");
    assert_eq!(
        sent["messages"][1]["content"],
        json!([{"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "opaque"},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {}}])
    );
}

fn delta(part: Part<'static>) -> Event<'static> {
    Event::Delta { choice: 0, part }
}

fn written(events: &[Event<'_>]) -> Vec<Value> {
    let mut encoder = RESPONSES.encoder(&OPTIONS);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.encode(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).unwrap()).collect()
}

#[test]
fn items_are_added_grow_and_are_done_in_order() {
    let usage = Usage::new()
        .with(Class::Input, 3)
        .with(Class::CacheRead, 4)
        .with(Class::Output, 5)
        .with(Class::Reasoning, 2);
    let events = written(&[
        Event::Start {
            id: None,
            model: Some("gpt".into()),
            created: Some(7),
            service_tier: Some("flex".into()),
        },
        delta(Part::Reasoning("h".into())),
        delta(Part::Reasoning("m".into())),
        delta(Part::Signature("sig".into())),
        delta(Part::Text("a".into())),
        delta(Part::Text("b".into())),
        delta(Part::ToolCallStart { index: 0, id: "c1".into(), name: "f".into() }),
        delta(Part::ToolCallArguments { index: 0, json: "{}".into() }),
        delta(Part::ToolCallStart { index: 1, id: "c2".into(), name: "g".into() }),
        delta(Part::ToolCallArguments { index: 1, json: "{\"a\":1}".into() }),
        Event::Finish { choice: 0, reason: FinishReason::ToolCalls },
        Event::Usage(UsageReport { usage, ..UsageReport::default() }),
        Event::End,
    ]);
    let told: Vec<String> = events
        .iter()
        .map(|e| {
            let kind = e["type"].as_str().unwrap().strip_prefix("response.").unwrap();
            e["output_index"].as_u64().map_or(kind.to_owned(), |at| format!("{kind} {at}"))
        })
        .collect();
    assert_eq!(
        told,
        [
            "created",
            "in_progress",
            "output_item.added 0",
            "reasoning_summary_part.added 0",
            "reasoning_summary_text.delta 0",
            "reasoning_summary_text.delta 0",
            "reasoning_summary_text.done 0",
            "reasoning_summary_part.done 0",
            "output_item.done 0",
            "output_item.added 1",
            "content_part.added 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.done 1",
            "content_part.done 1",
            "output_item.done 1",
            "output_item.added 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.done 2",
            "output_item.done 2",
            "output_item.added 3",
            "function_call_arguments.delta 3",
            "function_call_arguments.done 3",
            "output_item.done 3",
            "completed",
        ]
    );
    let numbers: Vec<u64> = events.iter().map(|e| e["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..25).collect::<Vec<u64>>());
    assert_eq!(
        events.last().unwrap()["response"],
        json!({"id": "resp_1", "object": "response", "created_at": 7, "status": "completed",
            "background": false, "error": null, "incomplete_details": null, "model": "gpt",
            "output": [
                {"id": "rs_1_0", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}],
                    "encrypted_content": "sig", "status": "completed"},
                {"id": "msg_1_1", "type": "message", "status": "completed", "role": "assistant",
                    "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "ab"}]},
                {"id": "fc_1_2", "type": "function_call", "status": "completed", "call_id": "c1",
                    "name": "f", "arguments": "{}"},
                {"id": "fc_1_3", "type": "function_call", "status": "completed", "call_id": "c2",
                    "name": "g", "arguments": "{\"a\":1}"}],
            "x": 1, "service_tier": "flex",
            "usage": {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
                "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 14}})
    );
}

#[test]
fn calls_whose_arguments_come_in_turns_both_end_whole() {
    let start = |index, id: &'static str| {
        delta(Part::ToolCallStart { index, id: id.into(), name: "f".into() })
    };
    let more =
        |index, json: &'static str| delta(Part::ToolCallArguments { index, json: json.into() });
    let events = written(&[
        start(0, "c1"),
        start(1, "c2"),
        more(0, "{\"a\""),
        more(1, "{\"b\""),
        more(0, ":1}"),
        more(1, ":2}"),
        Event::Finish { choice: 0, reason: FinishReason::ToolCalls },
        Event::End,
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["arguments"], "{\"a\":1}");
    assert_eq!(output[1]["arguments"], "{\"b\":2}");
}

#[test]
fn a_refusal_is_a_part_of_its_own() {
    let events = written(&[
        delta(Part::Text("I ".into())),
        delta(Part::Refusal("won't".into())),
        Event::Finish { choice: 0, reason: FinishReason::ContentFilter },
        Event::End,
    ]);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "content_filter");
    let content = &last["response"]["output"][0]["content"];
    assert_eq!(content[1], json!({"type": "refusal", "refusal": "won't"}));
    assert_eq!(last["response"]["usage"], Value::Null);
}

#[test]
fn a_request_is_continued_with_what_went_before() {
    let items = r#"{"role":"user","content":"one"}"#;
    let reply = RESPONSES.encode_reply(&Reply::default(), &OPTIONS);
    let reply = String::from_utf8(reply).unwrap();
    assert_eq!(responses::conversation(items, &reply), items);
    let answered = r#"{"id":"r","output":[{"type":"message","role":"assistant","content":[]}]}"#;
    let before = responses::conversation(items, answered);
    let bodies = [
        (r#"{"model":"m","input":"two","store":false}"#, false, 3),
        (r#"{"input": [ {"role":"user","content":"two"} ] ,"model":"m"}"#, true, 3),
        (r#"{"model":"m"}"#, true, 2),
        (r#"{"model":"m","input":[]}"#, true, 2),
    ];
    for (body, store, count) in bodies {
        let asked = responses::read(body.as_bytes(), &Bounds::default()).unwrap();
        assert_eq!(asked.store, store, "{body}");
        let all = responses::joined(&before, &asked.items());
        let whole: Value = serde_json::from_slice(&asked.with_items(&all)).unwrap();
        let list = whole["input"].as_array().unwrap();
        assert_eq!((list.len(), &whole["model"]), (count, &json!("m")), "{body}");
        if count == 3 {
            assert_eq!((&list[2]["role"], &list[2]["content"]), (&json!("user"), &json!("two")));
        }
    }
}
