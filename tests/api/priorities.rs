//! Who goes first when there is too little for all, and which targets a call lets itself be sent to.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::client::{Client, Exchange};
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::stage::{CHAT, RICH, Stage, chat, configuration, row_of};
use crate::harness::upstream::Upstream;

const ACCOUNTS: &str = "[accounts.acme]\nlimits = [\"$1000 per month\"]\n\
                        [accounts.jobs]\npriority = \"low\"\nlimits = [\"$1000 per month\"]\n\
                        [accounts.desk]\npriority = \"high\"\nlimits = [\"$1000 per month\"]\n";

/// A provider that is asked once a call, and a gateway that takes so many at once.
async fn stage(max_calls: u32) -> Stage {
    let upstream = Upstream::start().await;
    let tables = configuration(&upstream, "max_retries = 0", ACCOUNTS);
    let mut gateway = Gateway::stopped(&tables);
    gateway.set_server(&format!("max_calls = {max_calls}"));
    gateway.up();
    Stage { upstream, gateway }
}

/// So many calls that are in flight until they are dropped.
async fn in_flight(stage: &Stage, client: &Client, calls: usize) -> Vec<Exchange> {
    let before = stage.upstream.count();
    let body = chat("@@before=600000@@").to_string();
    let open = (0..calls).map(|_| client.open("POST", CHAT, body.as_bytes()));
    let open = join_all(open).await.into_iter().map(Result::unwrap).collect();
    eventually("they are all asked", std::time::Duration::from_secs(20), async || {
        (stage.upstream.count() == before + calls).then_some(())
    })
    .await;
    open
}

#[tokio::test]
async fn the_gateways_last_places_are_for_the_urgent_and_a_refusal_costs_nothing() {
    let stage = stage(16).await;
    let [acme, jobs, desk] = ["acme", "jobs", "desk"].map(|name| stage.gateway.client(name));
    assert_eq!(jobs.post(CHAT, &chat("hi")).await.status, 200);
    let first = in_flight(&stage, &acme, 12).await;

    // A low account does not become urgent by saying so, and others may be modest.
    let boast = jobs.and_header("x-tollgate-priority", "high");
    let modest = acme.and_header("x-tollgate-priority", "low");
    for client in [&jobs, &boast, &modest] {
        let refused = client.post(CHAT, &chat("hi")).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!("overloaded")));
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    let message = json!({"model": "gpt-4o-mini", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]});
    let refused = jobs.post("/v1/messages", &message).await;
    assert_eq!(refused.json()["type"], "error", "{}", refused.text());
    assert_eq!(acme.post(CHAT, &chat("hi")).await.status, 200);

    let more = in_flight(&stage, &acme, 3).await;
    assert_eq!(acme.post(CHAT, &chat("hi")).await.status, 503);
    assert_eq!(desk.post(CHAT, &chat("hi")).await.status, 200);
    let asked = stage.upstream.count();
    drop((first, more));
    stage.nothing_held().await;
    assert_eq!(jobs.post(CHAT, &chat("hi")).await.status, 200);
    assert_eq!((asked, stage.upstream.count()), (18, 19));
    let spent = stage.gateway.run_json(&["report", "--by", "account", "--format", "json"]);
    let rows = spent["rows"].as_array().unwrap();
    let of = |name: &str| rows.iter().find(|row| row["account"] == name).unwrap();
    assert_eq!(of("jobs")["requests"], 2, "{spent}");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn what_a_struggling_provider_takes_goes_to_the_urgent_first() {
    let stage = stage(1000).await;
    let [acme, jobs, desk] = ["acme", "jobs", "desk"].map(|name| stage.gateway.client(name));
    // Overloaded once, it is sent four at a time.
    assert_eq!(acme.post(CHAT, &chat("@@status=503@@")).await.status, 503);
    let mut open = in_flight(&stage, &acme, 4).await;
    let body = chat("hi");
    let (low, high, ()) = tokio::join!(jobs.post(CHAT, &body), desk.post(CHAT, &body), async {
        // One place is left; a call of low priority would have to leave it.
        drop(open.pop());
    });
    assert_eq!(high.status, 200, "{}", high.text());
    assert_eq!((low.status, &low.json()["error"]["code"]), (503, &json!("upstream_unavailable")));
    assert!(low.header("retry-after").is_some());
    drop(open);
    stage.nothing_held().await;
    assert_eq!(jobs.post(CHAT, &chat("hi")).await.status, 200);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_header_that_names_no_priority_is_refused() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme").and_header("x-tollgate-priority", "urgent");
    let refused = client.post(CHAT, &chat("hi")).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (400, &json!("invalid_parameter"))
    );
}

#[tokio::test]
async fn a_call_goes_only_to_targets_with_the_tags_that_it_requires() {
    let alias = "[models.any]\ntargets = [\n\
                 { provider = \"up\", model = \"gpt-4o\" },\n\
                 { provider = \"up\", model = \"gpt-4o-mini\", tags = [\"small\", \"region:eu\"] },\n]\n";
    let upstream = Upstream::start().await;
    let tables = format!("{alias}{RICH}");
    let gateway = Gateway::start(&configuration(&upstream, "tags = [\"no-training\"]", &tables));
    let client = gateway.client("acme");
    let mut body = chat("hi");
    body["model"] = json!("any");
    let cases = [("no-training", "gpt-4o"), ("region:eu, no-training", "gpt-4o-mini")];
    for (tags, model) in cases {
        let client = client.and_header("x-tollgate-require", tags);
        let answer = client.post(CHAT, &body).await;
        assert_eq!(answer.header("x-tollgate-model"), Some(model), "{tags}: {}", answer.text());
        let quote = client.post("/v1/quote", &body).await.json();
        assert_eq!(quote["targets"][0]["model"], model, "{tags}: {quote}");
        if model == "gpt-4o-mini" {
            let row = row_of(&gateway, answer.header("x-request-id").unwrap()).await;
            let reason = row.json["attempts"][0]["reason"].as_str().unwrap();
            assert!(reason.contains("is not tagged region:eu"), "{reason}");
        }
    }
    let asked = upstream.count();
    for (tags, status) in [("region:us", 403), ("", 400), ("small,,", 400)] {
        let client = client.and_header("x-tollgate-require", tags);
        assert_eq!(client.post(CHAT, &body).await.status, status, "{tags:?}");
    }
    assert_eq!(upstream.count(), asked);
}
