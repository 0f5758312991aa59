//! Reads streams: each frame is a reply that holds what is new.

use serde_json::value::RawValue;

use super::parts::{WireCandidate, WirePart, call_id, finish};
use super::reply::{WireReply, tier};
use super::usage::Seen;
use crate::openai::told;
use crate::stream::{FrameReader, Read};
use crate::unified::{Event, Events, FinishReason, FrameKind, Part, Text, UsageReport};

/// Reads the frames of one stream.
#[derive(Default)]
pub(super) struct Reader {
    started: bool,
    /// The choices that grew and those that ended, one bit each.
    begun: u128,
    finished: u128,
    /// How many tools were called.
    calls: u32,
    id: Option<String>,
    seen: Seen,
    usage: UsageReport,
}

impl FrameReader for Reader {
    // The stream just stops here; the mark is for those who read events only.
    const END_MARK: &'static [u8] = b"";

    fn read<'f>(
        &mut self,
        _: Option<&'f [u8]>,
        data: &'f [u8],
    ) -> Result<Read<'f>, serde_json::Error> {
        let wire: WireReply<'f> = serde_json::from_slice(data)?;
        if let Some(raw) = wire.error {
            return Ok(Read::error(told(raw.get())));
        }
        let mut events = Events::new();
        if !std::mem::replace(&mut self.started, true) {
            self.id = wire.response_id.as_deref().map(str::to_owned);
            let service_tier = wire.usage_metadata.and_then(tier);
            let (id, model) = (wire.response_id, wire.model_version);
            events.push(Event::Start { id, model, created: None, service_tier });
        }
        for (place, candidate) in wire.candidates.unwrap_or_default().into_iter().enumerate() {
            self.candidate(place, candidate, &mut events)?;
        }
        if wire.prompt_feedback.is_some_and(|f| f.block_reason.is_some()) {
            self.begun |= 1;
            self.finished |= 1;
            events.push(Event::Finish { choice: 0, reason: FinishReason::ContentFilter });
        }
        if let Some(raw) = wire.usage_metadata {
            self.usage = self.seen.take(raw.get());
            events.push(Event::Usage(self.usage));
        }
        Ok(Read { kind: FrameKind::Content, events })
    }

    fn usage(&self) -> &UsageReport {
        &self.usage
    }

    fn is_whole(&self) -> bool {
        self.begun != 0 && self.begun & !self.finished == 0
    }
}

impl Reader {
    fn candidate<'f>(
        &mut self,
        place: usize,
        wire: WireCandidate<'f>,
        events: &mut Events<'f>,
    ) -> Result<(), serde_json::Error> {
        let choice = wire.index.unwrap_or(u32::try_from(place).unwrap_or(u32::MAX));
        let bit = 1u128.checked_shl(choice).unwrap_or(0);
        self.begun |= bit;
        for raw in wire.content.and_then(|c| c.parts).unwrap_or_default() {
            let part: WirePart<'f> = serde_json::from_str(raw.get())?;
            let mut push = |part| events.push(Event::Delta { choice, part });
            match (part.function_call, part.text) {
                (Some(call), _) => {
                    let index = self.calls;
                    self.calls = self.calls.saturating_add(1);
                    let own = || Text::from(call_id(self.id.as_deref(), choice, index));
                    let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(own);
                    push(Part::ToolCallStart { index, id, name: call.name.unwrap_or_default() });
                    let json = call.args.map_or("{}", RawValue::get).into();
                    push(Part::ToolCallArguments { index, json });
                }
                (None, Some(text)) if text.is_empty() => {}
                (None, Some(text)) if part.thought == Some(true) => push(Part::Reasoning(text)),
                (None, Some(text)) => push(Part::Text(text)),
                (None, None) => push(Part::Other(raw.get().into())),
            }
        }
        if let Some(word) = wire.finish_reason {
            self.finished |= bit;
            events.push(Event::Finish { choice, reason: finish(word, self.calls > 0) });
        }
        Ok(())
    }
}
