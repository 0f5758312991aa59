//! Reads streams of this wire: each frame is scanned for what must be known, and kept as it came.

use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::reply::told;
use super::{Profile, usage};
use crate::dialect::openai_chat::{WireContent, finish_reason};
use crate::stream::{FrameReader, Read};
use crate::template::Template;
use crate::unified::{Block, Event, Events, FrameKind, Part, Text, UsageReport};

/// Reads the frames of one stream, and remembers what it learnt.
pub(crate) struct Reader {
    profile: &'static Profile,
    started: bool,
    /// The choices that grew and those that ended, one bit each.
    begun: u128,
    finished: u128,
    /// The tool calls that have begun, by choice and index.
    calls: SmallVec<[(u32, u32); 4]>,
    usage: UsageReport,
    template: Template,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    created: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: Option<SmallVec<[ChunkChoice<'a>; 1]>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    /// Groq says what was used here.
    #[serde(borrow, default)]
    x_groq: Option<Groq<'a>>,
}

#[derive(Deserialize)]
struct Groq<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    /// What a completed text grew by.
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: WireContent<'a>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<SmallVec<[CallDelta<'a>; 1]>>,
    #[serde(borrow, default)]
    function_call: Option<FunctionDelta<'a>>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CallDelta<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<FunctionDelta<'a>>,
}

#[derive(Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<crate::dialect::openai_chat::Arguments<'a>>,
}

impl Reader {
    pub(crate) fn new(profile: &'static Profile) -> Self {
        Reader {
            profile,
            started: false,
            begun: 0,
            finished: 0,
            calls: SmallVec::new(),
            usage: UsageReport::default(),
            template: Template::default(),
        }
    }
}

impl FrameReader for Reader {
    const END_MARK: &'static [u8] = b"data: [DONE]\n\n";

    fn read<'f>(
        &mut self,
        _: Option<&'f [u8]>,
        data: &'f [u8],
    ) -> Result<Read<'f>, serde_json::Error> {
        if data.starts_with(b"[DONE]") {
            return Ok(Read::end());
        }
        if let Some((choice, text)) = self.template.read(data) {
            return Ok(Read::text(choice, text));
        }
        let read = self.chunk(serde_json::from_slice(data)?);
        if let Some((choice, text)) = read.only_text() {
            self.template.learn(data, choice, text);
        }
        Ok(read)
    }

    fn usage(&self) -> &UsageReport {
        &self.usage
    }

    fn is_whole(&self) -> bool {
        self.begun != 0 && self.begun & !self.finished == 0
    }
}

impl Reader {
    fn chunk<'f>(&mut self, chunk: Chunk<'f>) -> Read<'f> {
        if let Some(error) = chunk.error.and_then(told) {
            return Read::error(error);
        }
        let mut events = Events::new();
        let choices = chunk.choices.unwrap_or_default();
        let id = chunk.id.filter(|id| !id.is_empty());
        // Azure's first chunk speaks of filters only and has no id yet.
        if !self.started && (id.is_some() || !choices.is_empty()) {
            self.started = true;
            events.push(Event::Start {
                id,
                model: chunk.model,
                created: chunk.created.and_then(|raw| raw.get().parse().ok()),
                service_tier: chunk.service_tier,
            });
        }
        let usage = chunk.usage.or(chunk.x_groq.and_then(|groq| groq.usage));
        let usage_only = choices.is_empty() && usage.is_some();
        for (position, choice) in choices.into_iter().enumerate() {
            self.choice(position, choice, &mut events);
        }
        if let Some(raw) = usage {
            let report = usage::read(self.profile, raw.get());
            self.usage.merge(&report);
            events.push(Event::Usage(report));
        }
        let kind = if usage_only { FrameKind::UsageOnly } else { FrameKind::Content };
        Read { kind, events }
    }

    fn choice<'f>(&mut self, position: usize, wire: ChunkChoice<'f>, events: &mut Events<'f>) {
        let choice = wire.index.unwrap_or(u32::try_from(position).unwrap_or(u32::MAX));
        let bit = 1u128.checked_shl(choice).unwrap_or(0);
        self.begun |= bit;
        let mut push = |part| events.push(Event::Delta { choice, part });
        if let Some(text) = wire.text.filter(|text| !text.is_empty()) {
            push(Part::Text(text));
        }
        if let Some(delta) = wire.delta {
            let some = |text: Option<Text<'f>>| text.filter(|text| !text.is_empty());
            if let Some(text) = some(delta.reasoning_content).or(some(delta.reasoning)) {
                push(Part::Reasoning(text));
            }
            content(delta.content, &mut push);
            if let Some(text) = some(delta.refusal) {
                push(Part::Refusal(text));
            }
            for (place, call) in delta.tool_calls.unwrap_or_default().into_iter().enumerate() {
                let index = call.index.unwrap_or(u32::try_from(place).unwrap_or(u32::MAX));
                let function =
                    call.function.unwrap_or(FunctionDelta { name: None, arguments: None });
                call_parts(&mut self.calls, (choice, index), call.id, function, &mut push);
            }
            if let Some(function) = delta.function_call {
                let id = function.name.clone();
                call_parts(&mut self.calls, (choice, 0), id, function, &mut push);
            }
            if let Some(raw) = delta.audio {
                push(Part::Other(raw.get().into()));
            }
        }
        if let Some(raw) = wire.logprobs {
            push(Part::Logprobs(raw.get().into()));
        }
        if let Some(word) = wire.finish_reason.filter(|word| !word.is_empty()) {
            self.finished |= bit;
            events.push(Event::Finish { choice, reason: finish_reason(word) });
        }
    }
}

fn content<'f>(content: WireContent<'f>, push: &mut impl FnMut(Part<'f>)) {
    match content {
        WireContent::None => {}
        WireContent::Text(text) if text.is_empty() => {}
        WireContent::Text(text) => push(Part::Text(text)),
        WireContent::Parts(parts) => {
            let mut blocks = Vec::new();
            // A part of a delta that cannot be read says nothing that could be counted.
            let _ = WireContent::Parts(parts).into_blocks(&mut blocks);
            for block in blocks {
                match block {
                    Block::Text { text, .. } => push(Part::Text(text)),
                    Block::Thinking { text, .. } => push(Part::Reasoning(text)),
                    Block::Refusal { text } => push(Part::Refusal(text)),
                    Block::Other { raw, .. } => push(Part::Other(raw.get().into())),
                    _ => {}
                }
            }
        }
    }
}

/// A call begins where its name first comes; some providers repeat id and name in every delta.
fn call_parts<'f>(
    begun: &mut SmallVec<[(u32, u32); 4]>,
    at: (u32, u32),
    id: Option<Text<'f>>,
    function: FunctionDelta<'f>,
    push: &mut impl FnMut(Part<'f>),
) {
    let index = at.1;
    if !begun.contains(&at) && (id.is_some() || function.name.is_some()) {
        begun.push(at);
        let (id, name) = (id.unwrap_or_default(), function.name.unwrap_or_default());
        push(Part::ToolCallStart { index, id, name });
    }
    if let Some(json) = function.arguments.map(|a| a.0).filter(|json| !json.is_empty()) {
        push(Part::ToolCallArguments { index, json });
    }
}
