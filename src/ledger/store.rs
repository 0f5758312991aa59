//! The database file: opened once for writing, guarded against a second process, migrated.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::rollup::Rolled;

/// The steps from an empty file to the schema this build writes. A step that was released never
/// changes; what comes later is a step of its own, at the end.
const STEPS: &[&str] = &[
    include_str!("schema/001_first.sql"),
    include_str!("schema/002_terms.sql"),
    include_str!("schema/003_prompts.sql"),
    include_str!("schema/004_responses.sql"),
    include_str!("schema/005_terms_of_rows.sql"),
    include_str!("schema/006_administration.sql"),
    include_str!("schema/007_rollups.sql"),
    include_str!("schema/008_reasons.sql"),
    include_str!("schema/009_rows_by_time.sql"),
    include_str!("schema/010_outbox.sql"),
    include_str!("schema/011_trials.sql"),
    include_str!("schema/012_reported_cost.sql"),
    include_str!("schema/013_files.sql"),
    include_str!("schema/014_batches.sql"),
    include_str!("schema/015_hours.sql"),
    include_str!("schema/016_tiers.sql"),
    include_str!("schema/017_sharing.sql"),
    include_str!("schema/018_earlier_attempts.sql"),
    include_str!("schema/019_batch_usage.sql"),
    include_str!("schema/020_lookups.sql"),
    include_str!("schema/021_handovers.sql"),
];
/// The schema this build writes: the steps that were taken, kept in the file's `user_version`.
#[expect(clippy::cast_possible_wrap, reason = "there are a handful of steps")]
const SCHEMA: i64 = STEPS.len() as i64;
/// "TOLL", in the file's `application_id`, so that another program's database is not taken for ours.
const APPLICATION: i64 = 0x544F_4C4C;

/// What a committed group survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process (kill -9): a commit is in the operating system's hands.
    Process,
    /// The loss of power: a commit is on the disk.
    Power,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open for writing.
    #[error("{} is in use by another tollgate process", .0.display())]
    InUse(PathBuf),
    /// It was written by a newer build.
    #[error("{} has schema {found}; this build knows up to {SCHEMA}: run the newer tollgate", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// It was written by an older build, and not opened for writing since.
    #[error("{} has schema {found}; start `tollgate serve` once, which carries it on to {SCHEMA}", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// It is some other program's database.
    #[error("{} is not a tollgate database", .0.display())]
    Foreign(PathBuf),
    /// A file is in the place of one that was to be made.
    #[error("{} exists; move it away first", .0.display())]
    Exists(PathBuf),
    /// The thread that read it broke off.
    #[error("the ledger could not be read to its end")]
    Unread,
    /// There is no such file.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// The file system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// SQLite refused.
    #[error("the ledger's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// A write connection and the lock that makes it the only one; both last as long as this.
pub(super) struct Store {
    pub(super) connection: Connection,
    pub(super) lock: File,
}

/// Opens (or makes) the file for writing.
pub(super) fn open(path: &Path, durability: Durability) -> Result<Store, StoreError> {
    let lock = lock(path)?;
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    check(&connection, path)?;
    // A write-ahead log, so that reports read while calls are written. With NORMAL a commit is a
    // write to the operating system; FULL flushes it (sqlite.org/pragma.html#pragma_synchronous).
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
         PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384;"
    ))?;
    migrate(&connection)?;
    Ok(Store { connection, lock })
}

/// Opens the file for reading only, beside whoever writes it.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    // Read-write without create: a reader of a WAL file must be able to make its shared memory.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let found = check(&connection, path)?;
    if (1..SCHEMA).contains(&found) {
        return Err(StoreError::Older { path: path.to_owned(), found });
    }
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA mmap_size = 268435456;")?;
    Ok(connection)
}

pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let io = |error| StoreError::Io { path: lock_path.clone(), error };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Refuses what is not ours to read; gives the file's schema.
fn check(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |r| r.get(0));
    let (application, found): (i64, i64) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    if found > SCHEMA {
        return Err(StoreError::Newer { path: path.to_owned(), found });
    }
    Ok(found)
}

/// Takes a file that nobody uses to the schema of this build.
pub(super) fn carry_on(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    check(&connection, path)?;
    migrate(&connection)?;
    Ok(connection)
}

fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    let found: usize = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let missing = STEPS.get(found..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    // All steps or none: a process that dies in between leaves the file as it was.
    let transaction = connection.unchecked_transaction()?;
    for step in missing {
        transaction.execute_batch(step)?;
    }
    // Where a step emptied the roll-ups, they are made anew before anybody reads them.
    Rolled::catch_up(&transaction)?;
    transaction.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA};"
    ))?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir.join("ledger.db")
    }

    #[test]
    fn a_second_process_on_the_same_file_is_refused() {
        let path = scratch("second");
        let first = open(&path, Durability::Process).unwrap();
        // A lock belongs to the open file, so a second open within a process meets it as another would.
        assert!(matches!(open(&path, Durability::Process), Err(StoreError::InUse(_))));
        drop(first);
        open(&path, Durability::Process).unwrap();
    }

    #[test]
    fn a_newer_file_is_refused_and_left_as_it_is() {
        let path = scratch("newer");
        let store = open(&path, Durability::Process).unwrap();
        store.connection.execute_batch("PRAGMA user_version = 99").unwrap();
        drop(store);
        assert!(matches!(
            open(&path, Durability::Process),
            Err(StoreError::Newer { found: 99, .. })
        ));
        assert!(matches!(open_reader(&path), Err(StoreError::Newer { found: 99, .. })));
    }

    #[test]
    fn another_programs_database_is_refused() {
        let path = scratch("foreign");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(open(&path, Durability::Process), Err(StoreError::Foreign(_))));
    }
}
