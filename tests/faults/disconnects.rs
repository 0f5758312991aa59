//! A client that leaves at any byte: one row, settled, never less than what it was given.

use serde_json::Value;

use crate::harness::stage::{CHAT, RICH, Stage, chat, streamed};

/// The client leaves at every so many bytes; a prime, so that offsets fall all over the frames.
const STEP: usize = 41;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_at_any_byte_leaves_one_row() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for body in [streamed("@@tokens=12@@"), chat("@@tokens=12@@")] {
        let whole = client.post(CHAT, &body).await;
        assert_eq!(whole.status, 200);
        stage.row(&whole).await;
        let mut exchange = client.open("POST", CHAT, body.to_string().as_bytes()).await.unwrap();
        exchange.until(usize::MAX).await.unwrap();
        let length = exchange.raw.len();
        stage.nothing_held().await;
        let before = requests(&stage);
        let mut left = 0;
        for at in (0..length).step_by(STEP) {
            let mut exchange =
                client.open("POST", CHAT, body.to_string().as_bytes()).await.unwrap();
            exchange.until(at).await.unwrap();
            let answer = exchange.so_far();
            drop(exchange);
            left += 1;
            let Some(answer) = answer else { continue };
            let row = stage.row(&answer).await;
            let output = row.output;
            let text = answer.text();
            let delivered = text.matches("\"content\":\" ").count() as u64;
            assert!(output <= 12, "at {at}: {row:?}");
            assert!(output >= delivered.min(12), "at {at}: {delivered} delivered, {row:?}");
            assert!(row.input > 0, "at {at}: {row:?}");
        }
        stage.nothing_held().await;
        let rows = requests(&stage) - before;
        // One who leaves before the gateway has read the request may have made no call at all.
        assert!(rows <= left && rows + 1 >= left, "{rows} rows for {left} calls");
    }
    stage.gateway.audit().unwrap();
}

/// Calls in the ledger.
fn requests(stage: &Stage) -> u64 {
    let report = stage.gateway.run_json(&["report", "--by", "account", "--format", "json"]);
    let rows: &Vec<Value> = report["rows"].as_array().unwrap();
    rows.iter().map(|row| row["requests"].as_u64().unwrap()).sum()
}
