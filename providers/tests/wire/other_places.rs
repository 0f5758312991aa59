//! Claude on Vertex, and embeddings where each cloud has words of its own for them.

use serde_json::{Value, json};
use tollgate_accounting::Class;
use tollgate_providers::unified::{Capability, VectorFormat};
use tollgate_providers::{BadRequest, Bounds, Dialect, EncodeOptions, Encoded, Target, provider};

fn to(model: &str, stream: bool) -> Target<'_> {
    Target { model, max_output_tokens: None, stream }
}

fn body_of(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.body).unwrap()
}

#[test]
fn claude_on_vertex_has_its_model_in_the_path_and_its_version_in_the_body() {
    let vertex = provider("vertex_anthropic").unwrap();
    let model = "claude-sonnet-4-5@20250929";
    let own = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}],
        "temperature": 0.5, "anthropic_version": "x"});
    let chat =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]});
    for (dialect, body) in [(Dialect::AnthropicMessages, own), (Dialect::OpenAiChat, chat)] {
        for (stream, verb) in [(false, "rawPredict"), (true, "streamRawPredict")] {
            let body = body.to_string();
            let req = dialect.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
            let encoded = vertex.encode_chat(&req, &to(model, stream)).unwrap();
            let place = "/publishers/anthropic/models/claude-sonnet-4-5%4020250929";
            assert_eq!(encoded.path, format!("{place}:{verb}"));
            assert!(encoded.headers.iter().all(|(name, _)| *name != "anthropic-version"));
            let sent = body_of(&encoded);
            assert_eq!(sent["anthropic_version"], "vertex-2023-10-16");
            assert_eq!((sent.get("model"), &sent["max_tokens"]), (None, &json!(9)));
            assert_eq!(sent["stream"] == true, stream, "{sent}");
        }
    }
    let refused = r#"{"model":"m","max_tokens":9,"temperature":1,"messages":[{"role":"user","content":"a"}]}"#;
    let req =
        Dialect::AnthropicMessages.decode_chat(refused.as_bytes(), &Bounds::default()).unwrap();
    let encoded = vertex.encode_chat(&req, &to("claude-opus-4-7@default", false)).unwrap();
    assert_eq!(encoded.dropped, ["temperature"]);
}

fn embed(kind: &str, model: &str, body: &Value) -> Result<Encoded, BadRequest> {
    let body = body.to_string();
    let req =
        Dialect::OpenAiEmbeddings.decode_embeddings(body.as_bytes(), &Bounds::default()).unwrap();
    let far = provider(kind).unwrap();
    assert!(far.can(Capability::Embeddings));
    assert_ne!(far.embeddings_dialect(), Dialect::OpenAiEmbeddings);
    far.encode_embeddings(&req, &to(model, false))
}

/// What a client of OpenAI's reads of a reply: its vectors and its count of the input.
fn read(kind: &str, reply: &Value) -> (Vec<Value>, Option<u64>) {
    let reply = reply.to_string();
    let decoded = provider(kind).unwrap().decode_embeddings(reply.as_bytes()).unwrap();
    let options = EncodeOptions { id: "id", model: "m", created: 1, include_usage: true, echo: "" };
    let written =
        Dialect::OpenAiEmbeddings.encode_embeddings(&decoded, VectorFormat::Float, &options);
    let written: Value = serde_json::from_slice(&written).unwrap();
    let data = written["data"].as_array().unwrap();
    let vectors = data.iter().map(|one| one["embedding"].clone()).collect();
    (vectors, decoded.usage.usage.get(Class::Input))
}

#[test]
fn vertex_embeds_an_instance_a_text_and_its_counts_are_added() {
    let body = json!({"model": "m", "input": ["a", "b"], "dimensions": 2, "task_type": "CLUSTERING", "user": "u"});
    let encoded = embed("vertex", "text-embedding-005", &body).unwrap();
    assert_eq!(encoded.path, "/publishers/google/models/text-embedding-005:predict");
    assert_eq!(
        body_of(&encoded),
        json!({"instances": [{"content": "a", "task_type": "CLUSTERING"},
            {"content": "b", "task_type": "CLUSTERING"}], "parameters": {"outputDimensionality": 2}})
    );
    let one = |values: Value, count: u64| json!({"embeddings": {"values": values, "statistics": {"truncated": false, "token_count": count}}});
    let reply = json!({"predictions": [one(json!([0.5, 1]), 3), one(json!([0.25, 2]), 4)]});
    assert_eq!(read("vertex", &reply), (vec![json!([0.5, 1]), json!([0.25, 2])], Some(7)));
    let silent = json!({"predictions": [{"embeddings": {"values": [1]}}]});
    assert_eq!(read("vertex", &silent), (vec![json!([1])], None));
    assert!(provider("vertex").unwrap().decode_embeddings(b"{}").is_err());
}

#[test]
fn bedrock_embeds_in_the_words_of_the_models_maker() {
    let one = json!({"model": "m", "input": "a", "dimensions": 256});
    let titan = embed("bedrock", "amazon.titan-embed-text-v2:0", &one).unwrap();
    assert_eq!(titan.path, "/model/amazon.titan-embed-text-v2%3A0/invoke");
    assert_eq!(body_of(&titan), json!({"inputText": "a", "dimensions": 256}));
    let many =
        json!({"model": "m", "input": ["a", "b"], "input_type": "search_query", "user": "u"});
    let bad = embed("bedrock", "amazon.titan-embed-text-v2:0", &many).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("input"));
    let cohere = embed("bedrock", "us.cohere.embed-v4:0", &many).unwrap();
    assert_eq!(
        body_of(&cohere),
        json!({"texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"]})
    );
    assert_eq!(cohere.dropped, ["user"]);
    let bad = embed("bedrock", "amazon.nova-embed", &one).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("model"));

    let titan = json!({"embedding": [0.5, 1], "inputTextTokenCount": 5});
    assert_eq!(read("bedrock", &titan), (vec![json!([0.5, 1])], Some(5)));
    let cohere = json!({"id": "i", "response_type": "embeddings_by_type", "embeddings": {"float": [[1], [2]]}});
    assert_eq!(read("bedrock", &cohere), (vec![json!([1]), json!([2])], None));
    assert!(provider("bedrock").unwrap().decode_embeddings(b"{\"message\":\"no\"}").is_err());
}
