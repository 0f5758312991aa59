//! Credentials and run-time limits as rows. What they mean is decided by `tenants`; here they are kept.

use rusqlite::{Connection, Row, params};
use tollgate_accounting::Timestamp;

use super::sync::mpsc;
use super::writer::{Event, Job, Write};
use super::{Change, Ledger, Refused};

/// A credential. The secret itself is nowhere: only its keyed digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The public part of the key, by which it is found.
    pub id: String,
    /// Keyed blake3 of the whole key.
    pub digest: [u8; 32],
    /// The account it belongs to.
    pub account: String,
    /// What people call it.
    pub name: String,
    /// Its last characters, to recognise it by.
    pub hint: String,
    /// Limits of its own, one a line.
    pub limits: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// All credentials, revoked ones too.
pub(super) fn keys(connection: &Connection) -> rusqlite::Result<Vec<KeyRow>> {
    let mut statement = connection.prepare(
        "SELECT id, digest, account, name, hint, limits, created_at, expires_at, revoked_at
         FROM keys ORDER BY created_at, id",
    )?;
    let rows = statement.query_map([], read)?;
    rows.collect()
}

/// Limits added while running, as (account, text).
pub(super) fn extra_limits(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement =
        connection.prepare("SELECT account, text FROM extra_limits ORDER BY account, added_at")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

impl Ledger {
    /// Writes a credential, or its new state, and waits until that is committed.
    pub fn put_key(&self, change: Change, key: KeyRow) -> Result<(), Refused> {
        self.write(Some(change), move |transaction| {
            transaction
                .execute(
                    "INSERT INTO keys (id, digest, account, name, hint, limits, created_at,
                         expires_at, revoked_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                     ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at,
                         revoked_at = excluded.revoked_at, name = excluded.name",
                    params![
                        key.id,
                        key.digest,
                        key.account,
                        key.name,
                        key.hint,
                        key.limits,
                        key.created_at.micros(),
                        key.expires_at.map(Timestamp::micros),
                        key.revoked_at.map(Timestamp::micros),
                    ],
                )
                .map(drop)
        })
    }

    /// Adds a limit to an account, beside those of the configuration.
    pub fn put_limit(&self, change: Change, text: String) -> Result<(), Refused> {
        let (account, at) = (change.account.clone(), change.at);
        self.write(Some(change), move |transaction| {
            transaction
                .execute(
                    "INSERT OR IGNORE INTO extra_limits (account, text, added_at)
                     VALUES (?1, ?2, ?3)",
                    params![account, text, at.micros()],
                )
                .map(drop)
        })
    }

    /// Takes a limit back that `put_limit` added.
    pub fn remove_limit(&self, change: Change, text: String) -> Result<(), Refused> {
        let account = change.account.clone();
        self.write(Some(change), move |transaction| {
            transaction
                .execute(
                    "DELETE FROM extra_limits WHERE account = ?1 AND text = ?2",
                    params![account, text],
                )
                .map(drop)
        })
    }

    /// Stores what was learned, with the next group; it is left out where that has no room.
    pub fn put_learned(&self, kind: &'static str, rows: Vec<(String, Vec<u8>)>) {
        if rows.is_empty() {
            return;
        }
        let write = move |transaction: &rusqlite::Transaction<'_>| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO learned (kind, name, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value",
            )?;
            rows.iter().try_for_each(|(name, value)| {
                statement.execute(params![kind, name, value]).map(drop)
            })
        };
        self.write_later(Box::new(write));
    }

    /// Has the writer do something to the file with the next group, if there is room for it: what is
    /// only convenient never takes the place of a row. Whether it will.
    pub(super) fn write_later(&self, write: Box<Write>) -> bool {
        let mut state = self.lock();
        if self.healthy().and(state.has_room()).is_err() {
            return false;
        }
        state.queue.push(Event::Job(Job { entry: None, write, done: None }));
        self.wake_writer(state);
        true
    }

    /// Waits until everything that happened before is committed.
    pub fn flush(&self) -> Result<(), Refused> {
        self.write(None, |_| Ok(()))
    }

    /// Has the writer do something to the file, with the entry that tells of it, and waits until that
    /// is committed.
    pub(super) fn write(
        &self,
        change: Option<Change>,
        write: impl Fn(&rusqlite::Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), Refused> {
        let (done, wait) = mpsc::sync_channel(1);
        self.healthy()?;
        let mut state = self.lock();
        if state.closing {
            return Err(Refused::Closing);
        }
        state.has_room()?;
        let entry = change.map(|change| Box::new(change.entry()));
        state.queue.push(Event::Job(Job { entry, write: Box::new(write), done: Some(done) }));
        self.wake_writer(state);
        // A writer that drops it says by its health why it was not done.
        wait.recv().map_err(|_| self.healthy().err().unwrap_or(Refused::DiskFull))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let instant = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Ok(KeyRow {
        id: row.get(0)?,
        digest: row.get(1)?,
        account: row.get(2)?,
        name: row.get(3)?,
        hint: row.get(4)?,
        limits: row.get(5)?,
        created_at: Timestamp::from_micros(row.get(6)?),
        expires_at: instant(row.get(7)?),
        revoked_at: instant(row.get(8)?),
    })
}
