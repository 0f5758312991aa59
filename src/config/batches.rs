//! `[batches]`: how large files and batches are, how long they are kept, and how many
//! lines are in flight.

use std::time::Duration;

use super::reader::Section;
use crate::batches::Settings;

const DAY: u64 = 24 * 3600;

/// All of it has defaults.
pub(super) fn batches(root: &Section<'_>) -> Settings {
    let usual = Settings::default();
    let Some(table) = root.section("batches") else { return usual };
    let whole = |key, bounds| table.get(key).and_then(|field| field.whole(bounds));
    let size = |count: Option<u64>, usual| {
        count.map_or(usual, |count| usize::try_from(count).unwrap_or(usize::MAX))
    };
    let wait = |key, usual| table.get(key).and_then(|field| field.duration()).unwrap_or(usual);
    let first = wait("poll_first", usual.poll.0);
    let settings = Settings {
        concurrency: size(whole("concurrency", 1..=1_024), usual.concurrency),
        max_lines: size(whole("max_lines", 1..=1_000_000), usual.max_lines),
        max_file_bytes: whole("max_file_bytes", 1_024..=1 << 40).unwrap_or(usual.max_file_bytes),
        max_account_bytes: whole("max_account_bytes", 1_024..=1 << 50)
            .unwrap_or(usual.max_account_bytes),
        keep: whole("keep_days", 1..=3_650)
            .map_or(usual.keep, |days| Duration::from_secs(days * DAY)),
        hand_over_lines: whole("hand_over_lines", 1..=usual.hand_over_lines)
            .unwrap_or(usual.hand_over_lines),
        hand_over_bytes: whole("hand_over_bytes", 1_024..=usual.hand_over_bytes)
            .unwrap_or(usual.hand_over_bytes),
        poll: (first, wait("poll_longest", usual.poll.1).max(first)),
    };
    table.done();
    settings
}
