//! Input that makes no sense: a clear refusal in the dialect's shape, no hold, nothing sent on.

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::stage::{CHAT, EMBEDDINGS, RICH, Stage, chat};

/// Sends each body; each must be refused with one of the statuses and leave nothing behind.
async fn all_refused(path: &str, cases: &[(&str, Vec<u8>)], statuses: &[u16]) {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for (name, body) in cases {
        let answer = client.post_bytes(path, body).await;
        assert!(statuses.contains(&answer.status), "{name}: {} {}", answer.status, answer.text());
        has_the_dialects_shape(name, &answer);
    }
    assert_eq!(stage.upstream.count(), 0, "something was sent on");
    stage.nothing_held().await;
    // And the gateway is as well as before.
    assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
    assert!(!stage.gateway.log().contains("panicked"), "{}", stage.gateway.log());
    stage.gateway.audit().unwrap();
}

fn has_the_dialects_shape(name: &str, answer: &Response) {
    let error = &answer.json()["error"];
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {error}");
    assert!(error["type"].is_string(), "{name}: {error}");
    for field in ["param", "code"] {
        assert!(error.get(field).is_some(), "{name} has no {field}: {error}");
    }
}

/// A chat body with this text in the place of a field's value.
fn with_field(name: &str, text: &str) -> Vec<u8> {
    format!(
        "{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],\
         \"{name}\":{text}}}"
    )
    .into_bytes()
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        with_field("metadata", &format!("{open}{close}"))
    };
    let mut bad_utf8 = chat("hi").to_string().into_bytes();
    let at = bad_utf8.windows(2).position(|window| window == b"hi").unwrap();
    bad_utf8[at] = 0xff;
    let cases = [
        ("empty object", b"{}".to_vec()),
        ("not JSON", b"model=small".to_vec()),
        ("a list", b"[]".to_vec()),
        ("null", b"null".to_vec()),
        ("a string", b"\"gpt-4o-mini\"".to_vec()),
        ("cut off", b"{\"model\":\"gpt-4o-mini\",\"messages\":[".to_vec()),
        ("two documents", [chat("a").to_string(), chat("b").to_string()].concat().into_bytes()),
        ("deeper than 64", deep(100)),
        ("deeper than any stack", deep(200_000)),
        ("not UTF-8", bad_utf8),
        ("NaN", with_field("temperature", "NaN")),
        ("a trailing comma", with_field("temperature", "1,")),
        ("a control character", b"{\"model\":\"sm\x01all\"}".to_vec()),
    ];
    all_refused(CHAT, &cases, &[400]).await;
}

#[tokio::test]
async fn a_field_that_would_be_read_twice_is_refused() {
    let mut cases: Vec<(&str, Vec<u8>)> = Vec::new();
    for (name, first, second) in [
        ("model", "\"gpt-4o-mini\"", "\"gpt-4o\""),
        ("max_tokens", "5", "500000"),
        ("max_completion_tokens", "5", "500000"),
        ("n", "1", "100"),
        ("stream", "false", "true"),
        ("stream", "true", "true"),
    ] {
        let body = format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],{}\"{name}\":{first},\
             \"{name}\":{second}}}",
            if name == "model" { "" } else { "\"model\":\"gpt-4o-mini\"," },
        );
        cases.push((name, body.into_bytes()));
    }
    // The same name behind an escape is the same name.
    cases.push(("an escaped name", with_field("mod\\u0065l", "\"gpt-4o\"")));
    all_refused(CHAT, &cases, &[400]).await;
}

#[tokio::test]
async fn names_are_not_guessed_from_their_case() {
    let body = json!({"Model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]});
    all_refused(CHAT, &[("Model", body.to_string().into_bytes())], &[400]).await;
}

#[tokio::test]
async fn a_count_that_is_no_count_is_refused() {
    let mut cases = Vec::new();
    for name in ["max_tokens", "max_completion_tokens", "n"] {
        for value in ["-1", "0.5", "1e400", "99999999999999999999", "\"5\"", "[5]", "{}", "true"] {
            cases.push((name, with_field(name, value)));
        }
    }
    cases.push(("n of zero", with_field("n", "0")));
    cases.push(("n beyond any sense", with_field("n", "1000000")));
    cases.push(("stream as a word", with_field("stream", "\"yes\"")));
    cases.push(("messages as a word", br#"{"model":"gpt-4o-mini","messages":"hi"}"#.to_vec()));
    cases.push(("no messages", br#"{"model":"gpt-4o-mini"}"#.to_vec()));
    cases.push(("model as a number", br#"{"model":5,"messages":[]}"#.to_vec()));
    all_refused(CHAT, &cases, &[400]).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let upstream = crate::harness::upstream::Upstream::start().await;
    let tables = crate::harness::stage::configuration(&upstream, "", RICH);
    let mut gateway = crate::harness::gateway::Gateway::stopped(&tables);
    gateway.set_server("max_body_bytes = 65536");
    gateway.up();
    let client = gateway.client("acme");
    let answer = client.post(CHAT, &chat(&"x".repeat(70_000))).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    has_the_dialects_shape("over the limit", &answer);
    // A length that is only claimed is enough.
    let key = gateway.key("acme");
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: 9000000000\r\n\r\n{{"
    );
    let mut exchange = client.raw(head.as_bytes()).await.unwrap();
    exchange.until_text("\r\n\r\n").await.unwrap();
    assert_eq!(exchange.so_far().unwrap().status, 413);
    assert_eq!(client.post(CHAT, &chat(&"x ".repeat(20_000))).await.status, 200);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme").and_header("content-encoding", "gzip");
    let answer = client.post_bytes(CHAT, b"\x1f\x8b\x08\x00").await;
    assert_eq!(answer.status, 415, "{}", answer.text());
    assert_eq!(stage.upstream.count(), 0);
}

#[tokio::test]
async fn an_unknown_model_is_named_with_its_nearest() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let mut body = chat("hi");
    body["model"] = json!("gpt-4o-mni");
    let answer = client.post(CHAT, &body).await;
    assert_eq!(answer.status, 404);
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "model_not_found");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("gpt-4o-mni") && message.contains("gpt-4o-mini"), "{message}");
    for odd in ["", "up/", "/gpt-4o-mini", "a b", "<img onerror=x>", &"m".repeat(10_000)] {
        body["model"] = json!(odd);
        let answer = client.post(CHAT, &body).await;
        assert!(matches!(answer.status, 400 | 404), "{odd:.50}: {}", answer.status);
    }
    assert_eq!(stage.upstream.count(), 0);
}

#[tokio::test]
async fn an_unpriced_model_is_refused_by_name_and_never_free() {
    let upstream = crate::harness::upstream::Upstream::start().await;
    let tables = format!(
        "[providers.up]\nkind = \"compatible\"\nbase_url = \"{}/v1\"\napi_key = \"env:UP_KEY\"\n\
         models = [\"mystery-7\"]\n{RICH}",
        upstream.url
    );
    let gateway = crate::harness::gateway::Gateway::start(&tables);
    let mut body = chat("hi");
    body["model"] = json!("mystery-7");
    let answer = gateway.client("acme").post(CHAT, &body).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("mystery-7") && message.contains("price"), "{message}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn embeddings_without_sense_are_refused() {
    let body = |input: Value| {
        json!({"model": "text-embedding-3-small", "input": input}).to_string().into_bytes()
    };
    let cases = [
        ("no input", br#"{"model":"text-embedding-3-small"}"#.to_vec()),
        ("null", body(json!(null))),
        ("a number", body(json!(5))),
        ("an empty list", body(json!([]))),
        ("an object", body(json!({"text": "x"}))),
        ("a negative token", body(json!([-1]))),
        ("half a token", body(json!([1.5]))),
        ("mixed", body(json!(["x", 1]))),
        ("nested too deep", body(json!([[[1]]]))),
    ];
    all_refused(EMBEDDINGS, &cases, &[400]).await;
}

#[tokio::test]
async fn a_path_or_method_that_is_not_there_is_said_so() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for (method, path, status) in [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/../admin/accounts", 404),
        ("GET", "/v1/chat/completions/%2e%2e/x", 404),
        ("DELETE", CHAT, 405),
    ] {
        let answer = client.send(method, path, b"").await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    assert_eq!(stage.upstream.count(), 0);
}

#[tokio::test]
async fn a_request_with_two_lengths_reaches_the_provider_at_most_once() {
    let stage = Stage::new(RICH).await;
    let key = stage.gateway.key("acme");
    let client = stage.gateway.client("acme");
    let body = chat("hi").to_string();
    let inner = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\n"
    );
    let length = body.len();
    let cases = [
        format!("{head}content-length: {length}\r\ncontent-length: 5\r\n\r\n{body}{inner}"),
        format!("{head}content-length: 5, {length}\r\n\r\n{body}{inner}"),
        format!("{head}content-length: +{length}\r\n\r\n{body}"),
        format!("{head}content-length: -1\r\n\r\n{body}"),
        format!("{head}transfer-encoding: gzip\r\n\r\n{body}"),
        format!("{head}transfer-encoding: chunked, identity\r\n\r\n{body}"),
        format!("{head}transfer-encoding : chunked\r\n\r\n{body}"),
        format!("{head}x-a: b\r\n folded: c\r\ncontent-length: {length}\r\n\r\n{body}"),
        format!("{head}\0: c\r\ncontent-length: {length}\r\n\r\n{body}"),
    ];
    for (number, case) in cases.iter().enumerate() {
        let before = stage.upstream.count();
        let mut exchange = client.raw(case.as_bytes()).await.unwrap();
        exchange.until_text("\r\n\r\n").await.unwrap_or(false);
        let status = exchange.so_far().map(|answer| answer.status);
        assert!(matches!(status, None | Some(400..=499 | 501)), "case {number}: {status:?}");
        assert_eq!(stage.upstream.count(), before, "case {number} was sent on");
    }
    let both = format!(
        "{head}transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n{length:x}\r\n{body}\r\n\
         0\r\n\r\n{inner}"
    );
    let mut exchange = client.raw(both.as_bytes()).await.unwrap();
    exchange.until(usize::MAX).await.unwrap();
    assert!(stage.upstream.count() <= 1, "the smuggled request was sent on");
}
