//! Usage as this wire reports it, made disjoint: its totals hold the cached, audio and reasoning
//! tokens that the hub counts apart.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use super::Profile;
use crate::counts::Counts;
use crate::unified::UsageReport;

#[derive(Deserialize)]
struct WireUsage<'a> {
    #[serde(borrow, default)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    completion_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    total_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt_tokens_details: Option<Details<'a>>,
    #[serde(borrow, default)]
    completion_tokens_details: Option<Details<'a>>,
    /// DeepSeek's older name for what it read from its cache.
    #[serde(borrow, default)]
    prompt_cache_hit_tokens: Option<&'a RawValue>,
    /// Moonshot, and Perplexity beside it, write these flat.
    #[serde(borrow, default)]
    cached_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_tokens: Option<&'a RawValue>,
    /// What OpenRouter charges, in dollars.
    #[serde(borrow, default)]
    cost: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Details<'a> {
    #[serde(borrow, default)]
    cached_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_write_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    audio_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    image_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_tokens: Option<&'a RawValue>,
}

/// Reads the usage object of a chat reply.
pub(crate) fn read(profile: &Profile, json: &str) -> UsageReport {
    let Ok(wire) = serde_json::from_str::<WireUsage<'_>>(json) else { return Counts::unreadable() };
    let mut counts = Counts::default();
    let input = wire.prompt_tokens_details.unwrap_or_default();
    let output = wire.completion_tokens_details.unwrap_or_default();
    let cached = [input.cached_tokens, wire.prompt_cache_hit_tokens, wire.cached_tokens];
    let cached = cached.into_iter().find_map(|raw| counts.read(raw));
    let reasoning = [output.reasoning_tokens, wire.reasoning_tokens];
    let reasoning = reasoning.into_iter().find_map(|raw| counts.read(raw));
    let prompt = counts.read(wire.prompt_tokens);
    let mut completion = counts.read(wire.completion_tokens);
    let total = counts.read(wire.total_tokens);
    // A provider that counts reasoning beside the completion shows it in its total.
    if let (Some(p), Some(c), Some(r), Some(t)) = (prompt, completion, reasoning, total)
        && profile.reasoning_outside
        && t == p + c + r
    {
        completion = Some(c + r);
    }
    let input_parts = [
        (Class::CacheRead, cached),
        (Class::CacheWrite, counts.read(input.cache_write_tokens)),
        (Class::AudioInput, counts.read(input.audio_tokens)),
        (Class::ImageInput, counts.read(input.image_tokens)),
    ];
    counts.total(prompt, Class::Input, &input_parts);
    let output_parts = [
        (Class::Reasoning, reasoning),
        (Class::AudioOutput, counts.read(output.audio_tokens)),
        (Class::ImageOutput, counts.read(output.image_tokens)),
    ];
    counts.total(completion, Class::Output, &output_parts);
    counts.cost(wire.cost);
    counts.finish()
}

/// Reads the usage object of an embeddings reply, which is all input whatever it is called.
pub(crate) fn read_embeddings(json: &str) -> UsageReport {
    let Ok(wire) = serde_json::from_str::<WireUsage<'_>>(json) else { return Counts::unreadable() };
    let mut counts = Counts::default();
    let prompt = counts.read(wire.prompt_tokens);
    let total = counts.read(wire.total_tokens);
    counts.set(Class::Input, prompt.or(total));
    counts.cost(wire.cost);
    counts.finish()
}
