//! Reads whole replies.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::parts::{WireCandidate, WirePart, call_id, finish};
use super::usage::Seen;
use crate::openai::told;
use crate::unified::{
    Block, Choice, ErrorKind, FinishReason, ProviderError, Reply, Text, UsageReport,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireReply<'a> {
    #[serde(borrow, default)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) model_version: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) candidates: Option<Vec<WireCandidate<'a>>>,
    #[serde(borrow, default)]
    pub(super) prompt_feedback: Option<Feedback<'a>>,
    #[serde(borrow, default)]
    pub(super) usage_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedback<'a> {
    #[serde(borrow, default)]
    pub(super) block_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tier<'a> {
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
}

/// Reads a reply.
pub(super) fn decode<'b>(body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
    let wire: WireReply<'b> = serde_json::from_slice(body).map_err(|e| malformed(&e))?;
    if let Some(raw) = wire.error {
        return Err(told(raw.get()));
    }
    let id = wire.response_id;
    let blocked = wire.prompt_feedback.is_some_and(|f| f.block_reason.is_some());
    let choices = match wire.candidates {
        Some(candidates) => candidates
            .into_iter()
            .enumerate()
            .map(|(i, candidate)| choice(id.as_deref(), i, candidate))
            .collect::<Result<_, _>>()?,
        // A prompt that was blocked gets no candidate, but an answer all the same.
        None if blocked || wire.usage_metadata.is_some() => {
            let finish = blocked.then_some(FinishReason::ContentFilter);
            vec![Choice { finish, ..Choice::default() }]
        }
        None => {
            return Err(ProviderError::new(ErrorKind::Malformed, "the reply has no `candidates`"));
        }
    };
    Ok(Reply {
        id,
        model: wire.model_version,
        created: None,
        service_tier: wire.usage_metadata.and_then(tier),
        choices,
        usage: wire
            .usage_metadata
            .map_or_else(UsageReport::default, |raw| Seen::default().take(raw.get())),
    })
}

pub(super) fn tier(usage: &RawValue) -> Option<Text<'_>> {
    serde_json::from_str::<Tier<'_>>(usage.get()).ok()?.service_tier
}

fn malformed(e: &serde_json::Error) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, format!("the reply cannot be read: {e}"))
}

fn choice<'b>(
    id: Option<&str>,
    place: usize,
    wire: WireCandidate<'b>,
) -> Result<Choice<'b>, ProviderError> {
    let index = wire.index.unwrap_or(u32::try_from(place).unwrap_or(u32::MAX));
    let mut blocks = Vec::new();
    let mut calls = 0;
    for raw in wire.content.and_then(|c| c.parts).unwrap_or_default() {
        let part: WirePart<'b> = serde_json::from_str(raw.get()).map_err(|e| malformed(&e))?;
        blocks.push(match (part.function_call, part.text) {
            (Some(call), _) => {
                let own = || call_id(id, index, calls).into();
                let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(own);
                calls += 1;
                let arguments = call.args.map_or("{}", RawValue::get).into();
                Block::ToolCall { id, name: call.name.unwrap_or_default(), arguments }
            }
            (None, Some(text)) if part.thought == Some(true) => {
                Block::Thinking { text, signature: part.thought_signature }
            }
            (None, Some(text)) => Block::Text { text, cache: None },
            (None, None) => Block::Other { kind: "part".into(), raw },
        });
    }
    let finish = wire.finish_reason.map(|word| finish(word, calls > 0));
    Ok(Choice { index, blocks, finish, logprobs: wire.logprobs_result })
}
