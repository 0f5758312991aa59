//! OpenAI's Responses as a client speaks them, whatever the provider speaks; and the responses that
//! are kept, each its account's own.

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::stage::{RICH, Stage};

const RESPONSES: &str = "/v1/responses";

fn ask(say: &str, stream: bool) -> Value {
    json!({ "model": "gpt-4o-mini", "instructions": "Be brief.", "input": say, "stream": stream })
}

/// The events of a stream: numbered without a gap, each named twice alike.
fn events(answer: &Response) -> Vec<Value> {
    let frames = answer.frames();
    let names: Vec<String> = answer
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("event: ").map(str::to_owned))
        .collect();
    assert_eq!(names.len(), frames.len());
    for (number, (name, frame)) in names.iter().zip(&frames).enumerate() {
        assert_eq!(frame["type"], name.as_str());
        assert_eq!(frame["sequence_number"], number as u64, "{}", answer.text());
    }
    frames
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn whole_and_streamed_say_and_cost_the_same() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let whole =
        client.post(RESPONSES, &ask("one two @@tokens=7 prompt=40 cached=15@@", false)).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let answer = whole.json();
    assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(answer["output"][0]["content"][0]["text"], " the of and to in is for");
    assert_eq!(answer["instructions"], "Be brief.");
    let usage = &answer["usage"];
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(40), &json!(7)));
    assert_eq!(usage["input_tokens_details"]["cached_tokens"], 15);
    assert_eq!(usage["total_tokens"], 47);
    let sent = stage.upstream.last();
    assert_eq!(sent.path, "/v1/chat/completions");
    assert_eq!(sent.json()["messages"][0], json!({ "role": "system", "content": "Be brief." }));

    let stream =
        client.post(RESPONSES, &ask("one two @@tokens=7 prompt=40 cached=15@@", true)).await;
    assert_eq!(stream.status, 200, "{}", stream.text());
    let events = events(&stream);
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let last = &events.last().unwrap()["response"];
    assert_eq!(last["output"][0]["content"], answer["output"][0]["content"]);
    assert_eq!(last["usage"]["total_tokens"], 47);
    assert!(last["usage"]["tollgate"]["cost_usd"].is_string(), "{last}");

    let rows = [stage.row(&whole).await, stage.row(&stream).await];
    for row in &rows {
        assert_eq!((row.input, row.cached, row.output), (40, 15, 7), "{row:?}");
        assert_eq!((&*row.provenance, &*row.outcome), ("reported", "completed"));
    }
    assert_eq!(rows[0].charged_usd, rows[1].charged_usd);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_tool_is_called_and_its_output_sent_back() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let mut body = ask("weather?", true);
    body["tools"] = json!([{ "type": "function", "name": "weather", "strict": true,
        "parameters": { "type": "object", "properties": { "city": { "type": "string" } } } }]);
    let called = client.post(RESPONSES, &body).await;
    let events = events(&called);
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let response = &events.last().unwrap()["response"];
    let call = &response["output"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("weather")));
    assert_eq!(call["arguments"], "{\"city\":\"Paris\"}");
    assert_eq!(stage.upstream.last().json()["tools"][0]["function"]["name"], "weather");

    let mut next = ask("", false);
    next["previous_response_id"] = response["id"].clone();
    next["input"] = json!([{ "type": "function_call_output", "call_id": call["call_id"],
        "output": "sunny" }]);
    let answer = client.post(RESPONSES, &next).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["previous_response_id"], response["id"]);
    let sent = stage.upstream.last().json();
    let roles: Vec<_> = sent["messages"].as_array().unwrap().iter().map(|m| &m["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    assert_eq!(sent["messages"][2]["tool_calls"][0]["function"]["name"], "weather");
    assert_eq!(sent["messages"][3]["content"], "sunny");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_kept_response_is_its_accounts_own_and_reading_it_bills_nothing() {
    let stage = Stage::new(
        "[accounts.acme]\nlimits = [\"$1000 per month\"]\n\n\
         [accounts.other]\nlimits = [\"$1000 per month\"]\n",
    )
    .await;
    let client = stage.gateway.client("acme");
    let made = client.post(RESPONSES, &ask("hello", false)).await.json();
    let id = made["id"].as_str().unwrap();
    let path = format!("{RESPONSES}/{id}");
    let (calls, before) = (stage.upstream.count(), stage.standing().await[0].posted);

    assert_eq!(client.get(&path).await.json(), made);
    let items = client.get(&format!("{path}/input_items?order=asc")).await.json();
    assert_eq!(items["data"][0]["content"], json!([{ "type": "input_text", "text": "hello" }]));
    assert_eq!(items["has_more"], false);
    let cancelled = client.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status, 400, "{}", cancelled.text());

    let stranger = stage.gateway.client("other");
    let mut stolen = ask("and then?", false);
    stolen["previous_response_id"] = json!(id);
    for answer in [
        stranger.get(&path).await,
        stranger.get(&format!("{path}/input_items")).await,
        stranger.post(&format!("{path}/cancel"), &json!({})).await,
        stranger.send("DELETE", &path, b"").await.unwrap(),
        stranger.post(RESPONSES, &stolen).await,
    ] {
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert!(answer.json()["error"]["message"].is_string());
    }

    let deleted = client.send("DELETE", &path, b"").await.unwrap().json();
    assert_eq!(deleted, json!({ "id": id, "object": "response", "deleted": true }));
    assert_eq!(client.get(&path).await.status, 404);
    let mut unkept = ask("hello", false);
    unkept["store"] = json!(false);
    let unkept = client.post(RESPONSES, &unkept).await.json();
    let gone = client.get(&format!("{RESPONSES}/{}", unkept["id"].as_str().unwrap())).await;
    assert_eq!((gone.status, &unkept["store"]), (404, &json!(false)));
    assert_eq!(stage.upstream.count(), calls + 1);
    assert!(stage.standing().await[0].posted > before);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn kept_responses_outlive_a_restart() {
    let mut stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let made = client.post(RESPONSES, &ask("hello", true)).await;
    let id = events(&made).last().unwrap()["response"]["id"].as_str().unwrap().to_owned();
    assert_eq!(client.get(&format!("{RESPONSES}/{id}")).await.status, 200);
    stage.gateway.kill();
    stage.gateway.up();
    let client = stage.gateway.client("acme");
    let kept = client.get(&format!("{RESPONSES}/{id}")).await;
    assert_eq!(kept.json()["id"], id, "{}", kept.text());
}

#[tokio::test]
async fn a_reply_that_reaches_its_cap_is_incomplete() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for stream in [false, true] {
        let mut body = ask("@@tokens=9@@", stream);
        body["max_output_tokens"] = json!(4);
        let answer = client.post(RESPONSES, &body).await;
        let response = if stream {
            let events = events(&answer);
            assert_eq!(events.last().unwrap()["type"], "response.incomplete");
            events.last().unwrap()["response"].clone()
        } else {
            answer.json()
        };
        assert_eq!(response["status"], "incomplete");
        assert_eq!(response["incomplete_details"], json!({ "reason": "max_output_tokens" }));
        assert_eq!(response["usage"]["output_tokens"], 4);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_response_failed() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for cut in ["fin=1500", "reset=2400", "error-after=3", "finish=no done=no"] {
        let answer = client.post(RESPONSES, &ask(&format!("@@tokens=20 {cut}@@"), true)).await;
        let events = events(&answer);
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.failed", "{cut}: {}", answer.text());
        assert_eq!(last["response"]["status"], "failed");
        assert!(last["response"]["error"]["message"].is_string());
        assert!(last["error"]["message"].is_string());
        assert!(!answer.text().contains("response.completed"));
        assert_ne!(stage.row(&answer).await.outcome, "completed");
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_stream_is_incomplete_where_the_budget_ends() {
    let stage = Stage::new(
        "[accounts.acme]\nlimits = [\"300 output tokens per day\"]\nholds = \"adaptive\"\n",
    )
    .await;
    let client = stage.gateway.client("acme");
    let answer = client.post(RESPONSES, &ask("@@tokens=5000@@", true)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let events = events(&answer);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete", "{last}");
    let row = stage.row(&answer).await;
    assert_eq!(last["response"]["usage"]["output_tokens"], row.output);
    assert!(row.output <= 300, "{row:?}");

    let refused = client.post(RESPONSES, &ask("again", true)).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    let error = &refused.json()["error"];
    assert_eq!(error["type"], "insufficient_quota");
    assert_eq!(error["account"], "acme");
}

#[tokio::test]
async fn input_tokens_are_counted_without_a_call() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let mut body = ask("one two three", false);
    let counted = client.post("/v1/responses/input_tokens", &body).await.json();
    assert_eq!(counted["object"], "response.input_tokens");
    assert!(stage.upstream.truths().is_empty());
    let whole = client.post(RESPONSES, &body).await;
    body["previous_response_id"] = whole.json()["id"].clone();
    let longer = client.post("/v1/responses/input_tokens", &body).await.json();
    assert!(longer["input_tokens"].as_u64() > counted["input_tokens"].as_u64(), "{longer}");
    assert_eq!(stage.upstream.count(), 1);
}

#[tokio::test]
async fn what_is_not_done_here_is_refused_by_name() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let cases = [
        ("background", json!(true), 400),
        ("conversation", json!("conv_1"), 400),
        ("previous_response_id", json!("resp_none"), 404),
        ("input", json!([{ "type": "item_reference", "id": "msg_1" }]), 400),
        ("input", json!([]), 400),
        ("tools", json!([{ "type": "web_search" }]), 400),
        ("max_output_tokens", json!(-1), 400),
        ("store", json!("yes"), 400),
    ];
    for (name, value, status) in cases {
        let mut body = ask("hi", false);
        body[name] = value.clone();
        let refused = client.post(RESPONSES, &body).await;
        assert_eq!(refused.status, status, "{name}={value}: {}", refused.text());
        let param = &refused.json()["error"]["param"];
        assert!(param.as_str().is_some_and(|p| p.starts_with(name)), "{name}: {param}");
    }
    assert!(stage.upstream.truths().is_empty());
    stage.nothing_held().await;
}
