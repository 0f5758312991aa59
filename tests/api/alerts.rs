//! Alerts: told once, signed, in the transaction of what they tell of, and delivered until they are
//! taken, whatever dies in between.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::receiver::{Posted, Receiver};
use crate::harness::stage::{CHAT, chat, configuration, row_of};
use crate::harness::upstream::Upstream;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATIENCE: Duration = Duration::from_secs(180);

struct Set {
    receiver: Receiver,
    gateway: Gateway,
    #[expect(dead_code, reason = "it answers as long as it lives")]
    upstream: Upstream,
}

impl Set {
    /// A gateway that tells a receiver; `alerts` are further lines of its table.
    async fn new(alerts: &str, accounts: &str) -> Set {
        let (upstream, receiver) = (Upstream::start().await, Receiver::start().await);
        let tables = format!(
            "[alerts]\nwebhook = \"{}\"\nsecret = \"file:hook-secret\"\n{alerts}\n{accounts}",
            receiver.url
        );
        let mut gateway = Gateway::stopped(&configuration(&upstream, "", &tables));
        std::fs::write(gateway.dir().join("hook-secret"), SECRET).unwrap();
        gateway.up();
        Set { receiver, gateway, upstream }
    }

    /// Makes a call of so many input tokens and waits until its row is written.
    async fn spend(&self, tokens: u64) {
        let client = self.gateway.client("acme");
        let answer = client.post(CHAT, &chat(&format!("@@tokens=1 prompt={tokens}@@"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        row_of(&self.gateway, answer.header("x-request-id").unwrap()).await;
    }

    /// What was posted, once it is so much.
    async fn posted(&self, count: usize) -> Vec<Posted> {
        let what = format!("{count} messages, not {:?}", self.receiver.posted());
        eventually(&what, PATIENCE, async || {
            Some(self.receiver.posted()).filter(|posted| posted.len() >= count)
        })
        .await
    }

    fn listed(&self) -> Vec<Value> {
        let listed = self.gateway.run_json(&["alerts", "list", "--json"]);
        listed["rows"].as_array().unwrap().clone()
    }

    /// Waits until every message is marked as delivered.
    async fn all_delivered(&self) {
        eventually("all is delivered", PATIENCE, async || {
            self.listed().iter().all(|row| row["state"] == "delivered").then_some(())
        })
        .await;
    }
}

/// The message is signed as the convention says, for the time of its attempt.
fn is_signed(posted: &Posted) -> bool {
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let (id, at) = (posted.header("webhook-id"), posted.header("webhook-timestamp"));
    let signed = format!("{id}.{at}.{}", posted.body);
    let signature = posted.header("webhook-signature").strip_prefix("v1,").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = STANDARD.decode(signature).unwrap();
    let age = jiff::Timestamp::now().as_second() - at.parse::<i64>().unwrap();
    hmac::verify(&key, signed.as_bytes(), &tag).is_ok() && (0..=600).contains(&age)
}

fn percents(posted: &[Posted]) -> Vec<i64> {
    posted.iter().map(|one| one.json()["data"]["percent"].as_i64().unwrap()).collect()
}

const QUIET: &str = "burn_percent = 0\nanomaly_times = 0\ndrift_percent = 0\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_reaches_a_part_is_told_once_a_period_and_a_rate_never() {
    let accounts = "[accounts.acme]\nlimits = [\"1000 input tokens per day\", \
                    \"10000 input tokens per minute\"]\n";
    let mut set = Set::new(QUIET, accounts).await;
    set.spend(499).await;
    set.spend(1).await;
    set.spend(1).await;
    let posted = set.posted(1).await;
    assert!(posted.iter().all(is_signed), "{posted:?}");
    let told = posted[0].json();
    assert_eq!(told["type"], "budget.threshold");
    let data = &told["data"];
    assert_eq!((&data["account"], &data["percent"]), (&json!("acme"), &json!(50)), "{told}");
    assert_eq!((&data["posted"], &data["capacity"]), (&json!(500), &json!(1000)), "{told}");
    // What leaps over a part is told of the one it reached.
    set.spend(350).await;
    set.spend(1).await;
    assert_eq!(percents(&set.posted(2).await), [50, 80]);
    set.all_delivered().await;
    // Neither a new process nor a new configuration tells of it anew.
    set.gateway.kill();
    set.gateway.up();
    set.gateway.audit().unwrap();
    let reloaded = set.gateway.admin_client().post("/admin/reload", &json!({})).await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert_eq!(set.listed().len(), 2, "{:?}", set.listed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_sent_again_with_its_id_its_bytes_and_a_new_signature() {
    let accounts = "[accounts.acme]\nlimits = [\"1000 input tokens per day\"]\n";
    let set = Set::new(QUIET, accounts).await;
    set.receiver.answer(&[Some(503)]);
    set.spend(500).await;
    set.posted(2).await;
    set.all_delivered().await;
    // A busy machine may have taken too long over an answer: then there was one attempt more.
    let (listed, posted) = (set.listed(), set.receiver.posted());
    assert_eq!((listed.len(), listed[0]["attempts"].as_u64()), (1, Some(posted.len() as u64)));
    assert_eq!(posted[0].status, Some(503), "{posted:?}");
    for again in &posted[1..] {
        assert_eq!(again.header("webhook-id"), posted[0].header("webhook-id"));
        assert_eq!(again.body, posted[0].body);
        assert_ne!(again.header("webhook-timestamp"), posted[0].header("webhook-timestamp"));
    }
    assert!(posted.iter().all(is_signed), "{posted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_row_and_its_delivery_loses_nothing_and_tells_nothing_anew() {
    let accounts = "[accounts.acme]\nlimits = [\"1000 input tokens per day\"]\n";
    let mut set = Set::new(QUIET, accounts).await;
    // The receiver has the message and never says so: whether it arrived is unknown when it dies.
    set.receiver.answer(&[None]);
    set.spend(800).await;
    let first = set.posted(1).await[0].clone();
    set.gateway.kill();
    let waiting = set.listed();
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (&waiting[0]["state"], &waiting[0]["id"]),
        (&json!("waits"), &json!(first.header("webhook-id")))
    );
    set.gateway.up();
    let again = set.posted(2).await[1].clone();
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    assert_eq!((again.body, percents(&[first])), (set.receiver.posted()[0].body.clone(), vec![80]));
    set.all_delivered().await;
    assert_eq!(set.listed().len(), 1);
    set.gateway.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_will_not_last_and_counts_that_are_not_ours_are_told() {
    // Less than a hundredth of a month is at most counted as one, so this burns for sure.
    let alerts = "thresholds = []\nburn_percent = 101\nanomaly_times = 0\ndrift_percent = 50\n";
    let accounts = "[accounts.acme]\nlimits = [\"100000 input tokens per month\", \
                    \"1000000 output tokens per month\"]\n";
    let mut set = Set::new(alerts, accounts).await;
    let burns = jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).day() < 28;
    for _ in 0..20 {
        set.spend(4_900).await;
    }
    // It is looked for when it starts, and at intervals.
    set.gateway.kill();
    set.gateway.up();
    let posted = set.posted(1 + usize::from(burns)).await;
    let of = |kind: &str| posted.iter().map(Posted::json).find(|told| told["type"] == kind);
    let drift = of("provider.drift").unwrap_or_else(|| panic!("{posted:?}"));
    assert_eq!(drift["data"]["reported_tokens"], 20 * 4_900, "{drift}");
    assert_eq!((&drift["data"]["calls"], &drift["data"]["side"]), (&json!(20), &json!("input")));
    if burns {
        let burn = of("budget.burn_rate").unwrap_or_else(|| panic!("{posted:?}"));
        assert_eq!(burn["data"]["limit"], "100000 input tokens per month", "{burn}");
        assert!(burn["data"]["at_end"].as_i64().unwrap() > 100_000, "{burn}");
    }
    set.all_delivered().await;
    assert_eq!(set.listed().len(), posted.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_says_whether_the_webhook_takes_it() {
    let accounts = "[accounts.acme]\n";
    let set = Set::new(QUIET, accounts).await;
    let good = set.gateway.run(&["alerts", "test"]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let posted = set.posted(1).await;
    assert!(is_signed(&posted[0]));
    assert_eq!(posted[0].json()["type"], "alerts.test");
    set.receiver.answer(&[Some(500)]);
    let told = set.gateway.run_json_of(&["alerts", "test", "--json"], 1);
    assert_eq!(told["delivered"], false, "{told}");
    assert!(told["error"].as_str().unwrap().contains("500"), "{told}");
    assert_eq!(set.listed().len(), 0, "a trial tells of nothing that happened");
    // A secret that is none is found before anything runs.
    std::fs::write(set.gateway.dir().join("hook-secret"), "short").unwrap();
    let check = set.gateway.run(&["check"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stdout).contains("whsec_"), "{check:?}");
}
