//! What clients and upstreams should not send: every case ends in a typed error that says what is
//! wrong, or in a count that is flagged, and nothing panics.

use bytes::Bytes;
use proptest::prelude::*;
use tollgate_accounting::{Class, Timestamp};
use tollgate_providers::{
    Bounds, Dialect, ErrorKind, Event, Frame, Next, StreamDecoder, Target, kinds, provider,
};

fn decode(body: &str) -> Result<(), (Option<String>, String)> {
    let decoded = Dialect::OpenAiChat.decode_chat(body.as_bytes(), &Bounds::default());
    decoded.map(|_| ()).map_err(|e| (e.param, e.message))
}

/// A request with these members beside model and messages.
fn with(members: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{members}}}"#)
}

#[test]
fn a_bad_field_is_named() {
    let cases = [
        (r#""max_tokens":-1"#, "max_tokens"),
        (r#""max_tokens":0"#, "max_tokens"),
        (r#""max_tokens":1.5"#, "max_tokens"),
        (r#""max_tokens":1.0"#, "max_tokens"),
        (r#""max_tokens":1e3"#, "max_tokens"),
        (r#""max_tokens":1e400"#, "max_tokens"),
        (r#""max_tokens":99999999999999999999999"#, "max_tokens"),
        (r#""max_tokens":99999999999"#, "max_tokens"),
        (r#""max_tokens":"5""#, "max_tokens"),
        (r#""max_tokens":true"#, "max_tokens"),
        (r#""max_tokens":NaN"#, "max_tokens"),
        (r#""max_tokens":01"#, "max_tokens"),
        (r#""max_tokens":--1"#, "max_tokens"),
        (r#""max_completion_tokens":-1"#, "max_completion_tokens"),
        (r#""max_tokens":1,"max_completion_tokens":1"#, "max_tokens"),
        (r#""n":0"#, "n"),
        (r#""n":-2"#, "n"),
        (r#""n":129"#, "n"),
        (r#""n":1.5"#, "n"),
        (r#""temperature":1e400"#, "temperature"),
        (r#""temperature":NaN"#, "temperature"),
        (r#""temperature":"hot""#, "temperature"),
        (r#""top_p":[]"#, "top_p"),
        (r#""stream":"yes""#, "stream"),
        (r#""stream_options":{"include_usage":true}"#, "stream_options"),
        (r#""stream":true,"stream_options":7"#, "stream_options"),
        (r#""tools":{}"#, "tools"),
        (r#""tools":[{"type":"function"}]"#, "tools[0]"),
        (r#""tools":[{"type":"function","function":{"name":"a"}},{}]"#, "tools[1]"),
        (r#""tool_choice":"perhaps""#, "tool_choice"),
        (r#""response_format":{"type":"json_schema"}"#, "response_format"),
        (r#""response_format":7"#, "response_format"),
        (r#""stop":7"#, "stop"),
        (r#""top_logprobs":21"#, "top_logprobs"),
        (r#""unknown":{"a":NaN}"#, "unknown"),
        (r#""unknown":[1}"#, "unknown"),
        (r#""model":"n""#, "model"),
        (r#""mod\u0065l":"n""#, "model"),
        (r#""n":1,"n":1"#, "n"),
        (r#""stream":true,"stream":false"#, "stream"),
        (r#""foo":1,"foo":1"#, "foo"),
    ];
    for (members, param) in cases {
        let (found, message) = decode(&with(members)).expect_err(members);
        assert_eq!(found.as_deref(), Some(param), "{members}: {message}");
        assert!(message.contains(param), "{members}: {message}");
    }
}

#[test]
fn a_bad_message_is_named_by_its_index() {
    let cases = [
        (r#"[]"#, "messages"),
        (r#"{}"#, "messages"),
        (r#"[7]"#, "messages[0]"),
        (r#"[{"role":"user","content":"a"},{"role":"user","content":7}]"#, "messages[1]"),
        (r#"[{"role":"user"}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":null}]"#, "messages[0].content"),
        (r#"[{"content":"a"}]"#, "messages[0].role"),
        (r#"[{"role":"boss","content":"a"}]"#, "messages[0].role"),
        (r#"[{"role":"tool","content":"a"}]"#, "messages[0].tool_call_id"),
        (r#"[{"role":"user","role":"user","content":"a"}]"#, "messages[0]"),
        (r#"[{"role":"user","content":[{"text":"a"}]}]"#, "messages[0].content[0]"),
        (r#"[{"role":"user","content":[{"type":"text"}]}]"#, "messages[0].content[0]"),
        (r#"[{"role":"user","content":[{"type":"image_url"}]}]"#, "messages[0].content[0]"),
        (r#"[{"role":"user","content":"\ud800"}]"#, "messages[0]"),
        (r#"[{"role":"user","content":"a"}"#, ""),
    ];
    for (messages, param) in cases {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        let (found, message) = decode(&body).expect_err(messages);
        assert_eq!(found.as_deref().unwrap_or(""), param, "{messages}: {message}");
    }
    for (body, param) in [
        (r#"{"messages":[]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"Model":"m"}"#, "model"),
    ] {
        assert_eq!(decode(body).unwrap_err().0.as_deref(), Some(param));
    }
}

#[test]
fn bodies_that_are_no_json_are_refused_whole() {
    let deep = format!("{{\"model\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "null", "[]", "{\"model\":\"m\"} x", "{", "\u{feff}{}", &deep] {
        assert_eq!(decode(body).unwrap_err().0, None, "{}", &body[..body.len().min(30)]);
    }
    let bad = Dialect::OpenAiChat.decode_chat(b"{\"model\":\"\xff\"}", &Bounds::default());
    assert!(bad.unwrap_err().message.contains("UTF-8"));
}

#[test]
fn what_is_unusual_but_right_is_taken() {
    for members in [
        r#""max_tokens":null,"temperature":null,"n":null,"stop":null,"tools":null,"stream":null"#,
        r#""tool_choice":null,"response_format":null,"metadata":null,"stream_options":null"#,
        r#""stop":["a","b"],"seed":-3,"temperature":-0.0,"top_p":1E-2"#,
        r#""functions":[{"name":"f"}],"function_call":{"name":"f"}"#,
        r#""tools":[{"type":"web_search_preview"},{"type":"custom","custom":{"name":"x"}}]"#,
        r#""anything":{"at":[{"all":null}]},"":1"#,
        r#""max_tokens":16777216,"n":128"#,
    ] {
        decode(&with(members)).expect(members);
    }
    decode(r#"{"model":"m","messages":[{"role":"assistant"},{"role":"user","content":[]}]}"#)
        .unwrap();
}

#[test]
fn inputs_to_embed_are_checked() {
    let decode = |body: &str| {
        Dialect::OpenAiEmbeddings
            .decode_embeddings(body.as_bytes(), &Bounds::default())
            .map(|_| ())
            .map_err(|e| e.param)
    };
    for input in [r#""a""#, r#"["a","b"]"#, "[1,2]", "[[1],[2,3]]"] {
        decode(&format!(r#"{{"model":"m","input":{input}}}"#)).expect(input);
    }
    let many = format!("[{}]", vec!["\"a\""; 2049].join(","));
    for input in [
        r#""""#,
        "[]",
        r#"["a",""]"#,
        "[[]]",
        "[1,\"a\"]",
        "[-1]",
        "[1.5]",
        "7",
        "null",
        "[4294967296]",
        &many,
    ] {
        let bad = decode(&format!(r#"{{"model":"m","input":{input}}}"#));
        assert_eq!(bad, Err(Some("input".into())), "{input}");
    }
    let bad = decode(r#"{"model":"m","input":"a","encoding_format":"hex"}"#);
    assert_eq!(bad, Err(Some("encoding_format".into())));
    assert_eq!(
        decode(r#"{"model":"m","input":"a","dimensions":0}"#),
        Err(Some("dimensions".into()))
    );
    assert_eq!(decode(r#"{"input":"a"}"#), Err(Some("model".into())));
}

/// Drives a decoder over a stream; what it ended in, and the usage.
fn run(kind: &str, stream: &[u8], cap: usize) -> (Box<dyn StreamDecoder>, Option<ErrorKind>) {
    let mut decoder = provider(kind).unwrap().decoder(cap);
    decoder.push(Bytes::copy_from_slice(stream));
    decoder.finish();
    let mut failed = None;
    loop {
        match decoder.next() {
            Ok(Some(Frame { events, .. })) => {
                let told = events
                    .iter()
                    .find_map(|e| if let Event::Error(e) = e { Some(e.kind) } else { None });
                failed = failed.or(told);
            }
            Ok(None) => break,
            Err(e) => failed = Some(e.kind),
        }
    }
    (decoder, failed)
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        r#"data: {{"id":"a","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}{}"#,
        "\n\n"
    )
}

#[test]
fn streams_end_in_what_they_deserve() {
    let text = chunk(r#"{"content":"x"}"#, "null");
    let stop = chunk("{}", "\"stop\"");
    let done = "data: [DONE]\n\n";
    let cases = [
        (format!("{text}{stop}{done}"), None),
        (format!("{text}{stop}"), None),
        (format!("{text}{stop}data: [DONE]"), None),
        (format!("\u{feff}{text}{stop}{done}").replace('\n', "\r\n"), None),
        (format!(": ping\n\n{text}: ping\n\n{stop}{done}").replace('\n', "\r"), None),
        (format!("{text}{stop}{done}data: rubbish\n\n"), None),
        (format!("{text}{done}"), None),
        (String::new(), Some(ErrorKind::Truncated)),
        (text.clone(), Some(ErrorKind::Truncated)),
        (format!("{text}{}", &stop[..20]), Some(ErrorKind::Truncated)),
        (format!("{text}data: {{\"a\":\n\n{done}"), Some(ErrorKind::Malformed)),
        (format!("{text}data: <html>\n\n{done}"), Some(ErrorKind::Malformed)),
        (
            format!("{text}data: {{\"error\":{{\"message\":\"no\"}}}}\n\n{done}"),
            Some(ErrorKind::Server),
        ),
        (
            format!("{text}data: {{\"error\":{{\"message\":\"slow\",\"code\":429}}}}\n\n"),
            Some(ErrorKind::RateLimit),
        ),
        (format!("{text}data: {{\"error\":\"no\"}}\n\n{done}"), Some(ErrorKind::Server)),
        (format!("data: {{\"error\":null,\"choices\":[]}}\n\n{text}{stop}{done}"), None),
        (format!("{text}data: {}\n\n", "x".repeat(5_000)), Some(ErrorKind::TooLarge)),
    ];
    for (stream, expected) in cases {
        let (decoder, failed) = run("openai", stream.as_bytes(), 4_096);
        assert_eq!(failed, expected, "{stream:?}");
        assert_eq!(decoder.ended(), expected.is_none(), "{stream:?}");
    }
}

#[test]
fn a_stream_of_two_choices_is_whole_when_both_have_ended() {
    let of = |index: u32, finish: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"x\"}},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let both = of(0, "null") + &of(1, "null") + &of(0, "\"stop\"");
    assert_eq!(run("openai", both.as_bytes(), 4_096).1, Some(ErrorKind::Truncated));
    let both = both + &of(1, "\"length\"");
    assert_eq!(run("openai", both.as_bytes(), 4_096).1, None);
}

/// Usage blocks; input and output as they should be taken; what should be noted.
type UsageCase = (&'static [&'static str], (Option<u64>, Option<u64>), &'static str);

/// Status, headers and body; what to do, and why.
type FailureCase = (u16, &'static [(&'static str, &'static str)], &'static str, Next, ErrorKind);

#[test]
fn odd_usage_is_never_negative_never_zero_for_missing_and_always_said() {
    let usage = |blocks: &[&str]| {
        let mut stream = chunk(r#"{"content":"x"}"#, "\"stop\"");
        for block in blocks {
            stream
                .push_str(&format!("data: {{\"id\":\"a\",\"choices\":[],\"usage\":{block}}}\n\n"));
        }
        let (decoder, failed) = run("openai", stream.as_bytes(), 4_096);
        assert_eq!(failed, None);
        let seen = *decoder.usage();
        let names: Vec<_> = seen.odd.names().collect();
        (seen.usage.get(Class::Input), seen.usage.get(Class::Output), names.join(" "))
    };
    const GOOD: &str = r#"{"prompt_tokens":5,"completion_tokens":7}"#;
    const LESS: &str = r#"{"prompt_tokens":5,"completion_tokens":3}"#;
    let none = (None, None);
    let cases: Vec<UsageCase> = vec![
        (&[], none, ""),
        (&["null"], none, ""),
        (&["{}"], none, "empty"),
        (&[GOOD], (Some(5), Some(7)), ""),
        (&[GOOD, GOOD], (Some(5), Some(7)), ""),
        (&[LESS, GOOD], (Some(5), Some(7)), ""),
        (&[GOOD, LESS], (Some(5), Some(7)), "decreased"),
        (
            &[GOOD, r#"{"prompt_tokens":-5,"completion_tokens":null}"#],
            (Some(5), Some(7)),
            "negative empty",
        ),
        (&[r#"{"prompt_tokens":-1,"completion_tokens":7}"#], (None, Some(7)), "negative"),
        (&[r#"{"prompt_tokens":1e400,"completion_tokens":7}"#], (None, Some(7)), "absurd"),
        (
            &[r#"{"prompt_tokens":99999999999999999999,"completion_tokens":1.5}"#],
            none,
            "absurd empty",
        ),
        (&[r#"{"prompt_tokens":"5","completion_tokens":[]}"#], none, "absurd empty"),
        (&["7"], none, "absurd empty"),
        (
            &[
                r#"{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":9}}"#,
            ],
            (Some(0), Some(7)),
            "inconsistent",
        ),
    ];
    for (blocks, counts, odd) in cases {
        let (input, output, names) = usage(blocks);
        assert_eq!(((input, output), names.as_str()), (counts, odd), "{blocks:?}");
    }
}

#[test]
fn a_failure_says_what_to_do_next() {
    let now = Timestamp::from_micros(784_111_777_000_000);
    let second = 1_000_000;
    let cases: Vec<FailureCase> = vec![
        (
            429,
            &[("retry-after", "2")],
            "{}",
            Next::RetryAfter(Some(2 * second)),
            ErrorKind::RateLimit,
        ),
        (
            429,
            &[("retry-after", "1.5")],
            "",
            Next::RetryAfter(Some(1_500_000)),
            ErrorKind::RateLimit,
        ),
        (
            429,
            &[("retry-after-ms", "250"), ("retry-after", "9")],
            "",
            Next::RetryAfter(Some(250_000)),
            ErrorKind::RateLimit,
        ),
        (
            503,
            &[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")],
            "",
            Next::RetryAfter(Some(10 * second)),
            ErrorKind::Overloaded,
        ),
        (
            503,
            &[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")],
            "",
            Next::RetryAfter(Some(0)),
            ErrorKind::Overloaded,
        ),
        (429, &[("retry-after", "-5")], "", Next::RetryAfter(None), ErrorKind::RateLimit),
        (429, &[("retry-after", "soon")], "", Next::RetryAfter(None), ErrorKind::RateLimit),
        (429, &[("retry-after", "1e300")], "", Next::RetryAfter(None), ErrorKind::RateLimit),
        (500, &[], "<html>oops</html>", Next::RetryAfter(None), ErrorKind::Server),
        (
            529,
            &[],
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Next::RetryAfter(None),
            ErrorKind::Overloaded,
        ),
        (408, &[], "", Next::RetryAfter(None), ErrorKind::Timeout),
        (504, &[], "", Next::RetryAfter(None), ErrorKind::Timeout),
        (
            429,
            &[],
            r#"{"error":{"code":"insufficient_quota","message":"You exceeded"}}"#,
            Next::Broken,
            ErrorKind::Quota,
        ),
        (
            400,
            &[],
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
            Next::Broken,
            ErrorKind::Quota,
        ),
        (
            401,
            &[],
            r#"{"error":{"message":"Incorrect API key provided: sk-proj-abcdefghijkl"}}"#,
            Next::Broken,
            ErrorKind::Authentication,
        ),
        (
            403,
            &[],
            r#"{"error":{"message":"no access, key sk-proj-abcdefghijkl"}}"#,
            Next::Broken,
            ErrorKind::Permission,
        ),
        (
            404,
            &[],
            r#"{"error":{"code":"model_not_found","message":"no such model"}}"#,
            Next::FallBack,
            ErrorKind::NotFound,
        ),
        (
            400,
            &[],
            r#"{"error":{"code":"context_length_exceeded","message":"too long"}}"#,
            Next::FallBack,
            ErrorKind::ContextLength,
        ),
        (
            400,
            &[],
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 1 > 0"}}"#,
            Next::FallBack,
            ErrorKind::ContextLength,
        ),
        (
            400,
            &[],
            r#"{"error":{"code":"content_filter","message":"policy"}}"#,
            Next::Reject,
            ErrorKind::ContentPolicy,
        ),
        (
            400,
            &[],
            r#"{"error":{"message":"bad","param":"tools"}}"#,
            Next::Reject,
            ErrorKind::InvalidRequest,
        ),
        (
            422,
            &[],
            r#"{"detail":[{"loc":["body"],"msg":"extra"}]}"#,
            Next::Reject,
            ErrorKind::InvalidRequest,
        ),
    ];
    for (status, headers, body, next, kind) in cases {
        let lookup =
            |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let failure = provider("openai").unwrap().classify(status, &lookup, body.as_bytes(), now);
        assert_eq!((failure.next, failure.kind), (next, kind), "{status} {headers:?} {body}");
        assert!(
            !failure.message.is_empty() && !failure.message.contains("sk-proj-abc"),
            "{}",
            failure.message
        );
        assert!(!failure.message.contains('<'), "{}", failure.message);
        let wire = failure.to_wire();
        assert!((400..600).contains(&wire.status) && wire.status != 401 && wire.status != 403);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_body_and_no_stream_panics_in_any_provider(
        noise in proptest::collection::vec(any::<u8>(), 0..80),
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..12),
    ) {
        let mut body = words.concat().into_bytes();
        body.extend_from_slice(&noise);
        for kind in kinds() {
            let provider = provider(kind).unwrap();
            let _ = provider.decode_reply(&body);
            let _ = provider.decode_embeddings(&body);
            let _ = provider.classify(500, &|_| None, &body, Timestamp::from_micros(0));
            let _ = run(kind, &body, 64);
        }
        for dialect in [Dialect::OpenAiChat, Dialect::AnthropicMessages] {
            if let Ok(req) = dialect.decode_chat(&body, &Bounds::default()) {
                for kind in kinds() {
                    let to = Target { model: "x", max_output_tokens: Some(1), stream: true };
                    let _ = provider(kind).unwrap().encode_chat(&req, &to);
                }
            }
        }
    }
}

const WORDS: &[&str] = &[
    "data: ",
    "\n\n",
    "\r",
    "event: error\n",
    "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"é\"}}]}",
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
    "[DONE]",
    "{",
    "}",
    "[",
    "\"usage\":",
    "-1",
    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}",
    ",",
    "\u{feff}",
    ": ping",
];
