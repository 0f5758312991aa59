//! Reads whole replies.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::blocks::{block, stop_reason};
use super::usage::{At, Seen};
use crate::openai::told;
use crate::unified::{Choice, ErrorKind, ProviderError, Reply, Text, UsageReport};

#[derive(Deserialize)]
struct WireReply<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_sequence: Option<Text<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tier<'a> {
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
}

/// Reads a reply.
pub(super) fn decode<'b>(body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
    let malformed = |why: String| ProviderError::new(ErrorKind::Malformed, why);
    let wire: WireReply<'b> = serde_json::from_slice(body)
        .map_err(|e| malformed(format!("the reply cannot be read: {e}")))?;
    if let Some(raw) = wire.error {
        return Err(told(raw.get()));
    }
    let content = wire.content.ok_or_else(|| malformed("the reply has no `content`".into()))?;
    let blocks = content
        .into_iter()
        .enumerate()
        .map(|(i, raw)| block(raw).map_err(|why| malformed(format!("`content[{i}]` {why}"))));
    let choice = Choice {
        index: 0,
        blocks: blocks.collect::<Result<_, _>>()?,
        finish: wire.stop_reason.map(|word| stop_reason(word, wire.stop_sequence)),
        logprobs: None,
    };
    Ok(Reply {
        id: wire.id,
        model: wire.model,
        created: None,
        service_tier: wire.usage.and_then(tier),
        choices: vec![choice],
        usage: wire
            .usage
            .map_or_else(UsageReport::default, |raw| Seen::default().take(raw.get(), At::Later)),
    })
}

/// The tier stands within the usage on this wire.
pub(super) fn tier(usage: &RawValue) -> Option<Text<'_>> {
    serde_json::from_str::<Tier<'_>>(usage.get()).ok()?.service_tier
}
