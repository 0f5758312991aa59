//! Reads streams of events: items that are added and grow become the hub's deltas, and the response in
//! the last event says what was used and why it ended.

use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::reply::WireResponse;
use crate::openai::told;
use crate::stream::{FrameReader, Read};
use crate::unified::{Event, Events, FrameKind, Part, Text, UsageReport};

/// Reads the frames of one stream.
#[derive(Default)]
pub(super) struct Reader {
    /// The function calls, by the place of their item: in the order they began.
    calls: SmallVec<[Call; 4]>,
    usage: UsageReport,
}

/// A call that began at that place in the output.
struct Call {
    place: u32,
    /// Whether any of its arguments came.
    begun: bool,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(default)]
    output_index: Option<u32>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireItem<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    call_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
}

impl FrameReader for Reader {
    /// A response that is not told whole is never taken for one, so this is never written.
    const END_MARK: &'static [u8] = b"";

    fn read<'f>(
        &mut self,
        _: Option<&'f [u8]>,
        data: &'f [u8],
    ) -> Result<Read<'f>, serde_json::Error> {
        if data.starts_with(b"[DONE]") {
            return Ok(Read { kind: FrameKind::Comment, events: Events::new() });
        }
        let wire: WireEvent<'f> = serde_json::from_slice(data)?;
        let kind = wire.kind.clone().unwrap_or_default();
        let response = || {
            let json = wire.response.map_or("{}", RawValue::get);
            serde_json::from_str::<WireResponse<'f>>(json)
        };
        let mut events = Events::new();
        match kind.as_str() {
            "response.completed" | "response.incomplete" | "response.failed" => {
                return Ok(self.last(response()?, kind == "response.failed"));
            }
            // OpenAI writes its members flat, others an object.
            "error" => {
                let flat = std::str::from_utf8(data).unwrap_or("{}");
                return Ok(Read::error(told(wire.error.map_or(flat, RawValue::get))));
            }
            _ if wire.error.is_some_and(|raw| raw.get() != "null") => {
                return Ok(Read::error(told(wire.error.map_or("{}", RawValue::get))));
            }
            "response.created" => {
                let response = response()?;
                let created = response.created();
                let WireResponse { id, model, .. } = response;
                events.push(Event::Start { id, model, created, service_tier: None });
            }
            "response.output_item.added" => self.add(&wire, &mut events)?,
            "response.output_text.delta" => push(&mut events, &wire, Part::Text)?,
            "response.refusal.delta" => push(&mut events, &wire, Part::Refusal)?,
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                push(&mut events, &wire, Part::Reasoning)?;
            }
            "response.function_call_arguments.delta" => {
                if let Some(index) = self.call(wire.output_index) {
                    push(&mut events, &wire, |json| Part::ToolCallArguments { index, json })?;
                }
            }
            "response.function_call_arguments.done" => self.whole_call(wire, &mut events),
            _ => {}
        }
        Ok(Read { kind: FrameKind::Content, events })
    }

    fn usage(&self) -> &UsageReport {
        &self.usage
    }

    fn is_whole(&self) -> bool {
        false
    }
}

fn push<'f>(
    events: &mut Events<'f>,
    wire: &WireEvent<'f>,
    part: impl FnOnce(Text<'f>) -> Part<'f>,
) -> Result<(), serde_json::Error> {
    if let Some(delta) = wire.delta {
        let text: Text<'f> = serde_json::from_str(delta.get())?;
        if !text.is_empty() {
            events.push(Event::Delta { choice: 0, part: part(text) });
        }
    }
    Ok(())
}

impl Reader {
    fn add<'f>(
        &mut self,
        wire: &WireEvent<'f>,
        events: &mut Events<'f>,
    ) -> Result<(), serde_json::Error> {
        let Some(raw) = wire.item else { return Ok(()) };
        let item: WireItem<'f> = serde_json::from_str(raw.get())?;
        let part = match item.kind.as_deref() {
            Some("function_call") => {
                let index = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
                let place = wire.output_index.unwrap_or(index);
                self.calls.push(Call { place, begun: false });
                let (id, name) = (item.call_id.unwrap_or_default(), item.name.unwrap_or_default());
                Part::ToolCallStart { index, id, name }
            }
            Some("message" | "reasoning") | None => return Ok(()),
            Some(_) => Part::Other(raw.get().into()),
        };
        events.push(Event::Delta { choice: 0, part });
        Ok(())
    }

    /// The place among the calls of the one whose arguments grow.
    fn call(&mut self, place: Option<u32>) -> Option<u32> {
        let at = self.calls.iter().rposition(|call| place.is_none_or(|at| call.place == at))?;
        self.calls.get_mut(at)?.begun = true;
        u32::try_from(at).ok()
    }

    /// Arguments that came at once rather than in pieces.
    fn whole_call<'f>(&mut self, wire: WireEvent<'f>, events: &mut Events<'f>) {
        let place = wire.output_index;
        let came = self.calls.iter().rfind(|c| place.is_none_or(|at| c.place == at));
        if came.is_none_or(|call| call.begun) {
            return;
        }
        if let (Some(index), Some(json)) = (self.call(place), wire.arguments) {
            events.push(Event::Delta { choice: 0, part: Part::ToolCallArguments { index, json } });
        }
    }

    /// The event that holds the response whole.
    fn last<'f>(&mut self, response: WireResponse<'f>, failed: bool) -> Read<'f> {
        let mut events = Events::new();
        if let Some(report) = response.used() {
            self.usage = report;
            events.push(Event::Usage(report));
        }
        if let Some(error) = response.failure().or_else(|| failed.then(|| told("{}"))) {
            events.push(Event::Error(error));
            return Read { kind: FrameKind::Error, events };
        }
        let reason = response.finish(!self.calls.is_empty());
        // Only now is it known in which tier it was processed.
        if response.service_tier.is_some() {
            let service_tier = response.service_tier;
            events.push(Event::Start { id: None, model: None, created: None, service_tier });
        }
        events.push(Event::Finish { choice: 0, reason });
        events.push(Event::End);
        Read { kind: FrameKind::End, events }
    }
}
