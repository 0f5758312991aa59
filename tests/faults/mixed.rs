//! Thousands of mixed calls from many clients against budgets that run out: no limit is passed at
//! any instant, and the ledger says what the provider says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::calls::{Kind, Plan, Seen};
use crate::harness::stage::{Stage, standing};
use crate::harness::upstream::{Truth, Usage};
use crate::harness::{Dice, env_count};
use crate::seed;

const CLIENTS: u64 = 24;
const TENANTS: [&str; 4] = ["acme/a", "acme/b", "acme/c", "beta"];

/// Two thirds of the load fit: every tenant meets the end of some budget.
const ACCOUNTS: &str = r#"
[accounts.acme]
limits = ["$0.065 per month", "900 requests per day"]

[accounts.acme.a]
limits = ["15000 tokens per day", "12 concurrent"]

[accounts.acme.b]
limits = ["$0.02 per day"]

[accounts.acme.c]
limits = ["9000 output tokens per day", "40000 tokens per minute"]

[accounts.beta]
holds = "strict"
limits = ["$0.025 per month", "8 concurrent"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_load_against_budgets_that_run_out_is_accounted_to_the_token() {
    let seed = seed();
    println!("TOLLGATE_SEED={seed}");
    let calls = env_count("TOLLGATE_CALLS", 2_000) as u64;
    let stage = Arc::new(Stage::new(ACCOUNTS).await);
    let clients: Vec<_> = TENANTS.iter().map(|account| stage.gateway.client(account)).collect();

    let done = Arc::new(AtomicBool::new(false));
    let sampler = tokio::spawn(sample(Arc::clone(&stage), Arc::clone(&done)));
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..CLIENTS)
        .map(|worker| {
            let (clients, next) = (clients.clone(), Arc::clone(&next));
            let mut dice = Dice::new(seed.wrapping_mul(CLIENTS) + worker);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return seen;
                    }
                    let client = &clients[dice.below(clients.len() as u64) as usize];
                    let plan = Plan::roll(&mut dice, format!("m{number}"));
                    seen.push(plan.run(client).await);
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    for worker in workers {
        seen.extend(worker.await.unwrap());
    }
    stage.nothing_held().await;
    done.store(true, Ordering::Relaxed);
    let samples = sampler.await.unwrap();
    assert!(samples > 20, "the limits were looked at {samples} times only");

    let truths = by_key(&stage);
    let rows = compare(&stage, &seen, &truths).await;
    the_load_was_mixed(&seen, calls);
    the_report_is_the_sum(&stage, &rows);
    stage.gateway.audit().unwrap();
}

/// Looks at every limit until told to stop; says how often it did.
async fn sample(stage: Arc<Stage>, done: Arc<AtomicBool>) -> u64 {
    let mut samples = 0;
    while !done.load(Ordering::Relaxed) {
        for limit in standing(&stage.gateway).await {
            assert!(limit.held >= 0 && limit.posted >= 0, "{limit:?}");
            assert!(limit.posted + limit.held <= limit.capacity, "passed: {limit:?}");
        }
        samples += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    samples
}

/// The last try of each call: that is the one that was answered.
fn by_key(stage: &Stage) -> BTreeMap<String, Truth> {
    stage.upstream.truths().into_iter().map(|truth| (truth.key.clone(), truth)).collect()
}

/// Lays each call's row beside what the provider says; gives the rows of the calls that have one.
async fn compare(
    stage: &Stage,
    seen: &[Seen],
    truths: &BTreeMap<String, Truth>,
) -> Vec<(Usage, Value)> {
    let mut reported = Vec::new();
    for seen in seen {
        let Some(id) = seen.id() else { continue };
        let key = &seen.plan.key;
        if seen.status() == Some(429) {
            assert!(!truths.contains_key(key), "{key} was refused and sent on");
            continue;
        }
        let truth = truths.get(key).unwrap_or_else(|| panic!("{key} was never sent: {seen:?}"));
        let row = stage.row_of(id).await;
        compare_one(seen, truth, &row);
        if row["provenance"] == "reported" {
            reported.push((truth.reported.unwrap(), row));
        }
    }
    reported
}

fn compare_one(seen: &Seen, truth: &Truth, row: &Value) {
    let number = |field: &str| row[field].as_u64().unwrap_or_else(|| panic!("{field}: {row}"));
    let say = || format!("{seen:?}\n{truth:?}\n{row}");
    let cut_by_us = seen.answer.as_ref().is_some_and(|answer| answer.text().contains("\"length\""));
    if row["provenance"] == "reported" {
        let usage = truth.reported.unwrap_or_else(|| panic!("nothing was reported: {}", say()));
        assert_eq!(number("input_tokens"), usage.prompt, "{}", say());
        assert_eq!(number("output_tokens"), usage.completion, "{}", say());
        assert_eq!(number("cache_read_tokens"), usage.cached, "{}", say());
        return;
    }
    match seen.plan.kind {
        Kind::Whole | Kind::Stream | Kind::QuietStream | Kind::Retried => {
            assert!(cut_by_us || seen.status() != Some(200), "reported, not believed: {}", say());
        }
        Kind::Failing => assert_eq!(row["charged_usd"], "0", "{}", say()),
        Kind::Cancelled | Kind::Broken | Kind::Uncounted | Kind::ErrorInside => {
            if seen.plan.is_streamed() {
                assert!(number("output_tokens") >= seen.delivered(), "{}", say());
                assert!(number("output_tokens") <= truth.produced, "{}", say());
            }
        }
    }
}

/// A load without some kind would prove nothing about it.
fn the_load_was_mixed(seen: &[Seen], calls: u64) {
    assert_eq!(seen.len() as u64, calls);
    let refused = seen.iter().filter(|seen| seen.status() == Some(429)).count() as u64;
    let good = seen.iter().filter(|seen| seen.status() == Some(200)).count() as u64;
    assert!(refused > calls / 20, "hardly a budget ran out: {refused} refusals");
    assert!(good > calls / 4, "hardly a call went through: {good}");
}

fn the_report_is_the_sum(stage: &Stage, reported: &[(Usage, Value)]) {
    let report = stage.gateway.run_json(&["report", "--by", "account", "--format", "json"]);
    let total = |field: &str| -> u64 {
        report["rows"].as_array().unwrap().iter().map(|row| row[field].as_u64().unwrap()).sum()
    };
    let truly: u64 = reported.iter().map(|(usage, _)| usage.completion).sum();
    let rows: u64 = reported.iter().map(|(_, row)| row["output_tokens"].as_u64().unwrap()).sum();
    assert_eq!(rows, truly);
    assert!(total("output_tokens") >= truly);
}
