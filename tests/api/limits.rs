//! What a refusal says, and that no limit is passed on the way.

use std::time::Duration;

use serde_json::json;

use crate::harness::stage::{CHAT, Stage, chat, streamed};

#[tokio::test]
async fn a_refusal_says_which_limit_what_is_left_and_when_to_come_back() {
    let stage = Stage::new(
        "[accounts.acme]\nlimits = [\"$1000 per month\"]\n\n\
         [accounts.acme.search]\nlimits = [\"2 requests per day\"]\n",
    )
    .await;
    let client = stage.gateway.client("acme/search");
    for _ in 0..2 {
        assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
    }
    stage.nothing_held().await;
    for body in [chat("hi"), streamed("hi")] {
        let answer = client.post(CHAT, &body).await;
        assert_eq!(answer.status, 429);
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "insufficient_quota", "{error}");
        assert_eq!(error["account"], "acme/search");
        assert_eq!(error["asked"], 1, "{error}");
        assert_eq!(error["posted"], 2, "{error}");
        assert_eq!(error["held"], 0, "{error}");
        assert_eq!(error["available"], 0, "{error}");
        assert!(error["limit"].as_str().unwrap().contains("2 requests per day"), "{error}");
        assert!(error["resets_at"].as_str().unwrap().ends_with('Z'), "{error}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.header("retry-after"), None);
    }
    assert_eq!(stage.upstream.count(), 2);
}

#[tokio::test]
async fn a_budget_in_money_is_refused_when_it_is_used_up() {
    let stage =
        Stage::new("[accounts.acme]\nholds = \"strict\"\nlimits = [\"$0.01 per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let mut body = chat("@@tokens=1000@@");
    body["max_tokens"] = json!(1000);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(client.post(CHAT, &body).await.status);
    }
    // A call costs a little over $0.002: four fit.
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429, 429, 429]);
    for limit in stage.standing().await {
        assert!(limit.posted <= limit.capacity, "{limit:?}");
    }
}

#[tokio::test]
async fn a_cap_that_is_lowered_to_what_is_left_is_told() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"$0.01 per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let mut body = chat("@@tokens=1000@@");
    body["max_tokens"] = json!(1000);
    let mut refused = false;
    for _ in 0..30 {
        let answer = client.post(CHAT, &body).await;
        if answer.status == 429 {
            refused = true;
            break;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        let completion = answer.json()["usage"]["completion_tokens"].as_u64().unwrap();
        let told = answer.header("x-tollgate-max-output-tokens");
        assert_eq!(told.map_or(1_000, |cap| cap.parse().unwrap()), completion);
        for limit in stage.standing().await {
            assert!(limit.posted + limit.held <= limit.capacity, "{limit:?}");
        }
    }
    assert!(refused, "there is still something left");
}

#[tokio::test]
async fn what_can_never_fit_is_a_bad_request() {
    let stage =
        Stage::new("[accounts.acme]\nholds = \"strict\"\nlimits = [\"100 tokens per minute\"]\n")
            .await;
    let client = stage.gateway.client("acme");
    let mut body = chat("hi");
    body["max_tokens"] = json!(5000);
    let answer = client.post(CHAT, &body).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("100"));
    assert_eq!(stage.upstream.count(), 0);
}

#[tokio::test]
async fn a_parents_limit_holds_for_all_its_children() {
    let stage = Stage::new(
        "[accounts.acme]\nlimits = [\"3 requests per day\"]\n\n[accounts.acme.a]\n\n\
         [accounts.acme.b]\n\n[accounts.other]\nlimits = [\"3 requests per day\"]\n",
    )
    .await;
    let (a, b) = (stage.gateway.client("acme/a"), stage.gateway.client("acme/b"));
    for client in [&a, &b, &a] {
        assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
    }
    let refused = b.post(CHAT, &chat("hi")).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error"]["account"], "acme");
    assert_eq!(stage.gateway.client("other").post(CHAT, &chat("hi")).await.status, 200);
}

#[tokio::test]
async fn a_keys_own_limit_binds_only_it() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"$1000 per month\"]\n").await;
    let made = stage.gateway.run_json(&[
        "key",
        "create",
        "--account",
        "acme",
        "--limit",
        "1 requests per day",
        "--json",
    ]);
    let key = made["key"].as_str().unwrap();
    let bound = crate::harness::client::Client::with_key(&stage.gateway.data, key);
    assert_eq!(bound.post(CHAT, &chat("hi")).await.status, 200);
    assert_eq!(bound.post(CHAT, &chat("hi")).await.status, 429);
    assert_eq!(stage.gateway.client("acme").post(CHAT, &chat("hi")).await.status, 200);
}

#[tokio::test]
async fn calls_in_flight_count_against_concurrency_until_they_end() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"2 concurrent\"]\n").await;
    let client = stage.gateway.client("acme");
    let body = streamed("@@tokens=200 pause=20@@").to_string();
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut exchange = client.open("POST", CHAT, body.as_bytes()).await.unwrap();
        assert!(exchange.until_text(" the").await.unwrap());
        open.push(exchange);
    }
    let refused = client.post(CHAT, &chat("hi")).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.json()["error"]["held"], 2);
    drop(open);
    stage.nothing_held().await;
    assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
}

#[tokio::test]
async fn the_headers_count_down() {
    let stage = Stage::new(
        "[accounts.acme]\nlimits = [\"10 requests per minute\", \"100000 tokens per minute\"]\n",
    )
    .await;
    let client = stage.gateway.client("acme");
    let first = client.post(CHAT, &chat("@@tokens=50@@")).await;
    stage.nothing_held().await;
    let second = client.post(CHAT, &streamed("@@tokens=50@@")).await;
    let number = |answer: &crate::harness::client::Response, name: &str| -> u64 {
        answer.header(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    };
    for answer in [&first, &second] {
        assert_eq!(number(answer, "x-ratelimit-limit-requests"), 10);
        assert_eq!(number(answer, "x-ratelimit-limit-tokens"), 100_000);
        let reset = answer.header("x-ratelimit-reset-tokens").unwrap();
        assert!(reset.ends_with('s'), "{reset}");
    }
    let left = |answer| number(answer, "x-ratelimit-remaining-requests");
    assert!(left(&second) < left(&first), "{} then {}", left(&first), left(&second));
}

#[tokio::test]
async fn fifty_calls_at_once_never_take_more_than_there_is() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"10 requests per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.post(CHAT, &chat("@@before=50@@")).await.status })
        })
        .collect();
    let mut passed = 0;
    for call in calls {
        match call.await.unwrap() {
            200 => passed += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(passed, 10);
    assert_eq!(stage.upstream.count(), 10);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_limit_survives_a_restart() {
    let mut stage = Stage::new("[accounts.acme]\nlimits = [\"2 requests per day\"]\n").await;
    let key = stage.gateway.key("acme");
    let call = async |url: &str| {
        let client = crate::harness::client::Client::with_key(url, &key);
        client.post(CHAT, &chat("hi")).await.status
    };
    assert_eq!(call(&stage.gateway.data).await, 200);
    stage.nothing_held().await;
    stage.gateway.signal("TERM");
    stage.gateway.wait(Duration::from_secs(10));
    stage.gateway.up();
    assert_eq!(call(&stage.gateway.data).await, 200);
    stage.nothing_held().await;
    stage.gateway.kill();
    stage.gateway.up();
    assert_eq!(call(&stage.gateway.data).await, 429);
}

#[tokio::test]
async fn every_algorithm_admits_what_fits_and_refuses_what_does_not() {
    let limits = [
        "3 requests per hour",
        "3 requests per hour, fixed window",
        "3 requests per hour, sliding window",
        "3 requests per hour, sliding log",
        "3 requests per hour, leaky bucket",
        "3 requests per week",
        "3 requests in total",
    ];
    let tables: String = limits
        .iter()
        .enumerate()
        .map(|(n, limit)| format!("[accounts.a{n}]\nlimits = [\"{limit}\"]\n\n"))
        .collect();
    let stage = Stage::new(&tables).await;
    for (n, limit) in limits.iter().enumerate() {
        let client = stage.gateway.client(&format!("a{n}"));
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(client.post(CHAT, &chat("hi")).await.status);
        }
        assert_eq!(statuses, [200, 200, 200, 429], "{limit}");
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_leaky_bucket_lets_waiting_calls_through_one_after_the_other() {
    let stage = Stage::new(
        "[accounts.acme]\nlimits = \
         [\"4 requests per second, leaky bucket, burst 1, wait up to 5 seconds\"]\n",
    )
    .await;
    let client = stage.gateway.client("acme");
    let begun = std::time::Instant::now();
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.post(CHAT, &chat("hi")).await.status })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    // The first goes at once, each of the others a quarter of a second after the one before it.
    assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());
    stage.nothing_held().await;
}
