//! Batches: a file of requests is checked as a whole, made line by line like any calls, and answered
//! in files; called off, they end with what is done.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::eventually;
use crate::harness::ledger::{Entry, entries, tamper};
use crate::harness::stage::{CHAT, EMBEDDINGS, RICH, Stage, chat};

const TWO: &str = "[accounts.acme]\n[accounts.globex]\n";
pub(crate) const BATCHES: &str = "/v1/batches";

/// A line that asks for this.
pub(crate) fn line(name: &str, url: &str, body: &Value) -> String {
    json!({"custom_id": name, "method": "POST", "url": url, "body": body}).to_string()
}

/// So many chats, each with its own words.
pub(crate) fn chats(count: usize, say: &str) -> String {
    let line = |n| line(&format!("n{n}"), CHAT, &chat(&say.replace("KEY", &format!("k{n}"))));
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

pub(crate) async fn file(client: &Client, lines: &str) -> String {
    let made = client.upload(lines.as_bytes()).await;
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

pub(crate) fn wish(file: &str, endpoint: &str) -> Value {
    json!({"input_file_id": file, "endpoint": endpoint, "completion_window": "24h"})
}

/// Begins a batch of these lines; its id.
pub(crate) async fn begin(client: &Client, lines: &str, endpoint: &str) -> String {
    let made = client.post(BATCHES, &wish(&file(client, lines).await, endpoint)).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    assert_eq!((&made["object"], &made["status"]), (&json!("batch"), &json!("validating")));
    made["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn one(client: &Client, id: &str) -> Value {
    client.get(&format!("{BATCHES}/{id}")).await.json()
}

/// The batch once it is over.
pub(crate) async fn ended(client: &Client, id: &str) -> Value {
    eventually("the batch is over", Duration::from_secs(60), async || {
        let batch = one(client, id).await;
        let over = ["completed", "failed", "expired", "cancelled"];
        over.contains(&batch["status"].as_str().unwrap()).then_some(batch)
    })
    .await
}

/// The lines of a file that a batch made; none where there is no file.
pub(crate) async fn results(client: &Client, id: &Value) -> Vec<Value> {
    let Some(id) = id.as_str() else { return Vec::new() };
    let content = client.get(&format!("/v1/files/{id}/content")).await;
    assert_eq!(content.status, 200, "{}", content.text());
    content.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn rows_of(stage: &Stage, batch: &str) -> Vec<Entry> {
    let of = |entry: &Entry| entry.tags.split(',').any(|tag| tag == format!("batch={batch}"));
    entries(&stage.gateway).into_iter().filter(of).collect()
}

#[tokio::test]
async fn every_line_is_answered_once_and_charged_as_a_call() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme").and_header("x-tollgate-tags", "job=nightly");
    let id =
        begin(&client, &chats(40, "hello @@tokens=5 reasoning=2 cached=1 key=KEY@@"), CHAT).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["status"], "completed", "{batch}");
    assert_eq!(batch["request_counts"], json!({"total": 40, "completed": 40, "failed": 0}));
    assert_eq!(batch["model"], "gpt-4o-mini");
    assert_eq!((&batch["error_file_id"], &batch["errors"]), (&Value::Null, &Value::Null));
    for at in ["created_at", "in_progress_at", "finalizing_at", "completed_at"] {
        assert!(batch[at].is_u64(), "{at}: {batch}");
    }

    let output = results(&client, &batch["output_file_id"]).await;
    let mut names: Vec<&str> = output.iter().map(|l| l["custom_id"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((output.len(), names.len()), (40, 40));
    let rows = rows_of(&stage, &id);
    assert_eq!(rows.len(), 40);
    let sum = |of: fn(&Entry) -> i64| rows.iter().map(of).sum::<i64>();
    let (read, wrote) = (sum(|row| row.posted_input), sum(|row| row.posted_output));
    let usage = json!({
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": sum(|row| row.cache_read)},
        "output_tokens": wrote,
        "output_tokens_details": {"reasoning_tokens": sum(|row| row.reasoning)},
        "total_tokens": read + wrote,
    });
    assert_eq!((&batch["usage"], read > 0, wrote), (&usage, true, 40 * 7));
    for line in &output {
        assert_eq!((&line["response"]["status_code"], &line["error"]), (&json!(200), &Value::Null));
        let usage = &line["response"]["body"]["usage"];
        let request = line["response"]["request_id"].as_str().unwrap();
        let row = rows.iter().find(|row| row.id == request).unwrap();
        assert_eq!(usage["completion_tokens"], row.all_output());
        assert_eq!(usage["prompt_tokens"], row.all_input());
        assert_eq!(row.charged, row.cost());
        assert!(row.tags.contains("job=nightly"), "{row:?}");
        let key = line["custom_id"].as_str().unwrap().replace('n', "k");
        assert_eq!(stage.upstream.by_key(&key).len(), 1, "each is sent once");
    }
    // What it made are files like others.
    let made =
        client.get(&format!("/v1/files/{}", batch["output_file_id"].as_str().unwrap())).await;
    assert_eq!(made.json()["purpose"], "batch_output");
    assert_eq!(
        client.get("/v1/files?purpose=batch_output").await.json()["data"].as_array().unwrap().len(),
        1
    );
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn what_a_provider_or_a_budget_refuses_is_in_the_error_file() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"12 requests per month\"]\n").await;
    let client = stage.gateway.client("acme");
    let lines = format!(
        "{}\n{}",
        chats(2, "no @@status=400 key=KEY@@"),
        (0..20).map(|n| line(&format!("m{n}"), CHAT, &chat("yes"))).collect::<Vec<_>>().join("\n")
    );
    let id = begin(&client, &lines, CHAT).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["status"], "completed", "{batch}");
    assert_eq!(batch["request_counts"], json!({"total": 22, "completed": 10, "failed": 12}));
    let errors = results(&client, &batch["error_file_id"]).await;
    let status = |name: &str| {
        let line = errors.iter().find(|line| line["custom_id"] == name).unwrap();
        (line["response"]["status_code"].clone(), line["response"]["body"]["error"]["code"].clone())
    };
    assert_eq!(status("n0").0, 400);
    let refused = errors.iter().filter(|line| line["response"]["status_code"] == 429);
    assert_eq!(refused.count(), 10, "{errors:?}");
    assert!(errors.iter().all(|line| line["error"].is_null()));
    assert_eq!(stage.upstream.count(), 12, "a refused line is not sent");
    stage.nothing_held().await;
}

#[tokio::test]
async fn a_line_waits_for_a_limit_that_is_given_anew_soon() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"5 requests per second\"]\n").await;
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(12, "hello @@key=KEY@@"), CHAT).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["request_counts"], json!({"total": 12, "completed": 12, "failed": 0}));
    assert_eq!(stage.upstream.count(), 12);
}

#[tokio::test]
async fn a_line_is_made_again_whose_provider_was_not_ready() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let say = "hello @@status=429 fail=4 retry-after-ms=20 key=KEY@@";
    let id = begin(&client, &chats(2, say), CHAT).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["request_counts"]["completed"], 2, "{batch}");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_file_that_makes_no_sense_fails_with_the_numbers_of_its_lines() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let good = chat("hello");
    let mut streamed = good.clone();
    streamed["stream"] = json!(true);
    let unknown = json!({"model": "gpt-9", "messages": []});
    let mut get = serde_json::from_str::<Value>(&line("c", CHAT, &good)).unwrap();
    get["method"] = json!("GET");
    let lines = [
        line("a", CHAT, &good),
        "{\"custom_id\": ".to_owned(),
        String::new(),
        line("a", CHAT, &good),
        line("", CHAT, &good),
        line("b", EMBEDDINGS, &good),
        line("c", "/v1/nothing", &good),
        get.to_string(),
        line("d", CHAT, &json!("text")),
        line("e", CHAT, &json!({"messages": []})),
        line("f", CHAT, &unknown),
        line("g", CHAT, &streamed),
        "[1]".to_owned(),
    ];
    let id = begin(&client, &lines.join("\n"), CHAT).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["status"], "failed");
    assert!(batch["failed_at"].is_u64() && batch["output_file_id"].is_null());
    let told: Vec<(u64, &str)> = batch["errors"]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    let expected = [
        (2, "invalid_json_line"),
        (4, "duplicate_custom_id"),
        (5, "missing_custom_id"),
        (6, "url_mismatch"),
        (7, "invalid_url"),
        (8, "invalid_method"),
        (9, "invalid_request"),
        (10, "invalid_request"),
        (11, "model_not_found"),
        (12, "invalid_request"),
        (13, "invalid_json_line"),
    ];
    assert_eq!(told, expected);
    assert_eq!(stage.upstream.count(), 0);

    // Contents are beside the ledger; a backup that is put back has none.
    let gone = file(&client, &chats(1, "x")).await;
    std::fs::remove_file(stage.gateway.dir().join("tollgate.db.files").join(&gone)).unwrap();
    let batch = client.post(BATCHES, &wish(&gone, CHAT)).await.json();
    let batch = ended(&client, batch["id"].as_str().unwrap()).await;
    assert_eq!(batch["errors"]["data"][0]["code"], "file_not_found");

    let empty = begin(&client, "\n \n", CHAT).await;
    assert_eq!(ended(&client, &empty).await["errors"]["data"][0]["code"], "empty_batch");
}

#[tokio::test]
async fn a_batch_has_at_most_so_many_lines_and_they_so_many_bytes() {
    let stage = Stage::new(&format!("{RICH}\n[batches]\nmax_lines = 3\n")).await;
    stage.gateway.set_server("max_body_bytes = 2000");
    stage.gateway.signal("HUP");
    let client = stage.gateway.client("acme");
    let three = begin(&client, &chats(3, "hello"), CHAT).await;
    assert_eq!(ended(&client, &three).await["status"], "completed");
    let four = ended(&client, &begin(&client, &chats(4, "hello"), CHAT).await).await;
    assert_eq!(four["errors"]["data"][0]["code"], "too_many_tasks");
    let long = line("a", CHAT, &chat(&"x".repeat(40_000)));
    let both = format!("{long}\n{}", line("b", CHAT, &chat("hello")));
    let long = ended(&client, &begin(&client, &both, CHAT).await).await;
    assert_eq!(long["errors"]["data"][0]["code"], "line_too_long");
    assert_eq!(long["errors"]["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_that_is_called_off_ends_with_what_is_done() {
    let stage = Stage::new(&format!("{RICH}\n[batches]\nconcurrency = 4\n")).await;
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(400, "hello @@before=30 key=KEY@@"), CHAT).await;
    eventually("some lines are done", Duration::from_secs(30), async || {
        (one(&client, &id).await["request_counts"]["completed"].as_u64() > Some(8)).then_some(())
    })
    .await;
    let input = one(&client, &id).await["input_file_id"].as_str().unwrap().to_owned();
    let delete = client.send("DELETE", &format!("/v1/files/{input}"), b"").await.unwrap();
    assert_eq!(delete.status, 409, "it is being read");
    let cancelling = client.post(&format!("{BATCHES}/{id}/cancel"), &json!({})).await;
    assert_eq!(cancelling.status, 200, "{}", cancelling.text());
    assert!(cancelling.json()["cancelling_at"].is_u64());
    let batch = ended(&client, &id).await;
    assert_eq!(batch["status"], "cancelled");
    assert!(batch["cancelled_at"].is_u64());
    let done = batch["request_counts"]["completed"].as_u64().unwrap() as usize;
    assert!(done < 400, "{batch}");
    assert_eq!(results(&client, &batch["output_file_id"]).await.len(), done);
    // What was sent is answered: lines in flight were waited for.
    assert_eq!((stage.upstream.count(), rows_of(&stage, &id).len()), (done, done));
    let again = client.post(&format!("{BATCHES}/{id}/cancel"), &json!({})).await;
    assert_eq!(again.status, 200);
    stage.nothing_held().await;
    let delete = client.send("DELETE", &format!("/v1/files/{input}"), b"").await.unwrap();
    assert_eq!(delete.status, 200);

    let other = begin(&client, &chats(1, "hello"), CHAT).await;
    ended(&client, &other).await;
    let late = client.post(&format!("{BATCHES}/{other}/cancel"), &json!({})).await;
    assert_eq!(late.status, 409);
}

#[tokio::test]
async fn batches_are_an_accounts_own_and_listed_in_pages() {
    let stage = Stage::new(TWO).await;
    let (acme, globex) = (stage.gateway.client("acme"), stage.gateway.client("globex"));
    let mut made = Vec::new();
    for _ in 0..3 {
        made.insert(0, begin(&acme, &chats(1, "hello"), CHAT).await);
    }
    let ids = async |client: &Client, query: &str| {
        let list = client.get(&format!("{BATCHES}{query}")).await.json();
        let data = list["data"].as_array().unwrap().iter();
        (
            data.map(|b| b["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
            list["has_more"] == true,
        )
    };
    assert_eq!(ids(&acme, "").await, (made.clone(), false));
    assert_eq!(ids(&acme, "?limit=2").await, (made[..2].to_vec(), true));
    assert_eq!(
        ids(&acme, &format!("?limit=2&after={}", made[1])).await,
        (made[2..].to_vec(), false)
    );
    assert!(ids(&globex, "").await.0.is_empty());
    let path = format!("{BATCHES}/{}", made[0]);
    assert_eq!(globex.get(&path).await.status, 404);
    assert_eq!(globex.post(&format!("{path}/cancel"), &json!({})).await.status, 404);
    let file = file(&acme, "{}").await;
    assert_eq!(globex.post(BATCHES, &wish(&file, CHAT)).await.status, 404);
    for (name, value) in [
        ("endpoint", json!("/v1/messages")),
        ("completion_window", json!("1h")),
        ("metadata", json!({"k": "v".repeat(513)})),
        ("output_expires_after", json!({"anchor": "created_at", "seconds": 5})),
        ("colour", json!("red")),
    ] {
        let mut bad = wish(&file, CHAT);
        bad[name] = value;
        assert_eq!(acme.post(BATCHES, &bad).await.status, 400, "{name}");
    }
}

#[tokio::test]
async fn the_operator_sees_the_batches_of_all_accounts() {
    let stage = Stage::new(TWO).await;
    let (acme, globex) = (stage.gateway.client("acme"), stage.gateway.client("globex"));
    let (one, two) = (begin(&acme, &chats(2, "x"), CHAT).await, begin(&globex, "{", CHAT).await);
    ended(&acme, &one).await;
    ended(&globex, &two).await;
    let admin = stage.gateway.admin_get("/admin/batches").await.json();
    let seen: Vec<_> = admin["data"].as_array().unwrap().iter().map(|b| &b["account"]).collect();
    assert_eq!(seen, ["globex", "acme"]);
    let of_one = stage.gateway.admin_get("/admin/batches?account=acme&limit=5").await.json();
    assert_eq!(
        (&of_one["data"][0]["id"], of_one["data"].as_array().unwrap().len()),
        (&json!(one), 1)
    );
    assert_eq!(stage.gateway.admin_get("/admin/batches?limit=x").await.status, 400);
    let rows = stage.gateway.run_json(&["batches", "--json"]);
    let rows = rows["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["status"]), (2, &json!("failed")));
    assert_eq!((&rows[1]["account"], &rows[1]["completed"]), (&json!("acme"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_day_is_over_ends_with_what_is_done_and_says_what_is_not() {
    let mut stage = Stage::new(&format!("{RICH}\n[batches]\nconcurrency = 4\n")).await;
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(200, "hello @@before=30 key=KEY@@"), CHAT).await;
    eventually("some lines are done", Duration::from_secs(30), async || {
        (one(&client, &id).await["request_counts"]["completed"].as_u64() > Some(8)).then_some(())
    })
    .await;
    stage.gateway.kill();
    tamper(&stage.gateway, "UPDATE batches SET expires_at = created_at + 1");
    stage.gateway.up();
    let client = client.moved(&stage.gateway.data);
    let batch = ended(&client, &id).await;
    assert_eq!(batch["status"], "expired");
    assert!(batch["expired_at"].is_u64());
    let output = results(&client, &batch["output_file_id"]).await;
    let errors = results(&client, &batch["error_file_id"]).await;
    assert_eq!(output.len() + errors.len(), 200);
    let of = |code: &str| errors.iter().filter(|line| line["error"]["code"] == code).count();
    assert_eq!(of("batch_expired") + of("batch_interrupted"), errors.len());
    // What was sent has its answer, or says that it was broken off; one of those may have been held and
    // not sent yet.
    let (interrupted, at_most) = (of("batch_interrupted"), 200 - of("batch_expired"));
    let sent = stage.upstream.count();
    assert!((at_most - interrupted..=at_most).contains(&sent), "{sent} sent: {errors:?}");
    assert!(interrupted <= 4, "{errors:?}");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn lines_are_not_made_with_a_key_that_is_revoked() {
    let stage = Stage::new(&format!("{RICH}\n[batches]\nconcurrency = 2\n")).await;
    let made = stage.gateway.run_json(&["key", "create", "--account", "acme", "--json"]);
    let client = Client::with_key(&stage.gateway.data, made["key"].as_str().unwrap());
    let id = begin(&client, &chats(100, "hello @@before=30 key=KEY@@"), CHAT).await;
    eventually("some lines are done", Duration::from_secs(30), async || {
        (one(&client, &id).await["request_counts"]["completed"].as_u64() > Some(2)).then_some(())
    })
    .await;
    let revoke = stage.gateway.run(&["key", "revoke", made["id"].as_str().unwrap()]);
    assert!(revoke.status.success(), "{revoke:?}");
    let client = stage.gateway.client("acme");
    let batch = ended(&client, &id).await;
    let errors = results(&client, &batch["error_file_id"]).await;
    assert!(errors.iter().all(|line| line["response"]["status_code"] == 401), "{errors:?}");
    assert_eq!(stage.upstream.count(), 100 - errors.len());
    assert!(!errors.is_empty());
}

#[tokio::test]
async fn embeddings_and_responses_go_the_way_of_their_endpoints() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let embed = json!({"model": "text-embedding-3-small", "input": "hello"});
    let responses = json!({"model": "gpt-4o-mini", "input": "hello"});
    for (endpoint, body, object) in
        [(EMBEDDINGS, embed, "list"), ("/v1/responses", responses, "response")]
    {
        let id = begin(&client, &line("a", endpoint, &body), endpoint).await;
        let batch = ended(&client, &id).await;
        assert_eq!(batch["request_counts"]["completed"], 1, "{batch}");
        let output = results(&client, &batch["output_file_id"]).await;
        assert_eq!(output[0]["response"]["body"]["object"], object);
    }
}

#[tokio::test]
async fn no_client_can_use_the_key_of_a_line() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(1, "hello"), CHAT).await;
    let with = client.and_header("idempotency-key", &format!("{id} 1"));
    assert_eq!(with.post(CHAT, &chat("hello")).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_lines_end_and_the_next_start_goes_on() {
    let mut stage = Stage::new(&format!("{RICH}\n[batches]\nconcurrency = 4\n")).await;
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(60, "hello @@before=30 key=KEY@@"), CHAT).await;
    eventually("some lines are done", Duration::from_secs(30), async || {
        (one(&client, &id).await["request_counts"]["completed"].as_u64() > Some(4)).then_some(())
    })
    .await;
    stage.gateway.signal("TERM");
    assert!(stage.gateway.wait(Duration::from_secs(30)).success());
    let before = stage.upstream.count();
    assert!(before < 60);
    stage.gateway.up();
    let client = client.moved(&stage.gateway.data);
    let batch = ended(&client, &id).await;
    assert_eq!(batch["request_counts"], json!({"total": 60, "completed": 60, "failed": 0}));
    assert_eq!(stage.upstream.count(), 60, "none was broken off, none is sent twice");
    stage.gateway.audit().unwrap();
}
