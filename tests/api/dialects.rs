//! The smaller dialects: text completions, moderations, rerankings, Google's embeddings. Each is held,
//! counted and on the ledger like any call, and refused by name where it asks for more than can be counted.

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::stage::{EMBEDDINGS, INPUT_NANOS, RICH, Stage, nanos, row_of};
use crate::harness::upstream::Upstream;
use crate::harness::upstream::script::Reply;

const COMPLETIONS: &str = "/v1/completions";

fn complete(say: &str) -> Value {
    json!({ "model": "gpt-4o-mini", "prompt": say, "max_tokens": 20 })
}

#[tokio::test]
async fn a_text_is_completed_whole_and_streamed_and_costs_the_same() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let say = "one two @@tokens=7 prompt=40 cached=15@@";
    let whole = client.post(COMPLETIONS, &complete(say)).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let reply = whole.json();
    assert_eq!(reply["object"], "text_completion", "{reply}");
    assert_eq!(reply["choices"][0]["text"], " the of and to in is for");
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply["usage"]["total_tokens"], 47);
    let sent = stage.upstream.last().json();
    assert_eq!(sent["messages"], json!([{ "role": "user", "content": say }]), "{sent}");

    let mut body = complete(say);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    let streamed = client.post(COMPLETIONS, &body).await;
    let frames = streamed.frames();
    let text: String = frames.iter().filter_map(|f| f["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, " the of and to in is for", "{}", streamed.text());
    assert_eq!(frames.last().unwrap()["usage"]["completion_tokens"], 7);
    assert!(streamed.text().ends_with("data: [DONE]\n\n"));

    let rows = [stage.row(&whole).await, stage.row(&streamed).await];
    for row in &rows {
        assert_eq!((row.input, row.cached, row.output), (40, 15, 7), "{row:?}");
    }
    assert_eq!(rows[0].charged_usd, rows[1].charged_usd);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_completion_without_a_cap_has_the_documented_one_and_what_cannot_be_told_is_refused() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let mut body = complete("@@tokens=40@@");
    body.as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(client.post(COMPLETIONS, &body).await.status, 200);
    assert_eq!(stage.upstream.last().json()["max_tokens"], 16);
    let sent = stage.upstream.count();
    for (name, value) in [
        ("prompt", json!(["one", "two"])),
        ("prompt", json!([1, 2])),
        ("prompt", json!(null)),
        ("echo", json!(true)),
        ("best_of", json!(2)),
        ("logprobs", json!(1)),
        ("suffix", json!("x")),
        ("max_tokens", json!(0)),
    ] {
        let mut body = complete("hi");
        body[name] = value.clone();
        let refused = client.post(COMPLETIONS, &body).await;
        assert_eq!(refused.status, 400, "{name}={value}: {}", refused.text());
        assert_eq!(refused.json()["error"]["param"], name, "{}", refused.text());
    }
    assert_eq!(stage.upstream.count(), sent);
    stage.nothing_held().await;
}

/// A price of a model whose tokens cost as those of the small one, and whose searches cost two dollars a
/// thousand.
const PRICED: &str = "[prices.\"up/judge\"]\ninput = \"1.00\"\nweb_search = \"0.002\"\n";

async fn priced(accounts: &str) -> Stage {
    let models = "models = [\"gpt-4o-mini\", \"gpt-4o\", \"text-embedding-3-small\", \"judge\"]";
    let upstream = Upstream::start().await;
    let configuration =
        crate::harness::stage::configuration(&upstream, "", &format!("{PRICED}{accounts}"));
    let old = "models = [\"gpt-4o-mini\", \"gpt-4o\", \"text-embedding-3-small\"]";
    assert!(configuration.contains(old));
    let gateway = Gateway::start(&configuration.replace(old, models));
    Stage { upstream, gateway }
}

#[tokio::test]
async fn texts_are_judged_and_what_was_read_is_charged() {
    let stage = priced(RICH).await;
    let client = stage.gateway.client("acme");
    let results = json!({ "id": "modr-1", "model": "judge",
        "results": [{ "flagged": false, "categories": {} }, { "flagged": true, "categories": {} }] });
    stage.upstream.push("judge", Reply::whole(200, &results.to_string()));
    let parts = json!([{ "type": "text", "text": "two words" }, "three more words"]);
    let body = json!({ "model": "judge", "input": parts });
    let answer = client.post("/v1/moderations", &body).await;
    assert_eq!((answer.status, answer.json()), (200, results), "{}", answer.text());
    assert_eq!(stage.upstream.last().path, "/v1/moderations");
    assert_eq!(stage.upstream.last().json(), body);
    let row = stage.row(&answer).await;
    assert_eq!(row.json["endpoint"], "moderations");
    assert!(row.input > 3 && row.output == 0, "{row:?}");
    assert_eq!(nanos(&row.charged_usd), i64::try_from(row.input).unwrap() * INPUT_NANOS);

    let path = "/v1/organization/usage/moderations?limit=31&start_time=";
    let hour = jiff::Timestamp::now().as_second() - 7_200;
    let used = client.get(&format!("{path}{hour}&bucket_width=1h")).await.json();
    let buckets = used["data"].as_array().unwrap().iter();
    let found: Vec<&Value> =
        buckets.flat_map(|bucket| bucket["results"].as_array().unwrap()).collect();
    assert_eq!(found.len(), 1, "{used}");
    assert_eq!(found[0]["object"], "organization.usage.moderations.result");
    assert_eq!(found[0]["num_model_requests"], 1);
    assert_eq!(found[0]["input_tokens"], row.input);

    let quote = client.post("/v1/quote?endpoint=moderations", &body).await.json();
    assert_eq!(quote["endpoint"], "moderations", "{quote}");
    assert_eq!(quote["targets"].as_array().map(Vec::len), Some(1), "{quote}");
    let named = json!({ "model": "text-moderation-x", "input": "a" });
    let unknown = client.post("/v1/quote", &named).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    let odd = client.post("/v1/quote?endpoint=images", &body).await;
    assert_eq!((odd.status, &odd.json()["error"]["param"]), (400, &json!("endpoint")));

    let image = json!([{ "type": "image_url", "image_url": { "url": "https://x/y.png" } }]);
    for (body, param) in [
        (json!({ "model": "judge", "input": image }), "input[0]"),
        (json!({ "model": "judge", "input": [] }), "input"),
        (json!({ "model": "judge" }), "input"),
        (json!({ "input": "x" }), "model"),
    ] {
        let refused = client.post("/v1/moderations", &body).await;
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!(param)));
    }
    assert_eq!(stage.upstream.count(), 1);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

fn rank(documents: usize) -> Value {
    let documents: Vec<String> = (0..documents).map(|n| format!("document number {n}")).collect();
    json!({ "model": "judge", "query": "which one?", "documents": documents, "top_n": 1 })
}

#[tokio::test]
async fn documents_are_ranked_at_what_the_provider_bills_tokens_or_searches() {
    let stage = priced(RICH).await;
    let client = stage.gateway.client("acme");
    let results = json!([{ "index": 1, "relevance_score": 0.9 }]);
    let jina = json!({ "model": "judge", "results": results, "usage": { "total_tokens": 30 } });
    let cohere = json!({ "id": "x", "results": results,
        "meta": { "billed_units": { "search_units": 2 } } });
    for (reply, path, units, charged) in [
        (jina, "/v1/rerank", None, 30 * INPUT_NANOS),
        (cohere, "/v2/rerank", Some(2), 2 * 2_000_000),
    ] {
        stage.upstream.push("judge", Reply::whole(200, &reply.to_string()));
        let answer = client.post(path, &rank(3)).await;
        assert_eq!((answer.status, answer.json()), (200, reply), "{}", answer.text());
        assert_eq!(stage.upstream.last().path, "/v1/rerank");
        let row = stage.row(&answer).await;
        let usage = &row.json["attempts"][0]["usage"];
        assert_eq!(usage["web_search"].as_u64(), units, "{usage}");
        let tokens = i64::try_from(row.input).unwrap() * INPUT_NANOS;
        let expected = if units.is_some() { charged + tokens } else { charged };
        assert_eq!(nanos(&row.charged_usd), expected, "{row:?}");
        assert_eq!(row.json["endpoint"], "rerank");
    }
    for body in [
        json!({ "model": "judge", "documents": ["x"] }),
        json!({ "model": "judge", "query": "q", "documents": [{ "image": "x" }] }),
    ] {
        assert_eq!(client.post("/v1/rerank", &body).await.status, 400, "{body}");
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_ranking_holds_every_search_it_may_be_billed_before_it_is_sent() {
    // A search of up to a hundred documents fits; two do not.
    let stage = priced("[accounts.acme]\nlimits = [\"$0.0045 per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let reply = json!({ "results": [], "meta": { "billed_units": { "search_units": 1 } } });
    stage.upstream.push("judge", Reply::whole(200, &reply.to_string()));
    let quote = client.post("/v1/quote", &rank(150)).await.json();
    assert_eq!(
        (&quote["endpoint"], &quote["admitted"]),
        (&json!("rerank"), &json!(false)),
        "{quote}"
    );
    let refused = client.post("/v1/rerank", &rank(150)).await;
    assert!(matches!(refused.status, 400 | 429), "{}", refused.text());
    assert_eq!(stage.upstream.count(), 0);
    let answer = client.post("/v1/rerank", &rank(20)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    stage.nothing_held().await;
}

const OTHERS: &str = r#"
[providers.google]
kind = "gemini"
base_url = "URL/v1beta"
api_key = "env:UP_KEY"
models = ["embedder"]

[prices."google/embedder"]
input = "1.00"

[providers.up]
kind = "compatible"
base_url = "URL/v1"
api_key = "env:UP_KEY"
models = ["text-embedding-3-small"]

[prices."up/text-embedding-3-small"]
input = "1.00"

[accounts.acme]
limits = ["$10 per month"]
"#;

#[tokio::test]
async fn googles_clients_embed_at_any_provider_and_openais_at_google() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&OTHERS.replace("URL", &upstream.url));
    let client: Client = gateway.client("acme");
    let content = json!({ "parts": [{ "text": "one two three" }] });

    let path = "/v1beta/models/text-embedding-3-small";
    let one = json!({ "model": "models/text-embedding-3-small", "content": content,
        "outputDimensionality": 8 });
    let answer = client.post(&format!("{path}:embedContent"), &one).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let vector = answer.json()["embedding"]["values"].clone();
    assert!(vector.as_array().is_some_and(|v| !v.is_empty()), "{}", answer.text());
    let sent = upstream.last().json();
    assert_eq!((&sent["input"], &sent["dimensions"]), (&json!(["one two three"]), &json!(8)));
    let row = row_of(&gateway, answer.header("x-request-id").unwrap()).await;
    assert_eq!((&row.json["endpoint"], row.output), (&json!("embeddings"), 0));

    let many = json!({ "requests": [{ "content": content }, { "content": content }] });
    let answer = client.post(&format!("{path}:batchEmbedContents"), &many).await;
    assert_eq!(answer.json()["embeddings"].as_array().map(Vec::len), Some(2), "{}", answer.text());

    // An OpenAI client asks Google, for numbers and packed.
    for (format, expected) in [("float", json!([1.0, -2.0])), ("base64", json!("AACAPwAAAMA="))] {
        let reply = json!({ "embeddings": [{ "values": [1.0, -2.0] }],
            "usageMetadata": { "promptTokenCount": 4 } });
        upstream.push("", Reply::whole(200, &reply.to_string()));
        let body = json!({ "model": "embedder", "input": "hi", "encoding_format": format });
        let answer = client.post(EMBEDDINGS, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["data"][0]["embedding"], expected);
        assert_eq!(answer.json()["usage"]["prompt_tokens"], 4);
        let row = row_of(&gateway, answer.header("x-request-id").unwrap()).await;
        assert_eq!((row.input, nanos(&row.charged_usd)), (4, 4 * INPUT_NANOS));
        assert_eq!(upstream.last().path, "/v1beta/models/embedder:batchEmbedContents");
    }
    for (body, param) in [
        (json!({ "content": { "parts": [{ "inlineData": {} }] } }), "content"),
        (json!({}), "content"),
    ] {
        let refused = client.post(&format!("{path}:embedContent"), &body).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(refused.json()["error"]["status"], "INVALID_ARGUMENT");
        let detail = &refused.json()["error"]["details"][0]["metadata"]["param"];
        assert_eq!(detail, param, "{}", refused.text());
    }
    gateway.audit().unwrap();
}

#[tokio::test]
async fn what_has_no_meter_is_not_passed_on() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for path in [
        "/v1/images/variations",
        "/v1/audio/voices",
        "/v1/fine_tuning/jobs",
        "/v1/realtime/sessions",
    ] {
        let answer = client.post(path, &json!({ "model": "gpt-4o-mini", "input": "x" })).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    assert_eq!(stage.upstream.count(), 0);
    stage.nothing_held().await;
}
