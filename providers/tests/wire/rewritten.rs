//! Real replies and requests, written for the other dialects and read back.

use tollgate_providers::{Block, ChatRequest, Dialect, EncodeOptions, Role, Target, provider};

use super::recordings::good;
use super::support::{
    CLIENTS, Reader, Said, decoded, read_stream, rewrite, said_streamed, said_whole,
};

const OPTIONS: EncodeOptions<'static> =
    EncodeOptions { id: "id", model: "model", created: 1, include_usage: true, echo: "" };

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
            let (before, after) = (said_whole(&reply), reader.whole(&written));
            same(&before, &after, dialect, &line.source);
        }
        let openai = provider("openai").unwrap();
        let written = Dialect::OpenAiChat.encode_reply(&reply, &OPTIONS);
        let choices = openai.decode_reply(&written).unwrap().choices.len();
        assert_eq!(choices, reply.choices.len(), "{}", line.source);
    });
}

#[test]
fn a_stream_reads_the_same_after_it_was_written_for_a_client() {
    good(|from, _, line| {
        if !line.is_stream() || read_stream(from, &[&line.bytes()]).texts.len() > 1 {
            return;
        }
        let before = said_streamed(from, &line.bytes());
        for (dialect, reader) in CLIENTS {
            let after = reader.stream(&rewrite(from, dialect, &line.bytes(), &OPTIONS));
            assert_eq!(after.thinking, before.thinking, "{dialect:?} {}", line.source);
            same(&before, &after, dialect, &line.source);
        }
    });
}

/// The same text and calls, and the same totals where any were told.
fn same(before: &Said, after: &Said, dialect: Dialect, source: &str) {
    assert_eq!((&after.text, &after.calls), (&before.text, &before.calls), "{dialect:?} {source}");
    if before.totals.is_some() {
        assert_eq!(after.totals, before.totals, "{dialect:?} {source}");
    }
}

#[test]
fn a_request_that_is_carried_to_another_wire_keeps_what_was_said() {
    let carried = std::cell::Cell::new(0);
    good(|_, dialect, line| {
        let Some(body) = line.request.as_deref() else { return };
        decoded(dialect, body.as_bytes(), line.is_stream(), |req| {
            let Ok(req) = req else { return };
            for (other, reader) in CLIENTS {
                let Reader::Provider(kind) = reader else { continue };
                let to = Target { model: "m", max_output_tokens: Some(7), stream: req.stream };
                let Ok(sent) = provider(kind).unwrap().encode_chat(&req, &to) else { continue };
                decoded(other, &sent.body, req.stream, |again| {
                    let again = again.unwrap_or_else(|e| panic!("{e} {}", line.source));
                    assert_eq!(texts(&again), texts(&req), "{other:?} {}", line.source);
                    assert_eq!((again.tools.len(), again.stream), (req.tools.len(), req.stream));
                    assert_eq!(again.max_output_tokens, Some(7));
                });
                carried.set(carried.get() + usize::from(other != dialect));
            }
        });
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
