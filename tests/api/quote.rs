//! A quote says what a call would come to, agrees with what then happens, and does nothing itself.

use serde_json::{Value, json};

use crate::harness::client::{Client, Response};
use crate::harness::gateway::Gateway;
use crate::harness::ledger::{entries, open_holds};
use crate::harness::stage::{
    CHAT, INPUT_NANOS, OUTPUT_NANOS, RICH, Stage, chat, configuration, nanos, streamed,
};
use crate::harness::upstream::Upstream;

const QUOTE: &str = "/v1/quote";

async fn quoted(client: &Client, body: &Value) -> Value {
    let answer = client.post(QUOTE, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A chat of at most so much output.
fn capped(say: &str, max_tokens: u64) -> Value {
    let mut body = chat(say);
    body["max_tokens"] = json!(max_tokens);
    body
}

/// The request in a file, for the command line.
fn file(gateway: &Gateway, body: &Value) -> String {
    let path = gateway.dir().join("request.json");
    std::fs::write(&path, body.to_string()).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn a_quote_holds_nothing_writes_nothing_and_sends_nothing() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let before = client.get("/v1/budgets").await.json();
    let first = quoted(&client, &capped("hi", 100)).await;
    for _ in 0..30 {
        assert_eq!(quoted(&client, &capped("hi", 100)).await, first);
    }
    quoted(&client, &streamed("hi")).await;
    assert_eq!(client.get("/v1/budgets").await.json(), before);
    assert_eq!(stage.upstream.count(), 0);
    assert_eq!((entries(&stage.gateway).len(), open_holds(&stage.gateway)), (0, 0));
}

#[tokio::test]
async fn the_worst_case_is_every_token_at_its_price() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let body = capped("@@tokens=50@@ count me", 50);
    let quote = quoted(&client, &body).await;
    let target = &quote["targets"][0];
    assert_eq!(target["provider"], "up", "{quote}");
    assert_eq!(target["model"], "gpt-4o-mini");
    assert_eq!(target["input_provenance"], "tokenized");
    assert!(target["price"]["version"].as_str().unwrap().starts_with("configuration#"), "{target}");
    let input = target["input_tokens"].as_i64().unwrap();
    let worst = input * INPUT_NANOS + 50 * OUTPUT_NANOS;
    assert_eq!(nanos(target["worst_usd"].as_str().unwrap()), worst);
    assert_eq!(nanos(quote["worst"]["cost_usd"].as_str().unwrap()), worst);
    assert_eq!(
        (&quote["max_output_tokens"], &quote["max_output_tokens_from"]),
        (&json!(50), &json!("request"))
    );

    let cost = &quote["limits"][0];
    assert_eq!((&cost["account"], &cost["metric"]), (&json!("acme"), &json!("cost")), "{quote}");
    let amount = |name: &str| nanos(cost[name].as_str().unwrap());
    assert_eq!(amount("asked"), worst);
    assert_eq!(amount("remains"), amount("available") - worst);
    assert!(cost["refused"].is_null() && quote["admitted"] == true, "{quote}");

    // It is the very count that the call's own row has.
    let answer = client.post(CHAT, &body).await;
    let row = stage.row(&answer).await;
    assert_eq!(row.json["attempts"][0]["counted_input_tokens"], input, "{}", row.json);
}

#[tokio::test]
async fn a_strict_call_holds_what_was_quoted() {
    let stage =
        Stage::new("[accounts.acme]\nholds = \"strict\"\nlimits = [\"$1 per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let body = capped("@@tokens=10@@", 400);
    let quote = quoted(&client, &body).await;
    let answer = client.post(CHAT, &body).await;
    let row = stage.row(&answer).await;
    assert_eq!(row.json["attempts"][0]["held_usd"], quote["worst"]["cost_usd"], "{}", row.json);
    assert_eq!(quote["held"]["cost_usd"], quote["worst"]["cost_usd"]);
}

#[tokio::test]
async fn a_refusal_is_quoted_in_the_words_that_the_call_then_gets() {
    let stage =
        Stage::new("[accounts.acme]\nholds = \"strict\"\nlimits = [\"$0.005 per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let body = capped("@@tokens=1000@@", 1000);
    for _ in 0..2 {
        assert_eq!(quoted(&client, &body).await["admitted"], true);
        assert_eq!(client.post(CHAT, &body).await.status, 200);
        stage.nothing_held().await;
    }
    let quote = quoted(&client, &body).await;
    let answer = client.post(CHAT, &body).await;
    assert_eq!((quote["admitted"].as_bool(), answer.status), (Some(false), 429));
    assert_eq!(quote["status"], 429);
    assert_eq!(quote["error"], answer.json()["error"]);
    assert_eq!(quote["limits"][0]["refused"], answer.json()["error"]["message"]);
    assert!(quote["limits"][0]["remains"].is_null());
}

#[tokio::test]
async fn an_adaptive_call_is_quoted_the_cap_that_it_is_then_sent_with() {
    let stage = Stage::new("[accounts.acme]\nlimits = [\"700 output tokens per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let body = capped("@@tokens=1000@@", 1000);
    let quote = quoted(&client, &body).await;
    assert!(quote["limits"][0]["refused"].is_string(), "the worst case does not fit: {quote}");
    assert_eq!(quote["admitted"], true);
    let cap = quote["sent_max_output_tokens"].as_u64().unwrap();
    let answer = client.post(CHAT, &body).await;
    assert_eq!(answer.header("x-tollgate-max-output-tokens").unwrap(), cap.to_string());
}

#[tokio::test]
async fn the_likely_case_is_what_replies_have_come_to() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let body = capped("@@tokens=10@@", 1000);
    assert_eq!(quoted(&client, &body).await["targets"][0]["likely_from"], "default");
    for _ in 0..3 {
        let answer = client.post(CHAT, &body).await;
        assert_eq!(answer.status, 200);
        stage.row(&answer).await;
    }
    let quote = quoted(&client, &body).await;
    let target = &quote["targets"][0];
    assert_eq!(target["likely_from"], "learned");
    let likely = target["likely_output_tokens"].as_i64().unwrap();
    assert!((10..=20).contains(&likely), "{target}");
    let input = target["input_tokens"].as_i64().unwrap();
    let cost = input * INPUT_NANOS + likely * OUTPUT_NANOS;
    assert_eq!(nanos(target["likely_usd"].as_str().unwrap()), cost);
}

#[tokio::test]
async fn targets_are_quoted_in_the_order_they_would_be_tried() {
    let alias = "[models.fast]\nroute = \"cheapest\"\nmax_output_tokens = 64\ntargets = [\
        { provider = \"up\", model = \"gpt-4o\" }, { provider = \"up\", model = \"gpt-4o-mini\" }]\n";
    let stage = Stage::new(&format!("{alias}{RICH}")).await;
    let client = stage.gateway.client("acme");
    let mut body = chat("hi");
    body["model"] = json!("fast");
    let quote = quoted(&client, &body).await;
    let models: Vec<_> = quote["targets"].as_array().unwrap().iter().map(|t| &t["model"]).collect();
    assert_eq!(models, ["gpt-4o-mini", "gpt-4o"]);
    assert_eq!(
        quote["worst"]["cost_usd"], quote["targets"][1]["worst_usd"],
        "the dearest: {quote}"
    );
    assert_eq!(
        (&quote["max_output_tokens"], &quote["max_output_tokens_from"]),
        (&json!(64), &json!("gateway"))
    );
}

#[tokio::test]
async fn embeddings_are_told_from_chats_and_bad_requests_from_both() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let body = json!({"model": "text-embedding-3-small", "input": ["one", "two words"]});
    let quote = quoted(&client, &body).await;
    assert_eq!(quote["endpoint"], "embeddings");
    assert_eq!(
        (&quote["worst"]["input_tokens"], &quote["worst"]["output_tokens"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(quote["worst"]["cost_usd"], "0.00000006");

    // What the endpoint would say to such a request, the quote says.
    let same = async |body: &[u8]| -> (Response, Response) {
        (client.post_bytes(QUOTE, body).await, client.post_bytes(CHAT, body).await)
    };
    for body in [
        &b"{"[..],
        b"[]",
        b"{\"model\":\"gpt-4o-mini\"}",
        b"{\"model\":\"nope\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
    ] {
        let (quote, call) = same(body).await;
        assert_eq!((quote.status, quote.text()), (call.status, call.text()));
        assert!(quote.status >= 400);
    }
    let nobody = Client::new(&stage.gateway.data);
    assert_eq!(nobody.post(QUOTE, &chat("hi")).await.status, 401);
}

#[tokio::test]
async fn the_command_line_quotes_beside_a_running_gateway_and_without_one() {
    let mut stage = Stage::new("[accounts.acme]\nlimits = [\"2 requests per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let body = capped("hi", 20);
    let request = file(&stage.gateway, &body);
    let verb = ["quote", "--account", "acme", &request, "--json"];
    let before = quoted(&client, &body).await;
    assert_eq!(stage.gateway.run_json(&verb), before);

    // One that is answered, and one that is under way: both are seen from outside.
    let answer = client.post(CHAT, &body).await;
    stage.row(&answer).await;
    let stream = streamed("@@tokens=400 pause=20@@").to_string();
    let mut open = client.open("POST", CHAT, stream.as_bytes()).await.unwrap();
    assert!(open.until_text(" the").await.unwrap());
    let output = stage.gateway.run(&verb);
    assert_eq!(output.status.code(), Some(1), "it would be refused");
    let quote: Value = serde_json::from_slice(&output.stdout).unwrap();
    let limit = &quote["limits"][0];
    assert_eq!((&limit["posted"], &limit["held"]), (&json!(1), &json!(1)), "{quote}");
    assert_eq!(quote["admitted"], false);
    drop(open);
    stage.nothing_held().await;

    stage.gateway.kill();
    let rows = entries(&stage.gateway).len();
    let output = stage.gateway.run(&verb);
    let quote: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Whether the kill came before the stream's settlement was committed or after: nothing is lost.
    let limit = &quote["limits"][0];
    let taken = limit["posted"].as_i64().unwrap() + limit["held"].as_i64().unwrap();
    assert_eq!((taken, &quote["admitted"]), (2, &json!(false)), "{quote}");
    assert_eq!(entries(&stage.gateway).len(), rows);
    let human =
        stage.gateway.run(&["quote", "--account", "acme", "--model", "up/gpt-4o", &request]);
    let said = String::from_utf8_lossy(&human.stdout).into_owned();
    for word in ["up", "gpt-4o", "2 requests per day", "sent now it would be refused"] {
        assert!(said.contains(word), "no {word}: {said}");
    }
}

#[tokio::test]
async fn a_quote_needs_no_ledger_and_makes_none() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::stopped(&configuration(&upstream, "", RICH));
    let request = file(&gateway, &json!({"messages": [{"role": "user", "content": "hi"}]}));
    let quote = gateway.run_json(&["quote", "--model", "gpt-4o-mini", &request, "--json"]);
    assert_eq!((&quote["admitted"], &quote["limits"]), (&json!(true), &json!([])));
    let mine = ["quote", "--model", "gpt-4o-mini", "--account", "acme", &request, "--json"];
    assert_eq!(gateway.run_json(&mine)["limits"][0]["posted"], "0");
    assert!(!gateway.dir().join("tollgate.db").exists());
    for wrong in [&["quote", &request][..], &["quote", "--model", "nope", &request]] {
        assert_eq!(gateway.run(wrong).status.code(), Some(1), "{wrong:?}");
    }
}

#[tokio::test]
async fn models_and_prices_say_what_can_be_asked_for_and_on_whose_word() {
    let upstream = Upstream::start().await;
    let tables = "[models.fast]\nroute = \"cheapest\"\nmax_output_tokens = 64\ntargets = [\
        { provider = \"up\", model = \"gpt-4o-mini\" }]\n\n[[prices.\"up/dated\"]]\n\
        effective_from = \"2025-01-01\"\ninput = \"3\"\noutput = \"4\"\nsource = \"a contract\"\n\
        tiers = [{ above_input_tokens = 1000, input = \"6\" }]\n";
    let gateway = Gateway::stopped(&configuration(&upstream, "", &format!("{tables}{RICH}")));
    let models = gateway.run_json(&["models", "--json"]);
    let row = |name: &str| {
        let rows = models["rows"].as_array().unwrap();
        rows.iter()
            .find(|row| row["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("no {name}: {models}"))
    };
    let fast = row("fast");
    assert_eq!((&fast["model"], &fast["max_output_tokens"]), (&json!("gpt-4o-mini"), &json!(64)));
    assert_eq!((&fast["encoding"], &fast["counts"]), (&json!("o200k_base"), &json!("exact")));
    assert_eq!(
        (&fast["input_usd_per_million"], &fast["source"]),
        (&json!("1"), &json!("configuration"))
    );
    assert_eq!(row("up/text-embedding-3-small")["encoding"], "cl100k_base");

    let prices = gateway.run_json(&["prices", "up/dated", "--json"]);
    let [base, long] = prices["rows"].as_array().unwrap().as_slice() else { panic!("{prices}") };
    assert_eq!(
        (&base["input_usd_per_million"], &long["input_usd_per_million"]),
        (&json!("3"), &json!("6"))
    );
    assert_eq!(long["above_input_tokens"], 1000);
    assert_eq!(
        (&base["source"], &base["since"]),
        (&json!("a contract"), &json!("2025-01-01T00:00:00Z"))
    );
    assert_eq!(gateway.run(&["prices", "nope"]).status.code(), Some(1));

    let all = gateway.run_json(&["models", "--all", "--provider", "anthropic", "--json"]);
    let rows = all["rows"].as_array().unwrap();
    assert!(rows.len() > 10 && rows.iter().all(|row| row["counts"] == "estimated"), "{all}");
    let csv = ["prices", "gpt-4o-mini", "--all", "--provider", "openai", "--format", "csv"];
    let csv = gateway.run(&csv);
    let csv = String::from_utf8_lossy(&csv.stdout).into_owned();
    // One of the standard tier, and one of priority.
    assert!(csv.contains("genai-prices of") && csv.lines().count() == 3, "{csv}");
}

#[tokio::test]
async fn a_request_of_any_dialect_is_quoted_as_its_own_call_is_counted() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme").and_header("anthropic-version", "2023-06-01");
    let (model, say) = ("gpt-4o-mini", "Say it @@tokens=5@@");
    let google = json!({ "systemInstruction": { "parts": [{ "text": "Be brief." }] },
        "contents": [{ "role": "user", "parts": [{ "text": say }] }],
        "generationConfig": { "maxOutputTokens": 40 } });
    let mut google_quoted = google.clone();
    google_quoted["model"] = json!(model);
    let messages = json!({ "model": model, "system": "Be brief.", "max_tokens": 40,
        "messages": [{ "role": "user", "content": say }] });
    let responses = json!({ "model": model, "instructions": "Be brief.", "input": say,
        "max_output_tokens": 40, "store": false });
    let items = json!({ "model": model, "input": [{ "role": "user", "content": say }],
        "max_output_tokens": 40, "store": false });
    let generate = format!("/v1beta/models/{model}:generateContent");
    for (path, body, asked) in [
        (generate.as_str(), &google, &google_quoted),
        ("/v1/messages", &messages, &messages),
        ("/v1/responses", &responses, &responses),
        ("/v1/responses", &items, &items),
    ] {
        let quote = quoted(&client, asked).await;
        assert_eq!(quote["endpoint"], "chat.completions", "{path}: {quote}");
        assert_eq!(quote["max_output_tokens"], 40, "{path}: {quote}");
        let answer = client.post(path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let counted = stage.row(&answer).await.json["attempts"][0]["counted_input_tokens"].clone();
        assert_eq!(quote["targets"][0]["input_tokens"], counted, "{path}");
    }
    let vectors =
        quoted(&client, &json!({ "model": "text-embedding-3-small", "input": "one" })).await;
    assert_eq!(vectors["endpoint"], "embeddings", "{vectors}");
    let unnamed = client.post(QUOTE, &google).await;
    assert_eq!((unnamed.status, &unnamed.json()["error"]["param"]), (400, &json!("model")));
}
