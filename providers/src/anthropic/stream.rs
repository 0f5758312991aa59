//! Reads streams: blocks that begin, grow and end become the hub's deltas.

use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::blocks::{WireBlock, block, stop_reason};
use super::reply::tier;
use super::usage::{At, Seen};
use crate::openai::told;
use crate::stream::{FrameReader, Read};
use crate::template::Template;
use crate::unified::{Block, Event, Events, FrameKind, Part, Text, UsageReport};

/// Reads the frames of one stream.
#[derive(Default)]
pub(super) struct Reader {
    /// The blocks that have begun and are more than text, by index.
    open: SmallVec<[(u32, Open); 4]>,
    /// How many tools were called.
    calls: u32,
    stopped: bool,
    seen: Seen,
    usage: UsageReport,
    template: Template,
}

/// A block that has begun.
#[derive(Clone, Copy)]
enum Open {
    /// A tool call, its place among the calls, and whether any of its arguments came.
    Call(u32, bool),
    /// Something the provider does itself.
    Other,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<WireMessage<'a>>,
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireDelta<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_sequence: Option<Text<'a>>,
}

impl FrameReader for Reader {
    const END_MARK: &'static [u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    fn read<'f>(
        &mut self,
        _: Option<&'f [u8]>,
        data: &'f [u8],
    ) -> Result<Read<'f>, serde_json::Error> {
        if let Some((choice, text)) = self.template.read(data) {
            return Ok(Read::text(choice, text));
        }
        let wire: WireEvent<'f> = serde_json::from_slice(data)?;
        let mut events = Events::new();
        match wire.kind.as_deref() {
            Some("message_start") => self.start(wire.message, &mut events),
            Some("content_block_start") => {
                self.begin(wire.index, wire.content_block, &mut events)?
            }
            Some("content_block_delta") => self.grow(wire.index, wire.delta, &mut events)?,
            Some("content_block_stop") => self.close(wire.index, &mut events),
            Some("message_delta") => self.finish(wire.delta, wire.usage, &mut events)?,
            Some("message_stop") => return Ok(Read::end()),
            Some("error") => {
                let error = wire.error.map_or("{}", RawValue::get);
                return Ok(Read::error(told(error)));
            }
            _ => {
                // A ping, or something newer than us; an error whatever it calls itself is one.
                if let Some(raw) = wire.error.filter(|raw| raw.get() != "null") {
                    return Ok(Read::error(told(raw.get())));
                }
            }
        }
        let read = Read { kind: FrameKind::Content, events };
        if let Some((choice, text)) = read.only_text() {
            self.template.learn(data, choice, text);
        }
        Ok(read)
    }

    fn usage(&self) -> &UsageReport {
        &self.usage
    }

    fn is_whole(&self) -> bool {
        self.stopped
    }
}

fn delta(part: Part<'_>) -> Event<'_> {
    Event::Delta { choice: 0, part }
}

impl Reader {
    fn start<'f>(&mut self, message: Option<WireMessage<'f>>, events: &mut Events<'f>) {
        let (mut id, mut model, mut service_tier) = (None, None, None);
        let mut report = None;
        if let Some(message) = message {
            (id, model) = (message.id, message.model);
            service_tier = message.usage.and_then(tier);
            report = message.usage.map(|raw| self.seen.take(raw.get(), At::Start));
        }
        events.push(Event::Start { id, model, created: None, service_tier });
        self.used(report, events);
    }

    fn used(&mut self, report: Option<UsageReport>, events: &mut Events<'_>) {
        if let Some(report) = report {
            self.usage = report;
            events.push(Event::Usage(report));
        }
    }

    fn begin<'f>(
        &mut self,
        index: Option<u32>,
        raw: Option<&'f RawValue>,
        events: &mut Events<'f>,
    ) -> Result<(), serde_json::Error> {
        let Some(raw) = raw else { return Ok(()) };
        let at = index.unwrap_or(0);
        let wire: WireBlock<'f> = serde_json::from_str(raw.get())?;
        if wire.kind == "tool_use" {
            let (id, name) = (wire.id.unwrap_or_default(), wire.name.unwrap_or_default());
            let call = self.calls;
            self.calls += 1;
            events.push(delta(Part::ToolCallStart { index: call, id, name }));
            // Arguments come in deltas, but nothing forbids them to come at once.
            let whole =
                wire.input.map(RawValue::get).filter(|json| !matches!(*json, "{}" | "null"));
            if let Some(json) = whole {
                events.push(delta(Part::ToolCallArguments { index: call, json: json.into() }));
            }
            self.open.push((at, Open::Call(call, whole.is_some())));
            return Ok(());
        }
        match block(raw) {
            Ok(Block::Text { text, .. }) if text.is_empty() => {}
            Ok(Block::Text { text, .. }) => events.push(delta(Part::Text(text))),
            Ok(Block::Thinking { text, .. }) if text.is_empty() => {}
            Ok(Block::Thinking { text, .. }) => events.push(delta(Part::Reasoning(text))),
            Ok(Block::RedactedThinking { data }) => {
                events.push(delta(Part::RedactedReasoning(data)))
            }
            _ => {
                self.open.push((at, Open::Other));
                events.push(delta(Part::Other(raw.get().into())));
            }
        }
        Ok(())
    }

    fn grow<'f>(
        &mut self,
        index: Option<u32>,
        raw: Option<&'f RawValue>,
        events: &mut Events<'f>,
    ) -> Result<(), serde_json::Error> {
        let Some(raw) = raw else { return Ok(()) };
        let wire: WireDelta<'f> = serde_json::from_str(raw.get())?;
        let open = self.open.iter_mut().rev().find(|(at, _)| Some(*at) == index);
        let part = match (wire.kind.as_deref(), open) {
            (Some("text_delta"), _) => wire.text.map(Part::Text),
            (Some("thinking_delta"), _) => wire.thinking.map(Part::Reasoning),
            (Some("signature_delta"), _) => wire.signature.map(Part::Signature),
            (Some("input_json_delta"), Some((_, Open::Call(call, some)))) => {
                let index = *call;
                let json = wire.partial_json.filter(|json| !json.is_empty());
                *some |= json.is_some();
                json.map(|json| Part::ToolCallArguments { index, json })
            }
            _ => Some(Part::Other(raw.get().into())),
        };
        events.extend(part.map(delta));
        Ok(())
    }

    /// A call without arguments is one with an empty object for them.
    fn close(&mut self, index: Option<u32>, events: &mut Events<'_>) {
        let open = self.open.iter_mut().rev().find(|(at, _)| Some(*at) == index);
        if let Some((_, Open::Call(call, some))) = open
            && !std::mem::replace(some, true)
        {
            events.push(delta(Part::ToolCallArguments { index: *call, json: "{}".into() }));
        }
    }

    fn finish<'f>(
        &mut self,
        raw: Option<&'f RawValue>,
        usage: Option<&'f RawValue>,
        events: &mut Events<'f>,
    ) -> Result<(), serde_json::Error> {
        if let Some(raw) = raw {
            let wire: WireDelta<'f> = serde_json::from_str(raw.get())?;
            if let Some(word) = wire.stop_reason {
                self.stopped = true;
                let reason = stop_reason(word, wire.stop_sequence);
                events.push(Event::Finish { choice: 0, reason });
            }
        }
        let report = usage.map(|raw| self.seen.take(raw.get(), At::Later));
        self.used(report, events);
        Ok(())
    }
}
