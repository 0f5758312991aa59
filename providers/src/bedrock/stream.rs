//! Reads streams: each message of the event stream is an event of the reply.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::eventstream::{Broken, Framer, Message};
use super::reply::{finish, usage};
use crate::redact::redact;
use crate::unified::{
    ErrorKind, Event, Events, Frame, FrameKind, Part, ProviderError, StreamDecoder, Text,
    UsageReport,
};

/// Reads one stream.
pub(super) struct Decoder {
    framer: Framer,
    current: Message,
    /// The tool calls that have begun: the block's index, and whether arguments came.
    calls: SmallVec<[(u32, bool); 4]>,
    usage: UsageReport,
    stopped: bool,
    closed: bool,
    /// Nothing more is given: the stream was whole, or not.
    over: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEvent<'a> {
    #[serde(default)]
    content_block_index: Option<u32>,
    #[serde(borrow, default)]
    start: Option<WireStart<'a>>,
    #[serde(borrow, default)]
    delta: Option<WireDelta<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStart<'a> {
    #[serde(borrow, default)]
    tool_use: Option<WireToolUse<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireToolUse<'a> {
    #[serde(borrow, default)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    input: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDelta<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_use: Option<WireToolUse<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<WireReasoning<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReasoning<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<Text<'a>>,
}

impl Decoder {
    pub(super) fn new(frame_cap: usize) -> Self {
        Decoder {
            framer: Framer::new(frame_cap),
            current: Message::default(),
            calls: SmallVec::new(),
            usage: UsageReport::default(),
            stopped: false,
            closed: false,
            over: None,
        }
    }

    fn fail<T>(&mut self, kind: ErrorKind, message: &str) -> Result<T, ProviderError> {
        self.over = Some(false);
        Err(ProviderError::new(kind, message))
    }

    fn advance(&mut self) -> Result<bool, ProviderError> {
        match self.framer.next_message() {
            Ok(Some(message)) => self.current = message,
            Ok(None) => return Ok(false),
            Err(Broken::TooLarge) => {
                return self
                    .fail(ErrorKind::TooLarge, "a message of the stream is larger than allowed");
            }
            Err(Broken::Corrupt) => {
                return self.fail(ErrorKind::Malformed, "a message of the stream is corrupt");
            }
        }
        Ok(true)
    }
}

impl StreamDecoder for Decoder {
    fn push(&mut self, chunk: Bytes) {
        if !self.closed && self.over.is_none() {
            self.framer.push(&chunk);
        }
    }

    fn finish(&mut self) {
        self.closed = true;
    }

    fn next(&mut self) -> Result<Option<Frame<'_>>, ProviderError> {
        if self.over.is_some() {
            return Ok(None);
        }
        if !self.advance()? {
            if !self.closed {
                return Ok(None);
            }
            if !self.stopped || self.framer.has_rest() {
                return self.fail(ErrorKind::Truncated, "the stream stopped before its end");
            }
            self.over = Some(true);
            let mut events = Events::new();
            events.push(Event::End);
            return Ok(Some(Frame { raw: Bytes::new(), kind: FrameKind::End, events }));
        }
        let raw = self.current.raw.clone();
        let wire: WireEvent<'_> = match serde_json::from_slice(&self.current.payload) {
            Ok(wire) => wire,
            Err(e) => {
                self.over = Some(false);
                let message = format!("a message of the stream cannot be read: {e}");
                return Err(ProviderError::new(ErrorKind::Malformed, message));
            }
        };
        let mut events = Events::new();
        if self.current.kind != "event" {
            self.over = Some(false);
            events.push(Event::Error(exception(&self.current.name, wire.message.as_deref())));
            return Ok(Some(Frame { raw, kind: FrameKind::Error, events }));
        }
        let state =
            State { calls: &mut self.calls, usage: &mut self.usage, stopped: &mut self.stopped };
        state.read(&self.current.name, wire, &mut events);
        Ok(Some(Frame { raw, kind: FrameKind::Content, events }))
    }

    fn usage(&self) -> &UsageReport {
        &self.usage
    }

    fn ended(&self) -> bool {
        self.over == Some(true)
    }
}

/// The part of the decoder that events change, apart from the message they borrow from.
struct State<'s> {
    calls: &'s mut SmallVec<[(u32, bool); 4]>,
    usage: &'s mut UsageReport,
    stopped: &'s mut bool,
}

impl State<'_> {
    fn read<'f>(self, name: &str, wire: WireEvent<'f>, events: &mut Events<'f>) {
        let block = wire.content_block_index.unwrap_or(0);
        let place = self.calls.iter().position(|(at, _)| *at == block);
        let index = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let mut push = |part| events.push(Event::Delta { choice: 0, part });
        match name {
            "messageStart" => {
                events.push(Event::Start {
                    id: None,
                    model: None,
                    created: None,
                    service_tier: None,
                });
            }
            "contentBlockStart" => {
                if let Some(call) = wire.start.and_then(|s| s.tool_use) {
                    let index = index(self.calls.len());
                    self.calls.push((block, false));
                    let (id, name) =
                        (call.tool_use_id.unwrap_or_default(), call.name.unwrap_or_default());
                    push(Part::ToolCallStart { index, id, name });
                }
            }
            "contentBlockDelta" => {
                let Some(delta) = wire.delta else { return };
                if let Some(text) = delta.text {
                    push(Part::Text(text));
                }
                if let (Some(place), Some(json)) = (place, delta.tool_use.and_then(|t| t.input))
                    && !json.is_empty()
                {
                    self.calls[place].1 = true;
                    push(Part::ToolCallArguments { index: index(place), json });
                }
                if let Some(reasoning) = delta.reasoning_content {
                    let WireReasoning { text, signature, redacted_content } = reasoning;
                    let parts = [
                        text.map(Part::Reasoning),
                        signature.map(Part::Signature),
                        redacted_content.map(Part::RedactedReasoning),
                    ];
                    parts.into_iter().flatten().for_each(push);
                }
            }
            "contentBlockStop" => {
                // A call without arguments is one with an empty object for them.
                if let Some(place) = place
                    && !std::mem::replace(&mut self.calls[place].1, true)
                {
                    push(Part::ToolCallArguments { index: index(place), json: "{}".into() });
                }
            }
            "messageStop" => {
                *self.stopped = true;
                if let Some(word) = wire.stop_reason {
                    events.push(Event::Finish { choice: 0, reason: finish(word) });
                }
            }
            "metadata" => {
                if let Some(raw) = wire.usage {
                    *self.usage = usage(raw.get());
                    events.push(Event::Usage(*self.usage));
                }
            }
            _ => {}
        }
    }
}

fn exception(name: &str, message: Option<&str>) -> ProviderError {
    let kind = match name {
        "throttlingException" => ErrorKind::RateLimit,
        "validationException" => ErrorKind::InvalidRequest,
        "serviceUnavailableException" => ErrorKind::Overloaded,
        "modelTimeoutException" => ErrorKind::Timeout,
        _ => ErrorKind::Server,
    };
    let message = message.map_or_else(|| "the provider reports an error".to_owned(), redact);
    ProviderError { kind, message, code: Some(name.to_owned()).filter(|name| !name.is_empty()) }
}
