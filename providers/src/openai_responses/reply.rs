//! Reads whole responses: the items of the answer are the blocks of one choice.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::usage;
use crate::dialect::openai_responses::add_item;
use crate::openai::told;
use crate::unified::{
    Block, Choice, ErrorKind, FinishReason, ProviderError, Reply, Text, UsageReport,
};

/// A response, as far as it is read; a stream's events hold one too.
#[derive(Deserialize)]
pub(super) struct WireResponse<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) created_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) service_tier: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) incomplete_details: Option<Incomplete<'a>>,
    #[serde(borrow, default)]
    pub(super) output: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Incomplete<'a> {
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
}

/// Reads a response that came with a success.
pub(super) fn decode(body: &[u8]) -> Result<Reply<'_>, ProviderError> {
    let malformed = |why: String| ProviderError::new(ErrorKind::Malformed, why);
    let wire: WireResponse<'_> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the reply cannot be read: {error}")))?;
    if let Some(error) = wire.failure() {
        return Err(error);
    }
    let Some(output) = &wire.output else {
        return Err(malformed("the reply has no `output`".to_owned()));
    };
    let mut messages = Vec::with_capacity(1);
    for (index, raw) in output.iter().enumerate() {
        add_item(&mut messages, index, raw).map_err(|bad| malformed(bad.message))?;
    }
    let blocks: Vec<Block<'_>> = messages.into_iter().flat_map(|message| message.blocks).collect();
    let calls = blocks.iter().any(|block| matches!(block, Block::ToolCall { .. }));
    let finish = Some(wire.finish(calls));
    Ok(Reply {
        choices: vec![Choice { index: 0, blocks, finish, logprobs: None }],
        created: wire.created(),
        usage: wire.used().unwrap_or_default(),
        id: wire.id,
        model: wire.model,
        service_tier: wire.service_tier,
    })
}

impl<'a> WireResponse<'a> {
    /// The error that it tells, or that it failed without one.
    pub(super) fn failure(&self) -> Option<ProviderError> {
        let error = self.error.filter(|raw| raw.get() != "null");
        let failed = matches!(self.status.as_deref(), Some("failed" | "cancelled"));
        (error.is_some() || failed).then(|| told(error.map_or("{}", RawValue::get)))
    }

    /// Why it ended.
    pub(super) fn finish(&self, calls: bool) -> FinishReason<'a> {
        let why = self.incomplete_details.as_ref().and_then(|details| details.reason.clone());
        match (self.status.as_deref(), why.as_deref()) {
            (Some("incomplete"), Some("content_filter")) => FinishReason::ContentFilter,
            (Some("incomplete"), _) => FinishReason::Length,
            _ if calls => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        }
    }

    pub(super) fn created(&self) -> Option<u64> {
        // xAI and OpenAI write whole seconds; some write a fraction.
        let digits = self.created_at?.get();
        digits.split_once('.').map_or(digits, |(seconds, _)| seconds).parse().ok()
    }

    pub(super) fn used(&self) -> Option<UsageReport> {
        let raw = self.usage.filter(|raw| raw.get() != "null")?;
        Some(usage::read(raw.get()))
    }
}
