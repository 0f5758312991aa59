//! Room on the disk that is kept for settlements: a file beside the ledger that is emptied when the
//! disk is full, so that calls in flight are settled on it while new ones are refused.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes kept. A group of settlements writes some ten pages of 4 KiB and a few hundred bytes a row, so
/// this is room for all calls that may be in flight at once.
const KEPT: u64 = 8 << 20;
/// Written at once while the file is filled.
const PIECE: usize = 64 << 10;

/// The file; it is empty while the disk is full.
pub(super) struct Reserve {
    path: PathBuf,
    whole: bool,
}

impl Reserve {
    /// The reserve of the ledger at `ledger`, filled if there is room for it.
    pub(super) fn open(ledger: &Path) -> Reserve {
        let mut path = ledger.as_os_str().to_owned();
        path.push(".reserve");
        let mut reserve = Reserve { path: path.into(), whole: false };
        reserve.fill();
        reserve
    }

    /// None at all, for a ledger whose disk never fills.
    #[cfg(all(test, feature = "schedules"))]
    pub(super) fn none() -> Reserve {
        Reserve { path: PathBuf::new(), whole: true }
    }

    /// Whether there is room for settlements should the disk be full.
    pub(super) fn whole(&self) -> bool {
        self.whole
    }

    /// Gives the room away; whether there was any.
    pub(super) fn release(&mut self) -> bool {
        let had = self.whole;
        self.whole = false;
        had && self.file().and_then(|file| file.set_len(0)).is_ok()
    }

    /// Takes the room back; whether that could be done.
    pub(super) fn fill(&mut self) -> bool {
        self.whole = self.try_fill().is_ok();
        if !self.whole {
            // A half filled file would keep room from the ledger without being a reserve.
            let _ = self.file().and_then(|file| file.set_len(0));
        }
        self.whole
    }

    fn try_fill(&self) -> std::io::Result<()> {
        let mut file = self.file()?;
        if file.metadata()?.len() == KEPT {
            return Ok(());
        }
        file.set_len(0)?;
        // Zeros that are written take blocks; a length that is only set takes none.
        let zeros = [0; PIECE];
        (0..KEPT / PIECE as u64).try_for_each(|_| file.write_all(&zeros))
    }

    fn file(&self) -> std::io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_given_away_once_and_taken_back() {
        let dir = std::env::temp_dir().join(format!("tollgate-reserve-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut reserve = Reserve::open(&dir.join("ledger.db"));
        let bytes = || std::fs::metadata(dir.join("ledger.db.reserve")).unwrap().len();
        assert!(reserve.whole() && bytes() == KEPT);
        assert!(reserve.release());
        assert!(!reserve.whole() && bytes() == 0);
        assert!(!reserve.release(), "there is nothing left to give");
        assert!(reserve.fill() && reserve.whole() && bytes() == KEPT);
    }

    #[test]
    fn without_room_there_is_no_reserve() {
        let mut reserve = Reserve::open(Path::new("/nowhere/ledger.db"));
        assert!(!reserve.whole() && !reserve.release() && !reserve.fill());
    }
}
