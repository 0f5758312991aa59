//! A share of a name's calls is made once more: at the operator's cost, behind the client's back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::{Client, Response};
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::stage::{CHAT, Stage, chat, configuration, standing, streamed};
use crate::harness::upstream::Upstream;

const BOUND: Duration = Duration::from_secs(30);
const LAB: &str = "[accounts.lab]\nlimits = [\"$1000 per month\"]\n";

/// An alias `any` for the small model, which the dear one shadows where `shadow` has its other keys.
async fn stage(shadow: &str, lab: &str) -> Stage {
    let mut tables = "[models.any]\ntargets = [{ provider = \"up\", model = \"gpt-4o-mini\", \
                      tags = [\"region:eu\"] }]\n"
        .to_owned();
    if !shadow.is_empty() {
        tables.push_str(&format!(
            "[models.any.shadow]\nprovider = \"up\"\nmodel = \"gpt-4o\"\naccount = \"lab\"\n{shadow}\n"
        ));
    }
    tables.push_str(&format!("[accounts.acme]\nlimits = [\"$1000 per month\"]\n{lab}"));
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&configuration(&upstream, "max_retries = 0", &tables));
    Stage { upstream, gateway }
}

fn any(mut body: Value) -> Value {
    body["model"] = json!("any");
    body
}

async fn call(client: &Client, say: &str) -> Response {
    let answer = client.post(CHAT, &any(chat(say))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// Waits until the provider was asked so often and nothing is held any more.
async fn asked(stage: &Stage, times: usize) {
    let what = format!("the provider is asked {times} times");
    eventually(&what, BOUND, async || (stage.upstream.count() == times).then_some(())).await;
    stage.nothing_held().await;
}

/// How often the model was asked for.
fn of_model(stage: &Stage, model: &str) -> usize {
    stage.upstream.truths().iter().filter(|truth| truth.json()["model"] == model).count()
}

/// The row that a report by account has for it, if there is one.
fn reported(gateway: &Gateway, account: &str) -> Option<Value> {
    let report = gateway.run_json(&["report", "--by", "account", "--format", "json"]);
    let rows = report["rows"].as_array().unwrap();
    rows.iter().find(|row| row["account"] == account).cloned()
}

async fn posted(gateway: &Gateway, account: &str) -> i64 {
    let all = standing(gateway).await;
    all.iter().find(|limit| limit.account == account).unwrap().posted
}

#[tokio::test]
async fn a_shadow_is_charged_to_the_operators_account_and_the_tenants_sums_are_as_without() {
    let mut tenants = Vec::new();
    let with = stage("percent = 100", LAB).await;
    let without = stage("", LAB).await;
    for stage in [&with, &without] {
        let client = stage.gateway.client("acme");
        let whole = call(&client, "@@tokens=5@@").await;
        let stream = client.post(CHAT, &any(streamed("@@tokens=7@@"))).await;
        assert_eq!(stream.status, 200);
        let rows = [stage.row(&whole).await, stage.row(&stream).await];
        let rows = rows.map(|row| (row.input, row.output, row.charged_usd, row.attempts));
        asked(stage, if std::ptr::eq(stage, &with) { 4 } else { 2 }).await;
        let posted = posted(&stage.gateway, "acme").await;
        let mut sums = reported(&stage.gateway, "acme").unwrap();
        // How long it took is another matter each time.
        sums.as_object_mut().unwrap().retain(|name, _| !name.ends_with("_ms"));
        tenants.push((rows, posted, sums));
    }
    assert_eq!(tenants[0], tenants[1]);

    // The dear model is ten times the small one's price, and writes as much.
    assert_eq!(of_model(&with, "gpt-4o"), 2);
    assert_eq!(posted(&with.gateway, "lab").await, 10 * tenants[0].1);
    assert_eq!(reported(&with.gateway, "lab").unwrap()["requests"], 2);
    assert_eq!(posted(&without.gateway, "lab").await, 0);
    assert_eq!(reported(&without.gateway, "lab"), None);
    with.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_refused_shadow_costs_nothing_and_the_client_hears_nothing_of_it() {
    let lab = "[accounts.lab]\nlimits = [\"1 requests per day\"]\n";
    let stage = stage("percent = 100", lab).await;
    let client = stage.gateway.client("acme");
    for n in 1..=3 {
        call(&client, "hi").await;
        asked(&stage, n + 1).await;
    }
    assert_eq!((of_model(&stage, "gpt-4o-mini"), of_model(&stage, "gpt-4o")), (3, 1));
    assert_eq!(posted(&stage.gateway, "lab").await, 1);
    assert_eq!(reported(&stage.gateway, "lab").unwrap()["requests"], 1);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_shadow_that_fails_fails_for_nobody() {
    let stage = stage("percent = 100", LAB).await;
    let body = "{\"error\":{\"message\":\"down\"}}";
    stage.upstream.push("gpt-4o", crate::harness::upstream::script::Reply::whole(500, body));
    call(&stage.gateway.client("acme"), "hi").await;
    asked(&stage, 2).await;
    assert_eq!(posted(&stage.gateway, "lab").await, 0);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn nobody_waits_for_a_slow_shadow_and_no_more_are_in_flight_than_may_be() {
    let stage = stage("percent = 100\nat_once = 1", LAB).await;
    let slow = crate::harness::upstream::script::Reply::none();
    stage.upstream.push("gpt-4o", slow.after(Duration::from_secs(600)));
    let client = stage.gateway.client("acme");
    call(&client, "hi").await;
    let first = || async { (of_model(&stage, "gpt-4o") == 1).then_some(()) };
    eventually("the shadow is asked", BOUND, first).await;
    for _ in 0..5 {
        call(&client, "hi").await;
    }
    assert_eq!((of_model(&stage, "gpt-4o-mini"), of_model(&stage, "gpt-4o")), (6, 1));
}

#[tokio::test]
async fn only_the_share_has_a_shadow_and_only_where_the_target_is_what_the_call_requires() {
    let stage = stage("percent = 25", LAB).await;
    let client = stage.gateway.client("acme");
    for _ in 0..8 {
        call(&client, "hi").await;
    }
    asked(&stage, 10).await;
    let european = client.and_header("x-tollgate-require", "region:eu");
    for _ in 0..4 {
        call(&european, "hi").await;
    }
    // The one of these four that was due went nowhere; the next due one does.
    for _ in 0..4 {
        call(&client, "hi").await;
    }
    asked(&stage, 19).await;
    assert_eq!((of_model(&stage, "gpt-4o-mini"), of_model(&stage, "gpt-4o")), (16, 3));
}
