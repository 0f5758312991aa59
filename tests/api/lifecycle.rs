//! Names that come to their end: what their clients are told, and what becomes of their calls.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::stage::{CHAT, RICH, chat, streamed};

const DEMO: &str = "[providers.d]\nkind = \"demo\"\n";

/// A gateway with an alias `old` of the demo, and the lines of its end.
fn gateway(end: &str) -> Gateway {
    let target = "targets = [{ provider = \"d\", model = \"fast\" }]";
    Gateway::start(&format!("{DEMO}[models.old]\n{target}\n{end}\n{RICH}"))
}

fn of(model: &str, mut body: Value) -> Value {
    body["model"] = json!(model);
    body
}

#[tokio::test]
async fn every_answer_of_a_deprecated_name_says_so_and_what_takes_its_place() {
    let gateway = gateway(
        "deprecated = \"2026-01-01\"\nsunset = \"2999-12-31T23:59:59Z\"\nsuccessor = \"d/fast\"",
    );
    let client = gateway.client("acme");
    for body in [chat("hi"), streamed("hi")] {
        let answer = client.post(CHAT, &of("old", body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("deprecation"), Some("@1767225600"));
        assert_eq!(answer.header("sunset"), Some("Tue, 31 Dec 2999 23:59:59 GMT"));
        let link = "</v1/models/d/fast>; rel=\"successor-version\"";
        assert_eq!(answer.header("link"), Some(link));
    }
    let answer = client.post(CHAT, &of("d/fast", chat("hi"))).await;
    assert_eq!((answer.status, answer.header("deprecation")), (200, None));
}

#[tokio::test]
async fn a_name_whose_end_has_come_is_refused_and_not_listed() {
    let gateway = gateway("sunset = \"2026-01-01\"\nsuccessor = \"d/fast\"");
    let client = gateway.client("acme");
    let answer = client.post(CHAT, &of("old", chat("hi"))).await;
    assert_eq!(answer.status, 410, "{}", answer.text());
    assert_eq!(answer.header("sunset"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "model_sunset");
    assert!(error["message"].as_str().unwrap().ends_with("ask for \"d/fast\""), "{error}");
    let listed = client.get("/v1/models").await.json();
    let names: Vec<_> = listed["data"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
    assert!(names.contains(&&json!("d/fast")) && !names.contains(&&json!("old")), "{names:?}");
    gateway.audit().unwrap();
}

#[tokio::test]
async fn a_limit_begins_at_its_instant_on_the_calls_of_that_name_alone() {
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(8);
    let gateway = gateway(&format!(
        "deprecated = \"2026-01-01\"\n\
         [[models.old.tighten]]\nfrom = \"2026-01-01\"\nlimit = \"100000 requests per day\"\n\
         [[models.old.tighten]]\nfrom = \"{soon}\"\nlimit = \"2 requests per day\""
    ));
    let client = gateway.client("acme");
    let (began, mut answered) = (Instant::now(), 0);
    let refused = loop {
        let answer = client.post(CHAT, &of("old", chat("hi"))).await;
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
        assert!(began.elapsed() < Duration::from_secs(60), "the limit never began");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.header("deprecation"), Some("@1767225600"), "told with a refusal too");
    assert!(jiff::Timestamp::now() >= soon, "it began before its instant, after {answered} calls");
    assert!(answered > 2, "{answered}");
    assert_eq!(client.post(CHAT, &of("d/fast", chat("hi"))).await.status, 200);
    gateway.audit().unwrap();
}
