//! Fields that a model refuses are left out, or sent under the name it takes.

use serde_json::{Value, json};
use tollgate_providers::{Bounds, Dialect, Encoded, Target, provider};

const TUNED: &str = r#""temperature":0.5,"top_p":0.9,"presence_penalty":1,"logprobs":true,"logit_bias":{"1":2},"seed":7"#;

fn sent(dialect: Dialect, body: &str, kind: &str, model: &str) -> (Value, Vec<String>) {
    let req = dialect.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
    let to = Target { model, max_output_tokens: None, stream: false };
    let Encoded { body, dropped, .. } = provider(kind).unwrap().encode_chat(&req, &to).unwrap();
    (serde_json::from_slice(&body).unwrap(), dropped)
}

fn chat(more: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}],{TUNED}{more}}}"#)
}

#[test]
fn what_a_model_refuses_is_left_out_and_named() {
    let all = ["temperature", "top_p", "presence_penalty", "logprobs", "logit_bias"];
    let always = ["presence_penalty", "logit_bias"];
    let effort = r#","reasoning_effort":"high""#;
    let none = r#","reasoning_effort":"none""#;
    let cases: [(&str, &str, &str, &[&str]); 10] = [
        ("openai", "gpt-4o", "", &[]),
        ("openai", "o3-mini", "", &all),
        ("openai", "gpt-5-mini", none, &all),
        ("openai", "gpt-5-chat-latest", "", &[]),
        ("openai", "gpt-5.1", "", &always),
        ("openai", "gpt-5.1", effort, &all),
        ("azure", "gpt-5.5", "", &all),
        ("azure", "gpt-5.5", none, &always),
        ("groq", "llama-3.3", "", &["logprobs", "logit_bias"]),
        ("compatible", "o3-mini", "", &[]),
    ];
    for (kind, model, more, expected) in cases {
        let (body, dropped) = sent(Dialect::OpenAiChat, &chat(more), kind, model);
        assert_eq!(dropped, expected, "{kind} {model} {more}");
        assert_eq!(body["seed"], 7);
        for name in all {
            assert_eq!(body.get(name).is_none(), expected.contains(&name), "{model} {name}");
        }
    }
}

#[test]
fn a_cap_goes_by_the_name_that_the_model_takes() {
    let body = r#"{"max_tokens":50,"model":"m","messages":[{"role":"user","content":"a"}]}"#;
    let (reasons, dropped) = sent(Dialect::OpenAiChat, body, "openai", "o3");
    assert_eq!(
        (&reasons["max_completion_tokens"], &reasons["max_tokens"]),
        (&json!(50), &Value::Null)
    );
    assert!(dropped.is_empty());
    let (older, _) = sent(Dialect::OpenAiChat, body, "openai", "gpt-4o");
    assert_eq!(older["max_tokens"], 50);
}

#[test]
fn clients_of_other_dialects_are_held_to_the_same_rules() {
    let body = r#"{"model":"m","max_tokens":9,"temperature":0.5,"messages":[{"role":"user","content":"a"}]}"#;
    let (body_sent, dropped) = sent(Dialect::AnthropicMessages, body, "openai", "o3");
    assert_eq!((dropped, body_sent.get("temperature")), (vec!["temperature".to_owned()], None));
    let (same, dropped) = sent(Dialect::AnthropicMessages, body, "anthropic", "claude-opus-4-7");
    assert_eq!((dropped, same.get("temperature")), (vec!["temperature".to_owned()], None));
}
