//! A call that is sent again with its idempotency key: one answer, one charge, one row.

use serde_json::json;

use crate::harness::client::Client;
use crate::harness::stage::{CHAT, RICH, Stage, chat, streamed};

fn keyed(stage: &Stage, key: &str) -> Client {
    stage.gateway.client("acme").and_header("idempotency-key", key)
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_is_charged_once() {
    let stage = Stage::new(RICH).await;
    for (key, body) in [("w", chat("one @@tokens=5@@")), ("s", streamed("two @@tokens=5@@"))] {
        let client = keyed(&stage, key);
        let first = client.post(CHAT, &body).await;
        let again = client.post(CHAT, &body).await;
        assert_eq!(first.status, 200, "{}", first.text());
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("x-request-id"), first.header("x-request-id"));
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert_eq!(again.header("x-tollgate-repeated"), Some("true"));
        assert_eq!(first.header("x-tollgate-repeated"), None);
    }
    assert_eq!(stage.upstream.truths().len(), 2);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_key_with_another_body_is_refused_and_belongs_to_its_account() {
    let stage = Stage::new("[accounts.acme]\n[accounts.globex]\n").await;
    let client = keyed(&stage, "k-2");
    assert_eq!(client.post(CHAT, &chat("one")).await.status, 200);
    let other = client.post(CHAT, &chat("two")).await;
    assert_eq!(other.status, 422);
    assert_eq!(other.json()["error"]["code"], "idempotency_key_reused");
    let globex = stage.gateway.client("globex").and_header("idempotency-key", "k-2");
    let theirs = globex.post(CHAT, &chat("two")).await;
    assert_eq!(theirs.status, 200);
    assert_eq!(theirs.header("x-tollgate-repeated"), None);
}

#[tokio::test]
async fn a_repeat_of_a_call_in_flight_is_to_be_sent_later() {
    let stage = Stage::new(RICH).await;
    let client = keyed(&stage, "k-3");
    let body = streamed("slow @@tokens=20 pause=50@@");
    let bytes = serde_json::to_vec(&body).unwrap();
    let mut first = client.open("POST", CHAT, &bytes).await.unwrap();
    assert!(first.until_text("data:").await.unwrap());
    let again = client.post(CHAT, &body).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.json()["error"]["code"], "idempotency_key_in_flight");
    assert!(again.header("retry-after").is_some());
    let first = first.finish().await.unwrap();
    let later = client.post(CHAT, &body).await;
    assert_eq!(later.status, 200);
    assert_eq!(later.body, first.body);
    assert_eq!(stage.upstream.truths().len(), 1);
}

#[tokio::test]
async fn a_call_that_failed_or_was_left_frees_its_key() {
    let stage = Stage::new(RICH).await;
    let client = keyed(&stage, "k-4");
    let body = streamed("left @@tokens=50 pause=20@@");
    let bytes = serde_json::to_vec(&body).unwrap();
    let mut left = client.open("POST", CHAT, &bytes).await.unwrap();
    assert!(left.until_text("data:").await.unwrap());
    drop(left);
    stage.nothing_held().await;
    let again = client.post(CHAT, &body).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.header("x-tollgate-repeated"), None);
    assert_eq!(stage.upstream.truths().len(), 2);
}

#[tokio::test]
async fn a_key_outlives_the_process_and_a_lost_answer_is_not_charged_again() {
    let mut stage = Stage::new(RICH).await;
    let done = keyed(&stage, "done").post(CHAT, &chat("done")).await;
    assert_eq!(done.status, 200);
    let body = streamed("lost @@tokens=200 pause=20@@");
    let bytes = serde_json::to_vec(&body).unwrap();
    let key = stage.gateway.key("acme");
    let url = stage.gateway.data.clone();
    let lost = Client::with_key(&url, &key).and_header("idempotency-key", "lost");
    let mut open = lost.open("POST", CHAT, &bytes).await.unwrap();
    assert!(open.until_text("data:").await.unwrap());
    stage.gateway.kill();
    stage.gateway.up();
    let url = stage.gateway.data.clone();
    let client = Client::with_key(&url, &key);
    let again = client.and_header("idempotency-key", "done").post(CHAT, &chat("done")).await;
    assert_eq!(again.body, done.body);
    let again = client.and_header("idempotency-key", "lost").post(CHAT, &body).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.json()["error"]["code"], "idempotent_answer_lost");
    assert_eq!(again.header("x-should-retry"), Some("false"));
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let stage = Stage::new(RICH).await;
    for key in ["", "with space", &"k".repeat(256)] {
        let refused = keyed(&stage, key).post(CHAT, &chat("one")).await;
        assert_eq!(refused.status, 400, "{key:?}");
        assert_eq!(refused.json()["error"]["param"], json!("idempotency-key"));
    }
    assert!(stage.upstream.truths().is_empty());
}
