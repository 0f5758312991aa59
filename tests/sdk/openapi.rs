//! The OpenAPI document of a tenant's prompts is a promise: a tool that tries to break it finds nothing,
//! and a client that another generates from it makes typed calls.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::{env_count, fresh_dir};
use crate::suite::{environments, here};

const TABLES: &str = r#"
[providers.demo]
kind = "demo"

[models.chat]
targets = [{ provider = "demo", model = "fast" }]

[accounts.main]
limits = ["$1000 per month"]

[prompts]
dir = "prompts"
"#;

/// A gateway with the prompts that come with it.
fn gateway() -> Gateway {
    let mut gateway = Gateway::stopped(TABLES);
    let folder = gateway.dir().join("prompts");
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts")).unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, folder.join(from.file_name().unwrap())).unwrap();
    }
    gateway.up();
    gateway
}

/// Writes the document of the key's tenant to `openapi.json`.
fn document(gateway: &Gateway, key: &str, dir: &Path) {
    let client = Client::with_key(&gateway.data, key);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(client.get("/v1/openapi.json"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    std::fs::write(dir.join("openapi.json"), answer.body).unwrap();
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(environments().join("openapi/bin").join(name));
    command.env("NO_COLOR", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn check(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// TOLLGATE_SCHEMA_EXAMPLES is how many requests are made up for each operation.
#[test]
fn no_request_makes_the_gateway_fail_or_answer_what_its_document_does_not_say() {
    let gateway = gateway();
    let dir = fresh_dir("schemathesis");
    // A credential of the document's own scheme, so that calls without one are tried as well.
    std::fs::write(
        dir.join("schemathesis.toml"),
        "[auth.openapi.key]\nbearer = \"${TOLLGATE_KEY}\"\n",
    )
    .unwrap();
    let key = gateway.key("main");
    document(&gateway, &key, &dir);
    let examples = env_count("TOLLGATE_SCHEMA_EXAMPLES", 40).to_string();
    let output = tool("schemathesis")
        .args(["run", "openapi.json", "--url", &gateway.data])
        .args(["--max-examples", &examples, "--seed", "1", "--generation-database", "none"])
        .env("TOLLGATE_KEY", &key)
        .current_dir(&dir)
        .output()
        .unwrap();
    let text = check(&output);
    // Three prompts, each described and run, and the list of them.
    assert!(text.contains("Tested: 7"), "{text}");
    gateway.audit().unwrap();
}

#[test]
fn a_client_generated_from_the_document_makes_typed_calls() {
    let gateway = gateway();
    let dir = fresh_dir("client");
    let key = gateway.key("main");
    document(&gateway, &key, &dir);
    let generated = tool("openapi-python-client")
        .args(["generate", "--path", "openapi.json", "--meta", "none"])
        .args(["--output-path", "tollgate_prompts"])
        .current_dir(&dir)
        .output()
        .unwrap();
    check(&generated);
    let called = tool("python")
        .arg(here().join("python/generated/call.py"))
        .env("PYTHONPATH", &dir)
        .env("TOLLGATE_KEY", &key)
        .env("TOLLGATE_URL", &gateway.data)
        .output()
        .unwrap();
    check(&called);
    gateway.audit().unwrap();
    let report = gateway.run_json(&["report", "--by", "prompt", "--json"]);
    assert_eq!(report["rows"].as_array().unwrap().len(), 2, "cost by version: {report}");
}
