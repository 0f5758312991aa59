//! Usage as Responses report it, made disjoint: each total holds the classes of its side.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use crate::counts::Counts;
use crate::unified::UsageReport;

#[derive(Deserialize)]
struct WireUsage<'a> {
    #[serde(borrow, default)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_tokens_details: Option<Details<'a>>,
    #[serde(borrow, default)]
    output_tokens_details: Option<Details<'a>>,
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

/// Reads the usage object of a response.
pub(super) fn read(json: &str) -> UsageReport {
    let Ok(wire) = serde_json::from_str::<WireUsage<'_>>(json) else { return Counts::unreadable() };
    let mut counts = Counts::default();
    let input = wire.input_tokens_details.unwrap_or_default();
    let output = wire.output_tokens_details.unwrap_or_default();
    let total = counts.read(wire.input_tokens);
    let parts = [
        (Class::CacheRead, counts.read(input.cached_tokens)),
        (Class::CacheWrite, counts.read(input.cache_write_tokens)),
        (Class::AudioInput, counts.read(input.audio_tokens)),
        (Class::ImageInput, counts.read(input.image_tokens)),
    ];
    counts.total(total, Class::Input, &parts);
    let total = counts.read(wire.output_tokens);
    let parts = [
        (Class::Reasoning, counts.read(output.reasoning_tokens)),
        (Class::AudioOutput, counts.read(output.audio_tokens)),
        (Class::ImageOutput, counts.read(output.image_tokens)),
    ];
    counts.total(total, Class::Output, &parts);
    counts.cost(wire.cost);
    counts.finish()
}
