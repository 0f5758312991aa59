//! Chat requests in OpenAI's words as Google reads them.

use serde_json::{Value, json};
use tollgate_providers::{BadRequest, Bounds, Dialect, Encoded, Target, provider};

fn encode(kind: &str, model: &str, body: &Value) -> Result<Encoded, BadRequest> {
    let mut body = body.clone();
    body["model"] = json!("asked");
    if body["messages"].is_null() {
        body["messages"] = json!([{"role": "user", "content": "hi"}]);
    }
    let text = body.to_string();
    let req = Dialect::OpenAiChat.decode_chat(text.as_bytes(), &Bounds::default()).unwrap();
    let to = Target { model, max_output_tokens: Some(9), stream: req.stream };
    provider(kind).unwrap().encode_chat(&req, &to)
}

fn sent(model: &str, body: &Value) -> (Value, Vec<String>) {
    let encoded = encode("gemini", model, body).unwrap();
    (serde_json::from_slice(&encoded.body).unwrap(), encoded.dropped)
}

#[test]
fn the_model_and_the_manner_stand_in_the_path() {
    let path =
        |kind, stream| encode(kind, "gemini-2.5-pro", &json!({"stream": stream})).unwrap().path;
    assert_eq!(path("gemini", false), "/models/gemini-2.5-pro:generateContent");
    assert_eq!(path("gemini", true), "/models/gemini-2.5-pro:streamGenerateContent?alt=sse");
    assert_eq!(path("vertex", false), "/publishers/google/models/gemini-2.5-pro:generateContent");
}

#[test]
fn a_conversation_keeps_its_meaning() {
    let conversation = json!({"messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "file", "file": {"file_id": "https://files/a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "wav"}}]},
        {"role": "assistant", "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "user", "content": "go on"}]});
    let (body, dropped) = sent("gemini-2.5-flash", &conversation);
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "https://files/a.pdf"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "CCCC"}}]},
            {"role": "model", "parts": [{"functionCall": {"id": "t1", "name": "f", "args": {"a": 1}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "t1", "name": "f", "response": {"result": "one"}}}, {"text": "go on"}]}],
        "generationConfig": {"maxOutputTokens": 9}});
    assert_eq!((body, dropped), (expected, vec![]));
    let (body, _) = sent("gemini-3-pro-preview", &conversation);
    assert!(body["contents"][1]["parts"][0]["thoughtSignature"].is_string());
}

#[test]
fn the_configuration_is_carried_under_its_names() {
    let (body, dropped) = sent(
        "gemini-2.5-flash",
        &json!({"n": 2, "temperature": 0.5, "top_p": 0.9, "seed": 4,
        "presence_penalty": 1, "stop": ["a"], "logprobs": true, "top_logprobs": 3, "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "user": "u", "logit_bias": {}}),
    );
    assert_eq!(
        body["generationConfig"],
        json!({"maxOutputTokens": 9, "candidateCount": 2, "temperature": 0.5,
        "topP": 0.9, "presencePenalty": 1, "seed": 4, "stopSequences": ["a"], "responseLogprobs": true, "logprobs": 3,
        "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
        "thinkingConfig": {"thinkingBudget": 1024}})
    );
    assert_eq!(
        body["tools"],
        json!([{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}])
    );
    assert_eq!(
        body["toolConfig"],
        json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}})
    );
    assert_eq!(dropped, ["user", "logit_bias"]);
}

#[test]
fn what_cannot_be_carried_is_refused_by_name() {
    let cases = [
        (json!({"tools": [{"type": "web_search_preview"}]}), "tools[0]"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {}}]}]}),
            "messages[0].content",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function",
            "function": {"name": "f", "arguments": "[]"}}]}]}),
            "messages[0].tool_calls",
        ),
    ];
    for (body, param) in cases {
        let bad = encode("gemini", "gemini-2.5-pro", &body).unwrap_err();
        assert_eq!(bad.param.as_deref(), Some(param), "{body}");
    }
}
