//! Anthropic's Messages as a client speaks them, whatever the provider speaks.

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::stage::{RICH, Stage};

const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

fn versioned(stage: &Stage) -> Client {
    stage.gateway.client("acme").and_header("anthropic-version", "2023-06-01")
}

fn message(say: &str, stream: bool) -> Value {
    json!({
        "model": "gpt-4o-mini",
        "max_tokens": 40,
        "system": "Be brief.",
        "stream": stream,
        "messages": [{ "role": "user", "content": say }],
    })
}

#[tokio::test]
async fn a_message_is_answered_by_a_provider_of_another_dialect_and_charged_alike() {
    let stage = Stage::new(RICH).await;
    let client = versioned(&stage);
    let whole = client.post(MESSAGES, &message("one two @@tokens=7@@", false)).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let answer = whole.json();
    assert_eq!(answer["type"], "message");
    assert_eq!(answer["role"], "assistant");
    assert_eq!(answer["stop_reason"], "end_turn");
    assert_eq!(answer["usage"]["output_tokens"], 7);
    assert_eq!(whole.header("request-id"), whole.header("x-request-id"));

    let stream = client.post(MESSAGES, &message("one two @@tokens=7@@", true)).await;
    assert_eq!(stream.status, 200);
    let text = stream.text();
    let order = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    let places: Vec<_> = order.iter().map(|e| text.find(&format!("event: {e}\n"))).collect();
    assert!(places.iter().all(Option::is_some), "{text}");
    assert!(places.is_sorted(), "{text}");

    let rows = [stage.row(&whole).await, stage.row(&stream).await];
    assert_eq!(rows[0].charged_usd, rows[1].charged_usd);
    assert_eq!(rows[0].provenance, "reported");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn usage_that_no_provider_reported_is_told_as_it_is_charged() {
    let stage = Stage::new(RICH).await;
    let client = versioned(&stage);
    let whole = client.post(MESSAGES, &message("one two @@tokens=7 usage=missing@@", false)).await;
    let row = stage.row(&whole).await;
    assert_eq!(whole.json()["usage"]["output_tokens"], row.output);
    assert_eq!(whole.json()["usage"]["input_tokens"], row.input);
    assert!(row.output == 7 && row.input > 5, "{row:?}");
}

#[tokio::test]
async fn errors_have_anthropics_shape() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"$0.000001 per month\"]\n").await;
    let nobody = Client::new(&stage.gateway.data);
    let unknown = nobody.post(MESSAGES, &message("one", false)).await;
    assert_eq!((unknown.status, &unknown.json()["type"]), (401, &json!("error")));
    let client = versioned(&stage);
    let bad = client.post(MESSAGES, &json!({ "model": "gpt-4o-mini" })).await;
    assert_eq!(bad.status, 400);
    assert_eq!(bad.json()["error"]["type"], "invalid_request_error");
    let refused = client.post(MESSAGES, &message("one", false)).await;
    assert_eq!(refused.json()["type"], "error", "{}", refused.text());
    assert!(stage.upstream.truths().is_empty());
}

#[tokio::test]
async fn tokens_are_counted_without_a_call() {
    let stage = Stage::new(RICH).await;
    let mut body = message("one two three", false);
    body.as_object_mut().unwrap().remove("max_tokens");
    let counted = versioned(&stage).post(COUNT, &body).await;
    assert_eq!(counted.status, 200, "{}", counted.text());
    assert!(counted.json()["input_tokens"].as_u64().unwrap() > 5);
    assert!(stage.upstream.truths().is_empty());
}

#[tokio::test]
async fn the_version_of_the_wire_is_asked_for_and_held_to() {
    let stage = Stage::new(RICH).await;
    let plain = message("one @@tokens=5@@", false);
    let mut tuned = plain.clone();
    tuned["temperature"] = json!(0.5);
    let mut shown = plain.clone();
    let page = json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}});
    shown["messages"] =
        json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": [page]}]);
    let cases = [
        (None, &plain, Some("anthropic-version: header is required")),
        (Some("2022-01-01"), &plain, Some("anthropic-version: not a version")),
        (Some("2023-06-01"), &plain, None),
        (Some("2023-01-01"), &tuned, None),
        (Some("2026-10-21"), &plain, None),
        (Some("2026-10-21"), &tuned, Some("temperature: not part of anthropic-version 2026-10-21")),
        (Some("2026-10-21"), &shown, Some("messages.1.content")),
    ];
    for (version, body, refusal) in cases {
        let mut client = stage.gateway.client("acme");
        if let Some(version) = version {
            client = client.and_header("anthropic-version", version);
        }
        let before = stage.upstream.truths().len();
        for path in [MESSAGES, COUNT] {
            let answer = client.post(path, body).await;
            let Some(why) = refusal else {
                assert_eq!(answer.status, 200, "{version:?} {path}: {}", answer.text());
                continue;
            };
            let told = answer.json();
            assert_eq!(
                (answer.status, &told["type"]),
                (400, &json!("error")),
                "{version:?} {path}"
            );
            assert_eq!(told["error"]["type"], "invalid_request_error");
            assert!(told["error"]["message"].as_str().unwrap().starts_with(why), "{told}");
        }
        let sent = stage.upstream.truths().len() - before;
        assert_eq!(sent, usize::from(refusal.is_none()), "{version:?}");
    }
}
