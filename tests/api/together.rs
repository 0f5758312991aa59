//! Identical calls in flight: one is made and charged, all get its reply, whoever leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::{Client, Response};
use crate::harness::ledger::entries;
use crate::harness::stage::{CHAT, RICH, Stage, chat, nanos, streamed};
use crate::harness::{Dice, env_count, eventually};

/// Identical calls at once in the large test.
const CROWD: usize = 1000;

async fn stage() -> Stage {
    Stage::new(&format!("[cache]\n\n{RICH}")).await
}

fn fixed(mut body: Value) -> Value {
    body["temperature"] = json!(0);
    body
}

async fn at_once(client: &Client, body: &Value, count: usize) -> Vec<Response> {
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let (client, body) = (client.and_header("x-n", "1"), body.clone());
            tokio::spawn(async move { client.post(CHAT, &body).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

fn said(answer: &Response) -> &str {
    answer.header("x-tollgate-cache").unwrap_or("nothing")
}

/// How many rows of each outcome, and what was charged and saved in all.
fn told(stage: &Stage) -> (BTreeMap<String, usize>, i64) {
    let mut outcomes = BTreeMap::new();
    let rows = entries(&stage.gateway);
    rows.iter().for_each(|row| *outcomes.entry(row.outcome.clone()).or_default() += 1);
    (outcomes, rows.iter().map(|row| row.charged).sum())
}

/// Waits until at least so many clients wait for replies in flight.
async fn waiting(stage: &Stage, clients: u64) {
    eventually("the clients wait", Duration::from_secs(30), async || {
        let told = stage.gateway.admin_get("/admin/cache").await.json();
        (told["waiting"].as_u64()? >= clients).then_some(())
    })
    .await;
}

/// What a client makes of a stream, without the figures of the call.
fn frames(answer: &Response) -> Vec<String> {
    let data = answer.data();
    data.iter()
        .map(|data| match serde_json::from_str::<Value>(data) {
            Ok(mut value) => {
                value.as_object_mut().unwrap().remove("tollgate");
                value.to_string()
            }
            Err(_) => data.clone(),
        })
        .collect()
}

#[tokio::test]
async fn identical_calls_at_once_are_one_call_and_one_charge() {
    for body in
        [fixed(chat("@@tokens=9 before=4000@@")), fixed(streamed("@@tokens=9 before=4000@@"))]
    {
        let stage = stage().await;
        let client = stage.gateway.client("acme");
        let answers = at_once(&client, &body, CROWD).await;
        let first = answers.iter().find(|answer| said(answer) == "miss").unwrap();
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.whole);
            if body["stream"] == true {
                assert_eq!(frames(answer), frames(first));
            } else {
                assert_eq!(answer.body, first.body);
            }
        }
        assert_eq!(stage.upstream.count(), 1);
        stage.nothing_held().await;
        let (outcomes, charged) = told(&stage);
        assert_eq!(outcomes["completed"], 1, "{outcomes:?}");
        let spared = outcomes.get("joined").unwrap_or(&0) + outcomes.get("cached").unwrap_or(&0);
        assert_eq!(spared, CROWD - 1, "{outcomes:?}");
        assert!(outcomes.contains_key("joined"), "{outcomes:?}");
        let report = stage.gateway.run_json(&["report", "--by", "account", "--format", "json"]);
        let saved = nanos(report["rows"][0]["saved_usd"].as_str().unwrap());
        let counts = ["cache_hits", "cache_misses"].map(|n| report["rows"][0][n].as_u64().unwrap());
        assert_eq!(counts, [CROWD as u64 - 1, 1]);
        assert_eq!(saved, charged * i64::try_from(CROWD - 1).unwrap());
        stage.gateway.audit().unwrap();
    }
}

#[tokio::test]
async fn who_joins_a_stream_reads_it_as_it_comes_without_the_firsts_figures() {
    let stage = stage().await;
    let client = stage.gateway.client("acme");
    let body = fixed(streamed("@@tokens=100 pause=50@@"));
    let bytes = serde_json::to_vec(&body).unwrap();
    let mut first = client.open("POST", CHAT, &bytes).await.unwrap();
    assert!(first.until_text("data:").await.unwrap());
    let mut second = client.open("POST", CHAT, &bytes).await.unwrap();
    assert!(second.until_text("data:").await.unwrap());
    assert!(entries(&stage.gateway).is_empty(), "nothing is settled yet");
    let (first, second) = (first.finish().await.unwrap(), second.finish().await.unwrap());
    assert_eq!((said(&first), said(&second)), ("miss", "joined"));
    assert_eq!(frames(&first), frames(&second));
    let id = first.header("x-request-id").unwrap();
    assert!(first.text().contains(id) && !second.text().contains(id), "{}", second.text());
    let (one, other) = (stage.row(&first).await, stage.row(&second).await);
    assert_eq!((one.outcome.as_str(), other.outcome.as_str()), ("completed", "joined"));
    assert_eq!((other.input, other.output, nanos(&other.charged_usd)), (0, 0, 0));
    let saved = other.json["attempts"][0]["saved_usd"].as_str().unwrap();
    assert_eq!(nanos(saved), nanos(&one.charged_usd));
    assert_eq!(stage.upstream.count(), 1);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn the_call_goes_on_for_those_who_joined_when_the_first_client_leaves() {
    let stage = stage().await;
    let client = stage.gateway.client("acme");
    // Left before the reply began, and after so many bytes of it.
    for (at, stream) in [(0, false), (0, true), (1, true), (400, true), (3000, true)] {
        let say = format!("{at} {stream} @@tokens=40 before=4000 pause=20@@");
        let body = fixed(if stream { streamed(&say) } else { chat(&say) });
        let before = stage.upstream.count();
        let bytes = serde_json::to_vec(&body).unwrap();
        let mut first = client.open("POST", CHAT, &bytes).await.unwrap();
        eventually("the provider is asked", Duration::from_secs(30), async || {
            (stage.upstream.count() > before).then_some(())
        })
        .await;
        let others = {
            let (client, body) = (client.and_header("x-n", "1"), body.clone());
            tokio::spawn(async move { at_once(&client, &body, 8).await })
        };
        if at > 0 {
            first.until(at).await.unwrap();
        } else {
            waiting(&stage, 9).await;
        }
        drop(first);
        let others = others.await.unwrap();
        for answer in &others {
            assert_eq!((answer.status, said(answer)), (200, "joined"), "{at} {stream}");
            assert!(answer.whole, "{at} {stream}");
            assert_eq!(frames(answer), frames(&others[0]));
        }
        assert_eq!(stage.upstream.count(), before + 1, "{at} {stream}");
    }
    stage.nothing_held().await;
    let (outcomes, _) = told(&stage);
    assert_eq!((outcomes["completed"], outcomes["joined"]), (5, 40), "{outcomes:?}");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_crowd_gets_its_reply_wherever_the_first_client_is_killed() {
    let seed = env_count("TOLLGATE_SEED", 7) as u64;
    println!("TOLLGATE_SEED={seed}");
    let mut dice = Dice::new(seed);
    let stage = stage().await;
    let client = stage.gateway.client("acme");
    let (kills, crowd) = (env_count("TOLLGATE_LEADERS", 4), CROWD / 8);
    for kill in 0..kills {
        let body = fixed(streamed(&format!("{kill} @@tokens=40 before=4000 pause=20@@")));
        let bytes = serde_json::to_vec(&body).unwrap();
        let mut first = client.open("POST", CHAT, &bytes).await.unwrap();
        waiting(&stage, 1).await;
        let others = {
            let (client, body) = (client.clone(), body.clone());
            tokio::spawn(async move { at_once(&client, &body, crowd).await })
        };
        waiting(&stage, 2).await;
        let at = usize::try_from(dice.below(9_000)).unwrap();
        first.until(at).await.unwrap();
        drop(first);
        let others = others.await.unwrap();
        for answer in &others {
            assert!(answer.status == 200 && answer.whole, "at {at}: {}", answer.text());
            assert_eq!(frames(answer), frames(&others[0]), "at {at}");
        }
        assert_eq!(stage.upstream.count(), kill + 1, "at {at}");
    }
    stage.nothing_held().await;
    let (outcomes, charged) = told(&stage);
    assert_eq!(outcomes["completed"], kills, "{outcomes:?}");
    let spared = outcomes.get("joined").unwrap_or(&0) + outcomes.get("cached").unwrap_or(&0);
    assert_eq!(spared, kills * crowd, "{outcomes:?}");
    assert!(charged > 0);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_call_that_everybody_left_is_ended() {
    let stage = stage().await;
    let client = stage.gateway.client("acme");
    let bytes = serde_json::to_vec(&fixed(chat("@@before=20000@@"))).unwrap();
    let first = client.open("POST", CHAT, &bytes).await.unwrap();
    eventually("the provider is asked", Duration::from_secs(30), async || {
        (stage.upstream.count() == 1).then_some(())
    })
    .await;
    let second = client.open("POST", CHAT, &bytes).await.unwrap();
    drop((first, second));
    stage.nothing_held().await;
    let (outcomes, _) = told(&stage);
    assert!(outcomes.keys().eq(["client_gone"]), "{outcomes:?}");
}

#[tokio::test]
async fn a_providers_error_is_the_answer_of_all_who_joined() {
    let stage = stage().await;
    let client = stage.gateway.client("acme");
    let body = fixed(chat("@@status=400 before=4000@@"));
    let answers = at_once(&client, &body, 20).await;
    assert!(answers.iter().all(|answer| answer.status == 400), "{}", answers[0].text());
    // A call that came after the first had failed is another one.
    assert!(stage.upstream.count() < 10, "{}", stage.upstream.count());
    let broken = fixed(streamed("@@tokens=20 pause=60 done=no finish=no@@"));
    let answers = at_once(&client, &broken, 4).await;
    for answer in &answers {
        assert!(answer.text().contains("\"error\""), "{}", answer.text());
    }
    stage.nothing_held().await;
    let (outcomes, _) = told(&stage);
    assert!(outcomes.get("failed").is_some_and(|failed| *failed >= 2), "{outcomes:?}");
    assert!(!outcomes.contains_key("joined"), "{outcomes:?}");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn two_accounts_and_calls_that_are_not_fixed_or_have_terms_of_their_own_never_join() {
    let tables = "[cache]\n\n[accounts.acme]\n\n[accounts.globex]\n";
    let stage = Stage::new(tables).await;
    let body = fixed(chat("@@tokens=5 before=300@@"));
    let (acme, globex) = (stage.gateway.client("acme"), stage.gateway.client("globex"));
    let (one, other) = tokio::join!(acme.post(CHAT, &body), globex.post(CHAT, &body));
    assert_eq!((said(&one), said(&other)), ("miss", "miss"));
    let free = chat("@@tokens=5 before=300@@");
    let (one, other) = tokio::join!(acme.post(CHAT, &free), acme.post(CHAT, &free));
    assert_eq!((said(&one), said(&other)), ("bypass", "bypass"));
    let again = fixed(chat("again @@tokens=5 before=300@@"));
    let refresh = acme.and_header("x-tollgate-cache", "refresh");
    let (one, other) = tokio::join!(acme.post(CHAT, &again), refresh.post(CHAT, &again));
    assert_eq!((said(&one), said(&other)), ("miss", "miss"));
    let late = acme.and_header("x-tollgate-deadline", "30");
    let keyed = acme.and_header("idempotency-key", "one");
    let third = fixed(chat("third @@tokens=5 before=300@@"));
    let (one, other, key) =
        tokio::join!(acme.post(CHAT, &third), late.post(CHAT, &third), keyed.post(CHAT, &third));
    assert_eq!((said(&one), said(&other), said(&key)), ("miss", "miss", "miss"));
    assert_eq!(stage.upstream.count(), 9);
}

#[tokio::test]
async fn who_joins_counts_against_requests_and_a_limit_refuses_the_rest() {
    let tables = "[cache]\n\n[accounts.acme]\nlimits = [\"3 requests per day\", \"$1 per day\"]\n";
    let stage = Stage::new(tables).await;
    let client = stage.gateway.client("acme");
    let answers = at_once(&client, &fixed(chat("@@tokens=5 before=1000@@")), 8).await;
    let ok = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!((ok, refused, stage.upstream.count()), (3, 5, 1));
    stage.gateway.audit().unwrap();
}
