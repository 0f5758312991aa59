//! Holds that end by the clock, limits that are added while the gateway runs, and rows that are
//! flushed to the disk.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::client::Client;
use crate::harness::stage::{CHAT, RICH, Stage, chat, configuration, row_of, streamed};
use crate::harness::upstream::Upstream;
use crate::harness::{eventually, gateway::Gateway};

#[tokio::test]
async fn a_hold_expires_at_the_calls_deadline_and_charges_what_came() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme").and_header("x-tollgate-deadline", "1");
    let began = Instant::now();
    // Twenty seconds of stream, had it been let.
    let answer = client.post(CHAT, &streamed("@@tokens=400 pause=50@@")).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(answer.text().contains("\"error\""), "{}", answer.text());
    assert!(!answer.text().contains("[DONE]"), "{}", answer.text());
    let row = stage.row(&answer).await;
    assert_eq!(row.outcome, "expired");
    assert!(row.output > 0 && row.output < 400, "{row:?}");
    assert_ne!(row.charged_usd, "0");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_hold_expires_though_its_client_reads_nothing() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme").and_header("x-tollgate-deadline", "1");
    let body = serde_json::to_vec(&streamed("@@tokens=30 pause=10 hang=2000@@")).unwrap();
    let mut stalled = client.open("POST", CHAT, &body).await.unwrap();
    assert!(stalled.until_text("x-request-id").await.unwrap());
    // The connection stays open and unread while the deadline passes.
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
    drop(stalled);
}

#[tokio::test]
async fn a_limit_added_while_running_holds_at_once_survives_a_restart_and_can_be_taken_back() {
    let mut stage = Stage::new(RICH).await;
    let key = stage.gateway.key("acme");
    let call = async |gateway: &Gateway| {
        Client::with_key(&gateway.data, &key).post(CHAT, &chat("hi")).await.status
    };
    assert_eq!(call(&stage.gateway).await, 200);

    let wish = json!({ "account": "acme", "limit": "1 requests per day" });
    let added = stage.gateway.admin_client().post("/admin/limits", &wish).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let twice = stage.gateway.admin_client().post("/admin/limits", &wish).await;
    assert_eq!(twice.status, 409, "{}", twice.text());
    assert_eq!(call(&stage.gateway).await, 200);
    assert_eq!(call(&stage.gateway).await, 429);

    stage.nothing_held().await;
    stage.gateway.kill();
    stage.gateway.up();
    let listed = stage.gateway.admin_get("/admin/limits").await;
    assert!(listed.text().contains("1 requests per day"), "{}", listed.text());
    assert_eq!(call(&stage.gateway).await, 429);

    let bytes = serde_json::to_vec(&wish).unwrap();
    let admin = stage.gateway.admin_client();
    let gone = admin.send("DELETE", "/admin/limits", &bytes).await.unwrap();
    assert_eq!(gone.status, 204, "{}", gone.text());
    assert_eq!(call(&stage.gateway).await, 200);
    let unknown = admin.send("DELETE", "/admin/limits", &bytes).await.unwrap();
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn with_durability_power_calls_are_served_and_their_rows_are_there_after_a_kill() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::stopped(&configuration(&upstream, "", RICH));
    gateway.set_storage("durability = \"power\"");
    gateway.up();
    let client = gateway.client("acme");
    let mut ids = Vec::new();
    for _ in 0..10 {
        let answer = client.post(CHAT, &chat("@@tokens=5@@")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        ids.push(answer.header("x-request-id").unwrap().to_owned());
    }
    gateway.kill();
    gateway.up();
    for id in &ids {
        assert_eq!(row_of(&gateway, id).await.json["requests"], 1);
    }
    gateway.audit().unwrap();
}

#[tokio::test]
async fn a_call_beyond_a_soft_limit_waits_its_turn_instead_of_being_refused() {
    let tables = "[accounts.acme]\n[[accounts.acme.limit]]\nmetric = \"concurrent\"\namount = 1\n\
                  mode = \"soft\"\nmax_wait = \"10s\"\n";
    let stage = Stage::new(tables).await;
    let client = stage.gateway.client("acme");
    let body = streamed("@@tokens=20 pause=30@@");
    let bytes = serde_json::to_vec(&body).unwrap();
    let mut first = client.open("POST", CHAT, &bytes).await.unwrap();
    assert!(first.until_text("data:").await.unwrap());
    let began = Instant::now();
    let short = chat("@@tokens=5@@");
    let second = client.post(CHAT, &short);
    let (first, second) = tokio::join!(first.finish(), second);
    assert!(first.unwrap().text().contains("[DONE]"));
    assert_eq!(second.status, 200, "{}", second.text());
    assert!(began.elapsed() > Duration::from_millis(200), "{:?}", began.elapsed());
    eventually("both are settled", Duration::from_secs(5), async || {
        (stage.upstream.truths().len() == 2).then_some(())
    })
    .await;
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}
