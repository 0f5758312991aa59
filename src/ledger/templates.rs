//! Versions of prompt templates and their labels as rows. What they mean is decided by `prompts`; here
//! they are kept, and a version that was kept never changes.

use rusqlite::{Connection, params};
use tollgate_accounting::Timestamp;

use super::report::Reader;
use super::{Change, Ledger, Refused, StoreError};

/// One version of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptRow {
    /// The template's name.
    pub name: String,
    /// Its number, from 1.
    pub number: u32,
    /// blake3 of its text.
    pub digest: [u8; 32],
    /// The text.
    pub source: String,
    /// When it was first seen.
    pub published_at: Timestamp,
}

/// A name for one version, which can be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptLabelRow {
    /// The template's name.
    pub name: String,
    /// The label.
    pub label: String,
    /// The version it stands for.
    pub number: u32,
    /// Another version, and how many calls in a hundred go to it instead.
    pub trial: Option<(u32, u32)>,
}

impl Ledger {
    /// Keeps new versions and moves labels, with the row that tells of it: all in one transaction. A
    /// version that is kept already stays as it is.
    pub fn put_prompts(
        &self,
        change: Change,
        versions: Vec<PromptRow>,
        labels: Vec<PromptLabelRow>,
    ) -> Result<(), Refused> {
        let at = change.at;
        self.write(Some(change), move |transaction| {
            for PromptRow { name, number, digest, source, published_at } in &versions {
                transaction.execute(
                    "INSERT OR IGNORE INTO prompts (name, number, digest, source, published_at)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![name, number, digest, source, published_at.micros()],
                )?;
            }
            for PromptLabelRow { name, label, number, trial } in &labels {
                let (trial, percent) = trial.unzip();
                transaction.execute(
                    "INSERT INTO prompt_labels (name, label, number, moved_at, trial, percent)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (name, label) DO UPDATE SET number = excluded.number,
                         moved_at = excluded.moved_at, trial = excluded.trial,
                         percent = excluded.percent",
                    params![name, label, number, at.micros(), trial, percent],
                )?;
            }
            Ok(())
        })
    }
}

impl Reader {
    /// Every version of every template, and all labels, of one instant.
    pub fn prompts(&self) -> Result<(Vec<PromptRow>, Vec<PromptLabelRow>), StoreError> {
        self.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            Ok((versions(&transaction)?, labels(&transaction)?))
        })
    }
}

fn versions(connection: &Connection) -> rusqlite::Result<Vec<PromptRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, number, digest, source, published_at FROM prompts ORDER BY name, number",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(PromptRow {
            name: row.get(0)?,
            number: row.get(1)?,
            digest: row.get(2)?,
            source: row.get(3)?,
            published_at: Timestamp::from_micros(row.get(4)?),
        })
    })?;
    rows.collect()
}

fn labels(connection: &Connection) -> rusqlite::Result<Vec<PromptLabelRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, label, number, trial, percent FROM prompt_labels ORDER BY name, label",
    )?;
    let rows = statement.query_map([], |row| {
        let trial = row.get::<_, Option<u32>>(3)?.zip(row.get::<_, Option<u32>>(4)?);
        Ok(PromptLabelRow { name: row.get(0)?, label: row.get(1)?, number: row.get(2)?, trial })
    })?;
    rows.collect()
}
