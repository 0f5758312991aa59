//! The wire itself: connections that are kept, and ones that are left hanging.

use std::time::{Duration, Instant};

use crate::harness::stage::{CHAT, RICH, Stage, chat};

fn request(key: &str, body: &str, more: &str) -> String {
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{more}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_connection_serves_one_call_after_another() {
    let stage = Stage::new(RICH).await;
    let key = stage.gateway.key("acme");
    let client = stage.gateway.client("acme");
    let body = chat("@@tokens=3@@").to_string();
    let two = request(&key, &body, "") + &request(&key, &body, "connection: close\r\n");
    let mut exchange = client.raw(two.as_bytes()).await.unwrap();
    exchange.until(usize::MAX).await.unwrap();
    let raw = String::from_utf8_lossy(&exchange.raw).into_owned();
    assert_eq!(raw.matches("HTTP/1.1 200").count(), 2, "{raw}");
    let ids: Vec<&str> =
        raw.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn bytes_after_a_refused_upgrade_never_reach_the_provider() {
    let stage = Stage::new(RICH).await;
    let key = stage.gateway.key("acme");
    let client = stage.gateway.client("acme");
    let body = chat("@@tokens=3@@").to_string();
    let more = "connection: upgrade\r\nupgrade: websocket\r\n";
    let sent = request(&key, &body, more) + "smuggled bytes\r\n\r\n";
    let mut exchange = client.raw(sent.as_bytes()).await.unwrap();
    exchange.until(usize::MAX).await.unwrap();
    assert_ne!(exchange.so_far().unwrap().status, 101);
    assert!(stage.upstream.count() <= 1);
    for truth in stage.upstream.truths() {
        assert!(!String::from_utf8_lossy(&truth.body).contains("smuggled"));
        assert_eq!(truth.header("upgrade"), None);
    }
}

#[tokio::test]
async fn a_request_that_never_becomes_whole_is_hung_up_on() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let start = Instant::now();
    for part in ["POST /v1/chat/comp", "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a: "] {
        let mut exchange = client.raw(part.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(45), exchange.until(usize::MAX)).await;
        assert!(ended.is_ok(), "after {:?} it is still waited for", start.elapsed());
    }
    // The others are served meanwhile.
    assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
}

#[tokio::test]
async fn a_client_that_asks_to_go_on_is_told_to() {
    let stage = Stage::new(RICH).await;
    let key = stage.gateway.key("acme");
    let client = stage.gateway.client("acme");
    let body = chat("hi").to_string();
    let more = "expect: 100-continue\r\nconnection: close\r\n";
    let mut exchange = client.raw(request(&key, &body, more).as_bytes()).await.unwrap();
    exchange.until(usize::MAX).await.unwrap();
    assert!(String::from_utf8_lossy(&exchange.raw).contains("HTTP/1.1 200"));
}
