//! Writes a stream in this dialect: blocks that open, grow and close, one at a time.

use smallvec::SmallVec;

use super::reply::{write_stop, write_usage};
use crate::dialect::json::{Object, frame, put_num};
use crate::dialect::{EncodeOptions, StreamEncoder};
use crate::unified::{Event, FinishReason, Part, UsageReport, WireError};

/// Writes events. A message ends in one frame that tells reason and usage, so both are kept for it.
pub(crate) struct Encoder {
    id: String,
    model: String,
    started: bool,
    /// The block that is open: its index and what it holds.
    open: Option<(u32, Kind)>,
    /// The index of the next block.
    next: u32,
    /// The block of each tool call, by the call's index.
    calls: SmallVec<[(u32, u32); 4]>,
    finish: Option<FinishReason<'static>>,
    usage: UsageReport,
    extra: Vec<(&'static str, serde_json::Value)>,
    /// Where what is only observed is written to.
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Call,
}

impl Encoder {
    pub(crate) fn new(options: &EncodeOptions<'_>) -> Self {
        Encoder {
            id: options.id.to_owned(),
            model: options.model.to_owned(),
            started: false,
            open: None,
            next: 0,
            calls: SmallVec::new(),
            finish: None,
            usage: UsageReport::default(),
            extra: Vec::new(),
            scratch: Vec::new(),
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        frame(out, "message_start", |event| {
            let mut message = event.object("message");
            message.str("id", &self.id).str("type", "message").str("role", "assistant");
            message.str("model", &self.model).raw("content", "[]");
            write_stop(&mut message, None);
            write_usage(message.key("usage"), &self.usage.usage, &[]);
            message.close();
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some((index, _)) = self.open.take() {
            frame(out, "content_block_stop", |event| {
                event.num("index", u64::from(index));
            });
        }
    }

    /// The index of an open block of that kind; opens one where none is.
    fn block(&mut self, kind: Kind, out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) -> u32 {
        if let Some((index, open)) = self.open
            && open == kind
            && kind != Kind::Call
        {
            return index;
        }
        self.close(out);
        let index = self.next;
        self.next = self.next.saturating_add(1);
        self.open = Some((index, kind));
        frame(out, "content_block_start", |event| {
            event.num("index", u64::from(index));
            let mut block = event.object("content_block");
            write(&mut block);
            block.close();
        });
        index
    }

    fn part(&mut self, part: &Part<'_>, out: &mut Vec<u8>) {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                let index = self.block(Kind::Text, out, |b| {
                    b.str("type", "text").str("text", "");
                });
                delta(out, index, "text_delta", "text", text);
            }
            Part::Reasoning(text) => {
                let index = self.thinking(out);
                delta(out, index, "thinking_delta", "thinking", text);
            }
            Part::Signature(signature) => {
                let index = self.thinking(out);
                delta(out, index, "signature_delta", "signature", signature);
            }
            Part::RedactedReasoning(data) => {
                self.close(out);
                self.block(Kind::Call, out, |b| {
                    b.str("type", "redacted_thinking").str("data", data);
                });
                self.close(out);
            }
            Part::ToolCallStart { index, id, name } => {
                let block = self.block(Kind::Call, out, |b| {
                    b.str("type", "tool_use").str("id", id).str("name", name).raw("input", "{}");
                });
                self.calls.push((*index, block));
            }
            Part::ToolCallArguments { index, json } => {
                let block = self.calls.iter().rev().find(|(call, _)| call == index);
                if let Some((_, block)) = block.copied() {
                    delta(out, block, "input_json_delta", "partial_json", json);
                }
            }
            // This dialect has no place for them.
            Part::Logprobs(_) | Part::Other(_) => {}
        }
    }

    fn thinking(&mut self, out: &mut Vec<u8>) -> u32 {
        self.block(Kind::Thinking, out, |b| {
            b.str("type", "thinking").str("thinking", "").str("signature", "");
        })
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.start(out);
        self.close(out);
        frame(out, "message_delta", |event| {
            let mut delta = event.object("delta");
            write_stop(&mut delta, self.finish.as_ref());
            delta.close();
            write_usage(event.key("usage"), &self.usage.usage, &self.extra);
        });
        frame(out, "message_stop", |_| {});
    }
}

/// The frame that a stream consists of, written without detours.
fn delta(out: &mut Vec<u8>, index: u32, kind: &str, name: &str, text: &str) {
    out.extend_from_slice(
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
    );
    put_num(out, u64::from(index));
    out.extend_from_slice(b",\"delta\":");
    let mut object = Object::open(out);
    object.str("type", kind).str(name, text);
    object.close();
    out.extend_from_slice(b"}\n\n");
}

impl StreamEncoder for Encoder {
    fn observe(&mut self, event: &Event<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.encode(event, &mut scratch);
        scratch.clear();
        self.scratch = scratch;
    }

    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model, .. } => {
                if let Some(id) = id.as_deref().filter(|id| !id.is_empty()) {
                    self.id = id.to_owned();
                }
                if let Some(model) = model.as_deref().filter(|m| !m.is_empty()) {
                    self.model = model.to_owned();
                }
                self.start(out);
            }
            // This dialect has one choice; requests for more do not get here.
            Event::Delta { choice: 0, part } => {
                self.start(out);
                self.part(part, out);
            }
            Event::Finish { choice: 0, reason } => {
                self.close(out);
                self.finish = Some(reason.clone().into_owned());
            }
            Event::Delta { .. } | Event::Finish { .. } => {}
            Event::Usage(report) => self.usage.merge(report),
            Event::End => self.end(out),
            Event::Error(error) => self.error(&error.to_wire(), out),
        }
    }

    fn usage(
        &mut self,
        report: &UsageReport,
        extra: &[(&'static str, serde_json::Value)],
        _: &mut Vec<u8>,
    ) {
        self.usage = *report;
        self.extra = extra.to_vec();
    }

    fn error(&mut self, error: &WireError, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: error\ndata: ");
        crate::dialect::error::anthropic(error, out);
        out.extend_from_slice(b"\n\n");
    }
}
