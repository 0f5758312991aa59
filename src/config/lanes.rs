//! `[lanes]`: live calls that ride to a provider together.

use std::time::Duration;

use super::reader::Section;
use crate::call::LaneRules;

const MAX_WAIT: Duration = Duration::from_millis(25);

/// There are lanes where the table is, even an empty one.
pub(super) fn lanes(root: &Section<'_>) -> Option<LaneRules> {
    let table = root.section("lanes")?;
    let whole = |key, bounds| table.get(key).and_then(|field| field.whole(bounds));
    let items = whole("max_items", 1..=100_000);
    let max_tokens = whole("max_tokens", 1..=100_000_000);
    let wait = table.get("max_wait").and_then(|field| field.duration());
    let apart = table
        .get("tenants")
        .and_then(|field| field.choice(&[("apart", true), ("together", false)]));
    table.done();
    Some(LaneRules {
        max_wait: wait.unwrap_or(MAX_WAIT),
        max_items: items.map(|items| usize::try_from(items).unwrap_or(usize::MAX)),
        max_tokens,
        apart: apart.unwrap_or(true),
    })
}
