//! Real replies and requests, written for the other dialects and read back.

use serde_json::Value;
use tollgate_accounting::Usage;
use tollgate_providers::{
    Block, Bounds, ChatRequest, Dialect, EncodeOptions, Reply, Role, Target, provider,
};

use super::recordings::{CLIENTS, good};
use super::support::{read_stream, rewrite};

const OPTIONS: EncodeOptions<'static> =
    EncodeOptions { id: "id", model: "model", created: 1, include_usage: true, echo: "" };

/// Text, calls and finish of each choice.
fn said(reply: &Reply<'_>) -> Vec<(String, Vec<(String, String)>)> {
    let choice = |blocks: &[Block<'_>]| {
        let mut text = String::new();
        let mut calls = Vec::new();
        for block in blocks {
            match block {
                Block::Text { text: more, .. } => text.push_str(more),
                Block::ToolCall { name, arguments, .. } => {
                    calls.push((name.to_string(), arguments.to_string()))
                }
                _ => {}
            }
        }
        (text, calls)
    };
    reply.choices.iter().map(|c| choice(&c.blocks)).collect()
}

/// Calls with their arguments as values: white space is no part of them, and none are an empty object.
fn calls(calls: &[(String, String)]) -> Vec<(String, Value)> {
    let value = |json: &str| serde_json::from_str(json).unwrap_or(serde_json::json!({}));
    calls.iter().map(|(name, json)| (name.clone(), value(json))).collect()
}

#[test]
fn a_whole_reply_reads_the_same_after_it_was_written_for_a_client() {
    good(|from, _, line| {
        if line.is_stream() {
            return;
        }
        let bytes = line.bytes();
        let reply = from.decode_reply(&bytes).unwrap();
        for (dialect, reader) in CLIENTS {
            let written = dialect.encode_reply(&reply, &OPTIONS);
            let again = provider(reader).unwrap().decode_reply(&written).unwrap();
            let (before, after) = (said(&reply), said(&again));
            for (b, a) in before.iter().zip(&after) {
                assert_eq!((&a.0, calls(&a.1)), (&b.0, calls(&b.1)), "{dialect:?} {}", line.source);
            }
            assert!(
                !after.is_empty()
                    && (after.len() == before.len() || dialect != Dialect::OpenAiChat)
            );
            let total =
                |r: &Reply<'_>| r.usage.usage.input_total().zip(r.usage.usage.output_total());
            if total(&reply).is_some() {
                assert_eq!(total(&again), total(&reply), "{dialect:?} {}", line.source);
            }
        }
    });
}

#[test]
fn a_stream_reads_the_same_after_it_was_written_for_a_client() {
    good(|from, _, line| {
        if !line.is_stream() {
            return;
        }
        let whole = read_stream(from, &[&line.bytes()[..]]);
        if whole.texts.len() > 1 {
            return;
        }
        for (dialect, reader) in CLIENTS {
            let written = rewrite(from, dialect, &line.bytes(), &OPTIONS);
            let again = read_stream(provider(reader).unwrap(), &[&written]);
            assert_eq!(again.texts.concat(), whole.texts.concat(), "{dialect:?} {}", line.source);
            assert_eq!(
                calls(&again.arguments),
                calls(&whole.arguments),
                "{dialect:?} {}",
                line.source
            );
            assert_eq!(again.thinking, whole.thinking, "{dialect:?} {}", line.source);
            assert!(again.ended && again.error.is_none(), "{dialect:?} {}", line.source);
            let total = |u: &Usage| u.input_total().zip(u.output_total());
            if total(&whole.usage.usage).is_some() {
                assert_eq!(
                    total(&again.usage.usage),
                    total(&whole.usage.usage),
                    "{dialect:?} {}",
                    line.source
                );
            }
        }
    });
}

#[test]
fn a_request_that_is_carried_to_another_wire_keeps_what_was_said() {
    let carried = std::cell::Cell::new(0);
    good(|_, dialect, line| {
        let Some(body) = line.request.as_deref() else { return };
        let Ok(req) = dialect.decode_chat(body.as_bytes(), &Bounds::default()) else { return };
        for (other, kind) in CLIENTS {
            let to = Target { model: "m", max_output_tokens: Some(7), stream: req.stream };
            let Ok(sent) = provider(kind).unwrap().encode_chat(&req, &to) else { continue };
            let again = other.decode_chat(&sent.body, &Bounds::default());
            let again = again.unwrap_or_else(|e| panic!("{e} {}", line.source));
            assert_eq!(texts(&again), texts(&req), "{other:?} {}", line.source);
            assert_eq!((again.tools.len(), again.stream), (req.tools.len(), req.stream));
            assert_eq!(again.max_output_tokens, Some(7));
            carried.set(carried.get() + usize::from(other != dialect));
        }
    });
    assert!(carried.get() > 150, "{carried:?}");
}

/// All that was said, whoever said it and however it was cut into messages; system prompts first.
fn texts(req: &ChatRequest<'_>) -> String {
    let mut all = [String::new(), String::new()];
    for message in &req.messages {
        let system = matches!(message.role, Role::System | Role::Developer);
        for block in &message.blocks {
            let inner = if let Block::ToolResult { content, .. } = block {
                &content[..]
            } else {
                std::slice::from_ref(block)
            };
            for block in inner {
                if let Block::Text { text, .. } = block
                    && !text.starts_with("Answer with one JSON object")
                {
                    all[usize::from(!system)].push_str(text);
                }
            }
        }
    }
    all.concat()
}
