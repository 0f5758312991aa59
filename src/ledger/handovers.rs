//! Batches that are handed over to their provider's own batch endpoint: how far that is, as a row, and
//! the holds of their lines, which outlive the process that took them.

use rusqlite::{Connection, Row, params};

use super::entry::CallId;
use super::idempotency::KeyName;
use super::open_hold::{Held, OpenHold, lock, sealed};
use super::{Ledger, Refused};

/// A batch's handover after the columns of the batch itself.
pub(super) const COLUMNS: &str = "to_provider, to_model, round, stage, their_file, remote, note, \
    base_completed, base_failed, seen_completed, seen_failed";

/// How far a handover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Lines are being held; nothing has left.
    Holding,
    /// The lines of this round are held; their file may be at the provider.
    Uploading,
    /// Their file is at the provider; it may have made a batch of it.
    Creating,
    /// The provider has the batch.
    Waiting,
    /// The provider has no batch: what is held is given back.
    Releasing,
    /// Nothing is there any more; lines that are not done are made here.
    Over,
}

impl Stage {
    const ALL: [Stage; 6] = [
        Stage::Holding,
        Stage::Uploading,
        Stage::Creating,
        Stage::Waiting,
        Stage::Releasing,
        Stage::Over,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Holding => "holding",
            Stage::Uploading => "uploading",
            Stage::Creating => "creating",
            Stage::Waiting => "waiting",
            Stage::Releasing => "releasing",
            Stage::Over => "over",
        }
    }
}

/// A batch at its provider. What is asked about it costs nothing by itself: its lines are held before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Our batch.
    pub batch: String,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The provider's model.
    pub model: String,
    /// Which of the batches that it goes in, from 1: of what cannot be held at once there are several. 0
    /// before anything left.
    pub round: u32,
    /// How far it is.
    pub stage: Stage,
    /// The provider's id of the file of its lines.
    pub file: Option<String>,
    /// The provider's id of the batch.
    pub remote: Option<String>,
    /// Why its lines are made here after all.
    pub note: Option<String>,
    /// Lines that were done before this round, with an answer and with an error.
    pub before: (u64, u64),
    /// Lines that are done by what the provider says, those before included.
    pub seen: (u64, u64),
}

impl Handover {
    /// What the provider's batch is marked with, so that it is found if we do not learn its id.
    pub fn mark(&self) -> String {
        format!("{}.{}", self.batch, self.round)
    }
}

impl sealed::Sealed for Handover {}

impl Held for Handover {
    // How far its lines have come is on their own holds.
    fn sent(&self) {}
    fn not_sent(&self) {}
}

/// A line that was held for a handover.
pub struct HandedLine {
    /// Its call.
    pub id: CallId,
    /// Its hold, unless it is settled. Dropped, it stays open.
    pub hold: Option<OpenHold>,
}

impl Ledger {
    /// Notes how far a handover is.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn put_handover(&self, row: &Handover) -> Result<(), Refused> {
        let row = row.clone();
        self.write(None, move |transaction| put(transaction, &row))
    }

    /// The line that has this key, if it was held for a handover and is not recorded.
    pub fn handed_over(&self, line: &KeyName) -> Option<HandedLine> {
        let state = self.lock();
        let id = state.keys.call(line)?;
        let hold = state.open.get(&id).and_then(|meter| {
            let (seq, handed_over) = {
                let meter = lock(meter);
                (meter.seq, meter.handed_over && !meter.closed)
            };
            handed_over.then(|| OpenHold::new(self.clone(), meter.clone(), id, seq, true))
        });
        Some(HandedLine { id, hold })
    }

    /// Lines of all batches that are held for handovers.
    pub fn lines_handed_over(&self) -> usize {
        self.lock().handed_over
    }
}

/// Keeps how far a handover is.
pub(super) fn put(connection: &Connection, row: &Handover) -> rusqlite::Result<()> {
    let Handover { batch, provider, model, round, stage, file, remote, note, before, seen } = row;
    let sql = format!(
        "INSERT OR REPLACE INTO handovers (batch, {COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    );
    let values = params![
        batch,
        provider,
        model,
        round,
        stage.name(),
        file,
        remote,
        note,
        before.0,
        before.1,
        seen.0,
        seen.1
    ];
    connection.prepare_cached(&sql)?.execute(values).map(drop)
}

/// A batch's handover, whose columns begin there.
pub(super) fn read(row: &Row<'_>, batch: &str, at: usize) -> rusqlite::Result<Option<Handover>> {
    let Some(provider) = row.get(at)? else { return Ok(None) };
    let stage: String = row.get(at + 3)?;
    let stage = Stage::ALL.into_iter().find(|known| known.name() == stage);
    Ok(Some(Handover {
        batch: batch.to_owned(),
        provider,
        model: row.get(at + 1)?,
        round: row.get(at + 2)?,
        // No ledger writes another word.
        stage: stage.unwrap_or(Stage::Waiting),
        file: row.get(at + 4)?,
        remote: row.get(at + 5)?,
        note: row.get(at + 6)?,
        before: (row.get(at + 7)?, row.get(at + 8)?),
        seen: (row.get(at + 9)?, row.get(at + 10)?),
    }))
}
