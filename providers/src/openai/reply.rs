//! Reads whole replies of this wire.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Profile, usage};
use crate::dialect::openai_chat::{WireMessage, finish_reason};
use crate::unified::{
    Block, Choice, EmbeddingsReply, ErrorKind, ProviderError, Reply, Text, UsageReport,
};

#[derive(Deserialize)]
struct WireReply<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    created: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: Option<Vec<WireChoice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    message: Option<WireMessage<'a>>,
    /// What a text was completed with.
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireVectors<'a> {
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Vec<WireVector<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireVector<'a> {
    #[serde(borrow, default)]
    embedding: Option<&'a RawValue>,
}

/// Reads a chat reply.
pub(crate) fn decode<'b>(profile: &Profile, body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
    let wire: WireReply<'b> = serde_json::from_slice(body).map_err(|e| malformed(&e))?;
    if let Some(error) = wire.error.and_then(told) {
        return Err(error);
    }
    let choices = wire.choices.ok_or_else(|| no("choices"))?;
    let choices = choices.into_iter().enumerate().map(|(i, choice)| {
        let blocks = match choice.message {
            Some(message) => message.into_blocks().map_err(|(part, why)| {
                let message = format!("`choices[{i}].message.content[{part}]` {why}");
                ProviderError::new(ErrorKind::Malformed, message)
            })?,
            None => {
                let said = |text| Block::Text { text, cache: None };
                choice.text.map(said).into_iter().collect()
            }
        };
        Ok(Choice {
            index: choice.index.unwrap_or(u32::try_from(i).unwrap_or(u32::MAX)),
            blocks,
            finish: choice.finish_reason.map(finish_reason),
            logprobs: choice.logprobs,
        })
    });
    Ok(Reply {
        choices: choices.collect::<Result<_, ProviderError>>()?,
        id: wire.id,
        model: wire.model,
        created: wire.created.and_then(|raw| raw.get().parse().ok()),
        service_tier: wire.service_tier,
        usage: wire.usage.map_or_else(UsageReport::default, |raw| usage::read(profile, raw.get())),
    })
}

/// Reads a reply to a request for embeddings.
pub(crate) fn decode_embeddings(body: &[u8]) -> Result<EmbeddingsReply<'_>, ProviderError> {
    let wire: WireVectors<'_> = serde_json::from_slice(body).map_err(|e| malformed(&e))?;
    if let Some(error) = wire.error.and_then(told) {
        return Err(error);
    }
    let data = wire.data.ok_or_else(|| no("data"))?;
    let vectors = data.into_iter().filter_map(|one| one.embedding).collect();
    let usage =
        wire.usage.map_or_else(UsageReport::default, |raw| usage::read_embeddings(raw.get()));
    Ok(EmbeddingsReply { model: wire.model, vectors, usage })
}

fn no(field: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, format!("the reply has no `{field}`"))
}

fn malformed(e: &serde_json::Error) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, format!("the reply cannot be read: {e}"))
}

/// An error that came with a success: anything but nothing, in any of the shapes there are.
pub(crate) fn told(raw: &RawValue) -> Option<ProviderError> {
    if matches!(raw.get(), "null" | "false" | "\"\"" | "{}" | "[]" | "0") {
        return None;
    }
    Some(super::classify::told(raw.get()))
}
