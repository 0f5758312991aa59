use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_accounting::Class;

use super::*;
use crate::sse::FRAME_CAP;
use crate::unified::{Event, Part, Provider};

fn count(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn call(path: &str, body: &Value, number: u64) -> Response {
    let body = body.to_string();
    serve(&Call { path, body: body.as_bytes(), number, created: 1_700_000_000, count: &count })
}

fn chat(body: &Value) -> Value {
    let response = call("/chat/completions", body, 1);
    assert_eq!(response.status, 200, "{response:?}");
    let Body::Whole(bytes) = response.body else { panic!("not whole") };
    serde_json::from_slice(&bytes).unwrap()
}

fn ask(text: &str) -> Value {
    json!({"model": "fast", "messages": [{"role": "user", "content": text}]})
}

/// Text of each choice, tool arguments, and the usage, as our own decoder reads the stream.
fn stream(body: &Value) -> (Vec<String>, String, crate::UsageReport) {
    let mut body = body.clone();
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let Body::Stream(frames) = call("/chat/completions", &body, 1).body else { panic!("whole") };
    let mut decoder = DEMO.decoder(FRAME_CAP);
    let (mut texts, mut arguments) = (Vec::new(), String::new());
    for paced in frames {
        decoder.push(paced.frame);
        while let Some(frame) = decoder.next().unwrap() {
            for event in &frame.events {
                match event {
                    Event::Delta { choice, part: Part::Text(text) } => {
                        texts.resize(texts.len().max(*choice as usize + 1), String::new());
                        texts[*choice as usize].push_str(text);
                    }
                    Event::Delta { part: Part::ToolCallArguments { json, .. }, .. } => {
                        arguments.push_str(json)
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(decoder.ended());
    (texts, arguments, *decoder.usage())
}

#[test]
fn the_same_request_gets_the_same_answer_whole_or_streamed() {
    let body = ask("tell me about toll roads");
    let whole = chat(&body);
    assert_eq!(whole, chat(&body));
    let (texts, _, usage) = stream(&body);
    assert_eq!(whole["choices"][0]["message"]["content"], texts[0]);
    assert_eq!(whole["usage"]["completion_tokens"], usage.usage.get(Class::Output).unwrap());
    assert_eq!(whole["usage"]["prompt_tokens"], usage.usage.get(Class::Input).unwrap());
    assert_eq!(whole["usage"]["completion_tokens"], count(&texts[0]));
    assert_ne!(whole, chat(&ask("tell me about bridges")));
}

#[test]
fn the_cap_is_kept_and_said() {
    let mut body = ask("write 200 words");
    body["max_completion_tokens"] = json!(7);
    let whole = chat(&body);
    assert_eq!(whole["usage"]["completion_tokens"], 7);
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
}

#[test]
fn several_choices_differ() {
    let mut body = ask("one thing");
    body["n"] = json!(3);
    let choices = chat(&body)["choices"].as_array().unwrap().clone();
    assert_eq!(choices.len(), 3);
    assert_ne!(choices[0]["message"], choices[1]["message"]);
    assert_eq!(stream(&body).0.len(), 3);
}

#[test]
fn tools_are_called_where_hinted_or_forced_and_their_answers_are_told() {
    let tools = json!([
        {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object",
            "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
        {"type": "function", "function": {"name": "get_time"}}]);
    let mut body = ask("what is the weather in Bonn?");
    body["tools"] = tools;
    let whole = chat(&body);
    let call = whole["choices"][0]["message"]["tool_calls"][0].clone();
    assert_eq!(call["function"]["name"], "get_weather");
    let arguments: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["city"].is_string());
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(stream(&body).1, arguments.to_string());

    body["messages"] = json!([{"role": "user", "content": "hello"}]);
    assert!(chat(&body)["choices"][0]["message"]["tool_calls"].is_null());
    body["tool_choice"] = json!("required");
    assert!(chat(&body)["choices"][0]["message"]["tool_calls"].is_array());
    body["tool_choice"] = json!({"type": "function", "function": {"name": "get_time"}});
    assert_eq!(
        chat(&body)["choices"][0]["message"]["tool_calls"][0]["function"]["name"],
        "get_time"
    );

    body["tool_choice"] = json!("auto");
    body["messages"] = json!([{"role": "user", "content": "weather?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "x", "content": "22 degrees"}]);
    let told = chat(&body)["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(told.contains("22 degrees"), "{told}");
}

#[test]
fn structured_outputs_are_json() {
    let mut body = ask("give me a person");
    body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "p", "schema":
        {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}}});
    let text = chat(&body)["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(serde_json::from_str::<Value>(&text).unwrap()["age"].is_i64());
    body["response_format"] = json!({"type": "json_object"});
    let text = chat(&body)["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(serde_json::from_str::<Value>(&text).unwrap().is_object());
}

#[test]
fn logprobs_are_given_where_asked_for() {
    let mut body = ask("echo: one two");
    body["logprobs"] = json!(true);
    body["top_logprobs"] = json!(2);
    let entries = chat(&body)["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
    let tokens: String = entries.iter().map(|e| e["token"].as_str().unwrap()).collect();
    assert_eq!(tokens, "one two");
    assert_eq!(entries[0]["top_logprobs"].as_array().unwrap().len(), 2);
}

#[test]
fn faults_go_by_the_number_of_the_call() {
    let body = json!({"model": "demo/flaky", "messages": [{"role": "user", "content": "x"}]});
    let status = |number| call("/chat/completions", &body, number).status;
    assert_eq!([1, 2, 3, 4, 5, 6].map(status), [200, 200, 500, 200, 200, 500]);
    let body = json!({"model": "demo/429", "messages": [{"role": "user", "content": "x"}]});
    let refused = call("/chat/completions", &body, 1);
    assert_eq!(refused.status, 429);
    assert!(refused.headers.contains(&("retry-after", "1".into())));
    assert_eq!(call("/chat/completions", &body, 3).status, 200);
    let body = json!({"model": "none", "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(call("/chat/completions", &body, 1).status, 404);
    let body = json!({"model": "small", "messages": [], "max_tokens": -1});
    assert_eq!(call("/chat/completions", &body, 1).status, 400);
}

#[test]
fn streams_can_be_cut_or_fail_in_the_middle() {
    for (model, expected) in [("cut", "truncated"), ("error", "server")] {
        let body =
            json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "x"}]});
        let Body::Stream(frames) = call("/chat/completions", &body, 1).body else {
            panic!("whole")
        };
        let mut decoder = DEMO.decoder(FRAME_CAP);
        decoder.push(Bytes::from(frames.iter().flat_map(|f| f.frame.to_vec()).collect::<Vec<_>>()));
        decoder.finish();
        let mut kind = "";
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    if let Some(Event::Error(e)) = frame.events.first() {
                        kind = e.kind.name();
                    }
                }
                Ok(None) => break,
                Err(e) => kind = e.kind.name(),
            }
        }
        assert_eq!(kind, expected);
        assert!(!decoder.ended());
    }
}

#[test]
fn embeddings_come_in_both_formats_and_are_counted() {
    let body = json!({"model": "embed", "input": ["one two", [1, 2, 3]], "dimensions": 8});
    assert_eq!(call("/embeddings", &body, 1).status, 200);
    for format in ["float", "base64"] {
        let mut body = body.clone();
        body["encoding_format"] = json!(format);
        if format == "float" {
            body["input"] = json!(["one two", "three four five"]);
        }
        let Body::Whole(bytes) = call("/embeddings", &body, 1).body else { panic!("stream") };
        let reply = DEMO.decode_embeddings(&bytes).unwrap();
        assert_eq!((reply.vectors.len(), reply.usage.usage.get(Class::Input)), (2, Some(5)));
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["data"][1]["embedding"].is_string(), format == "base64");
    }
}

/// A whole answer, as the gateway reads it for what it used.
fn answered(path: &str, body: &Value) -> (Value, Vec<u8>) {
    let response = call(path, body, 1);
    assert_eq!(response.status, 200, "{response:?}");
    let Body::Whole(bytes) = response.body else { panic!("not whole") };
    (serde_json::from_slice(&bytes).unwrap(), bytes)
}

#[test]
fn texts_are_judged_by_their_words_and_counted() {
    let texts = ["a lovely day", "I will ATTACK"];
    let (reply, bytes) = answered("/moderations", &json!({"model": "judge", "input": texts}));
    let flagged = |at: usize| reply["results"][at]["flagged"].as_bool().unwrap();
    assert_eq!((flagged(0), flagged(1)), (false, true), "{reply}");
    assert_eq!(reply["results"][1]["categories"]["violence"], true);
    assert_eq!(DEMO.decode_task(&bytes).unwrap().usage.get(Class::Input), Some(6));
}

#[test]
fn documents_are_put_in_order_by_the_words_of_the_query() {
    let documents = ["nothing of it", "tokens", "it counts tokens"];
    let body = json!({"model": "rank", "query": "counts tokens", "documents": documents});
    let (reply, bytes) = answered("/rerank", &body);
    let results = reply["results"].as_array().unwrap();
    let order: Vec<_> = results.iter().map(|r| r["index"].as_u64().unwrap()).collect();
    assert_eq!(order, [2, 1, 0], "{reply}");
    assert_eq!(results[0]["relevance_score"], 1.0);
    // The query is read with each.
    assert_eq!(DEMO.decode_task(&bytes).unwrap().usage.get(Class::Input), Some(3 + 1 + 3 + 3 * 2));
    let mut first = body;
    first["top_n"] = json!(1);
    assert_eq!(answered("/rerank", &first).0["results"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_drawn_or_spoken_comes_to_no_more_than_is_held_for_it() {
    let bounds = Bounds::default();
    let body = json!({"model": "draw", "prompt": "a dot", "n": 2, "size": "1024x1024"});
    let request = body.to_string();
    let request = Dialect::OpenAiImages.decode_media(request.as_bytes(), &bounds).unwrap();
    let (_, bytes) = answered("/images/generations", &body);
    let drawn = DEMO.decode_media(request.answer("gpt-image-1"), &bytes).unwrap().usage.usage;
    let most = 2 * request.most_output(counted_as("draw")).unwrap();
    assert!(drawn.output_total().unwrap() <= most, "{drawn:?}");

    for format in ["mp3", "wav", "pcm"] {
        let body = json!({"model": "speak", "input": "Hello there.", "voice": "x",
            "response_format": format});
        let request = body.to_string();
        let request = Dialect::OpenAiSpeech.decode_media(request.as_bytes(), &bounds).unwrap();
        let Body::Stream(frames) = call("/audio/speech", &body, 1).body else { panic!("whole") };
        let bytes: Vec<u8> = frames.iter().flat_map(|paced| paced.frame.to_vec()).collect();
        let said = DEMO.decode_media(request.answer("gpt-4o-mini-tts"), &bytes).unwrap();
        let spoken = said.usage.usage.output_total().unwrap();
        assert!(spoken <= request.most_output(counted_as("speak")).unwrap(), "{format}");
        let sound = said.body.unwrap();
        let lasts = crate::media::seconds(&sound).map(|seconds| (1..=2).contains(&seconds));
        assert_eq!(lasts, (format != "pcm").then_some(true), "{format}");
    }
}
