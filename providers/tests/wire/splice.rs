//! A request of the provider's own dialect is changed where it must be and nowhere else.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tollgate_providers::{Bounds, Dialect, Encoded, Target, provider};

fn encode(kind: &str, body: &str, to: Target<'_>) -> Encoded {
    let req = Dialect::OpenAiChat.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
    provider(kind).unwrap().encode_chat(&req, &to).unwrap()
}

fn sent(body: &str, model: &str, cap: Option<u64>, stream: bool) -> String {
    let to = Target { model, max_output_tokens: cap, stream };
    String::from_utf8(encode("openai", body, to).body).unwrap()
}

const M: &str = r#""messages":[{"role":"user","content":"x","odd":1e5}]"#;

#[test]
fn only_what_must_be_is_replaced() {
    let usage = r#""stream_options":{"include_usage":true},"#;
    let cases = [
        (
            format!(r#" {{ "model" : "a" , {M} , "x":[1 , 2] }} "#),
            None,
            false,
            format!(r#" {{ "model" : "b" , {M} , "x":[1 , 2] }} "#),
        ),
        (
            format!(r#"{{{M},"model":"a","max_tokens":9}}"#),
            Some(5),
            false,
            format!(r#"{{{M},"model":"b","max_tokens":5}}"#),
        ),
        (
            format!(r#"{{{M},"model":"a","max_completion_tokens":9}}"#),
            Some(9),
            false,
            format!(r#"{{{M},"model":"b","max_completion_tokens":9}}"#),
        ),
        (
            format!(r#"{{{M},"model":"a"}}"#),
            Some(5),
            false,
            format!(r#"{{"max_completion_tokens":5,{M},"model":"b"}}"#),
        ),
        (
            format!(r#"{{{M},"model":"a","max_tokens":null}}"#),
            Some(5),
            false,
            format!(r#"{{{M},"model":"b","max_tokens":5}}"#),
        ),
        (
            format!(r#"{{"stream":true,{M},"model":"a"}}"#),
            None,
            true,
            format!(r#"{{{usage}"stream":true,{M},"model":"b"}}"#),
        ),
        (
            format!(r#"{{"stream":true,{M},"model":"a","stream_options":null}}"#),
            None,
            true,
            format!(
                r#"{{"stream":true,{M},"model":"b","stream_options":{{"include_usage":true}}}}"#
            ),
        ),
        (
            format!(r#"{{"stream":true,{M},"model":"a","stream_options":{{ }}}}"#),
            None,
            true,
            format!(
                r#"{{"stream":true,{M},"model":"b","stream_options":{{"include_usage":true}}}}"#
            ),
        ),
        (
            format!(
                r#"{{"stream":true,{M},"model":"a","stream_options":{{ "include_usage" : false, "z":1}}}}"#
            ),
            None,
            true,
            format!(
                r#"{{"stream":true,{M},"model":"b","stream_options":{{ "include_usage" : true, "z":1}}}}"#
            ),
        ),
        (
            format!(
                r#"{{"stream":true,{M},"model":"a","stream_options":{{"include_obfuscation":false}}}}"#
            ),
            None,
            true,
            format!(
                r#"{{"stream":true,{M},"model":"b","stream_options":{{"include_usage":true,"include_obfuscation":false}}}}"#
            ),
        ),
        (
            format!(
                r#"{{"stream":true,{M},"model":"a","stream_options":{{"include_usage":true}}}}"#
            ),
            None,
            true,
            format!(
                r#"{{"stream":true,{M},"model":"b","stream_options":{{"include_usage":true}}}}"#
            ),
        ),
        (
            format!(
                r#"{{"stream":true,{M},"model":"a","stream_options":{{"include_usage":true}}}}"#
            ),
            None,
            false,
            format!(r#"{{"stream":false,{M},"model":"b","stream_options":null}}"#),
        ),
        (
            format!(r#"{{{M},"model":"a"}}"#),
            None,
            true,
            format!(r#"{{"stream":true,{usage}{M},"model":"b"}}"#),
        ),
        (
            format!(r#"{{{M},"mod\u0065l":"a"}}"#),
            None,
            false,
            format!(r#"{{{M},"mod\u0065l":"b"}}"#),
        ),
    ];
    for (body, cap, stream, expected) in cases {
        assert_eq!(sent(&body, "b", cap, stream), expected, "{body}");
    }
    let same = format!(r#"{{"model":"\u0061",{M}}}"#);
    assert_eq!(sent(&same, "a", None, false), same);
    let quoted = format!(r#"{{"model":"a",{M}}}"#);
    assert_eq!(sent(&quoted, "a\"b\n", None, false), format!(r#"{{"model":"a\"b\n",{M}}}"#));
}

#[test]
fn a_provider_that_refuses_unknown_fields_is_sent_none_and_they_are_named() {
    let body = format!(
        r#"{{"model":"a",{M},"seed":7,"max_completion_tokens":5,"logit_bias":{{}},"user":"u","stream":true}}"#
    );
    let to = Target { model: "b", max_output_tokens: Some(3), stream: true };
    let encoded = encode("mistral", &body, to);
    let sent: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(
        sent,
        json!({"model": "b", "messages": [{"role": "user", "content": "x", "odd": 1e5}],
        "random_seed": 7, "max_tokens": 3, "stream": true})
    );
    assert_eq!(encoded.dropped, ["logit_bias", "user"]);
}

#[test]
fn the_path_names_the_deployment_where_the_body_does_not() {
    let body = format!(r#"{{"model":"a",{M}}}"#);
    let to = Target { model: "my gpt/4", max_output_tokens: None, stream: false };
    let encoded = encode("azure_legacy", &body, to);
    assert_eq!(encoded.path, "/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21");
    let body = br#"{"model":"a","input":"x","extra":[ 1 ]}"#;
    let req = Dialect::OpenAiEmbeddings.decode_embeddings(body, &Bounds::default()).unwrap();
    let to = Target { model: "b", max_output_tokens: None, stream: false };
    let encoded = provider("openai").unwrap().encode_embeddings(&req, &to).unwrap();
    assert_eq!(
        (encoded.path.as_str(), &encoded.body[..]),
        ("/embeddings", &br#"{"model":"b","input":"x","extra":[ 1 ]}"#[..])
    );
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z\"\\\\ é{}\\[\\]]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z\"]{0,4}", inner, 0..4)
                .prop_map(|m| Value::from(Map::from_iter(m))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unknown_fields_of_any_shape_survive(
        fields in proptest::collection::btree_map("x_[a-z\"é]{0,5}", anything(), 0..5), cap in 1u64..99, pretty: bool,
    ) {
        let mut body = json!({"model": "a", "messages": [{"role": "user", "content": "x"}], "stream": true});
        body.as_object_mut().unwrap().extend(fields);
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let sent: Value = serde_json::from_str(&sent(&text, "b", Some(cap), true)).unwrap();
        body["model"] = json!("b");
        body["max_completion_tokens"] = json!(cap);
        body["stream_options"] = json!({"include_usage": true});
        prop_assert_eq!(sent, body);
    }
}
