//! Reads whole replies.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{finish, usage};
use crate::dialect::openai_chat::WireMessage;
use crate::unified::{Block, Choice, ErrorKind, ProviderError, Reply, Text, UsageReport};

#[derive(Deserialize)]
struct WireReply<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Plan<'a> {
    #[serde(borrow, default)]
    tool_plan: Option<Text<'a>>,
}

/// Reads a reply.
pub(super) fn decode<'b>(body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
    let malformed = |why: String| ProviderError::new(ErrorKind::Malformed, why);
    let unreadable = |e: serde_json::Error| malformed(format!("the reply cannot be read: {e}"));
    let wire: WireReply<'b> = serde_json::from_slice(body).map_err(unreadable)?;
    let raw = wire.message.filter(|raw| raw.get().starts_with('{'));
    let raw = raw.ok_or_else(|| malformed("the reply has no `message`".into()))?;
    let message: WireMessage<'b> = serde_json::from_str(raw.get()).map_err(unreadable)?;
    let plan: Plan<'b> = serde_json::from_str(raw.get()).map_err(unreadable)?;
    let mut blocks = message
        .into_blocks()
        .map_err(|(i, why)| malformed(format!("`message.content[{i}]` {why}")))?;
    // What it means to do with its tools is thinking aloud.
    if let Some(text) = plan.tool_plan.filter(|text| !text.is_empty()) {
        blocks.insert(0, Block::Thinking { text, signature: None });
    }
    let finish = wire.finish_reason.map(finish);
    Ok(Reply {
        id: wire.id,
        choices: vec![Choice { index: 0, blocks, finish, logprobs: wire.logprobs }],
        usage: wire.usage.map_or_else(UsageReport::default, |raw| usage(raw.get())),
        ..Reply::default()
    })
}
