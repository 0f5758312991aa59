//! What is known of clients' files. Their contents are not the ledger's: a row without its contents is
//! a file that is lost, contents without a row are nobody's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OptionalExtension, Row, params};
use tollgate_accounting::Timestamp;

use super::report::Reader;
use super::store::StoreError;
use super::{Ledger, Refused};

const COLUMNS: &str = "id, account, name, purpose, bytes, created_at, expires_at";

/// No batch has yet to read it.
const UNREAD: &str =
    "NOT EXISTS (SELECT 1 FROM batches WHERE input = files.id AND ended_at IS NULL)";

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// Its id, as clients are told it.
    pub id: String,
    /// Whose it is.
    pub account: String,
    /// As its owner calls it.
    pub name: String,
    /// What it is for, in OpenAI's words.
    pub purpose: String,
    /// Its length.
    pub bytes: u64,
    /// When it was kept.
    pub created_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// How much an account may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileQuota {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

/// Which part of a long list is asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// At most so many.
    pub limit: usize,
    /// What comes after the one of this id.
    pub after: Option<String>,
    /// The oldest first, rather than the newest.
    pub oldest_first: bool,
}

impl Ledger {
    /// Keeps a file's row where the account has room for it; whether it had.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn put_file(&self, row: FileRow, quota: FileQuota) -> Result<bool, Refused> {
        self.write_told(move |transaction| {
            let FileQuota { bytes, files } = quota;
            let sql = "SELECT coalesce(sum(bytes), 0), count(*) FROM files WHERE account = ?1";
            let (held, count): (u64, u64) =
                transaction.query_row(sql, [&row.account], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if held.saturating_add(row.bytes) > bytes || count >= files {
                return Ok(false);
            }
            insert(transaction, &row)
        })
    }

    /// Forgets an account's file; whether there was one that no batch has yet to read.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn forget_file(&self, account: &str, id: &str) -> Result<bool, Refused> {
        let (account, id) = (account.to_owned(), id.to_owned());
        self.write_told(move |transaction| {
            let sql = format!("DELETE FROM files WHERE account = ?1 AND id = ?2 AND {UNREAD}");
            Ok(transaction.prepare_cached(&sql)?.execute(params![account, id])? > 0)
        })
    }

    /// Has the writer do something that may come to nothing; says whether it came to something.
    pub(super) fn write_told(
        &self,
        write: impl Fn(&rusqlite::Transaction<'_>) -> rusqlite::Result<bool> + Send + 'static,
    ) -> Result<bool, Refused> {
        let did = Arc::new(AtomicBool::new(false));
        let told = did.clone();
        self.write(None, move |transaction| {
            told.store(write(transaction)?, Ordering::Release);
            Ok(())
        })?;
        Ok(did.load(Ordering::Acquire))
    }
}

/// Keeps a file's row, unless it is kept.
pub(super) fn insert(connection: &Connection, row: &FileRow) -> rusqlite::Result<bool> {
    let FileRow { id, account, name, purpose, bytes, created_at, expires_at } = row;
    let sql =
        format!("INSERT OR IGNORE INTO files ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    let values =
        params![id, account, name, purpose, bytes, created_at.micros(), expires_at.micros()];
    Ok(connection.prepare_cached(&sql)?.execute(values)? > 0)
}

impl Reader {
    /// An account's file, if its time is not over.
    pub fn file(
        &self,
        account: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<FileRow>, StoreError> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM files WHERE id = ?1 AND account = ?2 AND expires_at > ?3"
            );
            let values = params![id, account, now.micros()];
            connection.prepare_cached(&sql)?.query_row(values, read).optional()
        })
    }

    /// An account's files, and whether there are more.
    pub fn files(
        &self,
        account: &str,
        purpose: Option<&str>,
        page: &Page,
        now: Timestamp,
    ) -> Result<(Vec<FileRow>, bool), StoreError> {
        let (order, beyond) = if page.oldest_first { ("ASC", ">") } else { ("DESC", "<") };
        let sql = format!(
            "SELECT {COLUMNS} FROM files
             WHERE account = ?1 AND expires_at > ?2 AND (?3 IS NULL OR purpose = ?3)
               AND (?4 IS NULL OR (created_at, id) {beyond}
                   (SELECT created_at, id FROM files WHERE id = ?4 AND account = ?1))
             ORDER BY created_at {order}, id {order} LIMIT ?5"
        );
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let values = params![account, now.micros(), purpose, page.after, page.limit + 1];
            let rows = statement.query_map(values, read)?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let more = rows.len() > page.limit;
            rows.truncate(page.limit);
            Ok((rows, more))
        })
    }

    /// How many bytes an account keeps.
    pub fn file_bytes(&self, account: &str) -> Result<u64, StoreError> {
        self.read(|connection| {
            let sql = "SELECT coalesce(sum(bytes), 0) FROM files WHERE account = ?1";
            connection.prepare_cached(sql)?.query_row([account], |row| row.get(0))
        })
    }

    /// Files whose time is over, some at a time.
    pub fn files_over(&self, now: Timestamp) -> Result<Vec<FileRow>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM files WHERE expires_at <= ?1 AND {UNREAD} LIMIT 256");
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([now.micros()], read)?;
            rows.collect()
        })
    }

    /// Whether there is a file of that id, or is to be one, whosever it is.
    pub fn is_file(&self, id: &str) -> Result<bool, StoreError> {
        self.read(|connection| {
            let sql = "SELECT 1 FROM files WHERE id = ?1 UNION ALL SELECT 1 FROM batches \
                 WHERE ended_at IS NULL AND (output = ?1 OR rejects = ?1)";
            Ok(connection.prepare_cached(sql)?.query_row([id], |_| Ok(())).optional()?.is_some())
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    Ok(FileRow {
        id: row.get(0)?,
        account: row.get(1)?,
        name: row.get(2)?,
        purpose: row.get(3)?,
        bytes: row.get(4)?,
        created_at: Timestamp::from_micros(row.get(5)?),
        expires_at: Timestamp::from_micros(row.get(6)?),
    })
}
