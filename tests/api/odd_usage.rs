//! Usage that a provider reports wrongly, twice or not at all: never negative, never free.

use serde_json::json;

use crate::harness::stage::{
    CACHED_NANOS, CHAT, INPUT_NANOS, OUTPUT_NANOS, RICH, Row, Stage, chat, streamed,
};

/// The dollars of a whole number of nano-dollars, as the gateway writes them.
fn dollars(nanos: i64) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

async fn rows_of(say: &str) -> (Stage, [Row; 2]) {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let whole = client.post(CHAT, &chat(say)).await;
    let stream = client.post(CHAT, &streamed(say)).await;
    let rows = [stage.row(&whole).await, stage.row(&stream).await];
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
    (stage, rows)
}

#[tokio::test]
async fn reported_usage_is_charged_to_the_nano_dollar() {
    let (_stage, rows) = rows_of("one two @@tokens=11 prompt=100 cached=30 reasoning=6@@").await;
    let cost = 70 * INPUT_NANOS + 30 * CACHED_NANOS + 17 * OUTPUT_NANOS;
    for row in rows {
        assert_eq!(row.provenance, "reported", "{row:?}");
        assert_eq!(row.input, 100, "{row:?}");
        assert_eq!(row.cached, 30, "{row:?}");
        assert_eq!(row.output, 17, "{row:?}");
        assert_eq!(row.reasoning, 6, "{row:?}");
        assert_eq!(row.charged_usd, dollars(cost), "{row:?}");
    }
}

#[tokio::test]
async fn missing_usage_is_counted() {
    for kind in ["missing", "null"] {
        let (stage, rows) = rows_of(&format!("@@tokens=9 usage={kind}@@")).await;
        assert!(stage.upstream.truths().iter().all(|truth| truth.reported.is_none()));
        for row in rows {
            assert_ne!(row.provenance, "reported", "{kind}: {row:?}");
            assert_eq!(row.output, 9, "{kind}: {row:?}");
            assert!(row.input > 5, "{kind}: {row:?}");
        }
    }
}

#[tokio::test]
async fn usage_that_comes_twice_is_charged_once_at_its_highest() {
    for kind in ["twice", "decreasing"] {
        let (_stage, rows) = rows_of(&format!("@@tokens=9 usage={kind}@@")).await;
        for row in rows {
            assert_eq!(row.output, 9, "{kind}: {row:?}");
        }
    }
}

#[tokio::test]
async fn usage_beyond_all_sense_is_not_believed() {
    for kind in ["huge", "negative"] {
        let (_stage, rows) = rows_of(&format!("@@tokens=9 usage={kind}@@")).await;
        for row in rows {
            assert_eq!(row.output, 9, "{kind}: {row:?}");
            assert!(!row.charged_usd.starts_with('-'), "{kind}: {row:?}");
        }
    }
}

#[tokio::test]
async fn a_reported_zero_is_a_zero() {
    let (_stage, rows) = rows_of("one two three @@tokens=0 prompt=0@@").await;
    for row in rows {
        assert_eq!((row.input, row.output), (0, 0), "{row:?}");
        assert_eq!(row.charged_usd, "0", "{row:?}");
        assert_eq!(row.provenance, "reported", "{row:?}");
    }
}

#[tokio::test]
async fn more_than_was_held_is_recorded_in_full_and_refuses_the_next() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"5000 tokens per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let mut body = chat("@@tokens=5 prompt=9000@@");
    body["max_tokens"] = json!(5);
    let answer = client.post(CHAT, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let row = stage.row(&answer).await;
    assert_eq!(row.input, 9000, "{row:?}");
    stage.nothing_held().await;
    let standing = stage.standing().await;
    assert_eq!(standing[0].posted, 9005, "{standing:?}");
    assert_eq!(client.post(CHAT, &body).await.status, 429);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn what_the_provider_says_it_charges_is_kept_beside_ours_and_charges_nothing() {
    let say = "one two @@tokens=11 prompt=100 cost=0.00012345678@@";
    let (stage, rows) = rows_of(say).await;
    let ours = dollars(100 * INPUT_NANOS + 11 * OUTPUT_NANOS);
    let client = stage.gateway.client("acme");
    for row in rows {
        let attempt = &row.json["attempts"][0];
        // Rounded up to the nano-dollar.
        assert_eq!(attempt["reported_cost_usd"], "0.000123457", "{attempt}");
        assert_eq!((&attempt["owed_usd"], &row.charged_usd), (&json!(ours), &ours));
        let id = row.json["id"].as_str().unwrap();
        let told = client.get(&format!("/v1/usage/{id}")).await.json();
        assert_eq!(told["attempts"][0]["reported_cost_usd"], "0.000123457", "{told}");
        let shown = stage.gateway.run(&["request", "show", id]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("the provider says $0.000123457"), "{shown}");
    }
    let plain = client.post(CHAT, &chat("one @@tokens=3@@")).await;
    assert!(stage.row(&plain).await.json["attempts"][0]["reported_cost_usd"].is_null());
    stage.gateway.audit().unwrap();
}
