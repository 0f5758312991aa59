use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tollgate_providers::Bounds;

use super::*;

const SCOPE: Scope<'static> = Scope {
    owner: Owner::Account("acme"),
    dialect: Dialect::OpenAiChat,
    prompt: None,
    targets: &[("up", "https://up", "m")],
    require: &[],
    cap: 100,
    headers: &[],
};

fn chat_key(scope: &Scope<'_>, body: &str) -> Fingerprint {
    let request = Dialect::OpenAiChat.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
    fingerprint(scope, Asked::Chat(&request))
}

fn deterministic(body: &Value) -> bool {
    let body = body.to_string();
    let request = Dialect::OpenAiChat.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
    is_deterministic(Asked::Chat(&request))
}

fn full() -> Value {
    json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "name": "u", "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]},
            {"role": "assistant", "content": "c", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "r"}],
        "tools": [{"type": "function", "function": {
            "name": "f", "description": "d", "strict": true,
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}],
        "tool_choice": "required",
        "parallel_tool_calls": false,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "n", "description": "d", "strict": true, "schema": {"type": "object", "maxProperties": 3}}},
        "n": 2,
        "stop": ["x", "y"],
        "temperature": 0,
        "top_p": 0.5,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "seed": 7,
        "logprobs": true,
        "top_logprobs": 3,
        "reasoning_effort": "low",
        "user": "u",
        "service_tier": "flex",
        "metadata": {"k": "v"},
        "logit_bias": {"50256": -100, "1": 2},
        "verbosity": "low",
    })
}

/// The paths of all values that are not containers.
fn leaves(value: &Value, at: String, to: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, format!("{at}/{name}"), to));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| leaves(item, format!("{at}/{i}"), to));
        }
        _ => to.push(at),
    }
}

/// The value changed to another of its kind that is as valid.
fn changed(path: &str, value: &Value) -> Value {
    match value {
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) if number.is_u64() => json!(number.as_u64().unwrap() + 1),
        Value::Number(number) => json!(number.as_f64().unwrap() + 0.25),
        Value::String(text) => match (path.rsplit('/').next().unwrap(), text.as_str()) {
            ("url", _) => json!("data:image/png;base64,AAAA"),
            ("data", _) => json!("AAAA"),
            ("format", _) => json!("mp3"),
            ("detail", _) => json!("high"),
            ("tool_choice", _) => json!("auto"),
            ("reasoning_effort" | "verbosity", _) => json!("high"),
            ("service_tier", _) => json!("default"),
            _ => json!(format!("{text}!")),
        },
        other => panic!("{other}"),
    }
}

#[test]
fn a_change_of_any_value_changes_the_key() {
    let key = chat_key(&SCOPE, &full().to_string());
    let mut paths = Vec::new();
    leaves(&full(), String::new(), &mut paths);
    let mut changes = 0;
    for path in paths {
        // What kind of thing a value is decides how the rest is read; those are told apart elsewhere.
        if path.ends_with("/type") && !path.contains("parameters") && !path.contains("schema/") {
            continue;
        }
        if path.ends_with("/role") || path.ends_with("/tool_call_id") {
            continue;
        }
        let mut body = full();
        let value = body.pointer_mut(&path).unwrap();
        *value = changed(&path, value);
        assert_ne!(chat_key(&SCOPE, &body.to_string()), key, "{path}");
        changes += 1;
    }
    assert!(changes > 30, "{changes}");
    for name in
        full().as_object().unwrap().keys().filter(|n| !["model", "messages"].contains(&&***n))
    {
        let mut body = full();
        body.as_object_mut().unwrap().remove(name);
        assert_ne!(chat_key(&SCOPE, &body.to_string()), key, "without {name}");
    }
}

#[test]
fn a_change_of_any_value_of_a_message_request_changes_the_key() {
    let full = json!({
        "model": "m",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "t"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "r", "is_error": true}]}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object", "maxProperties": 3}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "stop_sequences": ["x", "y"],
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 4,
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "unknown": 5,
    });
    let key = |body: &Value| {
        let body = body.to_string();
        let request =
            Dialect::AnthropicMessages.decode_chat(body.as_bytes(), &Bounds::default()).ok()?;
        let scope = Scope { dialect: Dialect::AnthropicMessages, ..SCOPE };
        Some(fingerprint(&scope, Asked::Chat(&request)))
    };
    let first = key(&full).unwrap();
    let mut paths = Vec::new();
    leaves(&full, String::new(), &mut paths);
    let mut changes = 0;
    // The cap is in the key as the one in force.
    for path in paths.iter().filter(|path| *path != "/max_tokens") {
        let mut body = full.clone();
        let value = body.pointer_mut(path).unwrap();
        *value = changed(path, value);
        // What is no request any more needs no key.
        let Some(other) = key(&body) else { continue };
        assert_ne!(other, first, "{path}");
        changes += 1;
    }
    assert!(changes > 18, "{changes}");
}

#[test]
fn whose_it_is_and_what_the_name_stands_for_are_in_the_key() {
    let body = full().to_string();
    let scopes = [
        SCOPE,
        Scope { owner: Owner::Account("globex"), ..SCOPE },
        Scope { owner: Owner::Group("acme"), ..SCOPE },
        Scope { owner: Owner::Account("acme/search"), ..SCOPE },
        Scope { prompt: Some("p@1"), ..SCOPE },
        Scope { prompt: Some("p@2"), ..SCOPE },
        Scope { targets: &[("up", "https://up", "n")], ..SCOPE },
        Scope { targets: &[("up", "https://elsewhere", "m")], ..SCOPE },
        Scope { targets: &[("up", "https://up", "m"), ("other", "https://o", "m")], ..SCOPE },
        Scope { cap: 101, ..SCOPE },
        Scope { dialect: Dialect::AnthropicMessages, ..SCOPE },
    ];
    let keys: std::collections::HashSet<_> = scopes.iter().map(|s| chat_key(s, &body)).collect();
    assert_eq!(keys.len(), scopes.len());
    let header = [("anthropic-beta", "x".to_owned())];
    assert!(!keys.contains(&chat_key(&Scope { headers: &header, ..SCOPE }, &body)));
    let tags = ["eu".into()];
    assert!(!keys.contains(&chat_key(&Scope { require: &tags, ..SCOPE }, &body)));
}

#[test]
fn members_that_nobody_here_knows_are_in_the_key_wherever_they_stand() {
    let key = chat_key(&SCOPE, &full().to_string());
    let inside = [
        "",
        "/messages/0",
        "/messages/1/content/0",
        "/messages/1/content/1/image_url",
        "/messages/2/tool_calls/0/function",
        "/tools/0",
        "/tools/0/function",
        "/response_format/json_schema",
    ];
    for path in inside {
        let mut body = full();
        body.pointer_mut(path).unwrap()["prefix"] = json!(true);
        assert_ne!(chat_key(&SCOPE, &body.to_string()), key, "{path}");
    }
}

#[test]
fn spelling_does_not_change_the_key() {
    let one = r#"{"model":"m","messages":[{"role":"user","content":"té"}],"temperature":0}"#;
    let other = r#"{ "temperature": 0, "messages": [ {"content": "t\u00e9", "role": "user"} ],
        "model": "m" }"#;
    assert_eq!(chat_key(&SCOPE, one), chat_key(&SCOPE, other));
}

#[test]
fn options_of_a_stream_that_nobody_here_knows_are_in_the_key() {
    let key = chat_key(&SCOPE, &full().to_string());
    let mut body = full();
    body["stream"] = json!(true);
    assert_eq!(chat_key(&SCOPE, &body.to_string()), key);
    // In which form the reply is written does not change what it says.
    body["stream_options"] = json!({"include_usage": true});
    assert_eq!(chat_key(&SCOPE, &body.to_string()), key);
    body["stream_options"] = json!({"include_usage": true, "other": 1});
    assert_ne!(chat_key(&SCOPE, &body.to_string()), key);
}

#[test]
fn what_is_said_by_leaving_it_out_may_be_said() {
    let base =
        json!({"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "t"}]});
    let key = chat_key(&SCOPE, &base.to_string());
    for (name, value) in [
        ("n", json!(1)),
        ("n", Value::Null),
        ("stream", json!(false)),
        ("temperature", json!(0.0)),
        ("logprobs", json!(false)),
        ("tool_choice", json!("auto")),
        ("stop", Value::Null),
        ("seed", Value::Null),
    ] {
        let mut body = base.clone();
        body[name] = value;
        assert_eq!(chat_key(&SCOPE, &body.to_string()), key, "{name}");
    }
}

/// The value as JSON with its members in an order of that seed, and white space.
fn shuffled(value: &Value, seed: u64) -> String {
    match value {
        Value::Object(members) => {
            let members: &Map<String, Value> = members;
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| {
                name.bytes().fold(seed, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                })
            });
            let members: Vec<_> = members
                .into_iter()
                .map(|(name, value)| format!("{} :\n {}", json!(name), shuffled(value, seed)))
                .collect();
            format!("{{ {} }}", members.join(" , "))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shuffled(item, seed)).collect();
            format!("[{}\t]", items.join(" ,"))
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn the_order_of_members_does_not_change_the_key(seed: u64) {
        let key = chat_key(&SCOPE, &full().to_string());
        prop_assert_eq!(chat_key(&SCOPE, &shuffled(&full(), seed)), key);
    }

    #[test]
    fn texts_are_told_apart_wherever_they_are_split(one in "[ab]{0,6}", two in "[ab]{0,6}", cut in 0..7_usize) {
        let say = |parts: &[&str]| {
            let parts: Vec<_> = parts.iter().map(|p| json!({"role": "user", "content": p})).collect();
            chat_key(&SCOPE, &json!({"model": "m", "messages": parts, "seed": 1}).to_string())
        };
        let whole = format!("{one}{two}");
        let (a, b) = whole.split_at(cut.min(whole.len()));
        prop_assert_eq!(say(&[&one, &two]) == say(&[a, b]), one == a && two == b);
    }
}

#[test]
fn only_what_is_fixed_and_in_the_request_is_deterministic() {
    let base = json!({"model": "m", "messages": [{"role": "user", "content": "t"}]});
    let with = |name: &str, value: Value| {
        let mut body = base.clone();
        body["temperature"] = json!(0);
        body[name] = value;
        body
    };
    assert!(!deterministic(&base));
    for (name, value, expected) in [
        ("temperature", json!(0), true),
        ("temperature", json!(-0.0), true),
        ("temperature", json!(0.01), false),
        ("seed", json!(5), true),
        ("web_search_options", json!({}), false),
        ("store", json!(true), false),
        ("tools", json!([{"type": "web_search"}]), false),
        (
            "messages",
            json!([{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]),
            false,
        ),
    ] {
        assert_eq!(deterministic(&with(name, value)), expected, "{name}");
    }
}

#[test]
fn what_a_list_of_googles_has_inside_is_in_the_key() {
    let key = |title: &str| {
        let one = |title: &str| json!({"content": {"parts": [{"text": "t"}]}, "title": title});
        let body = json!({"model": "m", "requests": [one("a"), one(title)]}).to_string();
        let request = Dialect::GeminiBatchEmbedContents
            .decode_embeddings(body.as_bytes(), &Bounds::default())
            .unwrap();
        fingerprint(&SCOPE, Asked::Embeddings(&request))
    };
    assert_ne!(key("b"), key("c"));
}

#[test]
fn embeddings_are_told_apart() {
    let key = |body: Value| {
        let body = body.to_string();
        let request = Dialect::OpenAiEmbeddings
            .decode_embeddings(body.as_bytes(), &Bounds::default())
            .unwrap();
        fingerprint(&SCOPE, Asked::Embeddings(&request))
    };
    let base = json!({"model": "m", "input": "a"});
    assert_eq!(
        key(base.clone()),
        key(json!({"input": ["a"], "model": "m", "encoding_format": "float"}))
    );
    for other in [
        json!({"model": "m", "input": "b"}),
        json!({"model": "n", "input": "a"}),
        json!({"model": "m", "input": ["a", "a"]}),
        json!({"model": "m", "input": [1, 2]}),
        json!({"model": "m", "input": "a", "dimensions": 8}),
        json!({"model": "m", "input": "a", "encoding_format": "base64"}),
        json!({"model": "m", "input": "a", "user": "u"}),
        json!({"model": "m", "input": "a", "input_type": "query"}),
    ] {
        assert_ne!(key(other.clone()), key(base.clone()), "{other}");
    }
}
