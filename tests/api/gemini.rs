//! Google's `generateContent` as a client speaks it, whatever the provider speaks.

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::stage::{RICH, Stage};

fn path(method: &str) -> String {
    format!("/v1beta/models/gpt-4o-mini:{method}")
}

fn ask(say: &str) -> Value {
    json!({
        "systemInstruction": { "parts": [{ "text": "Be brief." }] },
        "contents": [{ "role": "user", "parts": [{ "text": say }] }],
        "generationConfig": { "maxOutputTokens": 40, "temperature": 0.5 },
    })
}

fn text(replies: &[Value]) -> String {
    let texts =
        replies.iter().filter_map(|r| r["candidates"][0]["content"]["parts"][0]["text"].as_str());
    texts.collect()
}

#[tokio::test]
async fn whole_and_streamed_say_and_cost_the_same() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let say = "one two @@tokens=7 prompt=40 cached=15 reasoning=2@@";
    let whole = client.post(&path("generateContent"), &ask(say)).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let said = " the of and to in is for";
    let reply = whole.json();
    assert_eq!(text(std::slice::from_ref(&reply)), said);
    assert_eq!(reply["candidates"][0]["finishReason"], "STOP");
    let usage = json!({ "promptTokenCount": 40, "candidatesTokenCount": 7, "totalTokenCount": 49,
        "cachedContentTokenCount": 15, "thoughtsTokenCount": 2 });
    assert_eq!(reply["usageMetadata"], usage);
    let sent = stage.upstream.last().json();
    assert_eq!(sent["messages"][0], json!({ "role": "system", "content": "Be brief." }));
    assert_eq!(sent["temperature"], 0.5);

    let events = client.post(&path("streamGenerateContent?alt=sse"), &ask(say)).await;
    let frames = events.frames();
    assert_eq!(text(&frames), said, "{}", events.text());
    let last = frames.last().unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(last["usageMetadata"]["totalTokenCount"], 49);

    let list = client.post("/v1/models/gpt-4o-mini:streamGenerateContent", &ask(say)).await;
    let list: Vec<Value> = serde_json::from_str(&list.text()).unwrap();
    assert_eq!(text(&list), said);

    let rows = [stage.row(&whole).await, stage.row(&events).await];
    for row in &rows {
        assert_eq!((row.input, row.cached, row.output, row.reasoning), (40, 15, 9, 2), "{row:?}");
    }
    assert_eq!(rows[0].charged_usd, rows[1].charged_usd);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_tool_is_called_in_one_piece_and_its_result_sent_back() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let mut body = ask("weather?");
    body["tools"] = json!([{ "functionDeclarations": [{ "name": "weather",
        "parameters": { "type": "OBJECT", "properties": { "city": { "type": "STRING" } } } }] }]);
    let frames = client.post(&path("streamGenerateContent?alt=sse"), &body).await.frames();
    let parts = frames.iter().map(|f| &f["candidates"][0]["content"]["parts"][0]["functionCall"]);
    let calls: Vec<_> = parts.filter(|call| call.is_object()).collect();
    assert_eq!((calls.len(), &calls[0]["args"]), (1, &json!({ "city": "Paris" })));
    let tool = &stage.upstream.last().json()["tools"][0]["function"]["parameters"];
    assert_eq!(tool["type"], "object", "the types are those of JSON Schema: {tool}");

    let contents = body["contents"].as_array_mut().unwrap();
    contents.push(json!({ "role": "model", "parts": [
        { "functionCall": { "name": "weather", "args": { "city": "Paris" } } }] }));
    contents.push(json!({ "role": "user", "parts": [
        { "functionResponse": { "name": "weather", "response": { "result": "sunny" } } }] }));
    let answer = client.post(&path("generateContent"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = stage.upstream.last().json();
    assert_eq!(sent["messages"][3]["content"], "sunny");
    assert_eq!(sent["messages"][3]["tool_call_id"], sent["messages"][2]["tool_calls"][0]["id"]);
}

#[tokio::test]
async fn every_way_to_send_a_key_is_read_and_errors_have_googles_shape() {
    let stage = Stage::new(RICH).await;
    let key = stage.gateway.key("acme");
    let nobody = Client::new(&stage.gateway.data);
    let refused = nobody.post(&path("generateContent"), &ask("x")).await;
    assert_eq!(refused.status, 401);
    let error = &refused.json()["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!(401), &json!("UNAUTHENTICATED")));
    let header = nobody.and_header("x-goog-api-key", &key);
    assert_eq!(header.post(&path("generateContent"), &ask("x")).await.status, 200);
    let query = format!("{}?key={key}", path("generateContent"));
    assert_eq!(nobody.post(&query, &ask("x")).await.status, 200);

    let client = stage.gateway.client("acme");
    let cases = [
        ("generateContent", json!({}), 400, "INVALID_ARGUMENT"),
        ("generateContent", json!({ "contents": [{ "parts": [] }] }), 400, "INVALID_ARGUMENT"),
        (
            "generateContent",
            json!({ "contents": [], "cachedContent": "c" }),
            400,
            "INVALID_ARGUMENT",
        ),
        ("predict", ask("x"), 404, "NOT_FOUND"),
    ];
    for (method, body, status, word) in cases {
        let refused = client.post(&path(method), &body).await;
        assert_eq!(refused.status, status, "{}", refused.text());
        let error = &refused.json()["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(status), &json!(word)));
        assert!(error["message"].is_string());
    }
    let unknown = client.post("/v1beta/models/none:generateContent", &ask("x")).await;
    assert_eq!(unknown.json()["error"]["status"], "NOT_FOUND");
    stage.nothing_held().await;
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_an_error_and_a_budget_in_googles_words() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"300 output tokens per day\"]\n").await;
    let client = stage.gateway.client("acme");
    for cut in ["fin=1500", "error-after=3"] {
        let answer = client
            .post(&path("streamGenerateContent?alt=sse"), &ask(&format!("@@tokens=20 {cut}@@")))
            .await;
        let frames = answer.frames();
        assert!(frames.last().unwrap()["error"]["status"].is_string(), "{}", answer.text());
        assert_ne!(stage.row(&answer).await.outcome, "completed");
    }
    let mut large = ask("@@tokens=290@@");
    large["generationConfig"]["maxOutputTokens"] = json!(280);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(client.post(&path("generateContent"), &large).await);
    }
    let refused = statuses.last().unwrap();
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.json()["error"]["status"], "RESOURCE_EXHAUSTED");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn tokens_are_counted_without_a_call() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let counted = client.post(&path("countTokens"), &ask("one two three")).await;
    assert_eq!(counted.status, 200, "{}", counted.text());
    let inside = json!({ "generateContentRequest": ask("one two three") });
    let inside = client.post(&path("countTokens"), &inside).await;
    assert_eq!(inside.json(), counted.json());
    assert!(counted.json()["totalTokens"].as_u64().unwrap() > 5);
    assert!(stage.upstream.truths().is_empty());
}

#[tokio::test]
async fn an_unknown_path_answers_in_the_shape_of_its_dialect() {
    let stage = Stage::new(RICH).await;
    let (stranger, client) =
        (Client::with_key(&stage.gateway.data, "sk-tg-wrong"), stage.gateway.client("acme"));
    for path in ["/v1beta/files", "/v1beta/cachedContents", "/v1beta/models/m:fly"] {
        let (wrong, unknown) =
            (stranger.post(path, &ask("hi")).await, client.post(path, &ask("hi")).await);
        let error =
            |answer: &crate::harness::client::Response| answer.json()["error"]["status"].clone();
        assert_eq!((wrong.status, error(&wrong)), (401, json!("UNAUTHENTICATED")), "{path}");
        assert_eq!((unknown.status, error(&unknown)), (404, json!("NOT_FOUND")), "{path}");
    }
    let wrong = stranger.post("/v1/messages/batches", &json!({})).await;
    assert_eq!((wrong.status, &wrong.json()["type"]), (401, &json!("error")));
}
