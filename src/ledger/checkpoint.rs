//! Moves what is committed from the write-ahead log into the database file, on a thread of its own: the
//! flush of the disk that this takes would otherwise stand between a call and its answer. A passive
//! checkpoint never makes the writer wait (sqlite.org/pragma.html#pragma_wal_checkpoint).

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::Ledger;
use super::sync::{AtomicBool, Ordering};

/// Between two checkpoints.
const EVERY: Duration = Duration::from_secs(1);
/// Pages in the log, of 4 KiB, beyond which the writer begins it anew: under a load without gaps a
/// passive checkpoint never meets the log's end.
const LARGE: i64 = 65_536;

/// The thread, and what it tells the writer.
pub(super) struct Checkpoints {
    thread: JoinHandle<()>,
    end: Arc<AtomicBool>,
}

impl Checkpoints {
    /// Starts them; `large` is set when the log should begin anew.
    pub(super) fn start(
        path: &Path,
        ledger: Ledger,
        large: Arc<AtomicBool>,
    ) -> rusqlite::Result<Checkpoints> {
        let connection = Connection::open(path)?;
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let run = move || {
            while !ended.load(Ordering::Acquire) {
                std::thread::park_timeout(EVERY);
                match checkpoint(&connection) {
                    Ok(pages) => large.store(pages > LARGE, Ordering::Release),
                    Err(error) => ledger.checkpoint_failed(&error),
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(run);
        let thread = thread.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
        Ok(Checkpoints { thread, end })
    }

    /// Ends them; the log may still hold pages.
    pub(super) fn stop(self) {
        self.end.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the ledger's checkpoints panicked");
        }
    }
}

/// One passive checkpoint; gives the log's length in pages.
fn checkpoint(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
}
