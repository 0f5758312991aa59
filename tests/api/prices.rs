//! Which price a call is charged: by the service tier of its reply, by the hour, and with what is
//! charged a request.

use serde_json::{Value, json};

use crate::harness::ledger::entries;
use crate::harness::stage::{CHAT, RICH, Stage, chat, nanos, streamed};

/// Dollars per million tokens, in and out.
const TIERS: &str = r#"
[prices."up/tiered"]
input = "4"
output = "8"
per_request = "0.001"
flex = { input = "2", output = "4" }
priority = { input = "8", output = "16" }
"#;

fn asking(mut body: Value, tier: &str) -> Value {
    body["model"] = json!("up/tiered");
    if !tier.is_empty() {
        body["service_tier"] = json!(tier);
    }
    body
}

#[tokio::test]
async fn the_service_tier_of_the_reply_decides_the_price() {
    let stage = Stage::new(&format!("{TIERS}{RICH}")).await;
    let client = stage.gateway.client("acme");
    // What is asked for, what the reply says, the row's tier, nano-dollars a token in.
    let cases = [
        ("", "default", "standard", 4_000),
        ("flex", "flex", "flex", 2_000),
        ("flex", "default", "standard", 4_000),
        ("priority", "priority", "priority", 8_000),
        ("priority", "default", "standard", 4_000),
        ("auto", "priority", "priority", 8_000),
        ("", "batch", "batch", 4_000),
        // What is unknown is charged as the dearest that was thought to apply.
        ("priority", "scale", "scale", 8_000),
    ];
    for (asked, told, tier, input) in cases {
        for body in [chat(&format!("@@tier={told}@@")), streamed(&format!("@@tier={told}@@"))] {
            let answer = client.post(CHAT, &asking(body, asked)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let row = stage.row(&answer).await;
            let expected = row.input as i64 * input + row.output as i64 * input * 2 + 1_000_000;
            assert_eq!(nanos(&row.charged_usd), expected, "{asked} {told}: {}", row.json);
            assert_eq!(row.json["attempts"][0]["tier"], tier);
            let version = row.json["attempts"][0]["price"]["version"].as_str().unwrap();
            let named = ["flex", "priority"].contains(&tier);
            assert!(!named || version.starts_with(&format!("configuration@{tier}#")), "{version}");
        }
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn the_hold_has_room_for_the_dearest_tier_that_may_apply() {
    let tables =
        format!("{TIERS}[accounts.acme]\nholds = \"strict\"\nlimits = [\"$0.0125 per day\"]\n");
    let stage = Stage::new(&tables).await;
    let client = stage.gateway.client("acme");
    let mut body = chat("hi");
    body["max_tokens"] = json!(1_000);
    // $0.008 of output and $0.001: fits. The same with priority is $0.016.
    for (tier, status) in [("priority", 400), ("auto", 400), ("flex", 200)] {
        let answer = client.post(CHAT, &asking(body.clone(), tier)).await;
        assert_eq!(answer.status, status, "{tier}: {}", answer.text());
    }
    let report = client.post("/v1/quote", &asking(body.clone(), "flex")).await.json();
    let worst = nanos(report["targets"][0]["worst_usd"].as_str().unwrap());
    assert!((9_000_000..9_200_000).contains(&worst), "{report}");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_tier_without_a_price_is_refused_or_charged_at_the_ceiling() {
    let stage = Stage::new(RICH).await;
    let mut body = chat("@@tier=priority@@");
    body["service_tier"] = json!("priority");
    let refused = stage.gateway.client("acme").post(CHAT, &body).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.text().contains("up/gpt-4o-mini at the priority service tier"),
        "{}",
        refused.text()
    );
    assert_eq!(stage.upstream.count(), 0);

    let stage =
        Stage::new(&format!("[unknown_price]\ninput = \"100\"\noutput = \"200\"\n\n{RICH}")).await;
    let answer = stage.gateway.client("acme").post(CHAT, &body).await;
    let row = stage.row(&answer).await;
    assert_eq!(nanos(&row.charged_usd), row.input as i64 * 100_000 + row.output as i64 * 200_000);
    let version = row.json["attempts"][0]["price"]["version"].as_str().unwrap();
    assert!(version.starts_with("ceiling#"), "{version}");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_price_of_some_hours_holds_within_them() {
    // All day but a minute long past or far ahead, so the test does not depend on when it is run.
    let now = minute_of_the_day();
    let (before, after) = ((now + 1430) % 1440, (now + 720) % 1440);
    let span = |from: i64, to: i64| {
        format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    };
    let tables = format!(
        "[prices.\"up/day\"]\ninput = \"10\"\noutput = \"10\"\n\
         hours = [{{ utc = \"{}\", input = \"1\", output = \"1\" }}]\n\
         [prices.\"up/night\"]\ninput = \"10\"\noutput = \"10\"\n\
         hours = [{{ utc = \"{}\", input = \"1\", output = \"1\" }}]\n{RICH}",
        span(before, after),
        span(after, before),
    );
    let stage = Stage::new(&tables).await;
    let client = stage.gateway.client("acme");
    for (model, rate) in [("up/day", 1_000), ("up/night", 10_000)] {
        let mut body = chat("hi");
        body["model"] = json!(model);
        let row = stage.row(&client.post(CHAT, &body).await).await;
        assert_eq!(nanos(&row.charged_usd), (row.input + row.output) as i64 * rate, "{model}");
    }
    let shown = stage.gateway.run_json(&["prices", "up/day", "--format", "json"]);
    assert_eq!(shown["rows"].as_array().unwrap().len(), 2, "{shown}");
    assert_eq!(shown["rows"][1]["hours_utc"], span(before, after));
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn each_tier_is_a_row_of_the_price_list() {
    let stage = Stage::new(&format!("{TIERS}{RICH}")).await;
    let shown = stage.gateway.run_json(&["prices", "up/tiered", "--format", "json"]);
    let tiers: Vec<&str> =
        shown["rows"].as_array().unwrap().iter().map(|row| row["tier"].as_str().unwrap()).collect();
    assert_eq!(tiers, ["standard", "flex", "priority"]);
    assert_eq!(shown["rows"][2]["output_usd_per_million"], "16");
    assert!(entries(&stage.gateway).is_empty());
}

/// The minute of the day, UTC.
fn minute_of_the_day() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() as i64 / 60 % 1440
}
