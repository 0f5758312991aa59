//! What an operator does to a gateway under load: reload it, stop it, start it again. No call fails for
//! that, and none is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::{calls, open_holds};
use crate::harness::stage::{CHAT, RICH, Stage, chat, configuration, streamed};
use crate::harness::upstream::Upstream;

const CLIENTS: usize = 6;
const RELOADS: usize = 20;
const STOPS: usize = 10;

/// Calls, whole and streamed, until told to stop; gives the ids of those that were answered.
async fn call_on(client: Client, done: Arc<AtomicBool>) -> Vec<String> {
    let mut ids = Vec::new();
    while !done.load(Ordering::Relaxed) {
        for body in [chat("@@tokens=5 before=2@@"), streamed("@@tokens=20 pause=2@@")] {
            let bytes = body.to_string();
            // A connection that is refused, or closed before an answer began, was no call.
            let Ok(answer) = client.send("POST", CHAT, bytes.as_bytes()).await else { continue };
            if answer.status == 503 {
                continue;
            }
            assert_eq!(answer.status, 200, "{}", answer.text());
            let whole = match body["stream"] == json!(true) {
                true => answer.data().last().is_some_and(|last| last == "[DONE]"),
                false => answer.whole,
            };
            assert!(whole, "it was broken off: {}", answer.text());
            ids.push(answer.header("x-request-id").unwrap().to_owned());
        }
    }
    ids
}

fn every_call_has_its_row(gateway: &Gateway, ids: &[String]) {
    // Settlements are committed in groups off the client's path: the last ones a moment after it.
    let mut rows = calls(gateway);
    for _ in 0..50 {
        if ids.iter().all(|id| rows.contains_key(id)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        rows = calls(gateway);
    }
    for id in ids {
        let rows = rows.get(id).unwrap_or_else(|| panic!("{id} has no row"));
        assert_eq!(rows.iter().map(|row| row.requests).sum::<i64>(), 1, "{rows:?}");
        assert!(rows.iter().any(|row| row.is_reported()), "{rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_under_load_fails_no_call() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> =
        (0..CLIENTS).map(|_| tokio::spawn(call_on(client.clone(), Arc::clone(&done)))).collect();
    for reload in 0..RELOADS {
        let limit = format!("[accounts.acme]\nlimits = [\"${} per month\"]\n", 1_000 + reload);
        stage.gateway.configure(&configuration(&stage.upstream, "", &limit));
        stage.gateway.signal("HUP");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    done.store(true, Ordering::Relaxed);
    let mut ids = Vec::new();
    for worker in load {
        ids.extend(worker.await.unwrap());
    }
    assert!(ids.len() > RELOADS, "only {} calls were made", ids.len());
    stage.nothing_held().await;
    every_call_has_its_row(&stage.gateway, &ids);
    // What was posted stays posted, whatever the amount is now.
    let charged: i64 = calls(&stage.gateway).values().flatten().map(|row| row.charged).sum();
    assert_eq!(stage.standing().await[0].posted, charged);
    stage.gateway.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_breaks_no_call_off() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(&configuration(&upstream, "", RICH));
    let key = gateway.key("acme");
    let mut ids = Vec::new();
    for _ in 0..STOPS {
        let client = Client::with_key(&gateway.data, &key);
        let done = Arc::new(AtomicBool::new(false));
        let load: Vec<_> = (0..CLIENTS)
            .map(|_| tokio::spawn(call_on(client.clone(), Arc::clone(&done))))
            .collect();
        tokio::time::sleep(Duration::from_millis(150)).await;
        gateway.signal("TERM");
        done.store(true, Ordering::Relaxed);
        for worker in load {
            ids.extend(worker.await.unwrap());
        }
        assert!(gateway.wait(Duration::from_secs(20)).success());
        assert_eq!(open_holds(&gateway), 0);
        gateway.audit().unwrap();
        gateway.up();
    }
    assert!(ids.len() > STOPS, "only {} calls were made", ids.len());
    every_call_has_its_row(&gateway, &ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_no_memory() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    assert_eq!(client.post(CHAT, &chat("warm up")).await.status, 200);
    let before = stage.gateway.resident_kib();
    let body = streamed("@@tokens=300000 key=stalled@@").to_string();
    let mut exchange = client.open("POST", CHAT, body.as_bytes()).await.unwrap();
    exchange.until(1_000).await.unwrap();
    let mut most = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(stage.gateway.resident_kib());
    }
    let grown = most.saturating_sub(before);
    assert!(grown < 32 << 10, "it grew by {grown} KiB for one stream");
    let produced = stage.upstream.by_key("stalled").pop().unwrap().produced;
    assert!(produced < 300_000, "the provider was read to its end for nobody");
    drop(exchange);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_keep_nobody_out() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(client.raw(b"").await.unwrap());
    }
    assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
    assert_eq!(stage.gateway.admin_get("/readyz").await.status, 200);
}
