//! A gateway is killed while a batch is at its provider, at any step of the way there and back: every
//! line runs once, is charged once and has one result, and the provider has one batch.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::ledger::{entries, open_holds};
use crate::harness::stage::{CHAT, RICH, chat, configuration, nothing_held};
use crate::harness::upstream::Upstream;
use crate::harness::{Dice, env_count, eventually};
use crate::seed;

/// Lines of a batch, and batches that are killed at random instants.
const LINES: usize = 600;
const ROUNDS: usize = 12;

const TABLES: &str = r#"
[prices."up/gpt-4o-mini".batch]
input = "0.50"
output = "1.00"
cache_read = "0.05"

[batches]
poll_first = "20ms"
poll_longest = "100ms"
"#;

/// One gateway with a batch on its way to the provider.
struct Batch {
    upstream: Upstream,
    gateway: Gateway,
    path: String,
    lines: usize,
}

impl Batch {
    async fn begin(lines: usize, slow: Duration) -> Batch {
        let upstream = Upstream::start().await;
        upstream.batches_take(slow);
        let tables = format!("{TABLES}\n{RICH}");
        let gateway = Gateway::start(&configuration(&upstream, "batches = \"hand_over\"", &tables));
        let client = gateway.client("acme");
        let line = |n: usize| {
            let bad = if n % 50 == 49 { " status=400" } else { "" };
            let body = chat(&format!("hello @@key=n{n} tokens={}{bad}@@", 1 + n % 7));
            let name = format!("n{n}");
            json!({"custom_id": name, "method": "POST", "url": CHAT, "body": body}).to_string()
        };
        let text: String = (0..lines).map(|n| format!("{}\n", line(n))).collect();
        let file = client.upload(text.as_bytes()).await.json();
        let wish =
            json!({"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"});
        let made = client.post("/v1/batches", &wish).await.json();
        let path = format!("/v1/batches/{}", made["id"].as_str().unwrap());
        Batch { upstream, gateway, path, lines }
    }

    fn kill(&mut self) {
        self.gateway.kill();
        self.gateway.up();
    }

    /// The batch comes to its end, and every line is there, ran and was charged once.
    async fn comes_right(self, what: &str) {
        let Batch { upstream, gateway, path, lines } = self;
        let client = gateway.client("acme");
        let batch = eventually("the batch is over", Duration::from_secs(60), async || {
            let batch = client.get(&path).await.json();
            batch["completed_at"].is_u64().then_some(batch)
        })
        .await;
        assert_eq!(upstream.batches().len(), 1, "{what}");
        let mut answers = BTreeMap::<String, Value>::new();
        for file in [&batch["output_file_id"], &batch["error_file_id"]] {
            let Some(file) = file.as_str() else { continue };
            let content = client.get(&format!("/v1/files/{file}/content")).await;
            for line in content.text().lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                let name = line["custom_id"].as_str().unwrap().to_owned();
                assert!(answers.insert(name, line).is_none(), "{what}: a line is there twice");
            }
        }
        assert_eq!(answers.len(), lines, "{what}");
        let counts = &batch["request_counts"];
        assert_eq!(counts["failed"], lines / 50, "{what}: {counts}");
        nothing_held(&gateway).await;
        let rows = entries(&gateway);
        assert_eq!(rows.len(), lines, "{what}: a row each");
        let by_id: BTreeMap<&str, _> = rows.iter().map(|row| (&*row.id, row)).collect();
        for (name, line) in &answers {
            assert_eq!(upstream.by_key(name).len(), 1, "{what}: {name} ran once");
            let row = by_id[line["response"]["request_id"].as_str().unwrap()];
            if line["response"]["status_code"] == 200 {
                let reported = upstream.by_key(name)[0].reported.unwrap();
                assert_eq!(row.all_output() as u64, reported.completion, "{what}: {row:?}");
                assert_eq!((row.charged * 2, &*row.tier), (row.cost(), "batch"), "{what}: {row:?}");
            } else {
                assert_eq!((row.charged, row.owed), (0, 0), "{what}: {row:?}");
            }
        }
        let posted: i64 = rows.iter().map(|row| row.posted_output).sum();
        assert_eq!(batch["usage"]["output_tokens"], posted, "{what}");
        gateway.audit().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_survives_kill_9_at_every_step() {
    let limit = Duration::from_secs(30);
    // What the provider has seen when the gateway is killed; it has done it, and has not answered yet.
    for (method, path) in [
        ("POST", "/v1/files"),
        ("POST", "/v1/batches"),
        ("GET", "/v1/batches/batch_"),
        ("GET", "/v1/files/file-output"),
        ("GET", "/v1/files/file-errors"),
    ] {
        let mut batch = Batch::begin(120, Duration::from_millis(150)).await;
        eventually("it is asked", limit, async || {
            (batch.upstream.asked(method, path) > 0).then_some(())
        })
        .await;
        batch.kill();
        batch.comes_right(&format!("{method} {path}")).await;
    }
    // While it waits: what is held is held all the while.
    let mut batch = Batch::begin(120, Duration::ZERO).await;
    batch.upstream.batches_wait(true);
    eventually("it waits", limit, async || {
        (batch.upstream.asked("GET", "/v1/batches/batch_") > 1).then_some(())
    })
    .await;
    if batch.upstream.batches()[0].status == "in_progress" {
        batch.kill();
        assert_eq!(open_holds(&batch.gateway), 120);
        batch.kill();
    }
    batch.upstream.batches_wait(false);
    batch.comes_right("waiting").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_survives_kill_9_at_any_instant() {
    let rounds = env_count("TOLLGATE_HANDOVERS", ROUNDS);
    let seed = seed();
    let mut dice = Dice::new(seed);
    for round in 0..rounds {
        let mut batch = Batch::begin(LINES, Duration::from_millis(dice.below(30))).await;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
            batch.kill();
        }
        batch.comes_right(&format!("seed {seed}, round {round}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_that_is_called_off_survives_kill_9_at_any_instant() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    for round in 0..env_count("TOLLGATE_HANDOVERS", ROUNDS) / 3 {
        let what = format!("seed {seed}, round {round}");
        let mut batch = Batch::begin(200, Duration::from_millis(dice.below(20))).await;
        batch.upstream.batches_wait(true);
        let ran = dice.below(201) as usize;
        // It may be called off before it has left.
        let early = dice.below(4) == 0;
        if !early {
            eventually("the provider has it", Duration::from_secs(30), async || {
                (!batch.upstream.batches().is_empty()).then_some(())
            })
            .await;
            batch.upstream.run_lines(ran);
        }
        let client = batch.gateway.client("acme");
        client.post(&format!("{}/cancel", batch.path), &json!({})).await;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(dice.below(150))).await;
            batch.kill();
        }
        let Batch { upstream, gateway, path, .. } = batch;
        let client = gateway.client("acme");
        let over = eventually("it is over", Duration::from_secs(60), async || {
            let batch = client.get(&path).await.json();
            batch["cancelled_at"].is_u64().then_some(batch)
        })
        .await;
        nothing_held(&gateway).await;
        assert!(upstream.batches().len() <= 1, "{what}");
        let ran = if upstream.batches().is_empty() || early { 0 } else { ran };
        let good = (0..ran).filter(|n| n % 50 != 49).count();
        let counts = &over["request_counts"];
        assert_eq!(
            (&counts["completed"], &counts["failed"]),
            (&json!(good), &json!(ran - good)),
            "{what}"
        );
        let rows = entries(&gateway);
        let charged: Vec<_> = rows.iter().filter(|row| row.charged > 0).collect();
        assert_eq!(charged.len(), good, "{what}");
        let told: u64 = (0..ran)
            .filter_map(|n| upstream.by_key(&format!("n{n}"))[0].reported)
            .map(|usage| usage.completion)
            .sum();
        assert_eq!(over["usage"]["output_tokens"], told, "{what}");
        let free = |row: &&crate::harness::ledger::Entry| row.charged == 0;
        assert!(rows.iter().filter(free).all(|row| row.owed == 0), "{what}");
        let mut ids: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rows.len(), "{what}: a row each");
        gateway.audit().unwrap();
    }
}
