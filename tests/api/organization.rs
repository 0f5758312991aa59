//! OpenAI's organization endpoints: what scripts written for them sum up is what the ledger says.

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::ledger::entries;
use crate::harness::stage::{CHAT, EMBEDDINGS, Stage, chat};

const ACCOUNTS: &str = "[accounts.acme]
[accounts.acme.search]
[accounts.acme.ads]
[accounts.beta]
";

/// Calls of two projects below the asking account and of one beside it.
async fn used() -> (Stage, Client, Vec<String>) {
    let stage = Stage::new(ACCOUNTS).await;
    let mut keys = Vec::new();
    for (account, input, output) in [("acme/search", 30, 7), ("acme/ads", 50, 9), ("beta", 100, 1)]
    {
        let made = stage.gateway.run_json(&["key", "create", "--account", account, "--json"]);
        keys.push(made["id"].as_str().unwrap().to_owned());
        let client = Client::with_key(&stage.gateway.data, made["key"].as_str().unwrap());
        for _ in 0..2 {
            let say = format!("@@tokens={output} prompt={input}@@");
            let answer = client.post(CHAT, &chat(&say)).await;
            stage.row(&answer).await;
        }
        let words = json!({ "model": "text-embedding-3-small", "input": "one two" });
        stage.row(&client.post(EMBEDDINGS, &words).await).await;
    }
    let client = stage.gateway.client("acme");
    (stage, client, keys)
}

async fn page(client: &Client, path: &str) -> Value {
    let answer = client.get(&format!("/v1/organization/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The results of all pages.
async fn results(client: &Client, path: &str) -> Vec<Value> {
    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let page = page(client, &format!("{path}{next}")).await;
        assert_eq!(page["object"], "page");
        for bucket in page["data"].as_array().unwrap() {
            assert_eq!(bucket["object"], "bucket");
            found.extend(bucket["results"].as_array().unwrap().clone());
        }
        if page["has_more"] != true {
            assert_eq!(page["next_page"], Value::Null);
            return found;
        }
        next = format!("&page={}", page["next_page"].as_str().unwrap());
    }
}

fn sum(results: &[Value], name: &str) -> i64 {
    results.iter().map(|one| one[name].as_i64().unwrap()).sum()
}

/// Two hours ago, so that a bucket boundary just passed changes nothing.
fn start() -> i64 {
    jiff::Timestamp::now().as_second() - 7_200
}

#[tokio::test]
async fn buckets_of_any_width_and_pages_of_any_size_come_to_the_same() {
    let (stage, client, _) = used().await;
    for (width, limit) in [("1m", 1440), ("1m", 7), ("1h", 168), ("1h", 1), ("1d", 7), ("1d", 1)] {
        let query = format!("start_time={}&bucket_width={width}&limit={limit}", start());
        let chats = results(&client, &format!("usage/completions?{query}")).await;
        assert_eq!(sum(&chats, "input_tokens"), 160, "{query}");
        assert_eq!(sum(&chats, "output_tokens"), 32, "{query}");
        assert_eq!(sum(&chats, "num_model_requests"), 4, "{query}");
        assert!(chats.iter().all(|one| one["object"] == "organization.usage.completions.result"));
        let embedded = results(&client, &format!("usage/embeddings?{query}")).await;
        assert_eq!(sum(&embedded, "num_model_requests"), 2, "{query}");
        assert!(embedded.iter().all(|one| one["output_tokens"].is_null()), "{embedded:?}");
    }
    let costs = results(&client, &format!("costs?start_time={}", start())).await;
    let ours = entries(&stage.gateway).into_iter().filter(|row| row.account.starts_with("acme"));
    let charged: i64 = ours.map(|row| row.charged).sum();
    let value = |one: &Value| (one["amount"]["value"].as_f64().unwrap() * 1e9).round() as i64;
    assert_eq!(costs.iter().map(value).sum::<i64>(), charged);
    assert!(costs.iter().all(|one| one["amount"]["currency"] == "usd"));
}

#[tokio::test]
async fn results_are_split_and_filtered_as_asked_and_null_where_they_are_not() {
    let (_stage, client, keys) = used().await;
    let start = start();
    let of = async |more: &str| {
        let mut found =
            results(&client, &format!("usage/completions?start_time={start}&limit=180{more}"))
                .await;
        found.sort_by_key(|one| one["project_id"].to_string());
        found
    };
    let split = of("&group_by[]=project_id&group_by[]=api_key_id&group_by=model").await;
    let told: Vec<_> = split
        .iter()
        .map(|one| [&one["project_id"], &one["api_key_id"], &one["model"], &one["input_tokens"]])
        .collect();
    let model = json!("gpt-4o-mini");
    let expected = [
        [json!("acme/ads"), json!(keys[1]), model.clone(), json!(100)],
        [json!("acme/search"), json!(keys[0]), model.clone(), json!(60)],
    ];
    assert_eq!(told, expected.each_ref().map(|row| row.each_ref()));
    let whole = of("").await;
    for name in ["project_id", "api_key_id", "model", "user_id", "batch"] {
        assert_eq!(whole[0][name], Value::Null, "{name}");
    }
    assert_eq!(sum(&of("&project_ids=acme/ads").await, "input_tokens"), 100);
    assert_eq!(sum(&of(&format!("&api_key_ids[]={}", keys[0])).await, "input_tokens"), 60);
    assert_eq!(sum(&of("&models=gpt-4o-mini,gpt-4o").await, "input_tokens"), 160);
    assert_eq!(sum(&of("&batch=false&group_by=batch,user_id").await, "input_tokens"), 160);
    for nothing in ["&models=gpt-4o", "&user_ids=user-1", "&batch=true", "&project_ids=beta"] {
        assert!(of(nothing).await.is_empty(), "{nothing}");
    }
    let lines = format!("costs?start_time={start}&group_by=line_item&line_items=gpt-4o-mini");
    let lines = results(&client, &lines).await;
    assert!(lines.iter().all(|one| one["line_item"] == "gpt-4o-mini") && !lines.is_empty());
}

#[tokio::test]
async fn every_kind_of_use_is_answered_and_what_there_is_not_is_refused() {
    let (_stage, client, _) = used().await;
    for kind in [
        "images",
        "audio_speeches",
        "audio_transcriptions",
        "vector_stores",
        "code_interpreter_sessions",
        "file_search_calls",
        "web_search_calls",
    ] {
        let empty = page(&client, &format!("usage/{kind}?start_time={}", start())).await;
        assert!(!empty["data"].as_array().unwrap().is_empty(), "{kind}: {empty}");
        assert!(results(&client, &format!("usage/{kind}?start_time={}", start())).await.is_empty());
    }
    let refused = [
        ("usage/thoughts?start_time=0", 404),
        ("usage/completions", 400),
        ("costs?start_time=0&group_by=service_tier", 400),
        ("usage/images?start_time=0&sizes=256x256", 400),
        ("costs?start_time=0&bucket_width=1h", 400),
        ("costs?start_time=0&limit=181", 400),
    ];
    for (path, status) in refused {
        let answer = client.get(&format!("/v1/organization/{path}")).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn use_is_split_by_the_service_tier_that_the_provider_told_and_null_where_it_told_none() {
    let stage = Stage::new(ACCOUNTS).await;
    let client = stage.gateway.client("acme/search");
    for (tier, input) in [("default", 30), ("flex", 20), ("flex", 5)] {
        let asked = chat(&format!("@@tier={tier} prompt={input} tokens=3@@"));
        stage.row(&client.post(CHAT, &asked).await).await;
    }
    // A call that reaches no provider has no tier.
    let broken = client.post(CHAT, &chat("@@status=400@@")).await;
    assert_eq!(broken.status, 400);
    stage.nothing_held().await;
    let path = format!("usage/completions?start_time={}&group_by=service_tier", start());
    let split = results(&client, &path).await;
    let of = |tier: Value| -> Vec<i64> {
        let mine = split.iter().filter(|one| one["service_tier"] == tier);
        mine.map(|one| one["input_tokens"].as_i64().unwrap()).collect()
    };
    assert_eq!([of(json!("default")), of(json!("flex"))], [vec![30], vec![25]], "{split:?}");
    assert_eq!(split.len(), 2 + of(Value::Null).len());
    let whole = results(&client, &path.replace("&group_by=service_tier", "")).await;
    assert_eq!((sum(&whole, "input_tokens"), &whole[0]["service_tier"]), (55, &Value::Null));
    // The operator's reports say it in the ledger's words.
    let told = stage.gateway.run_json(&["report", "--by", "service_tier", "--format", "json"]);
    let admin = stage.gateway.admin_get("/admin/reports?by=service_tier").await.json();
    assert_eq!(told["rows"], admin["rows"]);
    let flex = stage.gateway.admin_get("/admin/reports?by=model&service_tier=flex").await.json();
    assert_eq!(sum(flex["rows"].as_array().unwrap(), "input_tokens"), 25);
    for (tier, input) in [("standard", 30), ("flex", 25)] {
        let row = told["rows"].as_array().unwrap().iter().find(|row| row["service_tier"] == tier);
        assert_eq!(row.unwrap()["input_tokens"], input, "{told}");
    }
    stage.gateway.audit().unwrap();
}
