//! What a tenant sees of its budgets: how fast each is used, and where that leads.

use serde_json::Value;

use crate::harness::stage::{CHAT, Stage, chat, nanos};

async fn of(stage: &Stage, words: &str) -> Value {
    let budgets = stage.gateway.client("acme").get("/v1/budgets").await.json();
    let found = budgets["data"].as_array().unwrap().iter().find(|limit| limit["limit"] == words);
    found.unwrap_or_else(|| panic!("no {words}: {budgets}")).clone()
}

#[tokio::test]
async fn a_budget_says_how_fast_it_is_used_and_where_that_leads() {
    let limits = "[accounts.acme]\nlimits = [\"$0.01 per month\", \"100000 tokens per day\", \
                  \"90 requests per minute, sliding window\", \"5 concurrent\"]\n";
    let stage = Stage::new(limits).await;
    let untouched = of(&stage, "$0.01 per month").await["forecast"].clone();
    assert_eq!((&untouched["at_end"], &untouched["burn_rate"]), (&"0".into(), &"0".into()));
    assert_eq!(untouched["exhausted_at"], Value::Null);
    let client = stage.gateway.client("acme");
    // 1,000 input and 2,000 output tokens: half of the month's money.
    let spent = client.post(CHAT, &chat("@@tokens=2000 prompt=1000@@")).await;
    assert_eq!(stage.row(&spent).await.charged_usd, "0.005");
    let month = of(&stage, "$0.01 per month").await;
    let told = &month["forecast"];
    let at = |name: &str| told[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (start, end) = (at("starts_at").as_microsecond(), at("ends_at").as_microsecond());
    assert_eq!(month["resets_at"], told["ends_at"]);
    // The same arithmetic between the two instants of asking it.
    let now = jiff::Timestamp::now().as_microsecond();
    let passed = i128::from((now - start).max((end - start) / 100));
    let at_end = i128::from(nanos(told["at_end"].as_str().unwrap()));
    let expected = 5_000_000 * i128::from(end - start) / passed;
    let near = |one: i128, other: i128| (one - other).abs() <= one.max(other) / 1_000 + 1;
    assert!(near(at_end, expected), "{told}: {expected}");
    let day = i128::from(nanos(told["per_day"].as_str().unwrap()));
    assert!(near(day, 5_000_000 * 86_400_000_000 / passed), "{told}");
    let burn = i128::from(nanos(told["burn_rate"].as_str().unwrap()));
    assert!((burn / 1_000_000 - at_end * 1_000 / 10_000_000).abs() <= 1, "{told}");
    // It is used up before the month ends, if it goes on like that and more than half of it is left.
    let early = at_end > 10_000_000;
    assert_eq!(told["exhausted_at"].is_string(), early, "{told}");
    let tokens = of(&stage, "100000 tokens per day").await;
    assert_eq!(tokens["posted"], 3_000);
    assert!(tokens["forecast"]["at_end"].as_i64().unwrap() >= 3_000, "{tokens}");
    // What is weighed over the time just passed, and what is in flight, ends at no instant.
    let all = client.get("/v1/budgets").await.json();
    let without = all["data"].as_array().unwrap().iter().filter(|l| l["forecast"].is_null());
    assert_eq!(without.count(), 2, "{all}");
}
