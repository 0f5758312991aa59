//! What bounds files and batches.

use std::time::Duration;

use tollgate_providers::batches::{MOST_BYTES, MOST_LINES};

/// What bounds files and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Lines in flight at once, of all batches together; as it was at the start.
    pub concurrency: usize,
    /// The most requests of a batch.
    pub max_lines: usize,
    /// The largest file a client may send.
    pub max_file_bytes: u64,
    /// The most bytes of files that an account keeps.
    pub max_account_bytes: u64,
    /// How long a file is kept.
    pub keep: Duration,
    /// How long a provider is left alone before it is asked how a batch is: at first, and at most.
    pub poll: (Duration, Duration),
    /// The most lines of one batch at a provider.
    pub hand_over_lines: u64,
    /// The most bytes of their file, which is in memory while it is sent.
    pub hand_over_bytes: u64,
}

impl Default for Settings {
    /// OpenAI's figures, where it has one.
    fn default() -> Settings {
        Settings {
            concurrency: 16,
            max_lines: 50_000,
            max_file_bytes: 200 << 20,
            max_account_bytes: 2 << 30,
            keep: Duration::from_secs(30 * 24 * 3600),
            poll: (Duration::from_secs(5), Duration::from_secs(60)),
            hand_over_lines: MOST_LINES,
            hand_over_bytes: MOST_BYTES,
        }
    }
}
