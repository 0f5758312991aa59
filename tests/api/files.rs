//! Clients' files: taken in as they come, shown to their account alone, forgotten when they are told.

use std::time::Duration;

use serde_json::Value;

use crate::harness::client::{Client, Response, form};
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::stage::RICH;

const TWO: &str = "[accounts.acme]\n[accounts.globex]\n";

fn id(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["id"].as_str().unwrap().to_owned()
}

/// What lies in the folder of contents.
fn contents(gateway: &Gateway) -> Vec<String> {
    let folder = std::fs::read_dir(gateway.dir().join("tollgate.db.files")).unwrap();
    folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

async fn delete(client: &Client, id: &str) -> Response {
    client.send("DELETE", &format!("/v1/files/{id}"), b"").await.unwrap()
}

async fn ids(client: &Client, query: &str) -> Vec<String> {
    let list = client.get(&format!("/v1/files{query}")).await;
    assert_eq!(list.status, 200, "{}", list.text());
    let list = list.json();
    let data = list["data"].as_array().unwrap();
    assert_eq!(list["first_id"], data.first().map_or(Value::Null, |file| file["id"].clone()));
    data.iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_file_is_given_back_byte_for_byte_and_survives_kill_9() {
    let mut gateway = Gateway::start(RICH);
    let client = gateway.client("acme");
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let made = client.upload(&bytes).await;
    let id = id(&made);
    let shown = made.json();
    assert_eq!(shown["object"], "file");
    assert_eq!(shown["bytes"], bytes.len());
    assert_eq!(shown["filename"], "lines.jsonl");
    assert_eq!(shown["purpose"], "batch");
    let kept = shown["expires_at"].as_i64().unwrap() - shown["created_at"].as_i64().unwrap();
    assert_eq!(kept, 30 * 24 * 3600);

    gateway.kill();
    gateway.up();
    let client = client.moved(&gateway.data);
    assert_eq!(client.get(&format!("/v1/files/{id}")).await.json(), shown);
    let content = client.get(&format!("/v1/files/{id}/content")).await;
    assert!(content.whole && content.body == bytes);

    assert_eq!(delete(&client, &id).await.json()["deleted"], true);
    assert_eq!(delete(&client, &id).await.status, 404);
    assert_eq!(client.get(&format!("/v1/files/{id}/content")).await.status, 404);
    assert!(contents(&gateway).is_empty());
}

#[tokio::test]
async fn a_file_of_another_account_does_not_exist() {
    let gateway = Gateway::start(TWO);
    let (acme, globex) = (gateway.client("acme"), gateway.client("globex"));
    let id = id(&acme.upload(b"{}").await);
    for path in [format!("/v1/files/{id}"), format!("/v1/files/{id}/content")] {
        let (other, never) =
            (globex.get(&path).await, globex.get(&path.replace(&id, "file-x")).await);
        assert_eq!((other.status, never.status), (404, 404));
        let words = |answer: &Response, id: &str| answer.text().replace(id, "ID");
        assert_eq!(words(&other, &id), words(&never, "file-x"));
    }
    assert_eq!(delete(&globex, &id).await.status, 404);
    assert!(ids(&globex, "").await.is_empty());
    assert_eq!(ids(&acme, "").await, std::slice::from_ref(&id));
    // A run makes calls, and keeps nothing.
    let run = acme.post("/v1/runs", &serde_json::json!({"budget_usd": "1"})).await.json();
    let run = Client::with_key(&gateway.data, run["key"].as_str().unwrap());
    assert_eq!(run.get("/v1/files").await.status, 403);
    assert_eq!(run.upload(b"{}").await.status, 403);
    assert_eq!(Client::new(&gateway.data).upload(b"{}").await.status, 401);
}

#[tokio::test]
async fn files_are_listed_in_pages() {
    let gateway = Gateway::start(TWO);
    let client = gateway.client("acme");
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(id(&client.upload(b"{}").await));
    }
    assert_eq!(ids(&client, "?order=asc").await, made);
    let newest: Vec<String> = made.iter().rev().cloned().collect();
    assert_eq!(ids(&client, "?purpose=batch").await, newest);
    assert_eq!(ids(&client, "?limit=2").await, newest[..2]);
    assert_eq!(ids(&client, &format!("?limit=2&after={}", newest[1])).await, newest[2..4]);
    assert_eq!(ids(&client, &format!("?order=asc&after={}", made[3])).await, made[4..]);
    assert!(ids(&client, "?purpose=batch_output").await.is_empty());
    for bad in ["?limit=0", "?limit=x", "?order=up", "?colour=red"] {
        assert_eq!(client.get(&format!("/v1/files{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn what_is_no_upload_is_refused_and_leaves_nothing() {
    let gateway = Gateway::start(TWO);
    let client = gateway.client("acme");
    let file = Some(("a.jsonl", &b"{}"[..]));
    let purpose = ("purpose", "batch");
    let long = "n".repeat(256);
    let bad = [
        form(&[("purpose", "fine-tune")], file),
        form(&[], file),
        form(&[purpose], None),
        form(&[purpose, ("colour", "red")], file),
        form(&[purpose, ("expires_after[seconds]", "10")], file),
        form(&[purpose, ("expires_after[anchor]", "never")], file),
        form(&[("purpose", &"batch".repeat(1_000))], file),
        form(&[purpose], Some((&long, b"{}"))),
        b"no form".to_vec(),
    ];
    for body in bad {
        let answer = client.form("/v1/files", &body).await;
        assert_eq!(answer.status, 400, "{} {}", String::from_utf8_lossy(&body), answer.text());
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    assert_eq!(client.post("/v1/files", &serde_json::json!({})).await.status, 400);
    assert!(contents(&gateway).is_empty() && ids(&client, "").await.is_empty());

    let day =
        [purpose, ("expires_after[anchor]", "created_at"), ("expires_after[seconds]", "3600")];
    let kept = client.form("/v1/files", &form(&day, file)).await.json();
    assert_eq!(kept["expires_at"].as_i64().unwrap() - kept["created_at"].as_i64().unwrap(), 3600);
}

#[tokio::test]
async fn sizes_of_files_and_of_accounts_are_bounded() {
    let bounds = "[batches]\nmax_file_bytes = 100000\nmax_account_bytes = 250000\n";
    let gateway = Gateway::start(&format!("{TWO}\n{bounds}"));
    let client = gateway.client("acme");
    let answer = client.upload(&vec![b' '; 100_001]).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (413, &"file_too_large".into()));
    let first = id(&client.upload(&vec![b' '; 100_000]).await);
    id(&client.upload(&vec![b' '; 100_000]).await);
    let full = client.upload(&vec![b' '; 100_000]).await;
    assert_eq!((full.status, &full.json()["error"]["code"]), (403, &"file_quota_exceeded".into()));
    assert_eq!(contents(&gateway).len(), 2);
    // Another account has its own room, and what is deleted makes some.
    id(&gateway.client("globex").upload(&vec![b' '; 100_000]).await);
    delete(&client, &first).await;
    id(&client.upload(&vec![b' '; 100_000]).await);
}

#[tokio::test]
async fn a_large_file_is_not_held_in_memory() {
    let gateway = Gateway::start(TWO);
    let client = gateway.client("acme");
    let large = vec![b'x'; 96 << 20];
    id(&client.upload(b"{}").await);
    let before = gateway.resident_kib();
    let made = id(&client.upload(&large).await);
    let content = client.get(&format!("/v1/files/{made}/content")).await;
    assert!(content.body == large);
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "{grown} KiB");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let mut gateway = Gateway::start(TWO);
    let client = gateway.client("acme");
    let head = |key: &str| {
        let body = form(&[("purpose", "batch")], Some(("a", &[b'x'; 50_000])));
        let kind = "multipart/form-data; boundary=------boundary-of-the-tests";
        let head = format!(
            "POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), &body[..40_000]].concat()
    };
    let bytes = head(&gateway.key("acme"));
    let exchange = client.raw(&bytes).await.unwrap();
    let arrived = async || (!contents(&gateway).is_empty()).then_some(());
    eventually("the file begins", Duration::from_secs(10), arrived).await;
    drop(exchange);
    let gone = async || contents(&gateway).is_empty().then_some(());
    eventually("the file is gone", Duration::from_secs(10), gone).await;

    // A gateway that dies in the middle finds it at its next start.
    let _exchange = client.raw(&bytes).await.unwrap();
    let arrived = async || (!contents(&gateway).is_empty()).then_some(());
    eventually("the file begins", Duration::from_secs(10), arrived).await;
    gateway.kill();
    gateway.up();
    assert!(contents(&gateway).is_empty());
}
