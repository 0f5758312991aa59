//! What an account pays beyond what is owed, and who pays for attempts that gave it nothing.

use serde_json::json;

use crate::harness::ledger::{Entry, entries};
use crate::harness::stage::{CHAT, INPUT_NANOS, OUTPUT_NANOS, Stage, chat, nanos, streamed};
use crate::harness::upstream::script::Reply;

const TREE: &str = "[accounts.acme]\nmarkup = \"10%\"\nmarkup_per_request = \"0.0005\"\n\
     limits = [\"$1000 per month\"]\n\n\
     [accounts.acme.search]\n\n\
     [accounts.acme.lab]\nmarkup = \"-25%\"\nmarkup_per_request = \"0\"\n";

/// Any sum of an entry's legs balances.
fn balanced(entries: &[Entry]) {
    for entry in entries {
        assert_eq!(entry.charged, entry.owed - entry.absorbed + entry.markup, "{entry:?}");
    }
}

#[tokio::test]
async fn a_markup_is_inherited_charged_booked_and_in_every_sum() {
    let stage = Stage::new(TREE).await;
    let mut charged = 0;
    for (account, share, fee) in [("acme/search", 110, 500_000), ("acme/lab", 75, 0)] {
        let client = stage.gateway.client(account);
        for body in [chat("@@tokens=7@@"), streamed("@@tokens=7@@")] {
            let answer = client.post(CHAT, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let row = stage.row(&answer).await;
            let owed = row.input as i64 * INPUT_NANOS + row.output as i64 * OUTPUT_NANOS;
            let attempt = &row.json["attempts"][0];
            assert_eq!(nanos(attempt["owed_usd"].as_str().unwrap()), owed);
            // Multiples of $0.000001, so a hundredth of them is a whole nano-dollar.
            let expected = owed * share / 100 + fee;
            assert_eq!(nanos(&row.charged_usd), expected, "{account}");
            let entry = entries(&stage.gateway).pop().unwrap();
            assert_eq!((entry.markup, entry.absorbed), (expected - owed, 0), "{entry:?}");
            assert_eq!(entry.tier, "standard");
            charged += expected;
        }
    }
    balanced(&entries(&stage.gateway));
    let report = stage.gateway.run_json(&["report", "--by", "provider", "--format", "json"]);
    let row = &report["rows"][0];
    let sum = |name: &str| nanos(row[name].as_str().unwrap());
    assert_eq!(sum("charged_usd"), charged);
    assert_eq!(charged, sum("owed_usd") - sum("absorbed_usd") + sum("markup_usd"));
    let audit = stage.gateway.run_json(&["audit", "--json"]);
    assert_eq!(audit["markup_usd"], row["markup_usd"], "{audit}");
}

#[tokio::test]
async fn the_hold_has_the_markup_so_that_a_budget_is_not_overspent() {
    // The plain bound is $0.0102 at most; a tenth more does not fit.
    let tables = "[accounts.acme]\nholds = \"strict\"\nmarkup = \"10%\"\nlimits = [\"$0.0105 per day\"]\n\
         [accounts.plain]\nholds = \"strict\"\nlimits = [\"$0.0105 per day\"]\n";
    let stage = Stage::new(tables).await;
    let mut body = chat("hi");
    body["max_tokens"] = json!(5_000);
    assert_eq!(stage.gateway.client("plain").post(CHAT, &body).await.status, 200);
    let refused = stage.gateway.client("acme").post(CHAT, &body).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(stage.upstream.count(), 1);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_stream_with_a_markup_is_cut_within_its_budget() {
    let tables = "[accounts.acme]\nmarkup = \"50%\"\nlimits = [\"$0.002 per day\"]\n";
    let stage = Stage::new(tables).await;
    let answer = stage.gateway.client("acme").post(CHAT, &streamed("@@tokens=2000@@")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stage.row(&answer).await.outcome, "cut");
    stage.nothing_held().await;
    for limit in stage.standing().await {
        assert!(limit.posted <= limit.capacity && limit.posted > limit.capacity / 2, "{limit:?}");
    }
    balanced(&entries(&stage.gateway));
    stage.gateway.audit().unwrap();
}

const TWO_TARGETS: &str = "[models.both]\ntargets = [{ provider = \"up\", model = \"gpt-4o\" }, \
     { provider = \"up\", model = \"gpt-4o-mini\" }]\n\
     [accounts.acme]\nmarkup = \"10%\"\nlimits = [\"$1000 per month\"]\n\
     [accounts.acme.pays]\nfailed_attempts = \"charge\"\n\
     [accounts.acme.poor]\nfailed_attempts = \"charge\"\nholds = \"strict\"\nlimits = [\"5010 tokens per day\"]\n";

#[tokio::test]
async fn a_failed_attempt_is_paid_by_the_operator_or_the_account_and_never_by_both() {
    let stage = Stage::new(TWO_TARGETS).await;
    for (account, pays) in [("acme", false), ("acme/pays", true)] {
        let before = entries(&stage.gateway).len();
        for _ in 0..3 {
            stage.upstream.push("gpt-4o", Reply::none());
        }
        let mut body = chat("hello");
        body["model"] = json!("both");
        let answer = stage.gateway.client(account).post(CHAT, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let row = stage.row(&answer).await;
        let rows = entries(&stage.gateway).split_off(before);
        let (last, failed) = rows.split_last().unwrap();
        assert!(failed.len() == 3 && failed.iter().all(|row| row.owed > 0), "{failed:?}");
        for failed in failed {
            let expected = if pays { failed.owed * 110 / 100 } else { 0 };
            assert_eq!((failed.charged, failed.requests), (expected, 0), "{failed:?}");
            assert_eq!(failed.absorbed, if pays { 0 } else { failed.owed });
        }
        balanced(&rows);
        assert_eq!(last.charged, last.owed * 110 / 100);
        let charged: i64 = rows.iter().map(|row| row.charged).sum();
        assert_eq!(nanos(&row.charged_usd), charged);
        assert_eq!(nanos(answer.header("x-tollgate-cost-usd").unwrap()), charged);
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_retry_that_the_account_cannot_pay_for_is_not_sent() {
    let stage = Stage::new(TWO_TARGETS).await;
    stage.upstream.push("gpt-4o", Reply::none());
    let mut body = chat("hello");
    body["model"] = json!("both");
    body["max_tokens"] = json!(5_000);
    let answer = stage.gateway.client("acme/poor").post(CHAT, &body).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(stage.upstream.count(), 1);
    stage.nothing_held().await;
    let rows = entries(&stage.gateway);
    assert!(rows.len() == 1 && rows[0].charged > 0, "{rows:?}");
    for limit in stage.standing().await {
        assert!(limit.posted <= limit.capacity, "{limit:?}");
    }
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_call_that_a_crash_cut_short_is_charged_on_its_terms() {
    let mut stage = Stage::new(TREE).await;
    let client = stage.gateway.client("acme/search");
    let body = serde_json::to_vec(&streamed("@@tokens=600 pause=20@@")).unwrap();
    let mut open = client.open("POST", CHAT, &body).await.unwrap();
    assert!(open.until_text("data: ").await.unwrap());
    stage.gateway.kill();
    stage.gateway.up();
    let rows = entries(&stage.gateway);
    assert!(rows.len() == 1 && rows[0].kind == "recovery", "{rows:?}");
    assert_eq!(rows[0].charged, rows[0].owed * 110 / 100 + 500_000);
    stage.gateway.audit().unwrap();
}
