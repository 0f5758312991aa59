//! Google's `generateContent` as a client dialect: what is read, what is refused, what is written.

use serde_json::{Value, json};
use tollgate_accounting::{Class, Usage};
use tollgate_providers::{
    BadRequest, Bounds, Dialect, EncodeOptions, Event, FinishReason, Part, Target, UsageReport,
    WireError, gemini_body, provider,
};

const GEMINI: Dialect = Dialect::GeminiGenerateContent;
const OPTIONS: EncodeOptions<'static> =
    EncodeOptions { id: "req_1", model: "m", created: 1, include_usage: true, echo: "" };

fn refused(body: &str) -> BadRequest {
    let bounds = Bounds::default();
    gemini_body(body.as_bytes(), &bounds, "m", false)
        .and_then(|body| GEMINI.decode_chat(&body, &bounds).map(drop))
        .unwrap_err()
}

#[test]
fn a_bad_field_is_named() {
    let cases = [
        (r#"{}"#, "contents"),
        (r#"{"contents":[]}"#, "contents"),
        (r#"{"contents":7}"#, "contents"),
        (r#"{"contents":[{"role":"boss","parts":[{"text":"x"}]}]}"#, "contents[0]"),
        (r#"{"contents":[{"role":"user"}]}"#, "contents[0]"),
        (r#"{"contents":[{"parts":[{"text":7}]}]}"#, "contents[0].parts[0]"),
        (r#"{"contents":[{"parts":[{"inlineData":{"data":"x"}}]}]}"#, "contents[0].parts[0]"),
        (r#"{"contents":[{"parts":[{"functionCall":{}}]}]}"#, "contents[0].parts[0]"),
        (r#"{"contents":[],"contents":[]}"#, "contents"),
        (r#"{"stream":true,"contents":[]}"#, "stream"),
        (r#"{"cachedContent":"c","contents":[]}"#, "cachedContent"),
        (r#"{"tools":[{"functionDeclarations":[{}]}]}"#, "tools[0]"),
        (r#"{"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}}"#, "toolConfig"),
        (r#"{"generationConfig":7}"#, "generationConfig"),
        (r#"{"generationConfig":{"maxOutputTokens":-1}}"#, "generationConfig.maxOutputTokens"),
        (r#"{"generationConfig":{"maxOutputTokens":1.5}}"#, "generationConfig.maxOutputTokens"),
        (r#"{"generationConfig":{"candidateCount":0}}"#, "generationConfig.candidateCount"),
        (r#"{"generationConfig":{"temperature":1e400}}"#, "generationConfig.temperature"),
        (r#"{"generationConfig":{"topP":"x"}}"#, "generationConfig.topP"),
        (r#"{"generationConfig":{"topP":1,"topP":1}}"#, "generationConfig.topP"),
        (
            r#"{"generationConfig":{"responseMimeType":"text/x"}}"#,
            "generationConfig.responseMimeType",
        ),
    ];
    for (body, param) in cases {
        let bad = refused(body);
        let named = bad.param.as_deref();
        // A field that is given twice inside the configuration is named without it.
        let fits = named == Some(param) || Some(param.rsplit('.').next().unwrap()) == named;
        assert!(fits, "{body}: {bad} {named:?}");
    }
}

#[test]
fn a_request_reaches_a_provider_of_the_other_wire() {
    let body = json!({
        "system_instruction": {"parts": [{"text": "brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "look"},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"inline_data": {"mime_type": "application/pdf", "data": "BBBB"}}]},
            {"role": "model", "parts": [{"text": "hm", "thought": true},
                {"functionCall": {"name": "f", "args": {"a": 1}}},
                {"functionCall": {"id": "own", "name": "f", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"result": "one"}}},
                {"functionResponse": {"id": "own", "name": "f", "response": {"a": [1]}}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "d",
            "parameters": {"type": "OBJECT", "properties": {"type": {"type": "STRING"}}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "safetySettings": [], "generationConfig": {"maxOutputTokens": 50, "temperature": 0.50,
            "topK": 5, "stopSequences": ["X"], "responseMimeType": "application/json",
            "responseSchema": {"type": "OBJECT"}, "thinkingConfig": {"thinkingBudget": 2000}}});
    let bounds = Bounds::default();
    let body = gemini_body(body.to_string().as_bytes(), &bounds, "m", true).unwrap();
    let req = GEMINI.decode_chat(&body, &bounds).unwrap();
    assert!(req.stream && req.model == "m");
    let to = Target { model: "gpt", max_output_tokens: None, stream: false };
    let encoded = provider("openai").unwrap().encode_chat(&req, &to).unwrap();
    let sent: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(
        sent,
        json!({"model": "gpt", "messages": [
            {"role": "system", "content": "brief"},
            {"role": "user", "content": [{"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,BBBB"}}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                {"id": "own", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "one"},
            {"role": "tool", "tool_call_id": "own", "content": "{\"a\":[1]}"}],
            "tools": [{"type": "function", "function": {"name": "f", "description": "d",
                "parameters": {"type": "object", "properties": {"type": {"type": "string"}}}}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "output", "schema": {"type": "object"}}},
            "max_completion_tokens": 50, "stop": ["X"], "temperature": 0.5, "reasoning_effort": "low"})
    );
    assert_eq!(encoded.dropped, ["safetySettings", "thinking", "top_k"]);
}

#[test]
fn a_stream_holds_calls_in_one_piece_and_ends_with_reasons_and_usage() {
    let usage = Usage::new()
        .with(Class::Input, 3)
        .with(Class::CacheRead, 4)
        .with(Class::Output, 5)
        .with(Class::Reasoning, 2);
    let delta = |part| Event::Delta { choice: 0, part };
    let events = [
        Event::Start {
            id: Some("r".into()),
            model: Some("g".into()),
            created: None,
            service_tier: None,
        },
        delta(Part::Reasoning("hm".into())),
        delta(Part::Text("a".into())),
        delta(Part::ToolCallStart { index: 0, id: "c".into(), name: "f".into() }),
        delta(Part::ToolCallArguments { index: 0, json: "{\"a\"".into() }),
        delta(Part::ToolCallArguments { index: 0, json: ":1}".into() }),
        Event::Finish { choice: 0, reason: FinishReason::ToolCalls },
        Event::Usage(UsageReport { usage, ..UsageReport::default() }),
        Event::End,
    ];
    let mut encoder = GEMINI.encoder(&OPTIONS);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.encode(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let frames: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|json| serde_json::from_str(json).unwrap())
        .collect();
    let with = |part: Value| {
        json!({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}],
            "modelVersion": "g", "responseId": "r"})
    };
    assert_eq!(
        frames[..3],
        [
            with(json!({"text": "hm", "thought": true})),
            with(json!({"text": "a"})),
            with(json!({"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}})),
        ]
    );
    assert_eq!(frames.len(), 4);
    assert_eq!(frames[3]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(
        frames[3]["usageMetadata"],
        json!({"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 14,
            "cachedContentTokenCount": 4, "thoughtsTokenCount": 2})
    );
}

#[test]
fn errors_take_googles_shape() {
    let error = WireError {
        status: 429,
        kind: "insufficient_quota".into(),
        code: Some("budget".into()),
        message: "no".into(),
        extra: vec![("available", json!(0))],
        ..WireError::default()
    };
    let body: Value = serde_json::from_slice(&GEMINI.encode_error(&error)).unwrap();
    assert_eq!(
        body,
        json!({"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "budget",
                "domain": "tollgate", "metadata": {"type": "insufficient_quota", "available": "0"}}]}})
    );
}

#[test]
fn a_value_of_several_lines_stays_within_its_frames_line() {
    let start = Part::ToolCallStart { index: 0, id: "c".into(), name: "f".into() };
    let json = Part::ToolCallArguments { index: 0, json: "{\n  \"a\": \"x\\n\"\r\n}".into() };
    let finish = Event::Finish { choice: 0, reason: FinishReason::ToolCalls };
    let body = "{\n \"metadata\": {\n  \"a\": \"b\"\n }\n}";
    let echo = Dialect::OpenAiResponses.echo(body.as_bytes());
    for dialect in [GEMINI, Dialect::OpenAiResponses] {
        let mut encoder = dialect.encoder(&EncodeOptions { echo: &echo, ..OPTIONS });
        let mut out = Vec::new();
        for part in [&start, &json] {
            encoder.encode(&Event::Delta { choice: 0, part: part.clone() }, &mut out);
        }
        encoder.encode(&finish, &mut out);
        encoder.encode(&Event::End, &mut out);
        let text = String::from_utf8(out).unwrap();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("event: ")) {
            let data = line.strip_prefix("data: ").unwrap_or_else(|| panic!("{line}"));
            assert!(serde_json::from_str::<Value>(data).is_ok(), "{data}");
        }
    }
}
