//! The file of the disk tier: a reply a row, with a digest over all of the row. It is nobody's only copy
//! of anything, so what is damaged is forgotten, and a file that cannot be read is begun anew.

use std::fs::{File as Plain, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::{Deserialize, Serialize};
use tollgate_accounting::{Money, Timestamp};
use tollgate_providers::Dialect;

use super::Cards;
use crate::cache::{Answer, Content, Fingerprint, Form, Kept, Purge};
use crate::clock;

/// "TOLC", in the file's `application_id`, so that no other program's file is taken for ours.
const APPLICATION: u32 = 0x544F_4C43;
/// Where SQLite keeps that, and what is before it (sqlite.org/fileformat.html).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const APPLICATION_AT: usize = 68;
/// What a key means and how a row is written; a file of another is begun anew.
const FORMAT: i64 = 1;
/// What a row takes beside its reply, roughly, the rest of its last page included.
const ROW: usize = 2_048;
/// Rows that make way at a time when the file is full.
const STEP: i64 = 16;

const SCHEMA: &str = "
    DROP TABLE IF EXISTS answers;
    CREATE TABLE answers (
        key     BLOB PRIMARY KEY,
        account TEXT NOT NULL,
        model   TEXT NOT NULL,
        prompt  TEXT NOT NULL,
        used    INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        size    INTEGER NOT NULL,
        head    TEXT NOT NULL,
        body    BLOB NOT NULL,
        sum     BLOB NOT NULL
    ) STRICT;
    CREATE INDEX by_use ON answers (used);
    CREATE INDEX by_end ON answers (expires);";

/// What is known of a reply beside what it is looked for by.
#[derive(Serialize, Deserialize)]
struct Head {
    provider: String,
    model: String,
    card: String,
    card_version: String,
    max_output_tokens: Option<u64>,
    charged: i64,
    made_at: i64,
    keep_for: u64,
    /// In which form it is: whole, a stream, or one with what was used.
    form: u8,
    /// The lengths of a stream's pieces.
    pieces: Vec<usize>,
}

/// Why there is no file to keep replies in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// Something else lies there.
    #[error("{} is not a file of the cache; it is left alone", .0.display())]
    Foreign(PathBuf),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// What is under a key.
pub(super) enum Found {
    Nothing,
    /// Something that is not what was written.
    Damaged,
    Answer(Box<Answer>),
}

/// How much there is: bytes and replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

/// The file for writing; made where there is none, and anew where ours cannot be read.
pub(super) fn open(path: &Path) -> Result<Connection, Unusable> {
    if !is_ours(path)? {
        return Err(Unusable::Foreign(path.to_owned()));
    }
    match connect(path) {
        Err(error) if is_damage(&error) => begin_anew(path),
        connected => Ok(connected?),
    }
}

/// Forgets the file and makes another.
pub(super) fn begin_anew(path: &Path) -> Result<Connection, Unusable> {
    tracing::warn!(path = %path.display(), "the cache's file cannot be used as it is, and is begun anew");
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    private(path)?;
    Ok(connect(path)?)
}

/// Whether an error says that the file is not what was written.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Whether the file is the cache's, or nothing yet.
fn is_ours(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    private(path)?.take(100).read_to_end(&mut head)?;
    let at = APPLICATION_AT..APPLICATION_AT + 4;
    let ours = head.get(at).is_some_and(|id| id == APPLICATION.to_be_bytes());
    Ok(head.is_empty() || head.starts_with(MAGIC) && ours)
}

/// The file, which nobody else may read.
fn private(path: &Path) -> std::io::Result<Plain> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let format: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if format != FORMAT {
        // Not into the log: whose file it is has to stand in the file itself, whenever the process dies.
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = DELETE; BEGIN IMMEDIATE; {SCHEMA}
             PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
        ))?;
    }
    // What is forgotten is not left in free pages.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;
         PRAGMA journal_size_limit = 4194304;",
    )?;
    Ok(connection)
}

/// The file for reading, beside who writes it.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(100))?;
    connection.execute_batch("PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// What is kept, counted.
pub(super) fn size(connection: &Connection) -> rusqlite::Result<Size> {
    let sql = "SELECT coalesce(sum(size), 0), count(*) FROM answers";
    connection.query_row(sql, [], |row| Ok(Size { bytes: row.get(0)?, entries: row.get(1)? }))
}

/// The reply under a key, if there is one that is not over.
pub(super) fn find(
    connection: &Connection,
    key: &Fingerprint,
    dialect: Dialect,
    cards: Cards,
) -> rusqlite::Result<Found> {
    let sql = "SELECT account, model, prompt, expires, head, body, sum FROM answers WHERE key = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        let text = |at| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
        let blob = |at| row.get_ref(at)?.as_blob().map_err(rusqlite::Error::from);
        let (account, model, prompt) = (text(0)?, text(1)?, text(2)?);
        let (expires, head, body) = (row.get::<_, i64>(3)?, text(4)?, blob(5)?);
        if blob(6)? != sum(key, [account, model, prompt, head], expires, body) {
            return Ok(Found::Damaged);
        }
        if expires <= clock::now().micros() {
            return Ok(Found::Nothing);
        }
        let names = [account, model, prompt];
        Ok(answer(names, head, body, dialect, cards).map_or(Found::Damaged, Found::Answer))
    };
    Ok(statement.query_row([&key.0], read).optional()?.unwrap_or(Found::Nothing))
}

/// Writes a reply, in place of what was under its key. The answer is by how much there is more.
pub(super) fn keep(
    connection: &Connection,
    key: &Fingerprint,
    kept: &Kept,
    cards: Cards,
    size: &mut Size,
) -> rusqlite::Result<()> {
    forget(connection, key, size)?;
    let answer = &kept.answer;
    let Some((head, body, expires)) = written(answer, cards) else { return Ok(()) };
    let prompt = answer.prompt.as_deref().unwrap_or_default();
    let (account, model) = (&*answer.account, &*answer.asked_model);
    let digest = sum(key, [account, model, prompt, &head], expires, &body);
    let weight = (head.len() + body.len() + ROW) as u64;
    let now = clock::now().micros();
    let sql =
        "INSERT INTO answers (key, account, model, prompt, used, expires, size, head, body, sum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let values = params![key.0, account, model, prompt, now, expires, weight, head, &*body, digest];
    connection.prepare_cached(sql)?.execute(values)?;
    size.bytes = size.bytes.saturating_add(weight);
    size.entries += 1;
    Ok(())
}

/// A reply was given again.
pub(super) fn used(connection: &Connection, key: &Fingerprint) -> rusqlite::Result<()> {
    let sql = "UPDATE answers SET used = ?2 WHERE key = ?1";
    connection.prepare_cached(sql)?.execute(params![key.0, clock::now().micros()]).map(drop)
}

/// Forgets what is under a key.
pub(super) fn forget(
    connection: &Connection,
    key: &Fingerprint,
    size: &mut Size,
) -> rusqlite::Result<()> {
    take(connection, "key = ?1", [&key.0], size).map(drop)
}

/// Forgets what is over, and what was used longest ago until there is no more than that.
pub(super) fn trim(connection: &Connection, most: u64, size: &mut Size) -> rusqlite::Result<()> {
    take(connection, "expires <= ?1", [clock::now().micros()], size)?;
    let oldest = "rowid IN (SELECT rowid FROM answers ORDER BY used LIMIT ?1)";
    while size.bytes > most && take(connection, oldest, [STEP], size)? > 0 {}
    Ok(())
}

/// Forgets what a purge is of, down to the file's log.
pub(super) fn purge(
    connection: &Connection,
    purge: &Purge,
    size: &mut Size,
) -> rusqlite::Result<()> {
    let Purge { account, model, prompt } = purge;
    // `/` is followed by `0` in ASCII: the account and all below it.
    let condition = "(?1 IS NULL OR account = ?1 OR account > ?1 || '/' AND account < ?1 || '0')
        AND (?2 IS NULL OR model = ?2)
        AND (?3 IS NULL OR prompt = ?3 OR substr(prompt, 1, length(?3) + 1) = ?3 || '@')";
    take(connection, condition, params![account, model, prompt], size)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Deletes rows; the answer is how many.
fn take(
    connection: &Connection,
    condition: &str,
    values: impl Params,
    size: &mut Size,
) -> rusqlite::Result<u64> {
    let sql = format!("DELETE FROM answers WHERE {condition} RETURNING size");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut taken = 0;
    while let Some(row) = rows.next()? {
        size.bytes = size.bytes.saturating_sub(row.get(0)?);
        size.entries = size.entries.saturating_sub(1);
        taken += 1;
    }
    Ok(taken)
}

/// The digest of a row; every value goes in with its length.
fn sum(key: &Fingerprint, texts: [&str; 4], expires: i64, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.0).update(&expires.to_le_bytes());
    for bytes in texts.map(str::as_bytes).into_iter().chain([body]) {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    *hasher.finalize().as_bytes()
}

fn written(answer: &Answer, cards: Cards) -> Option<(String, Bytes, i64)> {
    // Exhaustive on purpose: a new field must be given its place in the file.
    let Answer {
        account: _,
        prompt: _,
        asked_model: _,
        provider,
        model,
        card,
        max_output_tokens,
        charged,
        made_at,
        keep_for,
        // Part of the key.
        dialect: _,
        form,
        content,
    } = answer;
    let keep_for = u64::try_from(keep_for.as_micros()).ok()?;
    let pieces = match content {
        Content::Whole(_) => Vec::new(),
        Content::Stream(pieces) => pieces.iter().map(Bytes::len).collect(),
    };
    let head = Head {
        provider: provider.to_string(),
        model: model.to_string(),
        card: (cards.write)(card)?,
        card_version: card.version.clone(),
        max_output_tokens: *max_output_tokens,
        charged: charged.nanos(),
        made_at: made_at.micros(),
        keep_for,
        form: match form {
            Form::Whole => 0,
            Form::Stream { usage: false } => 1,
            Form::Stream { usage: true } => 2,
        },
        pieces,
    };
    let expires = made_at.micros().saturating_add(i64::try_from(keep_for).ok()?);
    Some((serde_json::to_string(&head).ok()?, content.joined().1, expires))
}

fn answer(
    [account, model, prompt]: [&str; 3],
    head: &str,
    body: &[u8],
    dialect: Dialect,
    cards: Cards,
) -> Option<Box<Answer>> {
    let head: Head = serde_json::from_str(head).ok()?;
    let body = Bytes::copy_from_slice(body);
    let (form, content) = match head.form {
        0 => (Form::Whole, Content::Whole(body)),
        form @ (1 | 2) => {
            let mut rest = body;
            let mut piece = |length: usize| (length <= rest.len()).then(|| rest.split_to(length));
            let pieces = head.pieces.into_iter().map(&mut piece).collect::<Option<Vec<_>>>()?;
            (Form::Stream { usage: form == 2 }, Content::Stream(pieces))
        }
        _ => return None,
    };
    Some(Box::new(Answer {
        account: account.into(),
        prompt: (!prompt.is_empty()).then(|| prompt.into()),
        asked_model: model.into(),
        provider: head.provider.into(),
        model: head.model.into(),
        card: Arc::new((cards.read)(&head.card_version, &head.card)?),
        max_output_tokens: head.max_output_tokens,
        charged: Money::from_nanos(head.charged),
        made_at: Timestamp::from_micros(head.made_at),
        keep_for: Duration::from_micros(head.keep_for),
        dialect,
        form,
        content,
    }))
}
