//! Lanes: calls that ride to the provider together get their own vectors, their own part of the usage and
//! their own errors, and each is held and settled by itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::{Client, Response};
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::{calls, entries, open_holds};
use crate::harness::stage::{EMBEDDINGS, RICH, Stage, configuration};
use crate::harness::upstream::Upstream;

const CLIENTS: usize = 64;
const ROUNDS: usize = 10;

/// Lanes that wait for the call in flight, however long it takes.
const PATIENT: &str = "[lanes]\nmax_wait = \"60s\"\n";

async fn stage(tables: &str) -> Stage {
    Stage::new(&format!("{PATIENT}\n{tables}")).await
}

/// Texts whose vectors the provider makes of these numbers.
fn texts(items: &[usize], more: &str) -> Value {
    let texts =
        items.iter().map(|item| format!("a text item={item} {}{more}", "w ".repeat(item % 7)));
    json!({"model": "text-embedding-3-small", "input": texts.collect::<Vec<_>>()})
}

/// The numbers that the vectors of an answer were made of, in the order of their own numbering.
fn items(answer: &Response) -> Vec<usize> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let data = body["data"].as_array().unwrap();
    assert!(data.iter().enumerate().all(|(at, one)| one["index"] == at), "{body}");
    data.iter().map(|one| (one["embedding"][0].as_f64().unwrap() - 0.125) as usize).collect()
}

fn spawn(client: &Client, body: Value) -> tokio::task::JoinHandle<Response> {
    let client = client.clone();
    tokio::spawn(async move { client.post(EMBEDDINGS, &body).await })
}

/// A call that keeps the lane busy, and is on its way.
async fn plug(stage: &Stage, client: &Client) -> tokio::task::JoinHandle<Response> {
    let before = stage.upstream.count();
    let plug = spawn(client, texts(&[900], "@@before=4000@@"));
    eventually("the provider is asked", Duration::from_secs(30), async || {
        (stage.upstream.count() > before).then_some(())
    })
    .await;
    plug
}

async fn held(stage: &Stage, count: i64) {
    eventually("the calls are held", Duration::from_secs(30), async || {
        (open_holds(&stage.gateway) == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_clients_are_few_calls_with_every_vector_and_every_token_where_it_belongs() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = client.clone();
        clients.push(tokio::spawn(async move {
            let mut tokens = 0;
            for round in 0..ROUNDS {
                let first = (number * ROUNDS + round) * 3;
                let asked: Vec<usize> = (first..=first + number % 3).collect();
                let answer = client.post(EMBEDDINGS, &texts(&asked, "@@before=300@@")).await;
                assert_eq!(items(&answer), asked);
                let usage = &answer.json()["usage"];
                assert_eq!(usage["prompt_tokens"], usage["total_tokens"]);
                tokens += usage["prompt_tokens"].as_u64().unwrap();
            }
            tokens
        }));
    }
    let mut told = 0;
    for client in clients {
        told += client.await.unwrap();
    }
    let asked = stage.upstream.count();
    assert!(asked * 10 <= CLIENTS * ROUNDS, "{asked} requests for {} calls", CLIENTS * ROUNDS);
    let truths = stage.upstream.truths();
    let reported: u64 = truths.iter().map(|truth| truth.reported.unwrap().prompt).sum();
    assert_eq!(told, reported);
    stage.nothing_held().await;
    let rows = entries(&stage.gateway);
    assert_eq!(rows.len(), CLIENTS * ROUNDS);
    assert!(rows.iter().all(|row| row.outcome == "completed" && row.requests == 1));
    let booked: i64 = rows.iter().map(|row| row.input).sum();
    assert_eq!(u64::try_from(booked).unwrap(), reported);
    // A token is 20 nano-dollars.
    assert_eq!(rows.iter().map(|row| row.charged).sum::<i64>(), booked * 20);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_bad_item_fails_its_own_call_alone_and_every_attempt_is_on_a_row() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let plug = plug(&stage, &client).await;
    let riders: Vec<_> = (0..8)
        .map(|number| {
            let more = if number == 5 { "poison" } else { "" };
            spawn(&client, texts(&[number, 100 + number], more))
        })
        .collect();
    for (number, rider) in riders.into_iter().enumerate() {
        let answer = rider.await.unwrap();
        if number == 5 {
            assert_eq!(answer.status, 400, "{}", answer.text());
        } else {
            assert_eq!(items(&answer), [number, 100 + number]);
        }
    }
    assert_eq!(items(&plug.await.unwrap()), [900]);
    // The load, and two halves of each load that has the bad item in it.
    let asked = stage.upstream.count();
    assert!((4..=8).contains(&asked), "{asked}");
    stage.nothing_held().await;
    let calls = calls(&stage.gateway);
    assert_eq!(calls.len(), 9);
    let mut refused = 0;
    for rows in calls.values() {
        let (last, before) = rows.split_last().unwrap();
        refused += before.len();
        assert!(before.iter().all(|row| row.outcome == "failed" && row.owed == 0), "{before:?}");
        assert_eq!(last.requests, 1);
        assert_eq!(last.outcome == "failed", last.charged == 0, "{last:?}");
    }
    assert!(refused >= 8, "{refused}");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn who_leaves_or_is_refused_does_not_ride_and_tenants_ride_apart() {
    let tables = "[accounts.acme]\n\n[accounts.globex]\n\n[accounts.poor]\n\
        limits = [\"1 requests per day\"]\n";
    let stage = stage(tables).await;
    let (acme, globex) = (stage.gateway.client("acme"), stage.gateway.client("globex"));
    let (one, other) = (plug(&stage, &acme).await, plug(&stage, &globex).await);
    let gone = texts(&[77], "").to_string();
    let gone = acme.open("POST", EMBEDDINGS, gone.as_bytes()).await.unwrap();
    held(&stage, 3).await;
    let riders: Vec<_> = (0..4)
        .map(|number| spawn(if number % 2 == 0 { &acme } else { &globex }, texts(&[number], "")))
        .collect();
    held(&stage, 7).await;
    drop(gone);
    held(&stage, 6).await;
    for (number, rider) in riders.into_iter().enumerate() {
        assert_eq!(items(&rider.await.unwrap()), [number]);
    }
    for plug in [one, other] {
        assert_eq!(items(&plug.await.unwrap()), [900]);
    }
    assert_eq!(stage.upstream.count(), 4);
    let sent: Vec<String> =
        stage.upstream.truths().iter().map(|truth| truth.json()["input"].to_string()).collect();
    assert!(!sent.iter().any(|sent| sent.contains("item=77")), "{sent:?}");
    let with = |item: &str| sent.iter().find(|sent| sent.contains(item)).unwrap();
    assert_eq!(with("item=0"), with("item=2"));
    assert_eq!(with("item=1"), with("item=3"));
    assert_ne!(with("item=0"), with("item=1"));
    stage.nothing_held().await;
    let left = entries(&stage.gateway);
    let left: Vec<_> = left.iter().filter(|row| row.outcome == "client_gone").collect();
    assert_eq!(left.iter().map(|row| (row.requests, row.charged)).collect::<Vec<_>>(), [(0, 0)]);

    let poor = stage.gateway.client("poor");
    let plug = plug(&stage, &poor).await;
    let refused = poor.post(EMBEDDINGS, &texts(&[5], "")).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(items(&plug.await.unwrap()), [900]);
    assert_eq!(stage.upstream.count(), 5);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_failure_of_the_provider_is_tried_again_by_each_and_a_kill_leaves_nothing_held() {
    let mut stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let plugged = plug(&stage, &client).await;
    let riders: Vec<_> = (0..12)
        .map(|number| spawn(&client, texts(&[number], "@@fail=1 status=503 key=down@@")))
        .collect();
    for (number, rider) in riders.into_iter().enumerate() {
        assert_eq!(items(&rider.await.unwrap()), [number]);
    }
    assert_eq!(items(&plugged.await.unwrap()), [900]);
    stage.nothing_held().await;

    let _plug = plug(&stage, &client).await;
    let _riders: Vec<_> = (0..4).map(|number| spawn(&client, texts(&[number], ""))).collect();
    held(&stage, 5).await;
    stage.gateway.kill();
    stage.gateway.up();
    stage.nothing_held().await;
    let recovered = entries(&stage.gateway).iter().filter(|row| row.outcome == "recovered").count();
    assert_eq!(recovered, 5);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn no_more_rides_in_one_request_than_the_model_takes_or_the_operator_wants() {
    let upstream = Upstream::start().await;
    let other = format!(
        "[providers.co]\nkind = \"compatible\"\nbase_url = \"{}/v1\"\napi_key = \"env:UP_KEY\"\n\
         models = [\"embed-english-v3.0\"]\n[prices.\"co/embed-english-v3.0\"]\ninput = \"0.02\"\n",
        upstream.url
    );
    let gateway = |most: &str| {
        let tables = format!("{PATIENT}{most}\n{other}\n{RICH}");
        Gateway::start(&configuration(&upstream, "", &tables))
    };
    let (plain, lower) = (gateway(""), gateway("max_items = 130\n"));
    // Three calls of sixty texts wait for one in flight: a model of which nothing is known to the contrary
    // has them in one request, Cohere's never two, and two where the operator wants no more than 130.
    for (gateway, model, requests) in [
        (&plain, "text-embedding-3-small", 2),
        (&plain, "embed-english-v3.0", 4),
        (&lower, "text-embedding-3-small", 3),
        (&lower, "embed-english-v3.0", 4),
    ] {
        let client = gateway.client("acme");
        let of_model = |mut body: Value| {
            body["model"] = json!(model);
            body
        };
        let before = upstream.count();
        let plug = spawn(&client, of_model(texts(&[900], "@@before=2000@@")));
        eventually("the provider is asked", Duration::from_secs(30), async || {
            (upstream.count() > before).then_some(())
        })
        .await;
        let asked = |number: usize| -> Vec<usize> { (number * 100..number * 100 + 60).collect() };
        let riders: Vec<_> =
            (0..3).map(|number| spawn(&client, of_model(texts(&asked(number), "")))).collect();
        for (number, rider) in riders.into_iter().enumerate() {
            assert_eq!(items(&rider.await.unwrap()), asked(number));
        }
        plug.await.unwrap();
        assert_eq!(upstream.count() - before, requests, "{model}");
    }
    for gateway in [&plain, &lower] {
        gateway.audit().unwrap();
    }
}

#[tokio::test]
async fn texts_to_complete_ride_together_and_each_has_its_own_words_and_its_part_of_both_counts() {
    let upstream = Upstream::start().await;
    let old = format!(
        "[providers.old]\nkind = \"vllm\"\nbase_url = \"{}/v1\"\napi_key = \"env:UP_KEY\"\n\
         models = [\"base\"]\n[prices.\"old/base\"]\ninput = \"1.00\"\noutput = \"2.00\"\n\
         cache_read = \"0.10\"\n",
        upstream.url
    );
    let tables =
        format!("{PATIENT}\n{old}\n{RICH}\n[accounts.poor]\nlimits = [\"$0.000001 per day\"]\n");
    let stage = Stage { gateway: Gateway::start(&configuration(&upstream, "", &tables)), upstream };
    let client = stage.gateway.client("acme");
    let complete = |item: usize, more: &str| {
        let words = "w ".repeat(item % 5);
        json!({"model": "base", "prompt": format!("go on item={item} {words}{more}"), "max_tokens": 5})
    };
    let ask = |client: &Client, body: Value| {
        let client = client.clone();
        tokio::spawn(async move { client.post("/v1/completions", &body).await })
    };
    let plug = ask(&client, complete(40, "@@before=4000@@"));
    eventually("the provider is asked", Duration::from_secs(30), async || {
        (stage.upstream.count() > 0).then_some(())
    })
    .await;
    let poor = stage.gateway.client("poor").post("/v1/completions", &complete(1, "")).await;
    assert_eq!(poor.json()["error"]["code"], "request_exceeds_limit", "{}", poor.text());
    let gone = complete(33, "").to_string();
    let gone = client.open("POST", "/v1/completions", gone.as_bytes()).await.unwrap();
    held(&stage, 2).await;
    drop(gone);
    let more = |item| match item {
        3 => "poison",
        5 => "@@cached=3@@",
        _ => "",
    };
    let riders: Vec<_> = (0..8).map(|item| ask(&client, complete(item, more(item)))).collect();
    for (item, rider) in riders.into_iter().enumerate() {
        let answer = rider.await.unwrap();
        if item == 3 {
            assert_eq!(answer.status, 400, "{}", answer.text());
            continue;
        }
        let reply = answer.json();
        let choices = reply["choices"].as_array().unwrap();
        assert_eq!((choices.len(), choices[0]["index"].as_u64()), (1, Some(0)), "{reply}");
        let words = (item % 7 + 1).min(5);
        let text = choices[0]["text"].as_str().unwrap();
        assert_eq!(text.split_whitespace().count(), words, "{reply}");
        let own = [" the", " of", " and", " to", " in", " is", " for", " that"][item];
        assert!(text.starts_with(own), "{item}: {text}");
        let finish = if words == 5 { "length" } else { "stop" };
        assert_eq!(choices[0]["finish_reason"], finish, "{item}");
        let usage = &reply["usage"];
        let count = |name: &str| usage[name].as_u64().unwrap();
        assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));
        let row = stage.row(&answer).await;
        assert_eq!((row.input, row.output), (count("prompt_tokens"), count("completion_tokens")));
    }
    assert_eq!(plug.await.unwrap().status, 200);
    stage.nothing_held().await;
    let reported: Vec<_> =
        stage.upstream.truths().iter().filter_map(|truth| truth.reported).collect();
    assert!(reported.len() <= 7, "{} requests", reported.len());
    let rows = entries(&stage.gateway);
    let told = reported.iter().fold([0, 0, 0], |[read, written, cached], usage| {
        [read + usage.prompt, written + usage.completion, cached + usage.cached]
    });
    let booked = rows.iter().fold([0, 0, 0], |[read, written, cached], row| {
        [read + row.posted_input, written + row.posted_output, cached + row.cache_read]
    });
    assert_eq!(booked.map(|count| u64::try_from(count).unwrap()), told);
    assert_eq!(told[2], 3);
    // Whoever left has what was written for it on its row.
    let good = rows.iter().filter(|row| row.outcome == "completed").count();
    assert_eq!((good, rows.iter().filter(|row| row.outcome == "client_gone").count()), (9, 0));
    assert!(rows.iter().filter(|row| row.outcome == "failed").all(|row| row.charged == 0));
    stage.gateway.audit().unwrap();
}
