//! Writes a stream in this dialect: each event is a reply that holds what is new. A call stands in one
//! piece, and the last event tells reasons and usage, so all of them are kept until then.

use super::reply::{write_call, write_candidate, write_usage};
use crate::dialect::json::{Object, array};
use crate::dialect::{EncodeOptions, StreamEncoder};
use crate::unified::{Event, FinishReason, Part, UsageReport, WireError};

/// Writes events.
pub(crate) struct Encoder {
    id: String,
    model: String,
    calls: Vec<Call>,
    finished: Vec<(u32, FinishReason<'static>)>,
    usage: UsageReport,
    extra: Vec<(&'static str, serde_json::Value)>,
    /// Where what is only observed is written to.
    scratch: Vec<u8>,
}

/// A call whose arguments are still coming.
struct Call {
    choice: u32,
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

impl Encoder {
    pub(crate) fn new(options: &EncodeOptions<'_>) -> Self {
        Encoder {
            id: options.id.to_owned(),
            model: options.model.to_owned(),
            calls: Vec::new(),
            finished: Vec::new(),
            usage: UsageReport::default(),
            extra: Vec::new(),
            scratch: Vec::new(),
        }
    }

    fn event(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
        out.extend_from_slice(b"data: ");
        let mut top = Object::open(out);
        write(&mut top);
        top.str("modelVersion", &self.model).str("responseId", &self.id);
        top.close();
        out.extend_from_slice(b"\n\n");
    }

    fn piece(&self, out: &mut Vec<u8>, choice: u32, write: impl FnOnce(&mut Object<'_>)) {
        self.event(out, |top| {
            array(top.key("candidates"), [write], |out, write| {
                write_candidate(out, choice, None, |parts| {
                    array(parts, [write], |out, write| {
                        let mut part = Object::open(out);
                        write(&mut part);
                        part.close();
                    });
                });
            });
        });
    }

    fn part(&mut self, choice: u32, part: &Part<'_>, out: &mut Vec<u8>) {
        match part {
            Part::Text(text) | Part::Refusal(text) => self.piece(out, choice, |part| {
                part.str("text", text);
            }),
            Part::Reasoning(text) => self.piece(out, choice, |part| {
                part.str("text", text).raw("thought", "true");
            }),
            Part::Signature(signature) => self.piece(out, choice, |part| {
                part.str("text", "").raw("thought", "true").str("thoughtSignature", signature);
            }),
            Part::ToolCallStart { index, id, name } => self.calls.push(Call {
                choice,
                index: *index,
                id: id.to_string(),
                name: name.to_string(),
                arguments: String::new(),
            }),
            Part::ToolCallArguments { index, json } => {
                let mine = |call: &&mut Call| call.choice == choice && call.index == *index;
                if let Some(call) = self.calls.iter_mut().rev().find(mine) {
                    call.arguments.push_str(json);
                }
            }
            // This dialect has no place for them.
            Part::RedactedReasoning(_) | Part::Logprobs(_) | Part::Other(_) => {}
        }
    }

    fn flush(&mut self, choice: u32, out: &mut Vec<u8>) {
        let (mine, others) = std::mem::take(&mut self.calls)
            .into_iter()
            .partition::<Vec<Call>, _>(|call| call.choice == choice);
        self.calls = others;
        for Call { id, name, arguments, .. } in mine {
            self.piece(out, choice, |part| write_call(part, &id, &name, &arguments));
        }
    }
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
            }
            Event::Delta { choice, part } => self.part(*choice, part, out),
            Event::Finish { choice, reason } => {
                self.flush(*choice, out);
                self.finished.push((*choice, reason.clone().into_owned()));
            }
            Event::Usage(report) => self.usage.merge(report),
            Event::End => self.event(out, |top| {
                array(top.key("candidates"), &self.finished, |out, (choice, reason)| {
                    write_candidate(out, *choice, Some(reason), |parts| {
                        parts.extend_from_slice(b"[{\"text\":\"\"}]");
                    });
                });
                write_usage(top, &self.usage.usage, &self.extra);
            }),
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
        out.extend_from_slice(b"data: ");
        crate::dialect::error::google(error, out);
        out.extend_from_slice(b"\n\n");
    }
}
