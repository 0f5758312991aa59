//! Whose prompts are, and who subscribes to them, as rows. What they mean is decided by `control`.

use rusqlite::{Connection, Row, Transaction, params};
use tollgate_accounting::Timestamp;

use super::report::Reader;
use super::{Change, Ledger, Refused, StoreError};

/// The most rows of a list that is shown.
const SHOWN: u32 = 1000;

/// A prompt that belongs to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptOwnerRow {
    /// The template's name.
    pub prompt: String,
    /// The account.
    pub account: String,
    /// Whether others may ask for it.
    pub offered: bool,
}

/// An account's wish to use another's prompt, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// Its name, `psub_...`.
    pub id: String,
    /// The template's name.
    pub prompt: String,
    /// Whose it is.
    pub owner: String,
    /// Who wants to use it.
    pub account: String,
    /// The credential it was filed with.
    pub key: String,
    /// Limits of its use, one a line.
    pub limits: String,
    /// Why.
    pub reason: String,
    /// When it was filed.
    pub filed_at: Timestamp,
    /// What became of it.
    pub state: SubscriptionState,
    /// When that was decided.
    pub decided_at: Option<Timestamp>,
    /// The owner's words.
    pub note: Option<String>,
}

/// What became of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Nothing yet.
    Open,
    /// The prompt may be used.
    Accepted,
    /// It never could be.
    Refused,
    /// It cannot be any more.
    Ended,
}

impl SubscriptionState {
    const ALL: [SubscriptionState; 4] = [
        SubscriptionState::Open,
        SubscriptionState::Accepted,
        SubscriptionState::Refused,
        SubscriptionState::Ended,
    ];

    /// The name in the file and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            SubscriptionState::Open => "open",
            SubscriptionState::Accepted => "accepted",
            SubscriptionState::Refused => "refused",
            SubscriptionState::Ended => "ended",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<SubscriptionState> {
        SubscriptionState::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl SubscriptionRow {
    /// Whether it waits for an answer, or was accepted and not ended.
    pub fn is_live(&self) -> bool {
        matches!(self.state, SubscriptionState::Open | SubscriptionState::Accepted)
    }
}

const SUBSCRIPTION: &str =
    "id, prompt, owner, account, key, limits, reason, filed_at, state, decided_at, note";

/// Prompts that belong to somebody.
pub(super) fn owners(connection: &Connection) -> rusqlite::Result<Vec<PromptOwnerRow>> {
    let sql = "SELECT prompt, account, offered FROM prompt_owners ORDER BY prompt";
    let rows = |row: &Row<'_>| {
        Ok(PromptOwnerRow { prompt: row.get(0)?, account: row.get(1)?, offered: row.get(2)? })
    };
    connection.prepare_cached(sql)?.query_map([], rows)?.collect()
}

/// Subscriptions that wait for an answer or hold.
pub(super) fn live(connection: &Connection) -> rusqlite::Result<Vec<SubscriptionRow>> {
    let sql = format!(
        "SELECT {SUBSCRIPTION} FROM prompt_subscriptions WHERE state IN ('open', 'accepted')
         ORDER BY filed_at, id"
    );
    connection.prepare_cached(&sql)?.query_map([], subscription)?.collect()
}

impl Reader {
    /// The latest subscriptions, or those of one account: its own, and those to its prompts.
    pub fn subscriptions(&self, of: Option<&str>) -> Result<Vec<SubscriptionRow>, StoreError> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {SUBSCRIPTION} FROM prompt_subscriptions
                 WHERE ?1 IS NULL OR account = ?1 OR owner = ?1
                 ORDER BY filed_at DESC, id LIMIT {SHOWN}"
            );
            connection.prepare_cached(&sql)?.query_map([of], subscription)?.collect()
        })
    }

    /// A subscription, whatever became of it.
    pub fn subscription(&self, id: &str) -> Result<Option<SubscriptionRow>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {SUBSCRIPTION} FROM prompt_subscriptions WHERE id = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([id], subscription)?.next().transpose()
        })
    }
}

impl Ledger {
    /// Says whose a prompt is, everybody's where nobody's, and what that ends.
    pub fn put_prompt_owner(
        &self,
        change: Change,
        prompt: String,
        owner: Option<PromptOwnerRow>,
        ended: Vec<SubscriptionRow>,
    ) -> Result<(), Refused> {
        let since = change.at.micros();
        self.write(Some(change), move |transaction| {
            transaction.execute("DELETE FROM prompt_owners WHERE prompt = ?1", [&prompt])?;
            if let Some(PromptOwnerRow { prompt, account, offered }) = &owner {
                transaction.execute(
                    "INSERT INTO prompt_owners (prompt, account, offered, since)
                     VALUES (?1, ?2, ?3, ?4)",
                    params![prompt, account, offered, since],
                )?;
            }
            ended.iter().try_for_each(|row| insert(transaction, row))
        })
    }

    /// Writes a subscription, or what became of it.
    pub fn put_subscription(&self, change: Change, row: SubscriptionRow) -> Result<(), Refused> {
        self.write(Some(change), move |transaction| insert(transaction, &row))
    }
}

fn insert(transaction: &Transaction<'_>, row: &SubscriptionRow) -> rusqlite::Result<()> {
    let SubscriptionRow { id, prompt, owner, account, key, limits, reason, .. } = row;
    let sql = format!(
        "INSERT INTO prompt_subscriptions ({SUBSCRIPTION})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET limits = excluded.limits, state = excluded.state,
             decided_at = excluded.decided_at, note = excluded.note"
    );
    let values = params![
        id,
        prompt,
        owner,
        account,
        key,
        limits,
        reason,
        row.filed_at.micros(),
        row.state.name(),
        row.decided_at.map(Timestamp::micros),
        row.note,
    ];
    transaction.execute(&sql, values).map(drop)
}

fn subscription(row: &Row<'_>) -> rusqlite::Result<SubscriptionRow> {
    let state: String = row.get(8)?;
    Ok(SubscriptionRow {
        id: row.get(0)?,
        prompt: row.get(1)?,
        owner: row.get(2)?,
        account: row.get(3)?,
        key: row.get(4)?,
        limits: row.get(5)?,
        reason: row.get(6)?,
        filed_at: Timestamp::from_micros(row.get(7)?),
        state: SubscriptionState::from_name(&state).ok_or(rusqlite::Error::InvalidQuery)?,
        decided_at: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_micros),
        note: row.get(10)?,
    })
}
