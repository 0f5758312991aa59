//! A call that is sent again with its idempotency key: one answer, one charge, one row.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::{Client, Exchange, Response};
use crate::harness::eventually;
use crate::harness::ledger::calls;
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

async fn begun(client: &Client, body: &Value) -> Exchange {
    let bytes = serde_json::to_vec(body).unwrap();
    let mut exchange = client.open("POST", CHAT, &bytes).await.unwrap();
    assert!(exchange.until_text("data:").await.unwrap());
    exchange
}

fn told_as_one(again: &Response, first: &Response) {
    assert_eq!(again.status, 200, "{}", again.text());
    assert!(again.whole && first.whole);
    // Without the comments that keep a silent connection open.
    assert_eq!(again.data(), first.data());
    assert_eq!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(again.header("x-tollgate-repeated"), Some("true"));
}

#[tokio::test]
async fn a_repeat_of_a_stream_in_flight_reads_it_along_from_its_first_frame() {
    let stage = Stage::new(RICH).await;
    let client = keyed(&stage, "k-3");
    let body = streamed("slow @@tokens=30 pause=30@@");
    let first = begun(&client, &body).await;
    let (one, two) = (begun(&client, &body).await, begun(&client, &body).await);
    let other = client.post(CHAT, &streamed("another @@tokens=5@@")).await;
    assert_eq!(other.status, 422);
    let (first, one, two) = tokio::join!(first.finish(), one.finish(), two.finish());
    let first = first.unwrap();
    told_as_one(&one.unwrap(), &first);
    told_as_one(&two.unwrap(), &first);
    told_as_one(&client.post(CHAT, &body).await, &first);
    assert_eq!(stage.upstream.truths().len(), 1);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_call_whose_first_client_left_goes_on_for_its_repeat_and_is_whole() {
    let stage = Stage::new(RICH).await;
    let client = keyed(&stage, "k-5");
    let body = streamed("left @@tokens=40 pause=20@@");
    let first = begun(&client, &body).await;
    let again = begun(&client, &body).await;
    drop(first);
    let again = again.finish().await.unwrap();
    assert!(again.whole, "{}", again.text());
    told_as_one(&client.post(CHAT, &body).await, &again);
    assert_eq!(stage.upstream.truths().len(), 1);
    stage.nothing_held().await;
    let rows = calls(&stage.gateway);
    let [row] = &rows.values().flatten().collect::<Vec<_>>()[..] else { panic!("{rows:?}") };
    assert_eq!(row.outcome, "completed");
}

#[tokio::test]
async fn a_first_client_that_does_not_read_holds_no_repeat_up() {
    let stage = Stage::new(RICH).await;
    let client = keyed(&stage, "k-6");
    // More than the system keeps for a connection that nobody reads.
    let body = streamed("stuck @@tokens=16000@@");
    let _stuck = begun(&client, &body).await;
    let again = client.post(CHAT, &body).await;
    assert!(again.whole);
    assert_eq!(again.header("x-tollgate-repeated"), Some("true"));
    assert_eq!(stage.upstream.truths().len(), 1);
}

#[tokio::test]
async fn a_repeat_of_a_whole_call_in_flight_waits_for_its_answer() {
    let stage = Stage::new(RICH).await;
    let client = keyed(&stage, "k-7");
    let body = chat("whole @@tokens=5 before=500@@");
    let calls = (0..20).map(|_| client.post(CHAT, &body));
    let answers = futures_util::future::join_all(calls).await;
    let first = answers.iter().find(|a| a.header("x-tollgate-repeated").is_none()).unwrap();
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &first.body), "{}", answer.text());
    }
    let repeated = answers.iter().filter(|a| a.header("x-tollgate-repeated").is_some());
    assert_eq!(repeated.count(), 19);
    assert_eq!(stage.upstream.truths().len(), 1);
}

#[tokio::test]
async fn a_repeat_takes_the_place_of_a_call_that_ended_without_an_answer() {
    let stage = Stage::new(RICH).await;
    let client = keyed(&stage, "k-8");
    let body = streamed("@@tokens=5 before=400@@");
    let bytes = serde_json::to_vec(&body).unwrap();
    let left = client.open("POST", CHAT, &bytes).await.unwrap();
    eventually("the call is sent", Duration::from_secs(10), async || {
        (stage.upstream.count() > 0).then_some(())
    })
    .await;
    let again = tokio::spawn(async move { client.post(CHAT, &body).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(left);
    let again = again.await.unwrap();
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(again.header("x-tollgate-repeated"), None);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
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
