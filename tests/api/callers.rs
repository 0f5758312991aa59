//! Who may call, and what of a caller never travels on.

use serde_json::json;

use crate::harness::client::Client;
use crate::harness::gateway::{ADMIN_KEY, PROVIDER_KEY};
use crate::harness::stage::{CHAT, RICH, Stage, chat};

const DATA_PATHS: [(&str, &str); 6] = [
    ("POST", CHAT),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/gpt-4o-mini"),
    ("GET", "/v1/usage/some-id"),
    ("GET", "/v1/organization/costs?start_time=0"),
];

#[tokio::test]
async fn every_bad_key_gets_the_same_answer_on_every_path() {
    let stage = Stage::new(&format!("[gateway]\nunauthenticated = []\n\n{RICH}")).await;
    let key = stage.gateway.key("acme");
    let changed = |at: usize| {
        let other = if key.as_bytes()[at] == b'x' { "y" } else { "x" };
        format!("{}{other}{}", &key[..at], &key[at + 1..])
    };
    let end = key.len() - 1;
    let (first, middle, last) = (changed(0), changed(end / 2), changed(end));
    let (short, long, huge) = (&key[..end], format!("{key}0"), "k".repeat(20_000));
    let keys = ["", "sk-x", "Bearer", &first, &middle, &last, short, &long, "sk-\u{e9}", &huge];
    for (method, path) in DATA_PATHS {
        let without = Client::new(&stage.gateway.data);
        let body = chat("hi").to_string();
        let body = if method == "POST" { body.as_bytes() } else { b"" };
        let expected = without.send(method, path, body).await.unwrap();
        assert_eq!(expected.status, 401, "{method} {path}");
        assert_eq!(expected.json()["error"]["code"], "invalid_api_key");
        for key in keys {
            let client = Client::with_key(&stage.gateway.data, key);
            let answer = client.send(method, path, body).await.unwrap();
            assert!(matches!(answer.status, 401 | 431), "{path} {key}: {}", answer.status);
            if answer.status == 401 {
                assert_eq!(answer.json(), expected.json(), "{path} {key}");
            }
        }
    }
    assert_eq!(stage.upstream.count(), 0);
}

#[tokio::test]
async fn a_key_comes_in_each_dialects_header() {
    let stage = Stage::new(RICH).await;
    let key = stage.gateway.key("acme");
    let plain = Client::new(&stage.gateway.data);
    for (name, value) in [
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer {key}")),
        ("x-api-key", key.clone()),
        ("x-goog-api-key", key.clone()),
    ] {
        let answer = plain.and_header(name, &value).get("/v1/models").await;
        assert_eq!(answer.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_revoked_key_stops_working_within_a_second() {
    let stage = Stage::new(RICH).await;
    let made = stage.gateway.run_json(&["key", "create", "--account", "acme", "--json"]);
    let client = Client::with_key(&stage.gateway.data, made["key"].as_str().unwrap());
    assert_eq!(client.get("/v1/models").await.status, 200);
    let revoked = stage.gateway.run(&["key", "revoke", made["id"].as_str().unwrap()]);
    assert!(revoked.status.success());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(client.get("/v1/models").await.status, 401);
}

#[tokio::test]
async fn the_planes_do_not_take_each_others_paths_or_keys() {
    let stage = Stage::new(RICH).await;
    let tenant = stage.gateway.client("acme");
    for path in ["/admin/accounts", "/admin/keys", "/metrics", "/admin/requests/x"] {
        assert_eq!(tenant.get(path).await.status, 404, "{path} on the data plane");
        let key = stage.gateway.key("acme");
        let tenant_at_admin = Client::with_key(&stage.gateway.admin, &key);
        assert_eq!(tenant_at_admin.get(path).await.status, 401, "{path} with a tenant's key");
        let nobody = Client::new(&stage.gateway.admin);
        assert_eq!(nobody.get(path).await.status, 401, "{path} with no key");
    }
    let admin_at_data = Client::with_key(&stage.gateway.data, ADMIN_KEY);
    assert_eq!(admin_at_data.get("/v1/models").await.status, 401);
}

#[tokio::test]
async fn what_identifies_the_caller_is_never_forwarded() {
    let stage = Stage::new(RICH).await;
    let key = stage.gateway.key("acme");
    let client = Client::with_key(&stage.gateway.data, &key)
        .and_header("x-forwarded-for", "203.0.113.9")
        .and_header("x-forwarded-proto", "https")
        .and_header("forwarded", "for=203.0.113.9")
        .and_header("x-api-key", &key)
        .and_header("cookie", "session=abc")
        .and_header("openai-organization", "org-caller")
        .and_header("openai-project", "proj-caller")
        .and_header("x-stainless-lang", "python")
        .and_header("x-tollgate-tags", "team=blue")
        .and_header("te", "trailers")
        .and_header("upgrade", "websocket")
        .and_header("proxy-authorization", "Basic abc")
        .and_header("keep-alive", "timeout=5")
        .and_header("x-secret-hop", "1")
        .and_header("connection", "x-secret-hop");
    let answer = client.post(CHAT, &chat("hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let truth = stage.upstream.last();
    assert_eq!(truth.header("authorization"), Some(format!("Bearer {PROVIDER_KEY}").as_str()));
    for name in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "forwarded",
        "x-api-key",
        "cookie",
        "openai-organization",
        "openai-project",
        "x-stainless-lang",
        "x-tollgate-tags",
        "te",
        "upgrade",
        "proxy-authorization",
        "keep-alive",
        "x-secret-hop",
    ] {
        assert_eq!(truth.header(name), None, "{name} was forwarded");
    }
    let all = format!("{:?}", truth.headers);
    assert!(!all.contains(&key), "the tenant's key travelled on");
}

#[tokio::test]
async fn no_answer_to_a_caller_may_be_stored() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let answers = [
        client.post(CHAT, &chat("hi")).await,
        client.post(CHAT, &json!({"model": "nothing", "messages": []})).await,
        client.get("/v1/models").await,
        client.get("/v1/models/gpt-4o-mini").await,
        client.get("/v1/usage/none").await,
        client.get("/v1/budgets").await,
        stage.gateway.admin_get("/admin/accounts").await,
    ];
    for answer in answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", answer.text());
    }
}

#[tokio::test]
async fn no_secret_appears_in_an_answer_or_the_log() {
    let stage = Stage::new(RICH).await;
    let key = stage.gateway.key("acme");
    let client = Client::with_key(&stage.gateway.data, &key);
    let echo = format!("{{\"error\":{{\"message\":\"bad key {PROVIDER_KEY}\",\"type\":\"x\"}}}}");
    stage.upstream.push("gpt-4o-mini", crate::harness::upstream::script::Reply::whole(401, &echo));
    let answers = [
        client.post(CHAT, &chat("hi")).await,
        stage.gateway.admin_get("/admin/keys").await,
        stage.gateway.admin_get("/admin/accounts").await,
        stage.gateway.admin_get("/metrics").await,
    ];
    let mut texts: Vec<String> =
        answers.iter().map(|answer| format!("{:?} {}", answer.headers, answer.text())).collect();
    texts.push(stage.gateway.log());
    let ledger = std::fs::read(stage.gateway.dir().join("tollgate.db")).unwrap();
    texts.push(String::from_utf8_lossy(&ledger).into_owned());
    for text in texts {
        for secret in [key.as_str(), ADMIN_KEY, PROVIDER_KEY] {
            assert!(!text.contains(secret), "{secret} in {text:.2000}");
        }
    }
}
