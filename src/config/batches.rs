//! `[batches]`: how large files are, and how long they are kept.

use std::time::Duration;

use super::reader::Section;
use crate::batches::Settings;

const DAY: u64 = 24 * 3600;

/// All of it has defaults.
pub(super) fn batches(root: &Section<'_>) -> Settings {
    let usual = Settings::default();
    let Some(table) = root.section("batches") else { return usual };
    let whole = |key, bounds| table.get(key).and_then(|field| field.whole(bounds));
    let settings = Settings {
        max_file_bytes: whole("max_file_bytes", 1_024..=1 << 40).unwrap_or(usual.max_file_bytes),
        max_account_bytes: whole("max_account_bytes", 1_024..=1 << 50)
            .unwrap_or(usual.max_account_bytes),
        keep: whole("keep_days", 1..=3_650)
            .map_or(usual.keep, |days| Duration::from_secs(days * DAY)),
    };
    table.done();
    settings
}
