//! The items of an answer, as far as they have come, and the response object that holds them.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::{Class, Usage};

use super::{digits, reply_id};
use crate::dialect::EncodeOptions;
use crate::dialect::json::{Object, array, put_num, put_str};
use crate::unified::{FinishReason, UsageReport, WireError};

/// One item of the answer.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) done: bool,
}

/// What an item holds.
#[derive(Debug)]
pub(super) enum Kind {
    Message(Vec<Piece>),
    Reasoning { text: Option<String>, encrypted: Option<String> },
    Call { index: u32, call_id: String, name: String, arguments: String },
}

/// One part of a message.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) refusal: bool,
    pub(super) text: String,
    /// Log probabilities, as elements of an array.
    pub(super) logprobs: String,
}

impl Kind {
    pub(super) const fn prefix(&self) -> &'static str {
        match self {
            Kind::Message(_) => "msg",
            Kind::Reasoning { .. } => "rs",
            Kind::Call { .. } => "fc",
        }
    }
}

impl Piece {
    pub(super) fn new(refusal: bool) -> Piece {
        Piece { refusal, text: String::new(), logprobs: String::new() }
    }

    /// Writes the part, as far as it has come.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        if self.refusal {
            object.str("type", "refusal").str("refusal", &self.text);
        } else {
            object.str("type", "output_text").raw("annotations", "[]");
            self.write_logprobs(&mut object);
            object.str("text", &self.text);
        }
        object.close();
    }

    pub(super) fn write_logprobs(&self, object: &mut Object<'_>) {
        let out = object.key("logprobs");
        out.push(b'[');
        out.extend_from_slice(self.logprobs.as_bytes());
        out.push(b']');
    }

    /// Takes what the chat dialect says of log probabilities: `{"content":[…]}`.
    pub(super) fn add_logprobs(&mut self, json: &str) {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow, default)]
            content: Option<Vec<&'a RawValue>>,
        }
        let wire = serde_json::from_str::<Wire<'_>>(json).ok();
        for one in wire.and_then(|wire| wire.content).unwrap_or_default() {
            if !self.logprobs.is_empty() {
                self.logprobs.push(',');
            }
            self.logprobs.push_str(one.get());
        }
    }
}

impl Item {
    pub(super) fn new(reply: &str, place: usize, kind: Kind) -> Item {
        let id = format!("{}_{}_{place}", kind.prefix(), digits(reply));
        Item { id, kind, done: false }
    }

    /// Writes the item. What is not done is written empty, as when it is added.
    pub(super) fn write(&self, out: &mut Vec<u8>, status: &str) {
        let mut object = Object::open(out);
        object.str("id", &self.id);
        match &self.kind {
            Kind::Message(pieces) => {
                object.str("type", "message").str("status", status).str("role", "assistant");
                array(object.key("content"), pieces, |out, piece| piece.write(out));
            }
            Kind::Reasoning { text, encrypted } => {
                object.str("type", "reasoning");
                array(object.key("summary"), text, |out, text| write_summary(out, text));
                if let Some(encrypted) = encrypted {
                    object.str("encrypted_content", encrypted);
                }
                object.str("status", status);
            }
            Kind::Call { index: _, call_id, name, arguments } => {
                object.str("type", "function_call").str("status", status);
                object.str("call_id", call_id).str("name", name).str("arguments", arguments);
            }
        }
        object.close();
    }
}

pub(super) fn write_summary(out: &mut Vec<u8>, text: &str) {
    let mut part = Object::open(out);
    part.str("type", "summary_text").str("text", text);
    part.close();
}

/// What is known of a response beside its items.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) created: u64,
    pub(super) service_tier: Option<String>,
    pub(super) echo: String,
    pub(super) usage: UsageReport,
    pub(super) extra: Vec<(&'static str, serde_json::Value)>,
}

/// How a response stands.
pub(super) enum Status<'s> {
    InProgress,
    Completed,
    Incomplete(&'static str),
    Failed(&'s WireError),
}

impl<'s> Status<'s> {
    pub(super) fn of(finish: Option<&FinishReason<'_>>) -> Status<'s> {
        match finish {
            Some(FinishReason::Length) => Status::Incomplete("max_output_tokens"),
            Some(FinishReason::ContentFilter) => Status::Incomplete("content_filter"),
            _ => Status::Completed,
        }
    }

    pub(super) const fn word(&self) -> &'static str {
        match self {
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Incomplete(_) => "incomplete",
            Status::Failed(_) => "failed",
        }
    }
}

impl Head {
    pub(super) fn new(options: &EncodeOptions<'_>) -> Head {
        Head {
            id: reply_id(options.id),
            model: options.model.to_owned(),
            created: options.created,
            service_tier: None,
            echo: options.echo.to_owned(),
            usage: UsageReport::default(),
            extra: Vec::new(),
        }
    }

    /// Writes the response object.
    pub(super) fn write(&self, out: &mut Vec<u8>, status: &Status<'_>, items: &[Item]) {
        let mut top = Object::open(out);
        top.str("id", &self.id).str("object", "response");
        top.num("created_at", self.created).str("status", status.word());
        top.raw("background", "false");
        match status {
            Status::Failed(error) => {
                let mut object = top.object("error");
                object.str("code", error.code.as_deref().unwrap_or("server_error"));
                object.str("message", &error.message);
                object.close();
            }
            _ => drop(top.raw("error", "null")),
        }
        match status {
            Status::Incomplete(reason) => {
                let mut details = top.object("incomplete_details");
                details.str("reason", reason);
                details.close();
            }
            _ => drop(top.raw("incomplete_details", "null")),
        }
        top.str("model", &self.model);
        array(top.key("output"), items, |out, item| {
            item.write(out, if item.done { "completed" } else { "incomplete" });
        });
        if !self.echo.is_empty() {
            top.members(&self.echo);
        }
        top.value("service_tier", &self.service_tier);
        let usage = &self.usage.usage;
        if usage.input_total().is_some() && usage.output_total().is_some() {
            write_usage(top.key("usage"), usage, &self.extra);
        } else {
            top.raw("usage", "null");
        }
        top.close();
    }
}

/// Writes a usage object: each total holds every class of its side.
fn write_usage(out: &mut Vec<u8>, usage: &Usage, extra: &[(&'static str, serde_json::Value)]) {
    let (input, output) = (usage.input_total().unwrap_or(0), usage.output_total().unwrap_or(0));
    let mut top = Object::open(out);
    top.num("input_tokens", input);
    let mut details = top.object("input_tokens_details");
    details.num("cached_tokens", usage.get(Class::CacheRead).unwrap_or(0));
    let writes = [Class::CacheWrite, Class::CacheWriteLong].map(|class| usage.get(class));
    let written = writes.iter().flatten().fold(0_u64, |a, b| a.saturating_add(*b));
    details.num("cache_write_tokens", written);
    for (name, class) in [("audio_tokens", Class::AudioInput), ("image_tokens", Class::ImageInput)]
    {
        if let Some(count) = usage.get(class) {
            details.num(name, count);
        }
    }
    details.close();
    top.num("output_tokens", output);
    let mut details = top.object("output_tokens_details");
    details.num("reasoning_tokens", usage.get(Class::Reasoning).unwrap_or(0));
    for (name, class) in
        [("audio_tokens", Class::AudioOutput), ("image_tokens", Class::ImageOutput)]
    {
        if let Some(count) = usage.get(class) {
            details.num(name, count);
        }
    }
    details.close();
    top.num("total_tokens", input.saturating_add(output));
    for (name, value) in extra {
        top.value(name, value);
    }
    top.close();
}

/// One event of the stream: its frame with its number in the order of events.
pub(super) fn frame(
    out: &mut Vec<u8>,
    number: u64,
    kind: &str,
    write: impl FnOnce(&mut Object<'_>),
) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: {\"type\":");
    put_str(out, kind);
    out.extend_from_slice(b",\"sequence_number\":");
    put_num(out, number);
    let mut object = Object::within(out);
    write(&mut object);
    object.close();
    out.extend_from_slice(b"\n\n");
}
