//! Runs: children of an account with a budget and an end, charged to the whole path, stopped with
//! whatever they have in flight.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::{Client, Response};
use crate::harness::eventually;
use crate::harness::stage::{CHAT, Stage, chat, streamed};

const ACME: &str = "[accounts.acme]\nlimits = [\"$1 per month\"]\n\n[accounts.other]\n";

async fn mint(client: &Client, wish: &Value) -> Response {
    client.post("/v1/runs", wish).await
}

async fn minted(stage: &Stage, wish: &Value) -> (String, Client) {
    let answer = mint(&stage.gateway.client("acme"), wish).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let run = answer.json();
    let key = run["key"].as_str().unwrap();
    (run["id"].as_str().unwrap().to_owned(), Client::with_key(&stage.gateway.data, key))
}

#[tokio::test]
async fn a_run_spends_its_own_budget_and_its_accounts() {
    let stage = Stage::new(ACME).await;
    let (id, run) = minted(&stage, &json!({"name": "agent 7", "budget_usd": "0.00005"})).await;
    // A call of 10 + 10 tokens costs $0.00003: one fits, and of a second one no output.
    let answer = run.post(CHAT, &chat("@@tokens=10 prompt=10@@")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let row = stage.row(&answer).await;
    assert_eq!((&row.json["account"], &row.json["key"]), (&json!("acme"), &json!(id)));
    let mut body = chat("@@tokens=15 prompt=10@@");
    body["max_tokens"] = json!(15);
    let refused = run.post(CHAT, &body).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    let error = &refused.json()["error"];
    assert_eq!(error["limit"], "$0.00005 in total", "{error}");
    assert_eq!(error["resets_at"], Value::Null, "{error}");

    let owner = stage.gateway.client("acme");
    let shown = owner.get(&format!("/v1/runs/{id}")).await.json();
    assert_eq!(shown["spent"]["charged_usd"], "0.00003", "{shown}");
    assert_eq!(shown["standing"][0]["posted"], "0.00003", "{shown}");
    assert_eq!((&shown["state"], &shown["name"]), (&json!("open"), &json!("agent 7")));
    stage.nothing_held().await;
    let cost = stage.standing().await.into_iter().find(|l| l.account == "acme").unwrap();
    assert_eq!(cost.posted, 30_000);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_key_of_the_account_acts_as_a_run_by_a_header() {
    let stage = Stage::new(ACME).await;
    let (id, _) = minted(&stage, &json!({"limits": ["1 requests in total"]})).await;
    let acting = stage.gateway.client("acme").and_header("x-tollgate-run", &id);
    assert_eq!(acting.post(CHAT, &chat("hi")).await.status, 200);
    assert_eq!(acting.post(CHAT, &chat("hi")).await.status, 429);
    assert_eq!(stage.gateway.client("acme").post(CHAT, &chat("hi")).await.status, 200);
    let stranger = stage.gateway.client("other").and_header("x-tollgate-run", &id);
    assert_eq!(stranger.post(CHAT, &chat("hi")).await.status, 403, "another tenant's run");
    let nobody = stage.gateway.client("acme").and_header("x-tollgate-run", "run_nothing00000");
    assert_eq!(nobody.post(CHAT, &chat("hi")).await.status, 403);
}

#[tokio::test]
async fn a_stopped_run_has_its_streams_cut_and_settled_at_once() {
    let stage = Stage::new(ACME).await;
    let (id, run) = minted(&stage, &json!({"budget_usd": "0.5"})).await;
    let say = "@@tokens=500 pause=20 key=stopped@@";
    let body = streamed(say).to_string();
    let mut open = run.open("POST", CHAT, body.as_bytes()).await.unwrap();
    assert!(open.until_text("\"content\"").await.unwrap());
    // One that waits for a provider that does not answer.
    let silent = run.clone();
    let waiting =
        tokio::spawn(async move { silent.post(CHAT, &chat("@@tokens=5 before=30000@@")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;

    let begun = Instant::now();
    let owner = stage.gateway.client("acme");
    let stopped = owner.send("DELETE", &format!("/v1/runs/{id}"), b"").await.unwrap();
    assert_eq!(
        (stopped.status, &stopped.json()["state"]),
        (200, &json!("stopped")),
        "{}",
        stopped.text()
    );
    let answer = open.finish().await.unwrap();
    assert!(answer.text().contains("the run was stopped"), "{}", answer.text());
    assert!(!answer.text().contains("[DONE]"));
    let other = waiting.await.unwrap();
    assert_eq!(other.status, 403, "{}", other.text());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    let row = stage.row(&answer).await;
    assert_eq!(row.outcome, "expired");
    assert!(row.output > 0 && row.output < 500, "{row:?}");
    assert_eq!(run.post(CHAT, &chat("hi")).await.status, 401, "its key opens nothing now");
    let acting = owner.and_header("x-tollgate-run", &id);
    assert_eq!(acting.post(CHAT, &chat("hi")).await.status, 403);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_run_whose_time_is_over_has_nothing_in_flight() {
    let stage = Stage::new(ACME).await;
    let (id, run) = minted(&stage, &json!({"budget_usd": "0.5", "expires_in": 15})).await;
    let answer = run.post(CHAT, &streamed("@@tokens=2000 pause=20@@")).await;
    assert!(answer.text().contains("its time is over"), "{}", answer.text());
    let row = stage.row(&answer).await;
    assert!(row.output > 0 && row.output < 2000, "{row:?}");
    assert_eq!(run.post(CHAT, &chat("hi")).await.status, 401);
    let shown = stage.gateway.client("acme").get(&format!("/v1/runs/{id}")).await.json();
    assert_eq!(shown["state"], "over", "{shown}");
    assert_eq!(shown["spent"]["charged_usd"], json!(row.charged_usd), "{shown}");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_runs_key_makes_calls_and_sees_its_own_only() {
    let stage = Stage::new(ACME).await;
    let (id, run) = minted(&stage, &json!({"budget_usd": "0.5"})).await;
    let owner = stage.gateway.client("acme");
    let theirs = owner.post(CHAT, &chat("hi")).await;
    stage.row(&theirs).await;
    let usage = format!("/v1/usage/{}", theirs.header("x-request-id").unwrap());
    assert_eq!(owner.get(&usage).await.status, 200);
    assert_eq!(run.get(&usage).await.status, 404);
    assert_eq!(run.get(&format!("/v1/runs/{id}")).await.status, 200);
    assert_eq!(run.get("/v1/runs").await.status, 403);
    assert_eq!(run.get("/v1/organization/costs?start_time=0").await.status, 403);
    let wish = json!({"budget_usd": "0.1"});
    assert_eq!(mint(&run, &wish).await.status, 403, "a run mints no runs");
    let more = json!({"limit": "$9 per month"});
    assert_eq!(run.post("/v1/budgets/requests", &more).await.status, 403);
    let (other, _) = minted(&stage, &wish).await;
    let path = format!("/v1/runs/{other}");
    assert_eq!(run.send("DELETE", &path, b"").await.unwrap().status, 403);
    assert_eq!(stage.gateway.client("other").get(&path).await.status, 404);
    let stopped = stage.gateway.client("other").send("DELETE", &path, b"").await.unwrap();
    assert_eq!(stopped.status, 404, "another tenant's run is unknown");
}

#[tokio::test]
async fn a_run_survives_a_restart_with_what_it_spent() {
    let mut stage = Stage::new(ACME).await;
    let (_, run) = minted(&stage, &json!({"limits": ["2 requests in total"]})).await;
    assert_eq!(run.post(CHAT, &chat("hi")).await.status, 200);
    stage.nothing_held().await;
    stage.gateway.kill();
    stage.gateway.up();
    let run = run.moved(&stage.gateway.data);
    assert_eq!(run.post(CHAT, &chat("hi")).await.status, 200);
    assert_eq!(run.post(CHAT, &chat("hi")).await.status, 429);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn runs_come_and_go_without_changing_what_was_charged() {
    let stage = Stage::new(ACME).await;
    let owner = stage.gateway.client("acme");
    for n in 0..30 {
        let (id, run) = minted(&stage, &json!({"limits": ["5 requests in total"]})).await;
        let answer = run.post(CHAT, &chat("@@tokens=10 prompt=10@@")).await;
        assert_eq!(answer.status, 200, "{n}: {}", answer.text());
        let stopped = owner.send("DELETE", &format!("/v1/runs/{id}"), b"").await.unwrap();
        assert_eq!(stopped.status, 200);
    }
    stage.nothing_held().await;
    eventually("the account has all of it", Duration::from_secs(10), async || {
        let cost = stage.standing().await.into_iter().find(|l| l.account == "acme").unwrap();
        (cost.posted == 30 * 30_000).then_some(())
    })
    .await;
    // Gone runs are let go of within seconds; their rows stay.
    tokio::time::sleep(Duration::from_secs(3)).await;
    stage.gateway.audit().unwrap();
    assert_eq!(owner.get("/v1/runs").await.json()["data"].as_array().unwrap().len(), 30);
}

#[tokio::test]
async fn a_bad_wish_for_a_run_says_what_is_wrong() {
    let stage = Stage::new(ACME).await;
    let client = stage.gateway.client("acme");
    for (wish, status) in [
        (json!({}), 422),
        (json!({"limits": ["lots"]}), 400),
        (json!({"budget_usd": "-1"}), 400),
        (json!({"budget_usd": "1", "expires_in": 0}), 400),
        (json!({"budget_usd": "1", "expires_in": 9, "expires_at": "2099-01-01T00:00:00Z"}), 400),
        (json!({"budget_usd": "1", "expires_at": "2001-01-01T00:00:00Z"}), 400),
        (json!({"budget_usd": "1", "expires_in": 40 * 86_400}), 422),
        (json!({"limits": ["$1 in total", "$2 in total"]}), 409),
        (json!({"budget_usd": "1", "account": "other"}), 400),
    ] {
        let answer = mint(&client, &wish).await;
        assert_eq!(answer.status, status, "{wish}: {}", answer.text());
    }
}
