//! Replies that are kept and given again: to whom, which, and what the figures say of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::prompts::{EXTRACT, Set};
use crate::harness::client::Response;
use crate::harness::eventually;
use crate::harness::ledger::{entries, open_holds};
use crate::harness::stage::{CHAT, EMBEDDINGS, RICH, Stage, chat, configuration, nanos, streamed};
use crate::harness::upstream::Upstream;

fn with_cache(tables: &str) -> String {
    format!("[cache]\n\n{tables}")
}

/// A request whose answer is fixed.
fn fixed(mut body: Value) -> Value {
    body["temperature"] = json!(0);
    body
}

fn said(answer: &Response) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-tollgate-cache").unwrap_or("nothing")
}

#[tokio::test]
async fn an_answer_given_again_has_the_same_bytes_and_costs_nothing() {
    let stage = Stage::new(&with_cache(RICH)).await;
    let client = stage.gateway.client("acme");
    let mut plain = fixed(streamed("b @@tokens=5@@"));
    plain.as_object_mut().unwrap().remove("stream_options");
    let embed = json!({"model": "text-embedding-3-small", "input": "c"});
    for (path, body) in [(CHAT, fixed(chat("a @@tokens=5@@"))), (CHAT, plain), (EMBEDDINGS, embed)]
    {
        let first = client.post(path, &body).await;
        assert_eq!(said(&first), "miss");
        let paid = nanos(&stage.row(&first).await.charged_usd);
        assert!(paid > 0);
        let again = client.post(path, &body).await;
        assert_eq!(said(&again), "hit");
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert_eq!(again.header("x-tollgate-cost-usd"), Some("0"));
        assert_eq!(again.header("x-tollgate-attempts"), Some("0"));
        assert!(again.header("age").is_some());
        let row = stage.row(&again).await;
        assert_eq!((row.outcome.as_str(), row.input, row.output), ("cached", 0, 0));
        assert_eq!(nanos(&row.charged_usd), 0);
        assert_eq!(nanos(row.json["attempts"][0]["saved_usd"].as_str().unwrap()), paid);
    }
    assert_eq!(stage.upstream.count(), 3);
    let report = stage.gateway.run_json(&["report", "--by", "outcome", "--format", "json"]);
    let rows = report["rows"].as_array().unwrap();
    let sum = |outcome: &str, name: &str| {
        let row = rows.iter().find(|row| row["outcome"] == outcome).unwrap();
        nanos(row[name].as_str().unwrap())
    };
    assert_eq!(sum("cached", "saved_usd"), sum("completed", "charged_usd"));
    assert_eq!(sum("cached", "charged_usd") + sum("cached", "owed_usd"), 0);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_streams_usage_chunk_comes_again_without_the_first_calls_figures() {
    let stage = Stage::new(&with_cache(RICH)).await;
    let client = stage.gateway.client("acme");
    let body = fixed(streamed("@@tokens=5@@"));
    let first = client.post(CHAT, &body).await;
    let again = client.post(CHAT, &body).await;
    assert_eq!((said(&first), said(&again)), ("miss", "hit"));
    let (mut one, mut other) = (first.frames(), again.frames());
    let (last, again_last) = (one.pop().unwrap(), other.pop().unwrap());
    assert_eq!(one, other);
    assert_eq!(last["usage"], again_last["usage"]);
    let id = first.header("x-request-id").unwrap();
    assert!(first.text().contains(id) && !again.text().contains(id), "{}", again.text());
    assert_eq!(first.data().last(), again.data().last());
}

#[tokio::test]
async fn no_account_gets_anothers_answer() {
    let tables = "[accounts.acme]\n\n[accounts.acme.search]\n\n[accounts.globex]\n";
    let stage = Stage::new(&with_cache(tables)).await;
    let body = fixed(chat("@@tokens=5@@"));
    for account in ["acme", "acme/search", "globex"] {
        let answer = stage.gateway.client(account).post(CHAT, &body).await;
        assert_eq!(said(&answer), "miss", "{account}");
        // Another key of the account is the account.
        let again = stage.gateway.client(account).post(CHAT, &body).await;
        assert_eq!(said(&again), "hit", "{account}");
    }
    assert_eq!(stage.upstream.count(), 3);
}

#[tokio::test]
async fn a_client_chooses_by_header() {
    let stage = Stage::new(&with_cache(RICH)).await;
    let client = stage.gateway.client("acme");
    let header = |word: &str| client.and_header("x-tollgate-cache", word);
    let body = fixed(chat("@@tokens=5@@"));
    let only = header("only").post(CHAT, &body).await;
    assert_eq!((only.status, only.json()["error"]["code"].as_str()), (504, Some("not_cached")));
    assert_eq!(only.header("x-should-retry"), Some("false"));
    assert_eq!(said(&header("no-store").post(CHAT, &body).await), "bypass");
    assert_eq!(said(&client.post(CHAT, &body).await), "miss");
    assert_eq!(said(&header("only").post(CHAT, &body).await), "hit");
    assert_eq!(said(&header("refresh").post(CHAT, &body).await), "miss");
    assert_eq!(said(&client.post(CHAT, &body).await), "hit");
    assert_eq!(said(&client.post(CHAT, &chat("@@tokens=5@@")).await), "bypass");
    assert_eq!(header("maybe").post(CHAT, &body).await.status, 400);
    assert_eq!(stage.upstream.count(), 4);
}

#[tokio::test]
async fn without_the_table_nothing_is_kept() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let body = fixed(chat("@@tokens=5@@"));
    for _ in 0..2 {
        assert_eq!(said(&client.post(CHAT, &body).await), "nothing");
    }
    assert_eq!(stage.upstream.count(), 2);
    let only = client.and_header("x-tollgate-cache", "only").post(CHAT, &body).await;
    assert_eq!(only.status, 504);
}

#[tokio::test]
async fn an_answer_given_again_counts_against_requests_and_not_against_money() {
    let tables = "[accounts.acme]\nlimits = [\"3 requests per day\", \"$1 per day\"]\n";
    let stage = Stage::new(&with_cache(tables)).await;
    let client = stage.gateway.client("acme");
    let body = fixed(chat("@@tokens=5@@"));
    for expected in ["miss", "hit", "hit"] {
        assert_eq!(said(&client.post(CHAT, &body).await), expected);
    }
    let fourth = client.post(CHAT, &body).await;
    assert_eq!(fourth.status, 429, "{}", fourth.text());
    stage.nothing_held().await;
    let cost = entries(&stage.gateway).iter().map(|entry| entry.charged).sum::<i64>();
    let standing = stage.standing().await;
    let posted = |metric: &str| standing.iter().find(|s| s.metric == metric).unwrap().posted;
    assert_eq!((posted("requests"), posted("cost")), (3, cost));
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn what_broke_off_or_was_filtered_or_left_is_not_kept() {
    let stage = Stage::new(&with_cache(RICH)).await;
    let client = stage.gateway.client("acme");
    // An error, then one that stops before its end: neither is an answer.
    for say in ["e @@status=500@@", "t @@tokens=5 done=no finish=no@@"] {
        let body = fixed(streamed(say));
        for _ in 0..2 {
            let answer = client.post(CHAT, &body).await;
            assert_ne!(answer.header("x-tollgate-cache"), Some("hit"), "{say}");
        }
    }
    let filtered = json!({"id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "finish_reason": "content_filter",
            "message": {"role": "assistant", "content": ""}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}});
    let body = fixed(chat("f @@tokens=3@@"));
    stage.upstream.push(
        "gpt-4o-mini",
        crate::harness::upstream::script::Reply::whole(200, &filtered.to_string()),
    );
    for _ in 0..2 {
        assert_eq!(said(&client.post(CHAT, &body).await), "miss");
    }
    assert_eq!(said(&client.post(CHAT, &body).await), "hit");
    let slow = fixed(streamed("s @@tokens=50 pause=20@@"));
    let bytes = serde_json::to_vec(&slow).unwrap();
    let mut left = client.open("POST", CHAT, &bytes).await.unwrap();
    assert!(left.until_text("data:").await.unwrap());
    drop(left);
    stage.nothing_held().await;
    assert_eq!(said(&client.post(CHAT, &slow).await), "miss");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_purge_forgets_and_the_metrics_tell_what_was_spared() {
    let stage = Stage::new(&with_cache(RICH)).await;
    let client = stage.gateway.client("acme");
    let body = fixed(chat("@@tokens=5@@"));
    let admin = stage.gateway.admin_client();
    for (query, expected) in
        [("?account=globex", "hit"), ("?account=acme&model=gpt-4o-mini", "miss"), ("", "miss")]
    {
        let _first = client.post(CHAT, &body).await;
        let path = format!("/admin/cache{query}");
        assert_eq!(admin.send("DELETE", &path, b"").await.unwrap().status, 204);
        assert_eq!(said(&client.post(CHAT, &body).await), expected, "{query}");
    }
    assert_eq!(admin.send("DELETE", "/admin/cache?acount=a", b"").await.unwrap().status, 400);
    assert_eq!(said(&client.post(CHAT, &body).await), "hit");
    let metrics = stage.gateway.admin_get("/metrics").await.text();
    assert!(metrics.contains("outcome=\"cached\""), "{metrics}");
    assert!(metrics.contains("tollgate_saved_nano_usd_total"), "{metrics}");
}

#[tokio::test]
async fn a_kill_amid_hits_charges_nobody_for_them() {
    let mut stage = Stage::new(&with_cache(RICH)).await;
    let body = fixed(chat("@@tokens=5@@"));
    let first = stage.gateway.client("acme").post(CHAT, &body).await;
    let paid = nanos(&stage.row(&first).await.charged_usd);
    let client = stage.gateway.client("acme");
    let hits: Vec<_> = (0..64)
        .map(|_| {
            let (client, body) = (client.and_header("x-n", "1"), body.clone());
            tokio::spawn(async move {
                let bytes = serde_json::to_vec(&body).unwrap();
                while client.send("POST", CHAT, &bytes).await.is_ok_and(|r| r.status == 200) {}
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.gateway.kill();
    for hit in hits {
        hit.await.unwrap();
    }
    stage.gateway.up();
    assert_eq!(open_holds(&stage.gateway), 0);
    let rows = entries(&stage.gateway);
    assert!(rows.len() > 64, "{}", rows.len());
    assert_eq!(rows.iter().map(|row| row.charged).sum::<i64>(), paid);
    assert_eq!(stage.upstream.count(), 1);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn dialects_whose_answers_are_one_calls_own_are_never_answered_from_it() {
    let stage = Stage::new(&with_cache(RICH)).await;
    let client = stage.gateway.client("acme");
    let google = json!({"contents": [{"role": "user", "parts": [{"text": "@@tokens=5@@"}]}],
        "generationConfig": {"maxOutputTokens": 40, "temperature": 0}});
    let response = json!({"model": "gpt-4o-mini", "input": "@@tokens=5@@", "temperature": 0,
        "max_output_tokens": 40, "store": false});
    for (path, body) in
        [("/v1beta/models/gpt-4o-mini:generateContent", google), ("/v1/responses", response)]
    {
        for _ in 0..2 {
            let answer = client.post(path, &body).await;
            assert_eq!(said(&answer), "bypass", "{path}");
            assert!(nanos(&stage.row(&answer).await.charged_usd) > 0, "{path}");
        }
    }
    assert_eq!(stage.upstream.count(), 4);
    stage.nothing_held().await;
}

#[tokio::test]
async fn an_idempotency_key_keeps_the_answer_that_it_got_from_the_cache() {
    let stage = Stage::new(&with_cache(RICH)).await;
    let client = stage.gateway.client("acme");
    let body = fixed(chat("@@tokens=5@@"));
    let first = client.post(CHAT, &body).await;
    let keyed = client.and_header("idempotency-key", "one");
    let hit = keyed.post(CHAT, &body).await;
    assert_eq!(said(&hit), "hit");
    let purged = stage.gateway.admin_client().send("DELETE", "/admin/cache", b"").await.unwrap();
    assert_eq!(purged.status, 204);
    let repeated = eventually("the key has its answer", Duration::from_secs(10), async || {
        let answer = keyed.post(CHAT, &body).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(repeated.body, first.body);
    assert_eq!(repeated.header("x-tollgate-repeated"), Some("true"));
    assert_eq!(keyed.post(CHAT, &fixed(chat("@@tokens=6@@"))).await.status, 422);
    assert_eq!(stage.upstream.count(), 1);
    assert_eq!(entries(&stage.gateway).len(), 2);
}

#[tokio::test]
async fn a_reload_that_moves_a_provider_or_drops_the_table_gives_no_old_answer() {
    let stage = Stage::new(&with_cache(RICH)).await;
    let client = stage.gateway.client("acme");
    let body = fixed(chat("@@tokens=5@@"));
    let reload = async |upstream: &Upstream, tables: &str| {
        stage.gateway.configure(&configuration(upstream, "", tables));
        let answer = stage.gateway.admin_client().post("/admin/reload", &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    assert_eq!(said(&client.post(CHAT, &body).await), "miss");
    reload(&stage.upstream, &with_cache(RICH)).await;
    assert_eq!(said(&client.post(CHAT, &body).await), "hit");
    let elsewhere = Upstream::start().await;
    reload(&elsewhere, &with_cache(RICH)).await;
    assert_eq!(said(&client.post(CHAT, &body).await), "miss");
    assert_eq!(elsewhere.count(), 1);
    reload(&elsewhere, RICH).await;
    assert_eq!(said(&client.post(CHAT, &body).await), "nothing");
    reload(&elsewhere, &with_cache(RICH)).await;
    assert_eq!(said(&client.post(CHAT, &body).await), "miss");
}

#[tokio::test]
async fn a_prompts_answer_is_given_again_for_the_same_version_alone() {
    let fixed =
        EXTRACT.replacen("[inputs.text]", "[parameters]\ntemperature = 0\n[inputs.text]", 1);
    let set = Set::new(&[("extract", &fixed)], &with_cache(RICH)).await;
    let client = set.gateway.client("acme");
    let body = json!({"inputs": {"text": "a"}});
    set.say("{\"n\": 1}");
    let first = client.post("/v1/prompts/extract", &body).await;
    assert_eq!(said(&first), "miss", "{}", first.text());
    let again = client.post("/v1/prompts/extract", &body).await;
    assert_eq!((said(&again), &again.json()["output"]), ("hit", &json!({"n": 1})));
    assert_eq!(again.json()["cost_usd"], "0");
    set.write("extract", &format!("{fixed}Say it in one line.\n"));
    let reloaded = set.gateway.admin_client().post("/admin/reload", &json!({})).await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    set.say("{\"n\": 2}");
    let other = client.post("/v1/prompts/extract", &body).await;
    assert_eq!((said(&other), &other.json()["output"]), ("miss", &json!({"n": 2})));
    assert_eq!(set.upstream.count(), 2);
    let report = set.gateway.run_json(&["report", "--by", "prompt", "--format", "json"]);
    let rates: Vec<_> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["prompt"].as_str().unwrap(), row["cache_hit_rate"].as_str().unwrap()))
        .collect();
    assert!(rates.len() == 2 && rates.iter().any(|(_, rate)| *rate == "0.5"), "{rates:?}");
}

#[tokio::test]
async fn a_whole_reply_answers_a_request_for_a_stream_and_the_other_way_round() {
    let stage = Stage::new(&with_cache(RICH)).await;
    let client = stage.gateway.client("acme");
    let whole = fixed(chat("a @@tokens=7@@"));
    let first = client.post(CHAT, &whole).await;
    let mut as_stream = whole.clone();
    as_stream["stream"] = json!(true);
    as_stream["stream_options"] = json!({"include_usage": true});
    let stream = client.post(CHAT, &as_stream).await;
    assert_eq!((said(&first), said(&stream)), ("miss", "hit"));
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let frames = stream.frames();
    let text: String = frames
        .iter()
        .filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str())
        .collect();
    let told = first.json();
    assert_eq!(told["choices"][0]["message"]["content"], text.as_str());
    let usage = &frames.last().unwrap()["usage"];
    assert_eq!(usage["total_tokens"], told["usage"]["total_tokens"], "{}", stream.text());
    assert_eq!(stream.data().last().map(|data| data == "[DONE]"), Some(true));

    let streamed = fixed(streamed("b @@tokens=7@@"));
    let first = client.post(CHAT, &streamed).await;
    let mut as_whole = streamed.clone();
    as_whole["stream"] = json!(false);
    as_whole.as_object_mut().unwrap().remove("stream_options");
    let whole = client.post(CHAT, &as_whole).await;
    assert_eq!((said(&first), said(&whole)), ("miss", "hit"));
    let text: String = first
        .frames()
        .iter()
        .filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str())
        .map(str::to_owned)
        .collect();
    assert_eq!(whole.json()["choices"][0]["message"]["content"], text.as_str());
    assert_eq!(whole.json()["usage"]["completion_tokens"], 7, "{}", whole.text());
    let mut without = streamed.clone();
    without.as_object_mut().unwrap().remove("stream_options");
    let without = client.post(CHAT, &without).await;
    assert_eq!(said(&without), "hit");
    assert!(without.frames().iter().all(|frame| frame["usage"].is_null()), "{}", without.text());
    assert_eq!(stage.upstream.count(), 2);
    stage.gateway.audit().unwrap();
}
