//! Batches that go to their provider's own batch endpoint: each line is held before it leaves, charged
//! once at the price of batches, and answered as any line is, whatever becomes of the provider's batch.

use std::time::Duration;

use serde_json::{Value, json};

use crate::batches::{BATCHES, begin, chats, ended, line, one, results, rows_of};
use crate::harness::client::Client;
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::tamper;
use crate::harness::stage::{CHAT, EMBEDDINGS, RICH, Stage, chat, configuration, nanos, standing};
use crate::harness::upstream::Upstream;
use crate::harness::upstream::batches::Fault;

/// Half the price of a call; and a provider that is asked often how a batch is.
const HALF: &str = r#"
[prices."up/gpt-4o-mini".batch]
input = "0.50"
output = "1.00"
cache_read = "0.05"

[prices."up/text-embedding-3-small".batch]
input = "0.01"

[batches]
poll_first = "20ms"
poll_longest = "100ms"
"#;

async fn stage(tables: &str) -> Stage {
    stage_with("", tables).await
}

/// With a bound of batches.
async fn stage_with(bound: &str, tables: &str) -> Stage {
    let upstream = Upstream::start().await;
    let tables = format!("{HALF}{bound}\n{tables}");
    let configuration = configuration(&upstream, "batches = \"hand_over\"", &tables);
    let gateway = Gateway::start(&configuration);
    Stage { upstream, gateway }
}

/// Waits until the provider has so many batches.
async fn made(stage: &Stage, count: usize) {
    eventually("the provider has the batch", Duration::from_secs(30), async || {
        (stage.upstream.batches().len() >= count).then_some(())
    })
    .await;
}

async fn handover(stage: &Stage, id: &str) -> Value {
    let all = stage.gateway.admin_get("/admin/batches").await.json();
    let found = all["data"].as_array().unwrap().iter().find(|batch| batch["id"] == id);
    found.unwrap()["handover"].clone()
}

/// Every line has one result, by its client's name; the names in order.
async fn all_results(client: &Client, batch: &Value) -> (Vec<Value>, Vec<Value>) {
    let output = results(client, &batch["output_file_id"]).await;
    let errors = results(client, &batch["error_file_id"]).await;
    let mut names: Vec<&str> =
        output.iter().chain(&errors).map(|line| line["custom_id"].as_str().unwrap()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a line is there twice");
    (output, errors)
}

#[tokio::test]
async fn a_line_that_its_provider_makes_in_a_batch_is_charged_once_at_the_price_of_batches() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme").and_header("x-tollgate-tags", "job=nightly");
    let say = "hello @@tokens=5 reasoning=2 cached=1 tier=default key=KEY@@";
    let bad = line("bad", CHAT, &chat("no @@status=400 key=bad@@"));
    let id = begin(&client, &format!("{}\n{bad}", chats(40, say)), CHAT).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["status"], "completed", "{batch}");
    assert_eq!(batch["request_counts"], json!({"total": 41, "completed": 40, "failed": 1}));

    let (output, errors) = all_results(&client, &batch).await;
    assert_eq!((output.len(), errors.len()), (40, 1));
    let rows = rows_of(&stage, &id);
    assert_eq!(rows.len(), 41, "a row each");
    let (mut read, mut wrote) = (0, 0);
    for line in &output {
        let request = line["response"]["request_id"].as_str().unwrap();
        let row = rows.iter().find(|row| row.id == request).unwrap();
        assert_eq!((&*row.tier, row.charged * 2), ("batch", row.cost()), "{row:?}");
        assert_eq!(line["response"]["body"]["usage"]["completion_tokens"], row.all_output());
        assert!(row.is_reported() && row.tags.contains("job=nightly"), "{row:?}");
        let key = line["custom_id"].as_str().unwrap().replace('n', "k");
        assert_eq!(stage.upstream.by_key(&key).len(), 1, "each runs once");
        read += row.posted_input;
        wrote += row.posted_output;
    }
    assert_eq!(errors[0]["response"]["status_code"], 400);
    let request = errors[0]["response"]["request_id"].as_str().unwrap();
    assert_eq!(rows.iter().find(|row| row.id == request).unwrap().charged, 0);
    let usage = &batch["usage"];
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(read), &json!(wrote)));

    // It went up in one piece, under our numbers, and says where it is.
    let theirs = stage.upstream.batches();
    assert_eq!((theirs.len(), theirs[0].lines.len()), (1, 41));
    assert_eq!(
        (&theirs[0].lines[0]["custom_id"], &theirs[0].lines[0]["url"]),
        (&json!("1"), &json!(CHAT))
    );
    let place = handover(&stage, &id).await;
    assert_eq!((&place["provider"], &place["batch_id"]), (&json!("up"), &json!(theirs[0].id)));
    let told = stage.gateway.run_json(&["report", "--by", "service_tier", "--json"]);
    let of_batch = told["rows"].as_array().unwrap().iter().find(|r| r["service_tier"] == "batch");
    let charged: i64 = rows.iter().map(|row| row.charged).sum();
    assert_eq!(nanos(of_batch.unwrap()["charged_usd"].as_str().unwrap()), charged, "{told}");
    let told = stage.gateway.run_json(&["batches", "--json"]);
    let told = &told["rows"][0];
    assert_eq!((&told["way"], &told["remote_id"]), (&json!("up, over"), &json!(theirs[0].id)));
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn the_organizations_usage_tells_what_was_made_in_a_batch() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let say = chat("hello @@tokens=5@@");
    let id = begin(&client, &[line("a", CHAT, &say), line("b", CHAT, &say)].join("\n"), CHAT).await;
    ended(&client, &id).await;
    for tier in ["default", "flex", "flex"] {
        let say = chat(&format!("hello @@tokens=5 tier={tier}@@"));
        stage.row(&client.post(CHAT, &say).await).await;
    }
    let of = async |more: &str| -> Vec<(Value, Value, i64)> {
        let path = format!("/v1/organization/usage/completions?start_time=1700000000{more}");
        let mut found = Vec::new();
        let mut next = String::new();
        loop {
            let page = client.get(&format!("{path}&limit=180{next}")).await.json();
            for one in page["data"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|b| b["results"].as_array().unwrap())
            {
                let tokens = one["output_tokens"].as_i64().unwrap();
                found.push((one["batch"].clone(), one["service_tier"].clone(), tokens));
            }
            match page["next_page"].as_str() {
                Some(page) => next = format!("&page={page}"),
                None => break,
            }
        }
        found.sort_by_key(|one| format!("{one:?}"));
        found
    };
    let null = Value::Null;
    assert_eq!(
        of("&group_by=batch").await,
        [(json!(false), null.clone(), 15), (json!(true), null.clone(), 10)]
    );
    assert_eq!(of("&batch=true").await, [(null.clone(), null.clone(), 10)]);
    assert_eq!(of("&batch=false").await, [(null.clone(), null, 15)]);
    assert_eq!(
        of("&group_by=batch,service_tier").await,
        [
            (json!(false), json!("default"), 5),
            (json!(false), json!("flex"), 10),
            (json!(true), json!("batch"), 10)
        ]
    );
}

#[tokio::test]
async fn a_line_that_a_budget_refuses_does_not_leave() {
    let stage = stage("[accounts.acme]\nlimits = [\"12 requests per month\"]\n").await;
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(20, "hello @@key=KEY@@"), CHAT).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["request_counts"], json!({"total": 20, "completed": 12, "failed": 8}));
    let (_, errors) = all_results(&client, &batch).await;
    assert!(errors.iter().all(|line| line["response"]["status_code"] == 429), "{errors:?}");
    assert_eq!(stage.upstream.batches()[0].lines.len(), 12);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_line_is_held_at_the_most_that_it_costs_in_a_batch_until_its_answer_is_read() {
    // Two lines of 1,000 output tokens cost at most a little over $0.002 in a batch, and twice that else.
    let stage = stage("[accounts.acme]\nlimits = [\"$0.0025 per month\"]\n").await;
    stage.upstream.batches_wait(true);
    let client = stage.gateway.client("acme");
    let mut body = chat("hello @@tokens=3@@");
    body["max_tokens"] = json!(1_000);
    let lines = [line("a", CHAT, &body), line("b", CHAT, &body), line("c", CHAT, &body)];
    let id = begin(&client, &lines.join("\n"), CHAT).await;
    made(&stage, 1).await;
    assert_eq!(
        stage.upstream.batches()[0].lines.len(),
        2,
        "the third waits until they are settled"
    );
    let held = || async {
        let limits = standing(&stage.gateway).await;
        limits.iter().find(|limit| limit.metric == "cost").unwrap().held
    };
    let most = held().await;
    assert!((2_000_000..2_500_000).contains(&most), "{most}");
    eventually("it is in progress", Duration::from_secs(30), async || {
        let batch = one(&client, &id).await;
        (batch["status"] == "in_progress").then_some(())
    })
    .await;
    stage.upstream.run_lines(1);
    eventually("the provider's count is told", Duration::from_secs(30), async || {
        let counts = one(&client, &id).await["request_counts"].clone();
        (counts == json!({"total": 3, "completed": 1, "failed": 0})).then_some(())
    })
    .await;
    assert_eq!(held().await, most, "until it is read");
    let batch = one(&client, &id).await;
    assert!(batch["completed_at"].is_null() && batch["output_file_id"].is_null(), "{batch}");
    stage.upstream.batches_wait(false);
    let batch = ended(&client, &id).await;
    assert_eq!(batch["request_counts"], json!({"total": 3, "completed": 3, "failed": 0}));
    assert_eq!(
        (stage.upstream.batches().len(), handover(&stage, &id).await["round"].clone()),
        (2, json!(2))
    );
    let third = &stage.upstream.batches()[1].lines[0];
    assert_eq!((&third["custom_id"], &third["body"]), (&json!("3"), &body), "under its own cap");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_provider_that_fails_for_a_while_is_asked_again_and_makes_no_second_batch() {
    let stage = stage(RICH).await;
    let (later, lost) = (Fault::Status(503), Fault::Lost);
    for (what, faults) in [
        ("POST /v1/files", vec![later, Fault::Lost, Fault::Status(429)]),
        ("POST /v1/batches", vec![later, lost]),
        ("GET /v1/batches", vec![later, Fault::Status(404), lost]),
        ("GET /v1/batches/id", vec![later, Fault::Status(404), lost]),
        ("GET /v1/files/id/content", vec![later, lost]),
    ] {
        stage.upstream.fail_next(what, &faults);
    }
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(5, "hello @@key=KEY@@"), CHAT).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["request_counts"], json!({"total": 5, "completed": 5, "failed": 0}));
    assert_eq!(stage.upstream.batches().len(), 1, "one whose creation was not answered is found");
    assert_eq!(rows_of(&stage, &id).len(), 5);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn lines_are_made_here_where_the_provider_will_not_have_the_batch() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let mut ran = 0;
    for (what, faults) in [("POST /v1/files", 404), ("POST /v1/batches", 400), ("", 0)] {
        stage.upstream.fail_next(what, &[Fault::Status(faults)]);
        if what.is_empty() {
            stage.upstream.batches_refuse("too many tokens are enqueued");
        }
        let id = begin(&client, &chats(3, "hello @@key=KEY@@"), CHAT).await;
        let batch = ended(&client, &id).await;
        assert_eq!(batch["request_counts"]["completed"], 3, "{batch}");
        ran += 3;
        assert_eq!(stage.upstream.asked("POST", CHAT), ran);
        let rows = rows_of(&stage, &id);
        let (made, given_back): (Vec<_>, Vec<_>) =
            rows.iter().partition(|row| row.outcome == "completed");
        assert_eq!((made.len(), given_back.len()), (3, 3));
        assert!(made.iter().all(|row| row.charged == row.cost() && row.requests == 1));
        let free = |row: &&_| {
            let row: &crate::harness::ledger::Entry = row;
            (row.charged, row.owed, row.requests) == (0, 0, 0)
        };
        assert!(given_back.iter().all(free), "{given_back:?}");
        assert!(!handover(&stage, &id).await["note"].is_null());
        let usage = batch["usage"]["output_tokens"].as_i64().unwrap();
        assert_eq!(usage, made.iter().map(|row| row.posted_output).sum::<i64>());
    }
    let told = stage.gateway.run_json(&["batches", "--json"]);
    let way = told["rows"][0]["way"].as_str().unwrap();
    assert_eq!(way, "lines: up refused the batch: too many tokens are enqueued");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_batch_that_is_called_off_at_its_provider_settles_what_ran_and_frees_the_rest() {
    let stage = stage(RICH).await;
    stage.upstream.batches_wait(true);
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(10, "hello @@key=KEY@@"), CHAT).await;
    made(&stage, 1).await;
    stage.upstream.run_lines(4);
    let cancelling = client.post(&format!("{BATCHES}/{id}/cancel"), &json!({})).await.json();
    assert_eq!(cancelling["status"], "cancelling");
    let batch = ended(&client, &id).await;
    assert_eq!(batch["status"], "cancelled");
    assert_eq!(batch["request_counts"], json!({"total": 10, "completed": 4, "failed": 0}));
    assert!(stage.upstream.batches()[0].called_off);
    let (output, errors) = all_results(&client, &batch).await;
    assert_eq!((output.len(), errors.len()), (4, 0));
    let rows = rows_of(&stage, &id);
    let (ran, free): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.outcome == "completed");
    assert_eq!((ran.len(), free.len()), (4, 6));
    assert!(ran.iter().all(|row| row.charged * 2 == row.cost() && row.charged > 0));
    assert!(free.iter().all(|row| (row.charged, row.owed, row.requests) == (0, 0, 0)));
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_batch_that_ends_early_at_its_provider_settles_what_ran_and_says_what_did_not() {
    for (theirs, ours, code) in
        [("expired", "expired", "batch_expired"), ("cancelled", "completed", "batch_cancelled")]
    {
        let stage = stage(RICH).await;
        stage.upstream.batches_wait(true);
        let client = stage.gateway.client("acme");
        let id = begin(&client, &chats(10, "hello @@key=KEY@@"), CHAT).await;
        made(&stage, 1).await;
        stage.upstream.run_lines(7);
        stage.upstream.end_batches(theirs);
        let batch = ended(&client, &id).await;
        assert_eq!(batch["status"], ours, "{batch}");
        assert_eq!(batch["request_counts"], json!({"total": 10, "completed": 7, "failed": 3}));
        let (_, errors) = all_results(&client, &batch).await;
        assert!(errors.iter().all(|line| line["error"]["code"] == code), "{errors:?}");
        let charged = rows_of(&stage, &id).iter().filter(|row| row.charged > 0).count();
        assert_eq!((errors.len(), charged), (3, 7));
        stage.nothing_held().await;
        stage.gateway.audit().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_the_provider_and_the_next_start_goes_on() {
    let mut stage = stage(RICH).await;
    stage.upstream.batches_wait(true);
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(6, "hello @@key=KEY@@"), CHAT).await;
    made(&stage, 1).await;
    let held = |limits: Vec<crate::harness::stage::Standing>| -> Vec<i64> {
        limits.iter().map(|limit| limit.held).collect()
    };
    let before = held(standing(&stage.gateway).await);
    stage.gateway.signal("TERM");
    assert!(stage.gateway.wait(Duration::from_secs(10)).success());
    stage.gateway.up();
    let client = client.moved(&stage.gateway.data);
    assert_eq!(held(standing(&stage.gateway).await), before, "it is held all the while");
    assert!(rows_of(&stage, &id).is_empty(), "nothing is settled by an end");
    stage.gateway.audit().unwrap();
    stage.upstream.batches_wait(false);
    let batch = ended(&client, &id).await;
    assert_eq!(batch["request_counts"], json!({"total": 6, "completed": 6, "failed": 0}));
    assert_eq!((stage.upstream.batches().len(), rows_of(&stage, &id).len()), (1, 6));
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_be_asked_to_the_end_leaves_its_lines_charged_for_their_input() {
    let mut stage = stage(RICH).await;
    stage.upstream.batches_wait(true);
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(4, "hello @@key=KEY@@"), CHAT).await;
    made(&stage, 1).await;
    stage.gateway.kill();
    // A day after the batch's own day.
    tamper(&stage.gateway, "UPDATE batches SET expires_at = created_at - 86400000001");
    stage.upstream.fail_next("GET /v1/batches/id", &[Fault::Status(500); 64]);
    stage.gateway.up();
    let client = client.moved(&stage.gateway.data);
    let batch = ended(&client, &id).await;
    assert_eq!(batch["status"], "expired", "{batch}");
    let (_, errors) = all_results(&client, &batch).await;
    assert_eq!(errors.len(), 4);
    assert!(errors.iter().all(|line| line["error"]["code"] == "batch_interrupted"), "{errors:?}");
    for row in rows_of(&stage, &id) {
        assert_eq!((row.charged * 2, row.posted_output), (row.cost(), 0), "{row:?}");
        assert!(row.posted_input > 0, "{row:?}");
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_line_that_a_rate_refuses_for_now_is_waited_for_before_the_batch_leaves() {
    let stage = stage("[accounts.acme]\nlimits = [\"5 requests per second\"]\n").await;
    let client = stage.gateway.client("acme");
    let id = begin(&client, &chats(12, "hello @@key=KEY@@"), CHAT).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["request_counts"], json!({"total": 12, "completed": 12, "failed": 0}));
    let sent: usize = stage.upstream.batches().iter().map(|batch| batch.lines.len()).sum();
    assert_eq!(sent, 12);
}

#[tokio::test]
async fn a_batch_of_more_than_the_provider_takes_goes_there_piece_by_piece() {
    for (bound, sizes) in
        [("hand_over_lines = 5", vec![5, 5, 2]), ("hand_over_bytes = 3000", vec![4, 4, 4])]
    {
        let stage = stage_with(bound, RICH).await;
        let client = stage.gateway.client("acme");
        let id = begin(&client, &chats(12, "hello @@key=KEY@@"), CHAT).await;
        let batch = ended(&client, &id).await;
        assert_eq!(batch["request_counts"], json!({"total": 12, "completed": 12, "failed": 0}));
        let theirs = stage.upstream.batches();
        let lines: Vec<usize> = theirs.iter().map(|batch| batch.lines.len()).collect();
        assert_eq!(lines, sizes, "{bound}");
        assert_eq!(handover(&stage, &id).await["round"], sizes.len());
        assert_eq!(
            (all_results(&client, &batch).await.0.len(), rows_of(&stage, &id).len()),
            (12, 12)
        );
        stage.nothing_held().await;
    }
}

#[tokio::test]
async fn a_batch_goes_line_by_line_unless_all_of_it_goes_to_one_place_with_a_price_for_batches() {
    let stage = stage(&format!(
        "[models.either]\ntargets = [{{ provider = \"up\", model = \"gpt-4o-mini\" }}, {{ provider = \"up\", model = \"gpt-4o\" }}]\n\n{RICH}\n\
         [accounts.narrow]\nlimits = [\"5 concurrent\"]\n"
    ))
    .await;
    let client = stage.gateway.client("acme");
    let of = |model: &str| {
        let mut body = chat("hello");
        body["model"] = json!(model);
        line(model, CHAT, &body)
    };
    let responses = json!({"model": "gpt-4o-mini", "input": "hello"});
    for (lines, endpoint) in [
        (of("gpt-4o"), CHAT),
        (of("either"), CHAT),
        (format!("{}\n{}", of("gpt-4o-mini"), of("gpt-4o")), CHAT),
        (line("r", "/v1/responses", &responses), "/v1/responses"),
    ] {
        let id = begin(&client, &lines, endpoint).await;
        let batch = ended(&client, &id).await;
        assert_eq!(batch["request_counts"]["failed"], 0, "{batch}");
        assert_eq!(handover(&stage, &id).await, Value::Null);
    }
    // Lines that wait for a day would leave such an account no call.
    let narrow = stage.gateway.client("narrow");
    ended(&narrow, &begin(&narrow, &of("gpt-4o-mini"), CHAT).await).await;
    assert_eq!(stage.upstream.asked("POST", "/v1/files"), 0);

    let embed = json!({"model": "text-embedding-3-small", "input": "hello"});
    let id = begin(&client, &line("e", EMBEDDINGS, &embed), EMBEDDINGS).await;
    let batch = ended(&client, &id).await;
    assert_eq!(batch["request_counts"]["completed"], 1, "{batch}");
    assert_eq!(handover(&stage, &id).await["provider"], "up");
    assert_eq!(rows_of(&stage, &id)[0].tier, "batch");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_tier_of_its_own_is_refused_to_a_line_of_a_batch_that_its_provider_makes() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let mut fast = chat("hello");
    fast["service_tier"] = json!("priority");
    let lines = [line("a", CHAT, &fast), line("b", CHAT, &chat("hello"))];
    let batch = ended(&client, &begin(&client, &lines.join("\n"), CHAT).await).await;
    let (_, errors) = all_results(&client, &batch).await;
    assert_eq!(errors[0]["response"]["status_code"], 400, "{errors:?}");
    assert_eq!(batch["request_counts"], json!({"total": 2, "completed": 1, "failed": 1}));
}
