//! The scripted provider keeps its word: what the other tests take for the truth is checked here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where by panicking")]
#![expect(clippy::panic, reason = "a test that cannot go on says why by panicking")]

#[path = "mod.rs"]
#[expect(dead_code, reason = "each kind of test uses its part of the harness")]
mod harness;

use harness::client::Client;
use harness::upstream::script::Reply;
use harness::upstream::{Ended, Upstream};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_stream_produces_the_tokens_it_reports() {
    let upstream = Upstream::start().await;
    let body = json!({"model": "small", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "one two @@tokens=5 key=k@@"}]});
    let response = Client::new(&upstream.url).post(CHAT, &body).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.content(), " the of and to in");
    assert_eq!(response.data().pop().unwrap(), "[DONE]");
    let truth = upstream.answered("k").await;
    assert_eq!(truth.produced, 5);
    assert_eq!(truth.reported.unwrap().completion, 5);
    assert_eq!(truth.reported.unwrap().prompt, 4);
    assert_eq!(truth.ended, Ended::Whole);
    assert_eq!(response.header("x-request-id").unwrap(), truth.id);
}

#[tokio::test]
async fn a_cut_comes_at_its_byte() {
    let upstream = Upstream::start().await;
    let client = Client::new(&upstream.url);
    for at in [0, 1, 40, 300, 700] {
        let content = format!("@@tokens=20 fin={at} key=cut{at}@@");
        let body = json!({"model": "small", "stream": true,
            "messages": [{"role": "user", "content": content}]});
        let mut exchange = client.open("POST", CHAT, body.to_string().as_bytes()).await.unwrap();
        exchange.until(usize::MAX).await.unwrap();
        assert_eq!(exchange.raw.len(), at);
        let truth = upstream.answered(&format!("cut{at}")).await;
        assert_eq!(truth.ended, Ended::Cut);
        assert_eq!(truth.reported, None);
    }
}

#[tokio::test]
async fn a_key_fails_as_often_as_it_was_told() {
    let upstream = Upstream::start().await;
    let client = Client::new(&upstream.url);
    let body = json!({"model": "small",
        "messages": [{"role": "user", "content": "@@fail=2 status=503 key=twice@@"}]});
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.post(CHAT, &body).await.status);
    }
    assert_eq!(statuses, [503, 503, 200]);
}

#[tokio::test]
async fn pushed_bytes_come_as_they_are() {
    let upstream = Upstream::start().await;
    upstream.push("small", Reply::whole(418, "{\"odd\": 1}").with_header("x-odd", "yes"));
    let response = Client::new(&upstream.url).post(CHAT, &json!({"model": "small"})).await;
    assert_eq!((response.status, response.text().as_str()), (418, "{\"odd\": 1}"));
    assert_eq!(response.header("x-odd"), Some("yes"));
    assert_eq!(upstream.last().json(), json!({"model": "small"}));
}
