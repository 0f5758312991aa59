//! Reading the recordings, and reading streams into something that can be compared.

use bytes::Bytes;
use serde::Deserialize;
use tollgate_providers::{
    Dialect, EncodeOptions, Event, FrameKind, Part, Provider, StreamDecoder, UsageReport,
};

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
