//! `[lanes]`: live calls that ride to a provider together.

use std::time::Duration;

use super::reader::Section;
use crate::call::LaneRules;

const MAX_WAIT: Duration = Duration::from_millis(25);
const MAX_ITEMS: u64 = 256;
const MAX_TOKENS: u64 = 250_000;

/// There are lanes where the table is, even an empty one.
pub(super) fn lanes(root: &Section<'_>) -> Option<LaneRules> {
    let table = root.section("lanes")?;
    let whole = |key, bounds| table.get(key).and_then(|field| field.whole(bounds));
    // OpenAI takes 2,048 inputs and 300,000 tokens in one request.
    let items = whole("max_items", 1..=2_048).unwrap_or(MAX_ITEMS);
    let max_tokens = whole("max_tokens", 1..=100_000_000).unwrap_or(MAX_TOKENS);
    let wait = table.get("max_wait").and_then(|field| field.duration());
    let apart = table
        .get("tenants")
        .and_then(|field| field.choice(&[("apart", true), ("together", false)]));
    table.done();
    Some(LaneRules {
        max_wait: wait.unwrap_or(MAX_WAIT),
        max_items: usize::try_from(items).unwrap_or(usize::MAX),
        max_tokens,
        apart: apart.unwrap_or(true),
    })
}
