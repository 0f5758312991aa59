//! The admin plane: health, metrics, accounts and keys, and a configuration that is reloaded whole
//! or not at all.

use std::time::Duration;

use serde_json::json;

use crate::harness::client::Client;
use crate::harness::eventually;
use crate::harness::stage::{CHAT, RICH, Stage, chat, configuration};

#[tokio::test]
async fn it_is_healthy_and_ready() {
    let stage = Stage::new(RICH).await;
    let nobody = Client::new(&stage.gateway.admin);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(nobody.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_metrics_count_calls() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for _ in 0..3 {
        assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
    }
    // A settlement is committed, and counted then, beside the client's path.
    eventually("three calls are counted", Duration::from_secs(10), async || {
        let metrics = stage.gateway.admin_get("/metrics").await;
        assert_eq!(metrics.status, 200);
        let text = metrics.text();
        let samples =
            text.lines().filter(|line| !line.starts_with('#') && line.starts_with("tollgate"));
        let counted = |line: &str| line.contains("requests") && line.ends_with(" 3");
        (samples.clone().count() > 3 && samples.clone().any(counted)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn accounts_show_what_is_posted_and_held() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let answer = client.post(CHAT, &chat("@@tokens=10 prompt=10@@")).await;
    stage.row(&answer).await;
    stage.nothing_held().await;
    let standing = stage.standing().await;
    let cost = standing.iter().find(|limit| limit.metric == "cost").unwrap();
    assert_eq!((cost.account.as_str(), cost.posted), ("acme", 10 * 1_000 + 10 * 2_000));
    assert_eq!(cost.capacity, 1_000_000_000_000);
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked() {
    let stage = Stage::new(RICH).await;
    let admin = stage.gateway.admin_client();
    let made = admin.post("/admin/keys", &json!({"account": "acme"})).await;
    assert!(matches!(made.status, 200 | 201), "{}", made.text());
    let (id, key) = (made.json()["id"].clone(), made.json()["key"].clone());
    let client = Client::with_key(&stage.gateway.data, key.as_str().unwrap());
    assert_eq!(client.get("/v1/models").await.status, 200);
    let listed = admin.get("/admin/keys").await.text();
    assert!(listed.contains(id.as_str().unwrap()) && !listed.contains(key.as_str().unwrap()));
    let path = format!("/admin/keys/{}", id.as_str().unwrap());
    let revoked = admin.send("DELETE", &path, b"").await.unwrap();
    assert!(matches!(revoked.status, 200 | 204), "{}", revoked.text());
    assert_eq!(client.get("/v1/models").await.status, 401);
}

#[tokio::test]
async fn an_admin_write_with_a_field_too_many_changes_nothing() {
    let stage = Stage::new(RICH).await;
    let admin = stage.gateway.admin_client();
    let before = admin.get("/admin/keys").await.text();
    for body in [
        json!({"account": "acme", "admin": true}),
        json!({"account": "nobody"}),
        json!({"account": "acme", "limits": ["lots"]}),
        json!({}),
        json!([]),
    ] {
        let answer = admin.post("/admin/keys", &body).await;
        assert!(matches!(answer.status, 400 | 404), "{body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{body}");
    }
    assert_eq!(admin.get("/admin/keys").await.text(), before);
}

#[tokio::test]
async fn a_reload_is_all_or_nothing() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    // A mistake: the old configuration stays.
    stage.gateway.configure(&configuration(&stage.upstream, "colour = \"blue\"\n", RICH));
    stage.gateway.signal("HUP");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
    assert!(stage.gateway.log().contains("colour"), "{}", stage.gateway.log());
    // A new limit: in force without a restart.
    let tight = "[accounts.acme]\nlimits = [\"$1000 per month\", \"1 requests per day\"]\n";
    stage.gateway.configure(&configuration(&stage.upstream, "", tight));
    stage.gateway.signal("HUP");
    eventually("the new limit is in force", Duration::from_secs(5), async || {
        (client.post(CHAT, &chat("hi")).await.status == 429).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_second_process_on_the_same_ledger_is_refused() {
    let stage = Stage::new(RICH).await;
    let second = stage.gateway.run(&["serve"]);
    assert!(!second.status.success());
    assert_eq!(stage.gateway.client("acme").post(CHAT, &chat("hi")).await.status, 200);
}

#[tokio::test]
async fn a_configuration_without_an_admin_key_opens_no_admin_plane() {
    let stage = Stage::new(RICH).await;
    let file = std::fs::read_to_string(stage.gateway.dir().join("tollgate.toml")).unwrap();
    let other = stage.gateway.dir().join("other.toml");
    let without: String = file
        .lines()
        .filter(|line| !line.starts_with("admin_key"))
        .map(|l| format!("{l}\n"))
        .collect();
    std::fs::write(&other, without).unwrap();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["serve", "--config"])
        .arg(&other)
        .output()
        .unwrap();
    assert!(!run.status.success());
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("admin"), "{said}");
}
