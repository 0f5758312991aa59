//! What tenants and operators write is text: no template, no pattern and no size of it means more.

use serde_json::json;

use super::prompts::{SUMMARIZE, Set};
use crate::harness::stage::{CHAT, RICH, chat, row_of};

const ENDLESS: &str = "+++\nmodel = \"gpt-4o-mini\"\n[inputs.many]\ntype = \"array\"\nitems = { type = \"string\" }\n\
    +++\n{% for a in many %}{% for b in many %}{% for c in many %}{{ c }}{% endfor %}{% endfor %}{% endfor %}\n";
const LARGE: &str = "+++\nmodel = \"gpt-4o-mini\"\n[inputs.text]\ntype = \"string\"\n+++\n\
    {% for a in range(60) %}{{ text }}{% endfor %}\n";

#[tokio::test]
async fn a_template_that_needs_too_much_is_refused_and_nothing_is_sent_or_charged() {
    let templates = [("endless", ENDLESS), ("large", LARGE)];
    let set = Set::new(&templates, RICH).await;
    let client = set.gateway.client("acme");
    let many: Vec<String> = (0..200).map(|at| at.to_string()).collect();
    let text = "x".repeat(200_000);
    for (name, inputs) in [("endless", json!({ "many": many })), ("large", json!({ "text": text }))]
    {
        let answer =
            client.post(&format!("/v1/prompts/{name}"), &json!({ "inputs": inputs })).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        assert_eq!(answer.json()["error"]["code"], "template_failed", "{name}");
    }
    assert_eq!(set.upstream.count(), 0);
    let report = set.gateway.run_json(&["report", "--by", "account", "--json"]);
    assert_eq!(report["rows"], json!([]), "{report}");
}

#[tokio::test]
async fn a_template_that_reaches_for_files_or_other_templates_is_never_published() {
    let set = Set::new(&[("summarize", SUMMARIZE)], RICH).await;
    let admin = set.gateway.admin_client();
    for reach in [
        "{% include \"/etc/passwd\" %}",
        "{% import \"summarize\" as s %}",
        "{% extends \"summarize\" %}",
        "{{ self.__init__ }}{{ ''.__class__.__mro__ }}",
        "{{ text.constructor.constructor('return process')() }}",
    ] {
        let source = SUMMARIZE.replace("{{ text }}", reach);
        let body = json!({ "name": "summarize", "source": source });
        let answer = admin.post("/admin/prompts", &body).await;
        if answer.status == 400 {
            continue;
        }
        // What only shows its nature when it is rendered fails there.
        let client = set.gateway.client("acme");
        let version = answer.json()["version"].clone();
        let run = json!({ "inputs": { "text": "x" } });
        let run = client.post(&format!("/v1/prompts/summarize@{version}"), &run).await;
        assert_eq!(run.status, 400, "{reach}: {}", run.text());
    }
    assert_eq!(set.upstream.count(), 0);
}

#[tokio::test]
async fn what_is_searched_for_is_no_pattern_and_may_be_of_any_length() {
    let set = Set::new(&[("summarize", SUMMARIZE)], RICH).await;
    let (client, admin) = (set.gateway.client("acme"), set.gateway.admin_client());
    let answer = client.post(CHAT, &chat("hi")).await;
    row_of(&set.gateway, answer.header("x-request-id").unwrap()).await;
    let long = "a".repeat(10_000);
    for search in
        ["%25%25%25%25_", "ac%25", "acm_", "*", "' OR '1'='1".replace(' ', "%20").as_str(), &long]
    {
        for path in [
            format!("/admin/reports?by=account&account={search}"),
            format!("/admin/reports?by=account&key={search}"),
            format!("/admin/reports?by=account&tag:team={search}"),
        ] {
            let found = admin.get(&path).await;
            assert_eq!(found.status, 200, "{search}: {}", found.text());
            assert_eq!(found.json()["rows"], json!([]), "{search}");
        }
        let used =
            format!("/v1/organization/usage/completions?start_time=0&limit=1&models={search}");
        assert_eq!(client.get(&used).await.status, 200, "{search}");
        for path in [format!("/v1/prompts/{search}"), format!("/v1/usage/{search}")] {
            assert_eq!(client.get(&path).await.status, 404, "{path}");
        }
    }
    let all = admin.get("/admin/reports?by=account&account=acme").await.json();
    assert_eq!(all["rows"][0]["requests"], 1, "{all}");
}
