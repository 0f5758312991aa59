//! Reads streams.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{finish, usage};
use crate::stream::{FrameReader, Read};
use crate::unified::ErrorKind;
use crate::unified::{Event, Events, FrameKind, Part, ProviderError, Text, UsageReport};

/// Reads the frames of one stream.
#[derive(Default)]
pub(super) struct Reader {
    ended: bool,
    usage: UsageReport,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<WireDelta<'a>>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
    /// An error in the middle has a message instead of a type.
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
struct WireDelta<'a> {
    #[serde(borrow, default)]
    message: Option<WireMessage<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireContent<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<WireFunction<'a>>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
}

impl FrameReader for Reader {
    const END_MARK: &'static [u8] = b"";

    fn read<'f>(
        &mut self,
        _: Option<&'f [u8]>,
        data: &'f [u8],
    ) -> Result<Read<'f>, serde_json::Error> {
        if data.starts_with(b"[DONE]") {
            return Ok(Read::end());
        }
        let wire: WireEvent<'f> = serde_json::from_slice(data)?;
        let mut events = Events::new();
        let delta = wire.delta.unwrap_or_default();
        let index = wire.index.unwrap_or(0);
        match (wire.kind.as_deref(), delta.message) {
            (Some("message-start"), _) => {
                events.push(Event::Start {
                    id: wire.id,
                    model: None,
                    created: None,
                    service_tier: None,
                });
            }
            (Some("content-start" | "content-delta"), Some(message)) => {
                content(message.content, &mut events)?;
            }
            (Some("tool-plan-delta"), Some(message)) => {
                push(message.tool_plan.map(Part::Reasoning), &mut events);
            }
            (Some("tool-call-start" | "tool-call-delta"), Some(message)) => {
                call(message.tool_calls, index, &mut events)?;
            }
            (Some("message-end"), _) => {
                self.ended = true;
                if let Some(word) = delta.finish_reason {
                    events.push(Event::Finish { choice: 0, reason: finish(word) });
                }
                if let Some(raw) = delta.usage {
                    self.usage = usage(raw.get());
                    events.push(Event::Usage(self.usage));
                }
            }
            (None, _) => {
                if let Some(message) = wire.message {
                    let text = crate::redact::redact(&message);
                    return Ok(Read::error(ProviderError::new(ErrorKind::Server, text)));
                }
            }
            _ => {}
        }
        if let Some(error) = delta.error {
            let text = crate::redact::redact(&error);
            return Ok(Read::error(ProviderError::new(ErrorKind::Server, text)));
        }
        push(wire.logprobs.map(|raw| Part::Logprobs(raw.get().into())), &mut events);
        Ok(Read { kind: FrameKind::Content, events })
    }

    fn usage(&self) -> &UsageReport {
        &self.usage
    }

    fn is_whole(&self) -> bool {
        self.ended
    }
}

fn push<'f>(part: Option<Part<'f>>, events: &mut Events<'f>) {
    events.extend(part.map(|part| Event::Delta { choice: 0, part }));
}

fn content<'f>(
    raw: Option<&'f RawValue>,
    events: &mut Events<'f>,
) -> Result<(), serde_json::Error> {
    let Some(raw) = raw.filter(|raw| raw.get().starts_with('{')) else { return Ok(()) };
    let content: WireContent<'f> = serde_json::from_str(raw.get())?;
    let some = |text: Option<Text<'f>>| text.filter(|text| !text.is_empty());
    push(some(content.thinking).map(Part::Reasoning), events);
    push(some(content.text).map(Part::Text), events);
    Ok(())
}

fn call<'f>(
    raw: Option<&'f RawValue>,
    index: u32,
    events: &mut Events<'f>,
) -> Result<(), serde_json::Error> {
    let Some(raw) = raw.filter(|raw| raw.get().starts_with('{')) else { return Ok(()) };
    let call: WireCall<'f> = serde_json::from_str(raw.get())?;
    let function = call.function.unwrap_or(WireFunction { name: None, arguments: None });
    if let Some(id) = call.id {
        let name = function.name.unwrap_or_default();
        push(Some(Part::ToolCallStart { index, id, name }), events);
    }
    let json = function.arguments.filter(|json| !json.is_empty());
    push(json.map(|json| Part::ToolCallArguments { index, json }), events);
    Ok(())
}
