//! Thousands of mixed calls from many clients against budgets that run out: no limit is passed at
//! any instant, and the ledger says what the provider says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::calls::{Kind, Plan, Seen};
use crate::harness::ledger::{Entry, calls, open_holds};
use crate::harness::stage::{Stage, nanos, standing};
use crate::harness::upstream::Truth;
use crate::harness::{Dice, env_count};
use crate::seed;

const CLIENTS: u64 = 24;
const TENANTS: [&str; 4] = ["acme/a", "acme/b", "acme/c", "beta"];

/// Two thirds of so many calls fit: every tenant meets the end of some budget.
fn accounts(calls: u64) -> String {
    let share = |of_two_thousand: u64| of_two_thousand * calls / 2_000;
    let dollars = |micros: u64| format!("$0.{:06}", share(micros));
    format!(
        r#"
[accounts.acme]
limits = ["{} per month", "{} requests per day"]

[accounts.acme.a]
limits = ["{} tokens per day", "12 concurrent"]

[accounts.acme.b]
limits = ["{} per day"]

[accounts.acme.c]
limits = ["{} output tokens per day", "40000 tokens per minute"]

[accounts.beta]
holds = "strict"
limits = ["{} per month", "8 concurrent"]
"#,
        dollars(65_000),
        share(900),
        share(15_000),
        dollars(20_000),
        share(9_000),
        dollars(25_000),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_load_against_budgets_that_run_out_is_accounted_to_the_token() {
    let seed = seed();
    println!("TOLLGATE_SEED={seed}");
    let count = env_count("TOLLGATE_CALLS", 2_000) as u64;
    let stage = Arc::new(Stage::new(&accounts(count)).await);
    let done = Arc::new(AtomicBool::new(false));
    let sampler = tokio::spawn(sample(Arc::clone(&stage), Arc::clone(&done)));
    let seen = load(&stage, seed, count).await;
    stage.nothing_held().await;
    done.store(true, Ordering::Relaxed);
    let samples = sampler.await.unwrap();
    assert!(samples > 20, "the limits were looked at {samples} times only");

    the_load_was_mixed(&seen, count);
    let truths = last_tries(&stage);
    let rows = calls(&stage.gateway);
    every_call_agrees(&seen, &truths, &rows);
    the_sums_agree(&stage, &truths, &rows);
    assert_eq!(open_holds(&stage.gateway), 0);
    stage.gateway.audit().unwrap();
}

async fn load(stage: &Stage, seed: u64, count: u64) -> Vec<Seen> {
    let clients: Vec<_> = TENANTS.iter().map(|account| stage.gateway.client(account)).collect();
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..CLIENTS)
        .map(|worker| {
            let (clients, next) = (clients.clone(), Arc::clone(&next));
            let mut dice = Dice::new(seed.wrapping_mul(CLIENTS) + worker);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
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
    seen
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

/// A load without some outcome would prove nothing about it.
fn the_load_was_mixed(seen: &[Seen], count: u64) {
    assert_eq!(seen.len() as u64, count);
    let with =
        |status: u16| seen.iter().filter(|seen| seen.status() == Some(status)).count() as u64;
    assert!(with(429) > count / 20, "hardly a budget ran out: {} refusals", with(429));
    assert!(with(200) > count / 4, "hardly a call went through: {}", with(200));
}

/// What the provider did at the last try of each call: that is the one that was answered.
fn last_tries(stage: &Stage) -> BTreeMap<String, Truth> {
    stage.upstream.truths().into_iter().map(|truth| (truth.key.clone(), truth)).collect()
}

fn every_call_agrees(
    seen: &[Seen],
    truths: &BTreeMap<String, Truth>,
    rows: &BTreeMap<String, Vec<Entry>>,
) {
    let by_tag: BTreeMap<&str, &[Entry]> =
        rows.values().map(|rows| (rows[0].tags.as_str(), rows.as_slice())).collect();
    assert_eq!(by_tag.len(), rows.len(), "a call has rows under two ids");
    for seen in seen {
        let key = &seen.plan.key;
        let truth = truths.get(key);
        let Some(rows) = by_tag.get(format!("call={key}").as_str()) else {
            assert!(truth.is_none(), "{key} was sent and has no row: {seen:?}");
            assert!(seen.status() != Some(200), "{key} was answered and has no row");
            continue;
        };
        let decisive: Vec<_> = rows.iter().filter(|row| row.kind != "attempt").collect();
        let [row] = decisive[..] else { panic!("{key} is settled by {} rows", decisive.len()) };
        // A call that nobody could be asked for is none, and costs nobody anything.
        let nobody = truth.is_none() && row.outcome == "unreachable" && row.owed == 0;
        assert!(row.requests == 1 || (row.requests == 0 && nobody), "{row:?}");
        if let Some(id) = seen.id() {
            assert_eq!(row.id, id);
        }
        let charged: i64 = rows.iter().map(|row| row.charged).sum();
        assert_eq!(charged, row.charged, "more than the deciding try is charged: {rows:?}");
        if let Some(truth) = truth {
            one_call_agrees(seen, truth, row);
        }
    }
}

fn one_call_agrees(seen: &Seen, truth: &Truth, row: &Entry) {
    let say = || format!("{seen:?}\n{truth:?}\n{row:?}");
    assert_eq!(row.owed, row.cost(), "{}", say());
    // A cut is charged for what was passed on; what nobody got is not the tenant's to pay.
    let cut = row.outcome == "cut" && (0..=row.owed).contains(&row.charged);
    assert!(cut || row.charged == 0 || row.charged == row.owed, "{}", say());
    if row.is_reported() {
        let usage = truth.reported.unwrap_or_else(|| panic!("nothing was reported: {}", say()));
        assert_eq!(row.all_input(), usage.prompt as i64, "{}", say());
        assert_eq!(row.cache_read, usage.cached as i64, "{}", say());
        assert_eq!(row.all_output(), usage.completion as i64, "{}", say());
        assert_eq!(row.reasoning, usage.reasoning as i64, "{}", say());
        return;
    }
    match seen.plan.kind {
        Kind::Whole | Kind::Stream | Kind::QuietStream | Kind::Retried => {
            let cut = row.outcome == "cut";
            assert!(cut || truth.reported.is_none(), "reported, not believed: {}", say());
        }
        Kind::Failing => assert_eq!(row.charged, 0, "{}", say()),
        Kind::Cancelled | Kind::Broken | Kind::Uncounted | Kind::ErrorInside => {}
    }
    if seen.plan.is_streamed() && seen.status() == Some(200) {
        assert!(row.all_output() >= seen.delivered() as i64, "{}", say());
        assert!(row.all_output() <= truth.begun as i64, "{}", say());
    }
}

/// Over all calls whose usage was reported and believed, and over all rows in the report.
fn the_sums_agree(
    stage: &Stage,
    truths: &BTreeMap<String, Truth>,
    rows: &BTreeMap<String, Vec<Entry>>,
) {
    let all: Vec<&Entry> = rows.values().flatten().collect();
    let (mut ledger, mut provider) = ((0, 0), (0, 0));
    for row in all.iter().filter(|row| row.is_reported()) {
        let usage = truths[row.tags.trim_start_matches("call=")].reported.unwrap();
        ledger = (ledger.0 + row.all_input(), ledger.1 + row.all_output());
        provider = (provider.0 + usage.prompt as i64, provider.1 + usage.completion as i64);
    }
    assert_eq!(ledger, provider);
    assert!(ledger.1 > 0);

    let report = stage.gateway.run_json(&["report", "--by", "account", "--format", "json"]);
    let lines = report["rows"].as_array().unwrap();
    let requests: i64 = lines.iter().map(|line| line["requests"].as_i64().unwrap()).sum();
    assert_eq!(requests, all.iter().map(|row| row.requests).sum::<i64>());
    let charged = lines.iter().map(|line| nanos(line["charged_usd"].as_str().unwrap()));
    assert_eq!(charged.sum::<i64>(), all.iter().map(|row| row.charged).sum::<i64>());
}
