//! Batches as rows: what is to be done, and how far that is. A line that is done is counted in the
//! transaction that frees its idempotency key, so that no crash comes between.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tollgate_accounting::Timestamp;

use super::files::{self, FileRow, Page};
use super::handovers::{self, Handover};
use super::idempotency::KeyName;
use super::report::Reader;
use super::store::StoreError;
use super::{Ledger, Refused};

const COLUMNS: &str = "id, account, key, endpoint, input, output, rejects, status, metadata, tags, \
    keep_seconds, model, problems, created_at, expires_at, begun_at, finalizing_at, cancelling_at, \
    ended_at, total, completed, failed, output_bytes, reject_bytes, \
    used_input, used_cached, used_output, used_reasoning";
/// The table that says how a batch is handed over.
const HANDED_OVER: &str = "LEFT JOIN handovers ON handovers.batch = batches.id";

/// How far a batch is; OpenAI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchStatus {
    /// Its file is being read.
    Validating,
    /// Its file makes no sense; nothing was done.
    Failed,
    /// Its lines are being made.
    InProgress,
    /// Its files are being closed.
    Finalizing,
    /// Every line has an answer or an error.
    Completed,
    /// Its time was over before every line was made.
    Expired,
    /// It was called off; lines in flight are waited for.
    Cancelling,
    /// It was called off.
    Cancelled,
}

impl BatchStatus {
    const ALL: [BatchStatus; 8] = [
        BatchStatus::Validating,
        BatchStatus::Failed,
        BatchStatus::InProgress,
        BatchStatus::Finalizing,
        BatchStatus::Completed,
        BatchStatus::Expired,
        BatchStatus::Cancelling,
        BatchStatus::Cancelled,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            BatchStatus::Validating => "validating",
            BatchStatus::Failed => "failed",
            BatchStatus::InProgress => "in_progress",
            BatchStatus::Finalizing => "finalizing",
            BatchStatus::Completed => "completed",
            BatchStatus::Expired => "expired",
            BatchStatus::Cancelling => "cancelling",
            BatchStatus::Cancelled => "cancelled",
        }
    }
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRow {
    /// Its id, as clients are told it.
    pub id: String,
    /// Whose it is.
    pub account: String,
    /// The credential that its lines are called with.
    pub key: String,
    /// The path that its lines are sent to.
    pub endpoint: String,
    /// The file of its lines.
    pub input: String,
    /// The file of their answers.
    pub output: String,
    /// The file of their errors.
    pub rejects: String,
    /// How far it is.
    pub status: BatchStatus,
    /// The client's own pairs, a JSON object.
    pub metadata: String,
    /// The tags of its lines' rows.
    pub tags: String,
    /// How long its files are to be kept, where it says.
    pub keep_seconds: Option<i64>,
    /// The model, where its lines ask for one alone.
    pub model: Option<String>,
    /// What is wrong with its file, a JSON array.
    pub problems: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its time is over.
    pub expires_at: Timestamp,
    /// When its lines began to be made.
    pub begun_at: Option<Timestamp>,
    /// When its files began to be closed.
    pub finalizing_at: Option<Timestamp>,
    /// When it was called off.
    pub cancelling_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// How far its lines are.
    pub progress: BatchProgress,
    /// What its lines came to; none of a batch that began before that was counted.
    pub usage: Option<BatchUsage>,
    /// How it is handed over to its provider, if it is.
    pub handover: Option<Handover>,
}

/// What a batch's lines came to, as far as they are recorded: the sum of what their rows posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchUsage {
    /// All input tokens.
    pub input: u64,
    /// Those of them that were read from a provider's cache.
    pub cached: u64,
    /// All output tokens.
    pub output: u64,
    /// Those of them that were thinking.
    pub reasoning: u64,
}

/// How far a batch's lines are, and how much of its files counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchProgress {
    /// All lines.
    pub total: u64,
    /// With an answer.
    pub completed: u64,
    /// With an error.
    pub failed: u64,
    /// Bytes of answers.
    pub output_bytes: u64,
    /// Bytes of errors.
    pub reject_bytes: u64,
}

impl Ledger {
    /// Keeps a new batch, if its account has fewer than `most` that are not over; whether it had.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn put_batch(&self, row: BatchRow, most: u64) -> Result<bool, Refused> {
        self.write_told(move |transaction| {
            let sql = "SELECT count(*) FROM batches WHERE account = ?1 AND ended_at IS NULL";
            let count: u64 = transaction.query_row(sql, [&row.account], |row| row.get(0))?;
            if count >= most {
                return Ok(false);
            }
            insert(transaction, &row)
        })
    }

    /// Its lines begin, here or at their provider; unless it was called off meanwhile.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn begin_batch(
        &self,
        id: &str,
        total: u64,
        model: Option<String>,
        handover: Option<Handover>,
        at: Timestamp,
    ) -> Result<bool, Refused> {
        let id = id.to_owned();
        self.write_told(move |transaction| {
            let sql = "UPDATE batches SET status = 'in_progress', begun_at = ?2, total = ?3, \
                 model = ?4 WHERE id = ?1 AND status = 'validating'";
            let begun = transaction.execute(sql, params![id, at.micros(), total, model])? > 0;
            if let Some(handover) = handover.as_ref().filter(|_| begun) {
                handovers::put(transaction, handover)?;
            }
            Ok(begun)
        })
    }

    /// Its file makes no sense.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn fail_batch(&self, id: &str, problems: String, at: Timestamp) -> Result<bool, Refused> {
        let id = id.to_owned();
        self.write_told(move |transaction| {
            let sql = "UPDATE batches SET status = 'failed', ended_at = ?2, problems = ?3 \
                 WHERE id = ?1 AND status = 'validating'";
            Ok(transaction.execute(sql, params![id, at.micros(), problems])? > 0)
        })
    }

    /// Lines are done, and what became of them is on the disk: counts it and frees their keys.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn advance_batch(
        &self,
        id: &str,
        progress: BatchProgress,
        lines: Vec<KeyName>,
    ) -> Result<(), Refused> {
        let (id, keys) = (id.to_owned(), lines.clone());
        self.write(None, move |transaction| {
            let BatchProgress { total: _, completed, failed, output_bytes, reject_bytes } =
                progress;
            transaction
                .prepare_cached(
                    "UPDATE batches SET completed = ?2, failed = ?3, output_bytes = ?4,
                         reject_bytes = ?5 WHERE id = ?1",
                )?
                .execute(params![id, completed, failed, output_bytes, reject_bytes])?;
            keys.iter().try_for_each(|name| super::idempotency::delete(transaction, name))
        })?;
        self.forget_keys(&lines);
        Ok(())
    }

    /// Its files are being closed; one that was called off stays so.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn finalize_batch(&self, id: &str, at: Timestamp) -> Result<bool, Refused> {
        let id = id.to_owned();
        self.write_told(move |transaction| {
            let sql = "UPDATE batches SET finalizing_at = ?2, \
                 status = iif(status = 'in_progress', 'finalizing', status) \
                 WHERE id = ?1 AND ended_at IS NULL";
            Ok(transaction.execute(sql, params![id, at.micros()])? > 0)
        })
    }

    /// It is over, and these are its files.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn end_batch(
        &self,
        id: &str,
        status: BatchStatus,
        files: Vec<FileRow>,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let id = id.to_owned();
        self.write(None, move |transaction| {
            for file in &files {
                files::insert(transaction, file)?;
            }
            let sql = "UPDATE batches SET ended_at = ?2, \
                 status = iif(status = 'cancelling', 'cancelled', ?3) \
                 WHERE id = ?1 AND ended_at IS NULL";
            transaction.execute(sql, params![id, at.micros(), status.name()]).map(drop)
        })
    }

    /// Calls an account's batch off, if it has not come to its end; whether it had not.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn cancel_batch(&self, account: &str, id: &str, at: Timestamp) -> Result<bool, Refused> {
        let (account, id) = (account.to_owned(), id.to_owned());
        self.write_told(move |transaction| {
            let sql = "UPDATE batches SET status = 'cancelling', cancelling_at = ?3 \
                 WHERE account = ?1 AND id = ?2 AND status IN ('validating', 'in_progress')";
            Ok(transaction.execute(sql, params![account, id, at.micros()])? > 0)
        })
    }

    /// Forgets batches that were over before then.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn forget_batches(&self, before: Timestamp) -> Result<(), Refused> {
        self.write(None, move |transaction| {
            let before = [before.micros()];
            let sql = "DELETE FROM handovers WHERE batch IN
                 (SELECT id FROM batches WHERE ended_at <= ?1)";
            transaction.execute(sql, before)?;
            transaction.execute("DELETE FROM batches WHERE ended_at <= ?1", before).map(drop)
        })
    }
}

/// Adds what a line's call came to, by its rows, to its batch. Its key must still be bound to it.
pub(super) fn add_usage(
    transaction: &Connection,
    batch: &str,
    line: &KeyName,
) -> rusqlite::Result<()> {
    let KeyName { account, endpoint, key } = line;
    let sql = "UPDATE batches SET
             used_input = used_input + line.input, used_cached = used_cached + line.cached,
             used_output = used_output + line.output,
             used_reasoning = used_reasoning + line.reasoning
         FROM (SELECT
             coalesce(sum(posted_input), 0) AS input,
             coalesce(sum(iif(posted_input > 0, cache_read, 0)), 0) AS cached,
             coalesce(sum(posted_output), 0) AS output,
             coalesce(sum(iif(posted_output > 0, reasoning, 0)), 0) AS reasoning
             FROM entries WHERE id =
                 (SELECT id FROM replies WHERE account = ?2 AND endpoint = ?3 AND key = ?4)) AS line
         WHERE batches.id = ?1";
    transaction.prepare_cached(sql)?.execute(params![batch, account, endpoint, key]).map(drop)
}

fn insert(connection: &Connection, row: &BatchRow) -> rusqlite::Result<bool> {
    let BatchProgress { total, completed, failed, output_bytes, reject_bytes } = row.progress;
    let marks = COLUMNS.split(',').map(|_| "?").collect::<Vec<_>>().join(", ");
    let sql = format!("INSERT INTO batches ({COLUMNS}) VALUES ({marks})");
    let maybe = |at: Option<Timestamp>| at.map(Timestamp::micros);
    let used = |part: fn(&BatchUsage) -> u64| row.usage.as_ref().map(part);
    let values = params![
        row.id,
        row.account,
        row.key,
        row.endpoint,
        row.input,
        row.output,
        row.rejects,
        row.status.name(),
        row.metadata,
        row.tags,
        row.keep_seconds,
        row.model,
        row.problems,
        row.created_at.micros(),
        row.expires_at.micros(),
        maybe(row.begun_at),
        maybe(row.finalizing_at),
        maybe(row.cancelling_at),
        maybe(row.ended_at),
        total,
        completed,
        failed,
        output_bytes,
        reject_bytes,
        used(|usage| usage.input),
        used(|usage| usage.cached),
        used(|usage| usage.output),
        used(|usage| usage.reasoning)
    ];
    Ok(connection.execute(&sql, values)? > 0)
}

impl Reader {
    /// A batch; of an account, if one is named.
    pub fn batch(&self, account: Option<&str>, id: &str) -> Result<Option<BatchRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, {} FROM batches {HANDED_OVER} WHERE id = ?1 AND (?2 IS NULL OR account = ?2)",
            handovers::COLUMNS
        );
        self.read(|connection| {
            connection.prepare_cached(&sql)?.query_row(params![id, account], read).optional()
        })
    }

    /// Batches, the newest first, and whether there are more; of an account, if one is named.
    pub fn batches(
        &self,
        account: Option<&str>,
        page: &Page,
    ) -> Result<(Vec<BatchRow>, bool), StoreError> {
        let whose = if account.is_some() { "account = ?1" } else { "?1 IS NULL" };
        let sql = format!(
            "SELECT {COLUMNS}, {} FROM batches {HANDED_OVER}
             WHERE {whose} AND (?2 IS NULL OR (created_at, id) <
                 (SELECT created_at, id FROM batches WHERE id = ?2 AND {whose}))
             ORDER BY created_at DESC, id DESC LIMIT ?3",
            handovers::COLUMNS
        );
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let account = account.map_or(Value::Null, |account| account.to_owned().into());
            let rows = statement.query_map(params![account, page.after, page.limit + 1], read)?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let more = rows.len() > page.limit;
            rows.truncate(page.limit);
            Ok((rows, more))
        })
    }

    /// Batches that are not over, the oldest first.
    pub fn unfinished_batches(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let sql =
                "SELECT id FROM batches WHERE ended_at IS NULL ORDER BY created_at LIMIT 1024";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<BatchRow> {
    let at = |at: usize| {
        Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_micros))
    };
    let status: String = row.get(7)?;
    let status = BatchStatus::ALL.into_iter().find(|known| known.name() == status);
    let id: String = row.get(0)?;
    Ok(BatchRow {
        handover: handovers::read(row, &id, 28)?,
        id,
        account: row.get(1)?,
        key: row.get(2)?,
        endpoint: row.get(3)?,
        input: row.get(4)?,
        output: row.get(5)?,
        rejects: row.get(6)?,
        // No ledger writes another word.
        status: status.unwrap_or(BatchStatus::Failed),
        metadata: row.get(8)?,
        tags: row.get(9)?,
        keep_seconds: row.get(10)?,
        model: row.get(11)?,
        problems: row.get(12)?,
        created_at: Timestamp::from_micros(row.get(13)?),
        expires_at: Timestamp::from_micros(row.get(14)?),
        begun_at: at(15)?,
        finalizing_at: at(16)?,
        cancelling_at: at(17)?,
        ended_at: at(18)?,
        progress: BatchProgress {
            total: row.get(19)?,
            completed: row.get(20)?,
            failed: row.get(21)?,
            output_bytes: row.get(22)?,
            reject_bytes: row.get(23)?,
        },
        usage: usage(row)?,
    })
}

fn usage(row: &Row<'_>) -> rusqlite::Result<Option<BatchUsage>> {
    let Some(input) = row.get(24)? else { return Ok(None) };
    let (cached, output, reasoning) = (row.get(25)?, row.get(26)?, row.get(27)?);
    Ok(Some(BatchUsage { input, cached, output, reasoning }))
}
