//! A copy of the ledger made beside its writer, and put back in its place. Neither is believed until
//! the copy's audit is good, and neither replaces a file without leaving it aside.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::store::{self, StoreError};
use super::{Audited, Discrepancy, audit};

/// Pages copied between two calls of the progress function.
const STEP: i32 = 2_048;

/// What a copy is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Pages are copied.
    Copying,
    /// The copy's rows are audited.
    Auditing,
}

/// Copies the ledger at `path` to the new file `to`, as it is at one instant, beside whoever writes it.
/// `progress` is told what is done, of what, so far. A copy whose audit finds something is not kept.
///
/// # Errors
/// Where either file cannot be used, or `to` exists.
pub fn backup(
    path: &Path,
    to: &Path,
    mut progress: impl FnMut(Phase, u64, u64),
) -> Result<Result<Audited, Discrepancy>, StoreError> {
    if to.exists() {
        return Err(StoreError::Exists(to.to_owned()));
    }
    let from = store::open_reader(path)?;
    // One transaction, so that all pages are of one instant: otherwise each commit of the writer would
    // begin the copy anew. The log cannot shrink as long as it lasts.
    let snapshot = from.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM cards", [], |_| Ok(()))?;
    let partial = beside(to, ".partial");
    remove(&partial)?;
    let mut copy = Connection::open(&partial)?;
    {
        let pages = Backup::new(&from, &mut copy)?;
        while pages.step(STEP)? != StepResult::Done {
            let at = pages.progress();
            let (all, left) = (count(at.pagecount), count(at.remaining));
            progress(Phase::Copying, all.saturating_sub(left), all);
        }
    }
    drop(snapshot);
    let audited = finish(copy, &partial, |done, all| progress(Phase::Auditing, done, all))?;
    if audited.is_ok() {
        put(&partial, to)?;
    }
    Ok(audited)
}

/// Puts the copy at `from` in the place of the ledger at `path`, which no process may be using. What
/// was there is left beside it, as `<path>.replaced`.
///
/// # Errors
/// Where either file cannot be used, the ledger is in use, or an earlier `.replaced` is still there.
pub fn restore(
    path: &Path,
    from: &Path,
    mut progress: impl FnMut(Phase, u64, u64),
) -> Result<Result<Audited, Discrepancy>, StoreError> {
    let _lock = store::lock(path)?;
    let replaced = beside(path, ".replaced");
    if replaced.exists() {
        return Err(StoreError::Exists(replaced));
    }
    let partial = beside(path, ".partial");
    fs::copy(from, &partial).map_err(io(from))?;
    // What an older build wrote is carried on before it is read.
    let copy = store::carry_on(&partial)?;
    let audited = finish(copy, &partial, |done, all| progress(Phase::Auditing, done, all))?;
    if audited.is_err() {
        return Ok(audited);
    }
    // The log belongs to the file it was written for: beside another it would be read into that.
    for suffix in ["-wal", "-shm", ""] {
        let old = beside(path, suffix);
        if old.exists() {
            fs::rename(&old, beside(&replaced, suffix)).map_err(io(&old))?;
        }
    }
    put(&partial, path)?;
    Ok(audited)
}

/// Makes the copy one file, without a log of its own, and audits it; it is removed where that finds
/// something.
fn finish(
    copy: Connection,
    partial: &Path,
    progress: impl FnMut(u64, u64),
) -> Result<Result<Audited, Discrepancy>, StoreError> {
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    drop(copy);
    let audited = audit(partial, progress);
    for suffix in ["-wal", "-shm"] {
        remove(&beside(partial, suffix))?;
    }
    if !matches!(audited, Ok(Ok(_))) {
        remove(partial)?;
    }
    audited
}

/// Gives a finished file its name, so that it is on the disk whole or not at all.
fn put(partial: &Path, to: &Path) -> Result<(), StoreError> {
    let flushed = File::open(partial).and_then(|file| file.sync_all());
    flushed.and_then(|()| fs::rename(partial, to)).map_err(io(to))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path)(error)),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::Io { path, error }
}

fn count(pages: i32) -> u64 {
    u64::try_from(pages).unwrap_or(0)
}
