//! What the ledger's disk allows, and what is done when it fails: a full one is waited for, and one whose
//! state is unknown ends the process, so that the next start reads what is true from the file.

use rusqlite::ErrorCode;

use super::sync::Ordering;
use super::{Ledger, Refused};

pub(super) const GOOD: u8 = 0;
pub(super) const DISK_FULL: u8 = 1;
pub(super) const IN_DOUBT: u8 = 2;

/// How the process ends when it cannot tell what was written (`EX_SOFTWARE` of sysexits.h).
const EXIT_IN_DOUBT: i32 = 70;

impl Ledger {
    /// Whether the disk lets new money be taken.
    pub(super) fn healthy(&self) -> Result<(), Refused> {
        match self.0.health.load(Ordering::Acquire) {
            GOOD => Ok(()),
            DISK_FULL => Err(Refused::DiskFull),
            _ => Err(Refused::InDoubt),
        }
    }

    /// New calls are refused from now on.
    pub(super) fn disk_is_full(&self) {
        if self.change(GOOD, DISK_FULL) {
            tracing::error!("the ledger's disk is full: new calls are refused until there is room");
        }
    }

    /// New calls are taken again.
    pub(super) fn disk_has_room(&self) {
        if self.change(DISK_FULL, GOOD) {
            tracing::info!("the ledger's disk has room again");
        }
    }

    /// Nobody knows whether a group was written: takes no more money, and ends.
    pub(super) fn in_doubt(&self, error: &rusqlite::Error) -> ! {
        self.0.health.store(IN_DOUBT, Ordering::Release);
        tracing::error!(%error, "the ledger cannot tell what its disk has written; ending");
        std::process::exit(EXIT_IN_DOUBT);
    }

    /// A checkpoint that finds no room, or a reader in its way, is made later. After a failed write or
    /// flush the system may have dropped pages it had taken, and a second try that succeeds proves
    /// nothing.
    pub(super) fn checkpoint_failed(&self, error: &rusqlite::Error) {
        match error.sqlite_error_code() {
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt) => self.in_doubt(error),
            _ => {
                tracing::warn!(%error, "a checkpoint of the ledger failed; the log keeps its rows")
            }
        }
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.0.health.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}
