//! Prices that were wrong are corrected by rows of their own, and bills are laid beside the ledger.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::ledger::{Entry, entries};
use crate::harness::stage::{CHAT, RICH, Stage, chat, configuration, nanos, row_of, streamed};
use crate::harness::upstream::Upstream;

const ACCOUNTS: &str = "[accounts.acme]\nmarkup = \"10%\"\nmarkup_per_request = \"0.0005\"\n\
     limits = [\"$1000 per month\"]\n\
     [accounts.acme.search]\n[accounts.globex]\nlimits = [\"$5 per day\"]\n";

/// The small model at three times its price.
fn dearer(upstream: &Upstream) -> String {
    let tables = configuration(upstream, "", ACCOUNTS);
    tables.replace("input = \"1.00\"\noutput = \"2.00\"", "input = \"3.00\"\noutput = \"6.00\"")
}

fn rerate(gateway: &Gateway, more: &[&str]) -> Value {
    let range = ["rerate", "--from", "-1d", "--to", "+1d", "--format", "json"];
    gateway.run_json(&[&range, more].concat())
}

fn sum(entries: &[Entry], what: fn(&Entry) -> i64) -> i64 {
    entries.iter().map(what).sum()
}

/// Two accounts, whole and streamed calls, one of them cut.
async fn calls(stage: &Stage) -> Vec<String> {
    let mut ids = Vec::new();
    for account in ["acme/search", "globex"] {
        let client = stage.gateway.client(account);
        for body in [chat("@@tokens=7@@"), streamed("@@tokens=9 cached=1 prompt=3@@")] {
            let answer = client.post(CHAT, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            ids.push(answer.header("x-request-id").unwrap().to_owned());
            stage.row(&answer).await;
        }
    }
    stage.nothing_held().await;
    ids
}

#[tokio::test]
async fn a_range_is_rated_anew_once_and_old_statements_reproduce() {
    let mut stage = Stage::new(ACCOUNTS).await;
    let ids = calls(&stage).await;
    let before = entries(&stage.gateway);
    let then = now();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_eq!(rerate(&stage.gateway, &[])["rows"], json!([]));

    stage.gateway.configure(&dearer(&stage.upstream));
    stage.gateway.signal("HUP");
    let changes = crate::harness::eventually(
        "the new prices are in force",
        std::time::Duration::from_secs(10),
        async || {
            let rows = rerate(&stage.gateway, &["--dry-run"])["rows"].clone();
            let price = stage.gateway.log().contains("reloaded");
            (price && rows.as_array().unwrap().len() == 2).then_some(rows)
        },
    )
    .await;
    assert_eq!(entries(&stage.gateway).len(), before.len(), "a look changes nothing");

    // One account at a time, through the running gateway.
    let search = rerate(&stage.gateway, &["--account", "acme"]);
    assert_eq!(search["rows"][0], changes[0], "{search}");
    assert_eq!(search["rows"].as_array().unwrap().len(), 1);
    rerate(&stage.gateway, &["--model", "gpt-4o-mini"]);
    let after = entries(&stage.gateway);
    let adjustments: Vec<&Entry> = after.iter().filter(|e| e.kind == "adjustment").collect();
    assert_eq!((after.len(), adjustments.len()), (before.len() + 4, 4));
    assert_eq!(rerate(&stage.gateway, &[])["rows"], json!([]), "a second run finds nothing");
    assert_eq!(entries(&stage.gateway).len(), after.len());

    // Cached input keeps its price; all else is three times what it was.
    for id in &ids {
        let of = |entries: &[Entry]| -> Vec<Entry> {
            entries.iter().filter(|entry| entry.id == *id).cloned().collect()
        };
        let (was, is) = (of(&before), of(&after));
        let first = &was[0];
        let owed = (first.input + 2 * first.all_output()) * 3_000 + first.cache_read * 100;
        assert_eq!(sum(&is, |e| e.owed), owed, "{is:?}");
        let (share, fee) = if first.account == "globex" { (100, 0) } else { (110, 500_000) };
        assert_eq!(sum(&is, |e| e.charged), owed * share / 100 + fee, "{is:?}");
        let shown = row_of(&stage.gateway, id).await;
        assert_eq!(nanos(&shown.charged_usd), owed * share / 100 + fee);
        let reason = shown.json["adjustments"][0]["reason"].as_str().unwrap();
        assert!(reason.starts_with("re-rated from configuration#"), "{reason}");
        assert_eq!(shown.attempts, 1);
    }

    // Balances and quotas of periods that run have followed.
    let charged = sum(&after, |e| if e.account == "globex" { e.charged } else { 0 });
    let standing = stage.standing().await;
    let globex = standing.iter().find(|limit| limit.account == "globex").unwrap();
    assert_eq!(globex.posted, charged);
    stage.gateway.audit().unwrap();

    // The statement as it was is the sum of the rows written until then.
    let old = stage.gateway.run_json(&["report", "--by", "provider", "--as-of", &then, "--json"]);
    assert_eq!(nanos(old["rows"][0]["charged_usd"].as_str().unwrap()), sum(&before, |e| e.charged));
    let new = stage.gateway.run_json(&["report", "--by", "provider", "--json"]);
    assert_eq!(nanos(new["rows"][0]["charged_usd"].as_str().unwrap()), sum(&after, |e| e.charged));
    assert_eq!(new["rows"][0]["attempts"], old["rows"][0]["attempts"]);

    // With the gateway stopped, on the file: back to the old prices.
    stage.gateway.signal("TERM");
    stage.gateway.wait(std::time::Duration::from_secs(20));
    stage.gateway.configure(&configuration(&stage.upstream, "", ACCOUNTS));
    assert_eq!(rerate(&stage.gateway, &[])["rows"].as_array().unwrap().len(), 2);
    let back = entries(&stage.gateway);
    assert_eq!(sum(&back, |e| e.charged), sum(&before, |e| e.charged));
    stage.gateway.audit().unwrap();
    stage.gateway.up();
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_call_of_a_revoked_key_with_limits_is_corrected_with_its_balance() {
    let mut stage = Stage::new(ACCOUNTS).await;
    let made = ["key", "create", "--account", "globex", "--limit", "$1 per day", "--json"];
    let made = stage.gateway.run_json(&made);
    let client = crate::harness::client::Client::with_key(
        &stage.gateway.data,
        made["key"].as_str().unwrap(),
    );
    let answer = client.post(CHAT, &chat("hi")).await;
    stage.row(&answer).await;
    assert!(stage.gateway.run(&["key", "revoke", made["id"].as_str().unwrap()]).status.success());
    stage.gateway.configure(&dearer(&stage.upstream));
    stage.gateway.kill();
    stage.gateway.up();
    assert_eq!(rerate(&stage.gateway, &[])["rows"].as_array().unwrap().len(), 1);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_is_refused() {
    let gateway = Gateway::stopped("");
    let refused = gateway.run(&["rerate", "--from", "2026-11-02", "--to", "2026-11-01"]);
    assert_ne!(refused.status.code(), Some(0));
}

/// A bill in one of the documented shapes, of today.
fn bill(stage: &Stage, name: &str, change: impl Fn(String) -> String) -> String {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bills").join(name);
    let text = std::fs::read_to_string(golden).unwrap();
    let today = seconds() / 86_400 * 86_400;
    let date = |seconds: i64| jiff::Timestamp::from_second(seconds).unwrap().to_string();
    let text = text
        .replace("1730419200", &today.to_string())
        .replace("1730505600", &(today + 86_400).to_string())
        .replace("2025-08-01T00:00:00Z", &date(today))
        .replace("2025-08-02T00:00:00Z", &date(today + 86_400));
    let path = stage.gateway.dir().join(name);
    std::fs::write(&path, change(text)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Four calls of one token in and eight out.
async fn four_calls(stage: &Stage) {
    let client = stage.gateway.client("acme");
    for _ in 0..4 {
        let answer = client.post(CHAT, &chat("hi")).await;
        let row = stage.row(&answer).await;
        assert_eq!((row.input, row.output), (1, 8));
    }
    stage.nothing_held().await;
}

#[tokio::test]
async fn every_documented_shape_of_a_bill_is_read_and_agrees() {
    let stage = Stage::new(RICH).await;
    four_calls(&stage).await;
    let csv = stage.gateway.dir().join("bill.csv");
    let today = now()[..10].to_owned();
    let text = format!(
        "day,model,cost_usd,input_tokens,output_tokens\n{today},gpt-4o-mini,0.000068,4,32\n"
    );
    std::fs::write(&csv, text).unwrap();
    let mut bills: Vec<String> =
        ["openai_costs.json", "openai_usage.json", "anthropic_costs.json", "anthropic_usage.json"]
            .map(|name| bill(&stage, name, |text| text))
            .into();
    bills.push(csv.to_str().unwrap().to_owned());
    for bill in &bills {
        let output =
            stage.gateway.run(&["reconcile", "--provider", "up", bill, "--format", "json"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{bill}: {text}");
        let table: Value = serde_json::from_str(&text).unwrap();
        let row = &table["rows"][0];
        assert_eq!((&row["day"], &row["owed_usd"]), (&json!(today), &json!("0.000068")), "{table}");
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(4), &json!(32)));
        if !row["billed_usd"].is_null() {
            assert_eq!((&row["billed_usd"], &row["drift_usd"]), (&json!("0.000068"), &json!("0")));
        }
    }
    let twice = stage.gateway.run(&["reconcile", "--provider", "up", &bills[0], &bills[0]]);
    assert_ne!(twice.status.code(), Some(0));
    let nobody = stage.gateway.run(&["reconcile", "--provider", "nobody", &bills[0]]);
    assert_ne!(nobody.status.code(), Some(0));
}

#[tokio::test]
async fn drift_is_found_booked_once_and_charged_to_no_tenant() {
    let mut stage = Stage::new(RICH).await;
    four_calls(&stage).await;
    let before = entries(&stage.gateway);
    // The output is billed at twice what it was.
    let bill = bill(&stage, "openai_costs.json", |text| text.replace("6.4e-05", "0.000128"));
    let reconcile = |gateway: &Gateway, more: &[&str]| {
        let output = gateway
            .run(&[&["reconcile", "--provider", "up", &bill, "--format", "json"], more].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let table: Value = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), table["rows"][0]["drift_usd"].clone())
    };
    assert_eq!(reconcile(&stage.gateway, &[]), (Some(1), json!("0.000064")));
    assert_eq!(reconcile(&stage.gateway, &["--tolerance", "0.00007"]).0, Some(0));
    assert_eq!(reconcile(&stage.gateway, &["--tolerance", "10%"]).0, Some(1));
    assert_eq!(reconcile(&stage.gateway, &["--tolerance", "50%"]).0, Some(0));
    assert_eq!(entries(&stage.gateway).len(), before.len());

    assert_eq!(reconcile(&stage.gateway, &["--book"]).0, Some(0));
    let booked = entries(&stage.gateway);
    let row = booked.last().unwrap();
    assert_eq!((booked.len(), row.kind.as_str()), (before.len() + 1, "adjustment"));
    assert_eq!((row.charged, row.owed, row.absorbed), (0, 64_000, 64_000));
    // The same bill again finds nothing, through the gateway and on the file.
    assert_eq!(reconcile(&stage.gateway, &[]), (Some(0), json!("0")));
    reconcile(&stage.gateway, &["--book"]);
    assert_eq!(entries(&stage.gateway).len(), booked.len());
    stage.gateway.audit().unwrap();
    stage.gateway.signal("TERM");
    stage.gateway.wait(std::time::Duration::from_secs(20));
    reconcile(&stage.gateway, &["--book"]);
    assert_eq!(entries(&stage.gateway).len(), booked.len());
    assert_eq!(sum(&booked, |e| e.charged), sum(&before, |e| e.charged));
    stage.gateway.audit().unwrap();
}

fn seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}
