//! Text completions, embeddings across wires, moderations and rerankings.

use serde_json::{Value, json};
use tollgate_accounting::Class;
use tollgate_providers::unified::VectorFormat;
use tollgate_providers::{
    BadRequest, Bounds, Dialect, EncodeOptions, Encoded, Event, FinishReason, Part, Target, Task,
    gemini_embed_body, provider,
};

const COMPLETIONS: Dialect = Dialect::OpenAiCompletions;
const OPTIONS: EncodeOptions<'static> =
    EncodeOptions { id: "id", model: "m", created: 1, include_usage: true, echo: "" };

fn to(model: &str) -> Target<'_> {
    Target { model, max_output_tokens: Some(9), stream: false }
}

fn completion(kind: &str, model: &str) -> (String, Value, Vec<String>) {
    let body = json!({"model": "m", "prompt": ["Once"], "stop": "\n", "temperature": 0.5,
        "logit_bias": {"1": 2}, "user": "u", "n": 2, "logprobs": null, "echo": false, "best_of": 1});
    let body = body.to_string();
    let req = COMPLETIONS.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
    let Encoded { path, body, dropped, .. } =
        provider(kind).unwrap().encode_chat(&req, &to(model)).unwrap();
    (path, serde_json::from_slice(&body).unwrap(), dropped)
}

#[test]
fn a_text_is_completed_as_such_where_the_model_can_and_in_a_chat_elsewhere() {
    let native = json!({"model": "x-instruct", "prompt": "Once", "max_tokens": 9, "n": 2,
        "stop": ["\n"], "temperature": 0.5, "user": "u"});
    for kind in ["openai", "vllm"] {
        let (path, sent, dropped) = completion(kind, "x-instruct");
        assert_eq!((path.as_str(), &sent), ("/completions", &native), "{kind}");
        assert_eq!(dropped, ["logit_bias"]);
    }
    let (path, sent, _) = completion("openai", "gpt-4o");
    assert_eq!(path, "/chat/completions");
    assert_eq!(sent["messages"], json!([{"role": "user", "content": "Once"}]));
    assert_eq!(sent["max_completion_tokens"], 9);
}

#[test]
fn a_completed_text_is_read_and_written_again() {
    let openai = provider("openai").unwrap();
    let native = json!({"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "m",
        "choices": [{"text": " upon", "index": 0, "logprobs": null, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}});
    let text = native.to_string();
    let reply = openai.decode_reply(text.as_bytes()).unwrap();
    let mut again: Value =
        serde_json::from_slice(&COMPLETIONS.encode_reply(&reply, &OPTIONS)).unwrap();
    let usage = again["usage"].as_object_mut().unwrap();
    usage.retain(|name, _| !name.ends_with("_details"));
    assert_eq!(again, native);

    let stream = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"text\":\" up\",\"index\":0}]}\n\n\
        data: {\"id\":\"c\",\"choices\":[{\"text\":\"on\",\"index\":0}]}\n\n\
        data: {\"id\":\"c\",\"choices\":[{\"text\":\"\",\"index\":0,\"finish_reason\":\"stop\"}]}\n\n\
        data: [DONE]\n\n";
    let read = super::support::read_stream(openai, &[stream.as_bytes()]);
    assert_eq!((read.texts.concat().as_str(), read.ended), (" upon", true));
    assert_eq!(read.finishes, ["0 Stop"]);
}

#[test]
fn a_stream_of_text_has_nothing_but_text() {
    let mut encoder = COMPLETIONS.encoder(&OPTIONS);
    let mut out = Vec::new();
    let delta = |part| Event::Delta { choice: 0, part };
    for event in [
        Event::Start {
            id: Some("c1".into()),
            model: Some("far".into()),
            created: Some(5),
            service_tier: None,
        },
        delta(Part::Reasoning("hm".into())),
        delta(Part::Text("a".into())),
        delta(Part::Refusal("no".into())),
        Event::Finish { choice: 0, reason: FinishReason::Refusal },
        Event::End,
    ] {
        encoder.encode(&event, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let choice = |text: &str, reason: Value| {
        json!({"id": "c1", "object": "text_completion", "created": 5, "model": "far", "usage": null,
            "choices": [{"text": text, "index": 0, "logprobs": null, "finish_reason": reason}]})
    };
    let expected =
        [choice("a", json!(null)), choice("no", json!(null)), choice("", json!("content_filter"))];
    assert_eq!(data.len(), expected.len() + 1);
    for (line, expected) in data.iter().zip(expected) {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap(), expected);
    }
    assert_eq!(data.last(), Some(&"[DONE]"));
}

fn embed(kind: &str, dialect: Dialect, body: &Value) -> Result<(Value, Vec<String>), BadRequest> {
    let bounds = Bounds::default();
    let text = body.to_string();
    let named = match dialect {
        Dialect::OpenAiEmbeddings => text.into_bytes(),
        _ => gemini_embed_body(text.as_bytes(), &bounds, "asked")?,
    };
    let req = dialect.decode_embeddings(&named, &bounds)?;
    let sent = provider(kind).unwrap().encode_embeddings(&req, &to("far"))?;
    Ok((serde_json::from_slice(&sent.body).unwrap(), sent.dropped))
}

#[test]
fn a_request_for_vectors_reaches_each_wire() {
    let openai = json!({"model": "m", "input": ["a", "b"], "dimensions": 8, "user": "u"});
    let content = |text: &str| json!({"parts": [{"text": text}]});
    let (sent, dropped) = embed("gemini", Dialect::OpenAiEmbeddings, &openai).unwrap();
    let one = |text: &str| json!({"model": "models/far", "content": content(text), "outputDimensionality": 8});
    assert_eq!((sent, dropped), (json!({"requests": [one("a"), one("b")]}), vec![]));
    let (sent, dropped) = embed("cohere", Dialect::OpenAiEmbeddings, &openai).unwrap();
    assert_eq!(sent["texts"], json!(["a", "b"]));
    assert_eq!(
        (&sent["input_type"], &sent["output_dimension"]),
        (&json!("search_document"), &json!(8))
    );
    assert_eq!(dropped, ["user"]);

    let google = json!({"content": content("a"), "taskType": "RETRIEVAL_QUERY", "title": "t"});
    let (sent, dropped) = embed("gemini", Dialect::GeminiEmbedContent, &google).unwrap();
    let asked = json!({"model": "models/far", "content": content("a"),
        "taskType": "RETRIEVAL_QUERY", "title": "t"});
    assert_eq!((sent, dropped), (json!({"requests": [asked]}), vec![]));
    let (sent, dropped) = embed("cohere", Dialect::GeminiEmbedContent, &google).unwrap();
    assert_eq!((&sent["input_type"], dropped), (&json!("search_query"), vec!["title".to_owned()]));
    let (sent, dropped) = embed("mistral", Dialect::GeminiEmbedContent, &google).unwrap();
    assert_eq!(sent, json!({"model": "far", "input": ["a"]}));
    assert_eq!(dropped, ["task_type", "title"]);

    let tokens = json!({"model": "m", "input": [1, 2]});
    let mixed = json!({"requests": [{"content": content("a")},
        {"content": content("b"), "outputDimensionality": 4}]});
    let nothing = json!({"requests": []});
    for (kind, dialect, body, param) in [
        ("gemini", Dialect::OpenAiEmbeddings, &tokens, "input"),
        ("cohere", Dialect::OpenAiEmbeddings, &tokens, "input"),
        ("openai", Dialect::GeminiBatchEmbedContents, &mixed, "requests[1]"),
        ("openai", Dialect::GeminiBatchEmbedContents, &nothing, "requests"),
    ] {
        let bad = embed(kind, dialect, body).unwrap_err();
        assert_eq!(bad.param.as_deref(), Some(param), "{bad}");
    }
}

#[test]
fn vectors_are_written_as_each_client_reads_them() {
    let google = r#"{"embeddings":[{"values":[1.0,-2]},{"values":[0.5]}],"usageMetadata":{"promptTokenCount":3}}"#;
    let cohere = r#"{"id":"x","embeddings":{"float":[[1.0,-2],[0.5]]},"meta":{"billed_units":{"input_tokens":3}}}"#;
    let openai = r#"{"data":[{"embedding":[1.0,-2]},{"embedding":[0.5]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    for (kind, body) in [("gemini", google), ("cohere", cohere), ("openai", openai)] {
        let reply = provider(kind).unwrap().decode_embeddings(body.as_bytes()).unwrap();
        assert_eq!(reply.usage.usage.get(Class::Input), Some(3), "{kind}");
        let written = |dialect: Dialect, format| -> Value {
            serde_json::from_slice(&dialect.encode_embeddings(&reply, format, &OPTIONS)).unwrap()
        };
        let plain = written(Dialect::OpenAiEmbeddings, VectorFormat::Float);
        assert_eq!(
            plain["data"][1],
            json!({"object": "embedding", "index": 1, "embedding": [0.5]})
        );
        assert_eq!(plain["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
        let packed = written(Dialect::OpenAiEmbeddings, VectorFormat::Base64);
        assert_eq!(packed["data"][0]["embedding"], "AACAPwAAAMA=");
        let batch = written(Dialect::GeminiBatchEmbedContents, VectorFormat::Float);
        assert_eq!(batch["embeddings"], json!([{"values": [1.0, -2]}, {"values": [0.5]}]));
        let one = written(Dialect::GeminiEmbedContent, VectorFormat::Float);
        assert_eq!(one["embedding"], json!({"values": [1.0, -2]}));
    }
    for kind in ["gemini", "cohere"] {
        for bad in ["{}", "[", r#"{"error":{"message":"no"}}"#] {
            assert!(
                provider(kind).unwrap().decode_embeddings(bad.as_bytes()).is_err(),
                "{kind} {bad}"
            );
        }
    }
}

#[test]
fn a_task_is_sent_as_it_came_and_read_for_what_it_used() {
    let body = r#"{ "query":"q", "model":"m", "documents":["a",{"text":"b","id":7}], "top_n":1 }"#;
    let req = Dialect::decode_task(body.as_bytes(), &Bounds::default(), Task::Rank).unwrap();
    assert_eq!((req.texts.len(), req.query.as_deref()), (2, Some("q")));
    let cohere = provider("cohere").unwrap();
    let sent = cohere.encode_task(&req, &to("far")).unwrap();
    assert_eq!(sent.path, "/rerank");
    assert_eq!(String::from_utf8(sent.body).unwrap(), body.replace("\"m\"", "\"far\""));
    for (body, input, searches) in [
        (r#"{"results":[],"usage":{"total_tokens":7}}"#, Some(7), None),
        (r#"{"results":[],"usage":{"prompt_tokens":7,"total_tokens":9}}"#, Some(9), None),
        (r#"{"results":[],"meta":{"billed_units":{"search_units":1.0}}}"#, None, Some(1)),
        (r#"{"results":[]}"#, None, None),
    ] {
        let usage = cohere.decode_task(body.as_bytes()).unwrap().usage;
        assert_eq!((usage.get(Class::Input), usage.get(Class::WebSearch)), (input, searches));
    }
    for bad in ["", "{}", r#"{"error":{"message":"no"}}"#, r#"{"results":[],"usage":7}"#] {
        assert!(cohere.decode_task(bad.as_bytes()).is_err(), "{bad}");
    }
}
