//! A gateway is killed while it works on a batch: every line has one answer or says that it was
//! interrupted, none is sent or charged twice, and the sums are right.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::ledger::{Entry, entries};
use crate::harness::stage::{CHAT, chat, configuration, nothing_held};
use crate::harness::upstream::Upstream;
use crate::harness::{Dice, env_count, eventually};
use crate::seed;

/// Lines of the batch; `TOLLGATE_BATCH_LINES` makes it longer.
const LINES: usize = 1_200;
/// How often it is killed.
const KILLS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_survives_kill_9_with_every_line_once() {
    let count = env_count("TOLLGATE_BATCH_LINES", LINES);
    let limit = Duration::from_secs(60 + count as u64 / 10);
    let seed = seed();
    let mut dice = Dice::new(seed);
    let upstream = Upstream::start().await;
    let account = "[accounts.acme]\nlimits = [\"$1000 per month\"]\n";
    let mut gateway = Gateway::start(&configuration(&upstream, "", account));
    let mut client = gateway.client("acme");
    let mut lines = String::new();
    for n in 0..count {
        let tokens = 1 + dice.below(20);
        // One in a hundred is refused by the provider.
        let bad = if n % 100 == 99 { " status=400" } else { "" };
        let body = chat(&format!("hello @@key=n{n} tokens={tokens} before=2{bad}@@"));
        let line =
            json!({"custom_id": format!("n{n}"), "method": "POST", "url": CHAT, "body": body});
        lines.push_str(&format!("{line}\n"));
    }
    let file = client.upload(lines.as_bytes()).await.json();
    let wish = json!({
        "input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h",
    });
    let made = client.post("/v1/batches", &wish).await.json();
    let path = format!("/v1/batches/{}", made["id"].as_str().unwrap());
    let begun = Instant::now();
    for kill in 1..=KILLS {
        let after = count * kill / (KILLS + 1);
        eventually("it comes so far", limit, async || (upstream.count() >= after).then_some(()))
            .await;
        tokio::time::sleep(Duration::from_millis(dice.below(40))).await;
        gateway.kill();
        assert!(upstream.count() < count, "seed {seed}: it was killed too late");
        gateway.up();
        client = client.moved(&gateway.data);
    }
    let batch = eventually("the batch is over", limit, async || {
        let batch = client.get(&path).await.json();
        (batch["completed_at"].is_u64()).then_some(batch)
    })
    .await;
    println!("{count} lines in {:?}, seed {seed}", begun.elapsed());

    let mut answers = BTreeMap::<String, Value>::new();
    let (mut interrupted, mut refused) = (0_usize, 0_usize);
    for file in [&batch["output_file_id"], &batch["error_file_id"]] {
        let content = client.get(&format!("/v1/files/{}/content", file.as_str().unwrap())).await;
        assert!(content.whole);
        for line in content.text().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            interrupted += usize::from(line["error"]["code"] == "batch_interrupted");
            refused += usize::from(line["response"]["status_code"] == 400);
            let name = line["custom_id"].as_str().unwrap().to_owned();
            assert!(answers.insert(name, line).is_none(), "seed {seed}: a line is there twice");
        }
    }
    assert_eq!(answers.len(), count, "seed {seed}");
    let counts = &batch["request_counts"];
    assert_eq!(counts["completed"], count - interrupted - refused);
    assert_eq!(counts["failed"], interrupted + refused);
    // In flight at a kill are at most as many as may be at once.
    assert!(interrupted <= KILLS * 16, "seed {seed}: {interrupted} were interrupted");

    // By the provider's own log, no line came twice; by the ledger, none has two rows.
    let truths = upstream.truths();
    let sent: BTreeMap<&str, _> = truths.iter().map(|truth| (&*truth.key, truth)).collect();
    assert_eq!(sent.len(), truths.len(), "seed {seed}: a line was sent twice");
    nothing_held(&gateway).await;
    let rows = entries(&gateway);
    let by_id: BTreeMap<&str, _> = rows.iter().map(|row| (&*row.id, row)).collect();
    assert_eq!(by_id.len(), rows.len(), "seed {seed}");
    assert!(rows.len() <= count, "seed {seed}: {} rows", rows.len());
    let (mut charged, mut truth_nanos) = (0, 0);
    for (name, line) in &answers {
        let Some(request) = line["response"]["request_id"].as_str() else { continue };
        let row = by_id[request];
        charged += row.charged;
        if line["response"]["status_code"] == 200 {
            let reported = sent[&**name].reported.unwrap();
            assert_eq!(row.all_input() as u64, reported.prompt, "{row:?}");
            assert_eq!(row.all_output() as u64, reported.completion, "{row:?}");
            truth_nanos += row.cost();
        }
    }
    assert_eq!(charged, truth_nanos, "seed {seed}");
    // What it says it used is what its lines' rows posted, those of lost lines included.
    let posted = |of: fn(&Entry) -> i64| rows.iter().map(of).sum::<i64>();
    assert_eq!(batch["usage"]["input_tokens"], posted(|row| row.posted_input), "seed {seed}");
    assert_eq!(batch["usage"]["output_tokens"], posted(|row| row.posted_output), "seed {seed}");
    gateway.audit().unwrap();
}
