//! Chat requests in OpenAI's words as Bedrock reads them, and its streams when they break.

use super::support::{lines, read_stream};
use serde_json::{Value, json};
use tollgate_providers::{BadRequest, Bounds, Dialect, Encoded, Target, provider};

fn encode(body: &Value) -> Result<Encoded, BadRequest> {
    let mut body = body.clone();
    body["model"] = json!("asked");
    if body["messages"].is_null() {
        body["messages"] = json!([{"role": "user", "content": "hi"}]);
    }
    let text = body.to_string();
    let req = Dialect::OpenAiChat.decode_chat(text.as_bytes(), &Bounds::default())?;
    let to =
        Target { model: "us.amazon.nova-v1:0", max_output_tokens: Some(9), stream: req.stream };
    provider("bedrock")
        .map_or_else(|| Err(BadRequest::whole("no bedrock")), |p| p.encode_chat(&req, &to))
}

#[test]
fn a_conversation_keeps_its_meaning() {
    let encoded = encode(&json!({"messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "file", "file": {"filename": "a_b.pdf", "file_data": "data:application/pdf;base64,BBBB"}}]},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
        {"role": "tool", "tool_call_id": "t1", "content": "one"}],
        "temperature": 0.5, "top_p": 0.9, "seed": 1, "stop": "X", "stream": true,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "tool_choice": "required",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}}));
    let encoded = encoded.unwrap();
    assert_eq!(encoded.path, "/model/us.amazon.nova-v1%3A0/converse-stream");
    assert_eq!(
        serde_json::from_slice::<Value>(&encoded.body).unwrap(),
        json!({
        "system": [{"text": "be brief"}],
        "messages": [
            {"role": "user", "content": [{"text": "look"}, {"cachePoint": {"type": "default"}},
                {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
                {"document": {"name": "a-b-pdf", "format": "pdf", "source": {"bytes": "BBBB"}}}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}]}}]}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["X"]},
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"any": {}}},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "n", "schema": "{\"type\":\"object\"}"}}}}})
    );
    assert_eq!(encoded.dropped, ["seed"]);
}

#[test]
fn what_cannot_be_carried_is_refused_by_name() {
    let user = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    for (body, param) in [
        (json!({"n": 2}), "n"),
        (json!({"tools": [{"type": "web_search_preview"}]}), "tools[0]"),
        (
            user(json!({"type": "image_url", "image_url": {"url": "https://a/b.png"}})),
            "messages[0].content",
        ),
        (
            user(json!({"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}})),
            "messages[0].content",
        ),
    ] {
        assert_eq!(encode(&body).unwrap_err().param.as_deref(), Some(param), "{body}");
    }
}

#[test]
fn a_binary_stream_that_is_cut_or_corrupt_is_no_whole_stream() {
    let bedrock = provider("bedrock").unwrap();
    let line = lines("bedrock").into_iter().find(|l| l.path.ends_with("/converse-stream")).unwrap();
    let whole = line.bytes();
    let read = read_stream(bedrock, &[&whole[..]]);
    assert!(read.ended && read.raw == whole);
    // The last message holds the usage; without it the text is whole all the same.
    let metadata = whole.windows(8).position(|w| w == b"metadata").unwrap();
    for cut in (0..metadata - 200).step_by(7).chain([whole.len() - 1, whole.len() - 4]) {
        let read = read_stream(bedrock, &[&whole[..cut]]);
        assert_eq!((read.ended, read.error.as_deref()), (false, Some("truncated")), "{cut}");
    }
    for at in (0..whole.len()).step_by(13) {
        let mut bad = whole.clone();
        bad[at] ^= 0x55;
        assert!(!read_stream(bedrock, &[&bad[..]]).ended, "{at}");
    }
}
