//! Reading the recordings, and reading streams into something that can be compared.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tollgate_accounting::{Class, Usage};
use tollgate_providers::{
    BadRequest, Block, Bounds, ChatRequest, Dialect, EncodeOptions, Event, FrameKind, Part,
    Provider, Reply, StreamDecoder, UsageReport, gemini_body, provider,
};

/// Every client dialect of chats, and what reads it back.
pub(crate) const CLIENTS: [(Dialect, Reader); 4] = [
    (Dialect::OpenAiChat, Reader::Provider("openai")),
    (Dialect::OpenAiResponses, Reader::Responses),
    (Dialect::AnthropicMessages, Reader::Provider("anthropic")),
    (Dialect::GeminiGenerateContent, Reader::Provider("gemini")),
];

/// What reads again what was written for a client.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    /// The decoder of the provider of the same wire.
    Provider(&'static str),
    /// A reader of JSON that shares no code with what wrote it.
    Responses,
}

/// What a reply says, however it came; arguments are read, so white space is no part of them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) thinking: String,
    pub(crate) calls: Vec<(String, Value)>,
    /// Input and output, all classes of each.
    pub(crate) totals: Option<(u64, u64)>,
}

impl Reader {
    /// Reads a whole reply; the first choice of it.
    pub(crate) fn whole(self, bytes: &[u8]) -> Said {
        match self {
            Reader::Provider(kind) => {
                said_whole(&provider(kind).unwrap().decode_reply(bytes).unwrap())
            }
            Reader::Responses => said_in_response(&serde_json::from_slice(bytes).unwrap()),
        }
    }

    /// Reads a stream, which must have come to its end.
    pub(crate) fn stream(self, bytes: &[u8]) -> Said {
        match self {
            Reader::Provider(kind) => said_streamed(provider(kind).unwrap(), bytes),
            Reader::Responses => said_in_events(std::str::from_utf8(bytes).unwrap()),
        }
    }
}

/// What a decoded reply says, by its first choice.
pub(crate) fn said_whole(reply: &Reply<'_>) -> Said {
    let mut said = Said { totals: totals(&reply.usage.usage), ..Said::default() };
    for block in reply.choices.first().into_iter().flat_map(|choice| &choice.blocks) {
        match block {
            Block::Text { text, .. } => said.text.push_str(text),
            Block::Thinking { text, .. } => said.thinking.push_str(text),
            Block::ToolCall { name, arguments, .. } => {
                said.calls.push((name.to_string(), arguments_of(arguments)));
            }
            _ => {}
        }
    }
    said
}

/// What a provider's stream says.
pub(crate) fn said_streamed(from: &dyn Provider, bytes: &[u8]) -> Said {
    let read = read_stream(from, &[bytes]);
    assert!(read.ended && read.error.is_none(), "{:?}", read.error);
    let calls =
        read.arguments.iter().map(|(name, json)| (name.clone(), arguments_of(json))).collect();
    let totals = totals(&read.usage.usage);
    Said { text: read.texts.concat(), thinking: read.thinking, calls, totals }
}

fn totals(usage: &Usage) -> Option<(u64, u64)> {
    usage.get(Class::Input)?;
    usage.input_total().zip(usage.output_total())
}

/// No arguments are an empty object.
fn arguments_of(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or(serde_json::json!({}))
}

fn said_in_response(response: &Value) -> Said {
    let mut said = Said::default();
    let text = |value: &Value| value["text"].as_str().unwrap_or_default().to_owned();
    for item in response["output"].as_array().unwrap() {
        match item["type"].as_str().unwrap() {
            "message" => item["content"].as_array().unwrap().iter().for_each(|part| {
                said.text.push_str(&text(part));
            }),
            "reasoning" => item["summary"].as_array().unwrap().iter().for_each(|part| {
                said.thinking.push_str(&text(part));
            }),
            "function_call" => {
                let name = item["name"].as_str().unwrap().to_owned();
                said.calls.push((name, arguments_of(item["arguments"].as_str().unwrap())));
            }
            other => assert_eq!(other, "an item of one of these kinds"),
        }
    }
    let count = |name: &str| response["usage"][name].as_u64();
    said.totals = count("input_tokens").zip(count("output_tokens"));
    said
}

/// The deltas of a stream, which must be what its last event has whole.
fn said_in_events(stream: &str) -> Said {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(|json| serde_json::from_str(json).unwrap()).collect();
    let joined = |kind: &str| -> String {
        let deltas = events.iter().filter(|event| event["type"] == kind);
        deltas.map(|event| event["delta"].as_str().unwrap()).collect()
    };
    let said = said_in_response(&events.last().unwrap()["response"]);
    assert_eq!(joined("response.output_text.delta"), said.text);
    assert_eq!(joined("response.reasoning_summary_text.delta"), said.thinking);
    said
}

/// Reads a request's body as its dialect does; Google's has its model in the address.
pub(crate) fn decoded<T>(
    dialect: Dialect,
    body: &[u8],
    stream: bool,
    read: impl FnOnce(Result<ChatRequest<'_>, BadRequest>) -> T,
) -> T {
    let bounds = Bounds::default();
    if dialect != Dialect::GeminiGenerateContent {
        return read(dialect.decode_chat(body, &bounds));
    }
    match gemini_body(body, &bounds, "m", stream) {
        Ok(body) => read(dialect.decode_chat(&body, &bounds)),
        Err(bad) => read(Err(bad)),
    }
}

/// One exchange.
#[derive(Deserialize)]
pub(crate) struct Line {
    /// Where it was recorded.
    pub(crate) source: String,
    /// The path that was asked.
    pub(crate) path: String,
    /// What was sent.
    pub(crate) request: Option<String>,
    /// The status that came.
    pub(crate) status: u16,
    /// What came.
    pub(crate) body: String,
    /// How `body` is written: `text`, `json` or `base64`.
    pub(crate) body_encoding: Option<String>,
}

impl Line {
    /// What came, as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if self.body_encoding.as_deref() == Some("base64") {
            return base64(&self.body);
        }
        self.body.as_bytes().to_vec()
    }

    /// Whether the reply is a stream of events.
    pub(crate) fn is_stream(&self) -> bool {
        if self.body_encoding.as_deref() == Some("base64") {
            return true;
        }
        let start = self.body.trim_start();
        start.starts_with("data:") || start.starts_with("event:") || start.starts_with(':')
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(u32::from(b - b'A')),
        b'a'..=b'z' => Some(u32::from(b - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(b - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for value in text.bytes().filter_map(digit) {
        bits = bits << 6 | value;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    out
}

/// The lines of a file.
pub(crate) fn lines(file: &str) -> Vec<Line> {
    let path = format!("{}/tests/recordings/{file}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Everything a stream said.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Read {
    /// The text of each choice.
    pub(crate) texts: Vec<String>,
    /// The thinking of all choices.
    pub(crate) thinking: String,
    /// Each tool call's name and arguments, in the order they began.
    pub(crate) arguments: Vec<(String, String)>,
    /// The reasons the choices ended.
    pub(crate) finishes: Vec<String>,
    /// What was used.
    pub(crate) usage: UsageReport,
    /// Whether it came to its end.
    pub(crate) ended: bool,
    /// What went wrong.
    pub(crate) error: Option<String>,
    /// The bytes of all frames.
    pub(crate) raw: Vec<u8>,
}

/// Reads a stream that comes in these pieces.
pub(crate) fn read_stream(provider: &dyn Provider, pieces: &[&[u8]]) -> Read {
    let mut decoder = provider.decoder(1 << 20);
    let mut read = Read::default();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        drain(&mut *decoder, &mut read);
    }
    decoder.finish();
    drain(&mut *decoder, &mut read);
    read.usage = *decoder.usage();
    read.ended = decoder.ended();
    read
}

fn drain(decoder: &mut dyn StreamDecoder, read: &mut Read) {
    loop {
        match decoder.next() {
            Ok(None) => return,
            Err(e) => {
                read.error = Some(e.kind.name().to_owned());
                return;
            }
            Ok(Some(frame)) => {
                read.raw.extend_from_slice(&frame.raw);
                if frame.kind == FrameKind::UsageOnly {
                    assert!(
                        frame
                            .events
                            .iter()
                            .all(|e| matches!(e, Event::Usage(_) | Event::Start { .. }))
                    );
                }
                for event in &frame.events {
                    take(event, read);
                }
            }
        }
    }
}

fn take(event: &Event<'_>, read: &mut Read) {
    match event {
        Event::Delta { choice, part } => match part {
            Part::Text(text) => {
                let choice = *choice as usize;
                read.texts.resize(read.texts.len().max(choice + 1), String::new());
                read.texts[choice].push_str(text);
            }
            Part::Reasoning(text) => read.thinking.push_str(text),
            Part::ToolCallStart { name, .. } => {
                read.arguments.push((name.to_string(), String::new()))
            }
            Part::ToolCallArguments { json, .. } => {
                if let Some((_, arguments)) = read.arguments.last_mut() {
                    arguments.push_str(json);
                }
            }
            _ => {}
        },
        Event::Finish { choice, reason } => read.finishes.push(format!("{choice} {reason:?}")),
        Event::Error(e) => read.error = Some(e.kind.name().to_owned()),
        Event::Start { .. } | Event::Usage(_) | Event::End => {}
    }
}

/// The ways to cut a body that are tried: in two at every byte where it is short, else at every so many
/// and around the ends of lines; and in pieces of one size.
pub(crate) fn splits(body: &[u8]) -> Vec<Vec<&[u8]>> {
    let step = (body.len() / 60).max(1);
    let near_line = |i: usize| body[i.saturating_sub(2)..i].contains(&b'\n') && i < 1_000;
    let cuts = (0..=body.len()).filter(|i| body.len() < 800 || i % step == 0 || near_line(*i));
    let mut all: Vec<Vec<&[u8]>> = cuts.map(|i| vec![&body[..i], &body[i..]]).collect();
    for size in [1, 2, 3, 7, 61, 1_000] {
        all.push(body.chunks(size).collect());
    }
    // Pieces whose sizes follow no pattern of the body.
    let mut state = 0x9e37_79b9_u32;
    let mut pieces = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let (piece, after) = rest.split_at((state as usize % 97).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    all.push(pieces);
    all
}

/// A provider's stream, written for a client of another dialect.
pub(crate) fn rewrite(
    provider: &dyn Provider,
    dialect: Dialect,
    body: &[u8],
    options: &EncodeOptions<'_>,
) -> Vec<u8> {
    let mut decoder = provider.decoder(1 << 20);
    let mut encoder = dialect.encoder(options);
    let mut out = Vec::new();
    decoder.push(Bytes::copy_from_slice(body));
    decoder.finish();
    let mut end = false;
    loop {
        let usage = {
            let Some(frame) = decoder.next().unwrap() else { break };
            for event in &frame.events {
                match event {
                    Event::Usage(_) => {}
                    Event::End => end = true,
                    other => encoder.encode(other, &mut out),
                }
            }
            end
        };
        if usage {
            break;
        }
    }
    encoder.encode(&Event::Usage(*decoder.usage()), &mut out);
    encoder.encode(&Event::End, &mut out);
    out
}
