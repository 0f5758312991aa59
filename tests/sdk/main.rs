//! Unmodified SDKs against the gateway: one set of Python files, once with the demo provider behind
//! it and once with the scripted one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where by panicking")]
#![expect(clippy::panic, reason = "a test that cannot go on says why by panicking")]

#[path = "../harness/mod.rs"]
#[expect(dead_code, reason = "each kind of test uses its part of the harness")]
mod harness;

use std::path::Path;
use std::process::Command;

use harness::gateway::Gateway;
use harness::upstream::Upstream;
use serde_json::{Value, json};

/// One account a purpose: each file of tests spends its own.
const ACCOUNTS: &str = r#"
[accounts.main]
limits = ["$1000 per month"]

[accounts.second]
limits = ["$1000 per month"]

[accounts.third]
limits = ["$1000 per month"]

[accounts.poor]
limits = ["2 requests per day"]

[accounts.brisk]
limits = ["2 requests per second"]

[accounts.bound]
limits = ["$1000 per month"]
models = ["ALLOWED"]

[accounts.slow]
limits = ["3 requests per minute"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_sdk_works_with_the_scripted_provider() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&format!(
        r#"
[providers.up]
kind = "compatible"
base_url = "{}/v1"
api_key = "env:UP_KEY"
models = ["gpt-4o-mini", "text-embedding-3-small"]

[prices."up/gpt-4o-mini"]
input = "1.00"
output = "2.00"
cache_read = "0.10"

[prices."up/text-embedding-3-small"]
input = "0.02"
{}"#,
        upstream.url,
        ACCOUNTS.replace("ALLOWED", "text-embedding-3-small"),
    ));
    let mut asks = json!({
        "chat": ["gpt-4o-mini", "@@tokens=12 reasoning=3@@"],
        "long": ["gpt-4o-mini", "@@tokens=40@@"],
        "embed": ["text-embedding-3-small", ""],
        "refusal": ["gpt-4o-mini", "@@refuse@@"],
        "truncated": ["gpt-4o-mini", "@@tokens=20 finish=no done=no usage=missing@@"],
        "error-inside": ["gpt-4o-mini", "@@tokens=20 error-after=5@@"],
    });
    for status in [400, 404, 409, 422, 429, 500, 503] {
        asks[format!("status-{status}")] = json!(["gpt-4o-mini", format!("@@status={status}@@")]);
    }
    run_python(&gateway, &asks).await;
    assert!(upstream.count() > 0);
    gateway.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_sdk_works_with_the_demo_provider() {
    let accounts = ACCOUNTS.replace("ALLOWED", "demo/embed");
    let gateway =
        Gateway::start(&format!("[providers.demo]\nkind = \"demo\"\nmax_retries = 0\n{accounts}"));
    let asks = json!({
        "chat": ["demo/fast", ""],
        "long": ["demo/fast", "Use 300 words."],
        "embed": ["demo/embed", ""],
        "truncated": ["demo/cut", ""],
        "error-inside": ["demo/error", ""],
        "status-429": ["demo/429", ""],
    });
    run_python(&gateway, &asks).await;
    gateway.audit().unwrap();
}

/// Runs every Python file; fails with pytest's own words.
async fn run_python(gateway: &Gateway, asks: &Value) {
    let accounts = ["main", "second", "third", "poor", "brisk", "slow", "bound"];
    let keys: Value =
        accounts.iter().map(|name| ((*name).to_owned(), json!(gateway.key(name)))).collect();
    let target = json!({"base_url": format!("{}/v1", gateway.data), "keys": keys, "asks": asks});
    let run = tokio::task::spawn_blocking(move || {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
        let made = Command::new(here.join("venv")).output().unwrap();
        let interpreter = String::from_utf8(made.stdout).unwrap();
        let problem = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "the Python environment: {problem}");
        Command::new(interpreter.trim())
            .args(["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=short"])
            .arg(here.join("python"))
            .env("TOLLGATE_SDK", target.to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("OPENAI_API_KEY")
            .output()
            .unwrap()
    });
    let output = run.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(" passed"), "{text}");
}
