//! Calls whose client can wait: what they wait for, which tier they are asked for in, what that costs,
//! and that waiting never loses the answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::{Client, Response};
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::entries;
use crate::harness::stage::{CHAT, RICH, Stage, chat, configuration, nanos, streamed};
use crate::harness::upstream::Upstream;
use crate::harness::upstream::script::Reply;
use crate::routing::{Several, any};

/// Dollars per million tokens, in and out.
const TIERED: &str = "[prices.\"up/tiered\"]\ninput = \"4\"\noutput = \"8\"\nflex = { input = \"2\", output = \"4\" }\n";

async fn stage() -> Stage {
    Stage::new(&format!("{TIERED}{RICH}")).await
}

fn waiting(stage: &Stage, deadline: &str) -> Client {
    stage.gateway.client("acme").and_header("x-tollgate-deadline", deadline)
}

fn tiered(mut body: Value) -> Value {
    body["model"] = json!("tiered");
    body
}

/// What OpenAI says where its flex tier has no room; nothing is charged.
fn no_room() -> Reply {
    let body = "{\"error\":{\"message\":\"no room in this tier\",\"type\":\"requests\",\
                \"code\":\"resource_unavailable\"}}";
    Reply::whole(429, body)
}

/// Which tiers the provider was asked for, one call after the other.
fn asked(stage: &Stage) -> Vec<Option<String>> {
    let tier = |body: Value| body["service_tier"].as_str().map(str::to_owned);
    stage.upstream.truths().iter().map(|truth| tier(truth.json())).collect()
}

/// Seconds and the rest of what the answer says of its waiting.
fn deferred(answer: &Response) -> (f64, &str) {
    let told = answer.header("x-tollgate-deferred").unwrap();
    let told = told.strip_prefix("waited=").unwrap();
    let (waited, tier) = told.split_once(", ").unwrap_or((told, ""));
    (waited.parse().unwrap(), tier)
}

#[tokio::test]
async fn who_can_wait_is_asked_for_in_the_cheaper_tier_and_charged_at_what_the_reply_says() {
    let stage = stage().await;
    let client = waiting(&stage, "600; defer");
    for (told, input) in [("flex", 2_000), ("default", 4_000)] {
        let say = format!("@@tier={told}@@");
        for body in [chat(&say), streamed(&say)] {
            let answer = client.post(CHAT, &tiered(body)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(deferred(&answer).1, "tier=flex");
            let row = stage.row(&answer).await;
            let expected = row.input as i64 * input + row.output as i64 * input * 2;
            assert_eq!(nanos(&row.charged_usd), expected, "{told}: {}", row.json);
            let tier = if told == "default" { "standard" } else { told };
            assert_eq!(row.json["attempts"][0]["tier"], tier);
        }
    }
    assert!(
        asked(&stage).iter().all(|tier| tier.as_deref() == Some("flex")),
        "{:?}",
        asked(&stage)
    );

    // Nobody else is: without the word a deadline is a bound and no more, and who names a tier has it.
    let plain = waiting(&stage, "600").post(CHAT, &tiered(chat("hi"))).await;
    assert_eq!(plain.header("x-tollgate-deferred"), None);
    let mut own = tiered(chat("hi @@tier=default@@"));
    own["service_tier"] = json!("default");
    let own = client.post(CHAT, &own).await;
    assert_eq!(deferred(&own).1, "", "{:?}", own.header("x-tollgate-deferred"));
    // A model without such a price is asked for as ever.
    assert_eq!(deferred(&client.post(CHAT, &chat("hi")).await).1, "");
    assert_eq!(asked(&stage)[4..], [None, Some("default".to_owned()), None]);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn the_hold_has_room_for_the_standard_tier_and_a_quote_says_so() {
    let stage = stage().await;
    let (now, later) = (stage.gateway.client("acme"), waiting(&stage, "600; defer"));
    let mut body = tiered(chat("some words"));
    body["max_tokens"] = json!(1_000);
    let quote = async |client: &Client| client.post("/v1/quote", &body).await.json();
    let (dear, cheap) = (quote(&now).await, quote(&later).await);
    assert_eq!(cheap["worst"]["cost_usd"], dear["worst"]["cost_usd"], "{cheap}");
    let target = |quote: &Value| quote["targets"][0].clone();
    assert_eq!(
        (&target(&cheap)["deferred_to"], &target(&dear)["deferred_to"]),
        (&json!("flex"), &Value::Null)
    );
    let likely = |quote: &Value| nanos(target(quote)["likely_usd"].as_str().unwrap());
    assert_eq!(likely(&cheap) * 2, likely(&dear));
    let bad = waiting(&stage, "later; defer").post("/v1/quote", &body).await;
    assert_eq!(bad.status, 400);
    assert_eq!(stage.upstream.count(), 0);
}

#[tokio::test]
async fn where_the_tier_has_no_room_it_is_asked_again_and_then_had_as_any_other() {
    let stage = stage().await;
    stage.upstream.push("tiered", no_room());
    let client = waiting(&stage, "600; defer");
    let answer = client.post(CHAT, &tiered(chat("@@tier=flex@@"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        (deferred(&answer).1, answer.header("x-tollgate-attempts")),
        ("tier=flex", Some("2"))
    );

    (0..4).for_each(|_| stage.upstream.push("tiered", no_room()));
    let client = waiting(&stage, "4; defer");
    let answer = client.post(CHAT, &tiered(chat("hi"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(deferred(&answer).1, "tier=standard");
    let row = stage.row(&answer).await;
    assert_eq!(nanos(&row.charged_usd), row.input as i64 * 4_000 + row.output as i64 * 8_000);
    assert_eq!(asked(&stage).last().unwrap(), &None);
    stage.upstream.forget_pushed();

    // That its tier is full says nothing of the target, and costs nobody anything.
    assert_eq!(stage.gateway.client("acme").post(CHAT, &tiered(chat("hi"))).await.status, 200);
    stage.nothing_held().await;
    let refused = entries(&stage.gateway).into_iter().filter(|row| row.outcome == "failed");
    assert!(
        refused.clone().count() >= 2
            && refused.clone().all(|row| (row.owed, row.charged) == (0, 0))
    );
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_tier_that_does_not_answer_by_half_of_the_time_or_refuses_is_left_for_the_standard_one() {
    let stage = stage().await;
    let refusal = "{\"error\":{\"message\":\"no such tier\",\"type\":\"invalid_request_error\"}}";
    let silent = Reply::whole(200, "{}").hanging_at(0);
    for reply in [silent, Reply::whole(400, refusal)] {
        stage.upstream.push("tiered", reply);
        let client = waiting(&stage, "4; defer");
        let answer = client.post(CHAT, &tiered(chat("hi"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            (deferred(&answer).1, answer.header("x-tollgate-attempts")),
            ("tier=standard", Some("2"))
        );
    }
    let flex = || Some("flex".to_owned());
    assert_eq!(asked(&stage), [flex(), None, flex(), None]);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn it_waits_for_room_that_is_kept_for_others_until_half_of_its_time_is_over() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::stopped(&configuration(&upstream, "max_retries = 0", RICH));
    gateway.set_server("max_calls = 8");
    gateway.up();
    let stage = Stage { upstream, gateway };
    let acme = stage.gateway.client("acme");
    let body = chat("@@before=600000@@").to_string();
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(acme.open("POST", CHAT, body.as_bytes()).await.unwrap());
    }
    eventually("they are all asked", Duration::from_secs(20), async || {
        (stage.upstream.count() == 6).then_some(())
    })
    .await;
    // The last quarter is not for calls of low priority.
    let low = acme.and_header("x-tollgate-priority", "low").post(CHAT, &chat("hi")).await;
    assert_eq!(low.status, 503);
    let answer = waiting(&stage, "2; defer").post(CHAT, &chat("hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(deferred(&answer).0 >= 1.0, "{:?}", answer.header("x-tollgate-deferred"));
    // Where somebody leaves, it need not wait so long.
    let patient = waiting(&stage, "600; defer");
    let body = chat("hi");
    let (answer, ()) = tokio::join!(patient.post(CHAT, &body), async { drop(open.pop()) });
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(open);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn it_waits_for_a_limit_that_is_given_anew_in_time() {
    let accounts = "[accounts.acme]\nlimits = [\"1 requests per second, leaky bucket, burst 1\"]\n";
    let stage = Stage::new(accounts).await;
    let (now, later) = (stage.gateway.client("acme"), waiting(&stage, "60; defer"));
    let body = chat("hi");
    let answers =
        tokio::join!(later.post(CHAT, &body), later.post(CHAT, &body), later.post(CHAT, &body));
    for answer in [&answers.0, &answers.1, &answers.2] {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(now.post(CHAT, &body).await.status, 429);
    // What is not given anew in time is refused at once.
    let spent = Stage::new("[accounts.acme]\nlimits = [\"1 requests per day\"]\n").await;
    let client = waiting(&spent, "60; defer");
    assert_eq!(client.post(CHAT, &body).await.status, 200);
    assert_eq!(client.post(CHAT, &body).await.status, 429);
}

#[tokio::test]
async fn it_is_tried_again_past_the_budget_of_others_and_never_hedged() {
    let route = "route = \"ordered\"\nhedge_after = \"20ms\"";
    let several = Several::new(route, "max_retries = 0", &["1.00", "2.00"], RICH).await;
    let client = several.client.and_header("x-tollgate-deadline", "600; defer");
    let slow = any(chat("@@before=300@@"));
    let answer = client.post(CHAT, &slow).await;
    assert_eq!(answer.header("x-tollgate-provider"), Some("p0"), "{}", answer.text());
    assert_eq!((several.asked(), deferred(&answer).1), (vec![1, 0], ""));

    let one = Stage::new(RICH).await;
    let busy = "{\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}";
    (0..2).for_each(|_| one.upstream.push("gpt-4o-mini", Reply::whole(503, busy)));
    let answer = waiting(&one, "60; defer").post(CHAT, &chat("hi")).await;
    assert_eq!((answer.status, answer.header("x-tollgate-attempts")), (200, Some("3")));
}

#[tokio::test]
async fn it_waits_until_a_target_that_failed_is_asked_again() {
    let stage = Stage::new(RICH).await;
    let now = stage.gateway.client("acme");
    // Until its breaker is open and it is asked no more.
    for calls in 1.. {
        assert!(calls < 40);
        let asked = stage.upstream.count();
        assert_ne!(now.post(CHAT, &chat("@@status=500@@")).await.status, 200);
        if stage.upstream.count() == asked {
            break;
        }
    }
    let answer = waiting(&stage, "60; defer").post(CHAT, &chat("hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_repeat_and_an_answer_from_the_cache_are_had_at_once_and_not_deferred() {
    let stage = Stage::new(&format!("[cache]\n{TIERED}{RICH}")).await;
    let mut body = tiered(chat("hi @@tier=flex@@"));
    body["temperature"] = json!(0);
    let keyed = waiting(&stage, "600; defer").and_header("idempotency-key", "k");
    let first = keyed.post(CHAT, &body).await;
    assert_eq!((first.status, deferred(&first).1), (200, "tier=flex"), "{}", first.text());
    let again = keyed.post(CHAT, &body).await;
    assert_eq!(again.header("x-tollgate-repeated"), Some("true"));
    assert_eq!(again.body, first.body);
    // What was had cheaply is as good an answer to who cannot wait, and the other way round.
    for client in [stage.gateway.client("acme"), waiting(&stage, "600; defer")] {
        let kept = client.post(CHAT, &body).await;
        assert_eq!(kept.header("x-tollgate-cache"), Some("hit"), "{}", kept.text());
        assert_eq!(kept.header("x-tollgate-deferred"), None);
    }
    assert_eq!(stage.upstream.count(), 1);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_deadline_that_has_passed_or_is_none_is_refused_by_name() {
    let stage = stage().await;
    let deadlines =
        ["0; defer", "2001-01-01T00:00:00Z; defer", "soon; defer", "60; later", "; defer"];
    for deadline in deadlines {
        let refused = waiting(&stage, deadline).post(CHAT, &tiered(chat("hi"))).await;
        let error = refused.json()["error"].clone();
        assert_eq!(
            (refused.status, &error["param"]),
            (400, &json!("x-tollgate-deadline")),
            "{error}"
        );
    }
    assert_eq!(stage.upstream.count(), 0);
}
