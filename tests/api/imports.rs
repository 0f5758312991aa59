//! `tollgate models import`: newer price lists are shown, kept beside the ledger and used from the next
//! reload on; the configuration's own prices go before them, what is built in behind.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::stage::{CHAT, RICH, Stage, nanos};
use crate::harness::upstream::Upstream;

const TABLES: &str = r#"
[providers.oai]
kind = "openai"
base_url = "URL/v1"
api_key = "env:UP_KEY"

[prices."oai/gpt-4o"]
input = "1.00"
output = "1.00"
"#;

/// A price that changes, one that the configuration has, a model that is new, with a second price ahead.
const PRICES: &str = r#"[{"id":"openai","name":"OpenAI","models":[
 {"id":"gpt-4o-mini","match":{"equals":"gpt-4o-mini"},"context_window":128000,
  "prices":{"input_mtok":0.45,"cache_read_mtok":0.075,"output_mtok":0.6}},
 {"id":"gpt-4o","match":{"equals":"gpt-4o"},"prices":{"input_mtok":77,"output_mtok":77}},
 {"id":"brand-new","match":{"equals":"brand-new"},"context_window":1000,"prices":[
  {"prices":{"input_mtok":2,"output_mtok":3}},
  {"constraint":{"start_date":"2999-01-01"},"prices":{"input_mtok":1,"output_mtok":1}}]}]}]"#;

const MODELS: &str = r#"{"openai":{"id":"openai","models":{"newer-still":{"tool_call":true,
 "limit":{"context":5000,"output":100},"modalities":{"input":["text"],"output":["text"]},
 "cost":{"input":2,"output":4}}}}}"#;

async fn stage() -> Stage {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&format!("{}{RICH}", TABLES.replace("URL", &upstream.url)));
    Stage { upstream, gateway }
}

/// Writes a file to import.
fn file(stage: &Stage, name: &str, text: &str) -> String {
    let path = stage.gateway.dir().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn kept(stage: &Stage) -> Option<PathBuf> {
    let files = std::fs::read_dir(stage.gateway.dir()).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    paths.find(|path| path.to_str().unwrap().ends_with(".catalogue.json"))
}

/// `change provider/model what before after since` of each row.
fn told(rows: &Value) -> Vec<String> {
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |row: &Value| {
        let [change, provider, model, what, before, after, since] =
            ["change", "provider", "model", "what", "before", "after", "since"]
                .map(|name| cell(&row[name]));
        format!("{change} {provider}/{model} {what} {before} {after} {since}")
    };
    rows["rows"].as_array().unwrap().iter().map(row).collect()
}

async fn charged(stage: &Stage, model: &str) -> i64 {
    let say = "hello @@tokens=10 prompt=100@@";
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": say }] });
    let answer = stage.gateway.client("acme").post(CHAT, &body).await;
    assert_eq!(answer.status, 200, "{model}: {}", answer.text());
    nanos(&stage.row(&answer).await.charged_usd)
}

#[tokio::test]
async fn imported_prices_are_used_from_the_next_reload_on_behind_those_of_the_configuration() {
    let stage = stage().await;
    let gateway = &stage.gateway;
    let (prices, models) = (file(&stage, "data.json", PRICES), file(&stage, "api.json", MODELS));
    let import = ["models", "import", &*prices, &models, "--date", "2026-12-01", "--json"];
    let dry = gateway.run_json(&[&import[..], &["--dry-run"]].concat());
    assert!(kept(&stage).is_none(), "a dry run writes nothing");
    let rows = told(&dry);
    for row in [
        "price openai/gpt-4o-mini input 0.15 0.45 null",
        "new openai/brand-new input null 2 null",
        "new openai/brand-new context_window null 1000 null",
        "new openai/newer-still output null 4 null",
        "new openai/newer-still max_output_tokens null 100 null",
    ] {
        assert!(rows.iter().any(|found| found == row), "no {row}: {rows:#?}");
    }
    assert!(!rows.iter().any(|row| row.contains("/gpt-4o-mini output")), "{rows:#?}");

    assert_eq!(charged(&stage, "oai/gpt-4o-mini").await, 100 * 150 + 10 * 600);
    assert_eq!(gateway.run_json(&import), dry);
    let text = std::fs::read_to_string(kept(&stage).unwrap()).unwrap();
    assert_eq!(text.matches("Permission is hereby granted").count(), 2, "both notices go along");
    // Not before it is read.
    assert_eq!(charged(&stage, "oai/gpt-4o-mini").await, 100 * 150 + 10 * 600);
    let reload = gateway.admin_client().post("/admin/reload", &json!({})).await;
    assert!(reload.status < 300, "{}", reload.text());
    assert_eq!(charged(&stage, "oai/gpt-4o-mini").await, 100 * 450 + 10 * 600);
    assert_eq!(charged(&stage, "oai/brand-new").await, 100 * 2_000 + 10 * 3_000);
    assert_eq!(charged(&stage, "oai/gpt-4o").await, 110 * 1_000, "the configuration's own");
    // What no import knows is as it was built in.
    assert_eq!(charged(&stage, "oai/gpt-4.1-nano").await, 100 * 100 + 10 * 400);

    let again = gateway.run_json(&import);
    assert!(told(&again).is_empty(), "{again}");
    gateway.audit().unwrap();
}

#[tokio::test]
async fn a_price_of_either_source_that_is_imported_goes_before_what_is_built_in() {
    let stage = stage().await;
    let gateway = &stage.gateway;
    let models = MODELS.replace("newer-still", "gpt-4o-mini");
    let models = file(&stage, "api.json", &models);
    let rows = told(&gateway.run_json(&["models", "import", &models, "--json"]));
    let price = |row: &String| row.starts_with("price openai/gpt-4o-mini input 0.15 2 ");
    assert!(rows.iter().any(price), "{rows:#?}");
    let reload = gateway.admin_client().post("/admin/reload", &json!({})).await;
    assert!(reload.status < 300, "{}", reload.text());
    assert_eq!(charged(&stage, "oai/gpt-4o-mini").await, 100 * 2_000 + 10 * 4_000);
    // One that is older than what is built in is no news.
    let old = ["models", "import", &*models, "--date", "2025-01-01", "--json"];
    assert!(
        told(&gateway.run_json(&old)).iter().any(|row| row.contains("gpt-4o-mini input 2 0.15"))
    );
    let reload = gateway.admin_client().post("/admin/reload", &json!({})).await;
    assert!(reload.status < 300, "{}", reload.text());
    assert_eq!(charged(&stage, "oai/gpt-4o-mini").await, 100 * 150 + 10 * 600);
    gateway.audit().unwrap();
}

#[tokio::test]
async fn what_is_no_price_list_is_not_imported_and_a_damaged_import_is_an_error_of_the_configuration()
 {
    let stage = stage().await;
    for (name, text) in [
        ("text.json", "prices"),
        ("list.json", "[{\"id\":\"x\"}]"),
        ("price.json", &*PRICES.replace("0.45", "\"much\"")),
        ("models.json", "{\"openai\":{}}"),
    ] {
        let path = file(&stage, name, text);
        let refused = stage.gateway.run(&["models", "import", &path]);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        assert!(kept(&stage).is_none(), "{name}");
    }
    let prices = file(&stage, "data.json", PRICES);
    assert_eq!(stage.gateway.run(&["models", "import", &prices]).status.code(), Some(0));
    std::fs::write(kept(&stage).unwrap(), "{\"genai_prices\":").unwrap();
    let check = stage.gateway.run(&["check", "--json"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{said}");
    assert!(said.contains(".catalogue.json"), "{said}");
}
