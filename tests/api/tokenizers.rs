//! Models that are counted with a tokenizer file the operator names.

use std::fs;
use std::path::Path;

use serde_json::json;
use tollgate_tokenizer::Encoding;

use crate::harness::gateway::Gateway;
use crate::harness::stage::{CHAT, EMBEDDINGS, RICH, configuration, row_of, streamed};
use crate::harness::upstream::Upstream;

const FILE: &str = "tokenizer/tests/data/hub/qwen2.json";

/// The providers' models, of which those that begin with `local-` have a vocabulary of their own.
fn tables(upstream: &Upstream, file: &str) -> String {
    let own = format!(
        "[providers.box]\nkind = \"compatible\"\nbase_url = \"{}/v1\"\napi_key = \"env:UP_KEY\"\n\
         models = [\"local-1\", \"other\"]\n[prices.\"box/local-1\"]\ninput = \"1.00\"\noutput = \"2.00\"\n\
         [prices.\"box/other\"]\ninput = \"1.00\"\noutput = \"2.00\"\n\
         [tokenizers]\n\"box/local-*\" = \"{file}\"\n[models.mine]\n\
         targets = [{{ provider = \"box\", model = \"local-1\" }}]\n{RICH}",
        upstream.url
    );
    configuration(upstream, "", &own)
}

fn own_copy(gateway: &Gateway) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    fs::copy(from, gateway.dir().join("own.json")).unwrap();
}

#[tokio::test]
async fn a_models_own_tokenizer_counts_its_replies_and_inputs_exactly() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::stopped(&tables(&upstream, "own.json"));
    own_copy(&gateway);
    gateway.up();
    let own = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)).unwrap();
    let own = Encoding::load("in the test", &own).unwrap();
    let client = gateway.client("acme");

    // A reply whose provider reports nothing.
    let mut body = streamed("@@tokens=40 usage=missing@@");
    body["model"] = json!("mine");
    let reply = client.post(CHAT, &body).await;
    let row = row_of(&gateway, reply.header("x-request-id").unwrap()).await;
    let expected = own.count(&reply.content());
    assert_eq!((row.output, row.provenance.as_str()), (expected, "tokenized"), "{row:?}");

    // What is said to be an estimate stays one for a model without a file.
    body["model"] = json!("box/other");
    let reply = client.post(CHAT, &body).await;
    let row = row_of(&gateway, reply.header("x-request-id").unwrap()).await;
    assert_eq!(row.provenance, "estimated", "{row:?}");

    let text = "One thing; un été à 北京, 12345 < 6.";
    let quote = json!({"model": "mine", "input": text});
    let path = gateway.dir().join("request.json");
    fs::write(&path, quote.to_string()).unwrap();
    let quoted = gateway.run_json(&["quote", path.to_str().unwrap(), "--json"]);
    let target = &quoted["targets"][0];
    assert_eq!(target["input_tokens"], own.count(text), "{quoted}");
    assert_ne!(own.count(text), Encoding::O200kBase.count(text));
    assert_eq!(target["input_provenance"], "tokenized", "{quoted}");
    let _ = client.post(EMBEDDINGS, &quote).await;
    gateway.audit().unwrap();
}

#[tokio::test]
async fn the_command_line_counts_with_it_and_shows_it() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::stopped(&tables(&upstream, "own.json"));
    own_copy(&gateway);
    let text = "One thing; un été à 北京, 12345 < 6.";
    let (own, path) = (gateway.dir().join("own.json"), gateway.dir().join("text"));
    fs::write(&path, text).unwrap();
    let expected = Encoding::load("the same", &fs::read(&own).unwrap()).unwrap().count(text);
    let (own, path) = (own.to_str().unwrap(), path.to_str().unwrap());
    for asked in [
        &["count", "--model", "box/local-1", path][..],
        &["count", "--model", "mine", path],
        &["count", "--model", "anything", "--tokenizer", own, path],
    ] {
        let counted = gateway.run_json(&[asked, &["--json"]].concat());
        assert_eq!(counted["tokens"], expected, "{counted}");
        assert_eq!(counted["provenance"], "tokenized", "{counted}");
    }
    let shown = gateway.run_json(&["models", "--json"]);
    let rows = shown["rows"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap().clone();
    assert!(row("mine")["encoding"].as_str().unwrap().ends_with("own.json"), "{shown}");
    assert_eq!(row("mine")["counts"], "exact");
    assert_eq!(row("box/other")["counts"], "estimated");
}

#[tokio::test]
async fn a_tokenizer_that_cannot_be_used_is_found_when_the_file_is_checked() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::stopped(&tables(&upstream, "nowhere.json"));
    fs::write(gateway.dir().join("broken.json"), "{\"model\":{\"type\":\"Unigram\"}}").unwrap();
    for (lines, word) in [
        ("\"box/local-*\" = \"nowhere.json\"", "cannot be read"),
        ("\"box/local-*\" = \"broken.json\"", "Unigram"),
        ("\"box/local-*\" = 7", "must be a string"),
        ("\"bax/local-*\" = \"broken.json\"", "did you mean `box`?"),
        ("\"local-1\" = \"broken.json\"", "provider/model"),
    ] {
        let good = tables(&upstream, "nowhere.json");
        gateway.configure(&good.replace("\"box/local-*\" = \"nowhere.json\"", lines));
        let check = gateway.run(&["check", "--json"]);
        assert_eq!(check.status.code(), Some(1), "{lines}");
        let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
        let problems = report["problems"].as_array().unwrap();
        let found = problems.iter().find(|problem| problem.to_string().contains(word));
        let found = found.unwrap_or_else(|| panic!("no {word}: {report}"));
        assert!(found["line"].as_u64().unwrap() > 20, "{found}");
        assert!(found["path"].as_str().unwrap().starts_with("tokenizers"), "{found}");
    }
}
