//! Writes a stream in this dialect: chunks, the usage chunk where asked for, `[DONE]`.

use super::finish_word;
use super::reply::{has_both_sides, write_usage};
use crate::dialect::json::{Object, put_num, put_str};
use crate::dialect::{EncodeOptions, StreamEncoder};
use crate::unified::{Event, Part, UsageReport, WireError};

/// Writes chunks. Every chunk repeats the reply's id and model, so it remembers them.
pub(crate) struct Encoder {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
    /// The choices whose role was written, one bit each.
    begun: u128,
}

impl Encoder {
    pub(crate) fn new(options: &EncodeOptions<'_>) -> Self {
        Encoder {
            id: options.id.to_owned(),
            model: options.model.to_owned(),
            created: options.created,
            include_usage: options.include_usage,
            begun: 0,
        }
    }

    fn head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: {\"id\":");
        put_str(out, &self.id);
        out.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        put_num(out, self.created);
        out.extend_from_slice(b",\"model\":");
        put_str(out, &self.model);
        out.extend_from_slice(b",\"choices\":[");
    }

    fn tail(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.include_usage {
            b"],\"usage\":null}\n\n"
        } else {
            b"]}\n\n"
        });
    }

    /// One chunk of one choice. `delta` writes the members of the delta behind the role.
    fn chunk(
        &mut self,
        out: &mut Vec<u8>,
        choice: u32,
        finish: Option<&str>,
        logprobs: Option<&str>,
        delta: impl FnOnce(&mut Object<'_>),
    ) {
        self.head(out);
        let mut object = Object::open(out);
        object.num("index", u64::from(choice));
        let mut inner = object.object("delta");
        let bit = 1u128.checked_shl(choice).unwrap_or(0);
        if self.begun & bit == 0 && finish.is_none() {
            self.begun |= bit;
            inner.str("role", "assistant");
        }
        delta(&mut inner);
        inner.close();
        object.raw("logprobs", logprobs.unwrap_or("null"));
        match finish {
            Some(word) => object.str("finish_reason", word),
            None => object.raw("finish_reason", "null"),
        };
        object.close();
        self.tail(out);
    }

    fn part(&mut self, out: &mut Vec<u8>, choice: u32, part: &Part<'_>) {
        match part {
            Part::Text(text) => self.chunk(out, choice, None, None, |d| {
                d.str("content", text);
            }),
            Part::Reasoning(text) => self.chunk(out, choice, None, None, |d| {
                d.str("reasoning_content", text);
            }),
            Part::Refusal(text) => self.chunk(out, choice, None, None, |d| {
                d.str("refusal", text);
            }),
            Part::ToolCallStart { index, id, name } => self.chunk(out, choice, None, None, |d| {
                tool_call(d, *index, |call| {
                    call.str("id", id).str("type", "function");
                    let mut function = call.object("function");
                    function.str("name", name).str("arguments", "");
                    function.close();
                });
            }),
            Part::ToolCallArguments { index, json } => self.chunk(out, choice, None, None, |d| {
                tool_call(d, *index, |call| {
                    let mut function = call.object("function");
                    function.str("arguments", json);
                    function.close();
                });
            }),
            Part::Logprobs(json) => self.chunk(out, choice, None, Some(json), |_| {}),
            // This dialect has no place for them; what they hold only their own provider can read.
            Part::Signature(_) | Part::RedactedReasoning(_) | Part::Other(_) => {}
        }
    }
}

fn tool_call(delta: &mut Object<'_>, index: u32, write: impl FnOnce(&mut Object<'_>)) {
    let out = delta.key("tool_calls");
    out.push(b'[');
    let mut call = Object::open(out);
    call.num("index", u64::from(index));
    write(&mut call);
    call.close();
    out.push(b']');
}

impl StreamEncoder for Encoder {
    fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { id, model, created, .. } => {
                if let Some(id) = id.as_deref().filter(|id| !id.is_empty()) {
                    self.id = id.to_owned();
                }
                if let Some(model) = model.as_deref().filter(|m| !m.is_empty()) {
                    self.model = model.to_owned();
                }
                self.created = created.unwrap_or(self.created);
            }
            Event::Delta { choice, .. } => self.begun |= 1u128.checked_shl(*choice).unwrap_or(0),
            Event::Finish { .. } | Event::Usage(_) | Event::End | Event::Error(_) => {}
        }
    }

    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { .. } => {
                self.observe(event);
                self.chunk(out, 0, None, None, |d| {
                    d.str("content", "");
                });
            }
            Event::Delta { choice, part } => self.part(out, *choice, part),
            Event::Finish { choice, reason } => {
                self.chunk(out, *choice, Some(finish_word(reason)), None, |_| {});
            }
            Event::Usage(report) => self.usage(report, &[], out),
            Event::End => out.extend_from_slice(b"data: [DONE]\n\n"),
            Event::Error(error) => self.error(&error.to_wire(), out),
        }
    }

    fn usage(
        &mut self,
        report: &UsageReport,
        extra: &[(&'static str, serde_json::Value)],
        out: &mut Vec<u8>,
    ) {
        if !self.include_usage || !has_both_sides(&report.usage) {
            return;
        }
        self.head(out);
        out.extend_from_slice(b"],\"usage\":");
        write_usage(out, &report.usage, extra);
        out.extend_from_slice(b"}\n\n");
    }

    fn error(&mut self, error: &WireError, out: &mut Vec<u8>) {
        crate::dialect::error::openai_event(error, out);
    }
}
