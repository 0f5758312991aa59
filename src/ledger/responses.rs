//! Responses that clients asked to be kept, so that a later request can continue them. An account's
//! are bounded in age, number and size; the oldest make room.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::report::Reader;
use super::store::StoreError;
use super::{Ledger, Refused};
use crate::clock;

/// How long a response is kept; OpenAI's own figure.
const KEPT_MICROS: i64 = 30 * 24 * 3600 * 1_000_000;
/// The most responses of an account, and the most bytes of them with what went into them.
const MOST: i64 = 1_000;
const MOST_BYTES: i64 = 64 * 1024 * 1024;
/// The largest that is kept at all.
const LARGEST: usize = 16 * 1024 * 1024;

/// A response that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptResponse {
    /// Its id, as the client was told it.
    pub id: String,
    /// The items that went into it, those of the responses it continued first: the inside of an array.
    pub items: String,
    /// The response as it was told.
    pub body: String,
}

impl Ledger {
    /// Keeps a response, with the next group. One that is too large is not kept.
    pub fn keep_response(&self, account: Arc<str>, kept: KeptResponse) {
        let KeptResponse { id, items, body } = kept;
        let size = items.len().saturating_add(body.len());
        if size > LARGEST {
            tracing::warn!(%account, id, size, "a response is too large to be kept");
            return;
        }
        let at = clock::now().micros();
        let write = move |transaction: &rusqlite::Transaction<'_>| {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO responses (account, id, at, bytes, items, body)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![account, id, at, size, items, body])?;
            bound(transaction, &account, at)
        };
        // It is only for convenience: where the queue is full, the room is for rows.
        if !self.write_later(Box::new(write)) {
            tracing::warn!("a response was not kept: the ledger has no room for it now");
        }
    }

    /// Forgets a response.
    ///
    /// # Errors
    /// Where the ledger closes.
    pub fn forget_response(&self, account: Arc<str>, id: String) -> Result<(), Refused> {
        self.write(None, move |transaction| {
            transaction
                .prepare_cached("DELETE FROM responses WHERE account = ?1 AND id = ?2")?
                .execute(params![account, id])
                .map(drop)
        })
    }

    /// Forgets responses that are too old, of accounts that make no new ones.
    pub fn forget_old_responses(&self) {
        let end = clock::now().micros().saturating_sub(KEPT_MICROS);
        let write = move |transaction: &rusqlite::Transaction<'_>| {
            transaction.execute("DELETE FROM responses WHERE at <= ?1", [end]).map(drop)
        };
        // Else the next time.
        self.write_later(Box::new(write));
    }
}

/// Forgets an account's oldest responses until it keeps to its bounds.
fn bound(connection: &Connection, account: &str, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM responses WHERE account = ?1 AND (at <= ?2 OR id IN (
                 SELECT id FROM (
                     SELECT id, sum(bytes) OVER newest AS size, row_number() OVER newest AS place
                     FROM responses WHERE account = ?1
                     WINDOW newest AS (ORDER BY at DESC, id DESC))
                 WHERE size > ?3 OR place > ?4))",
        )?
        .execute(params![account, now.saturating_sub(KEPT_MICROS), MOST_BYTES, MOST])
        .map(drop)
}

impl Reader {
    /// An account's response.
    pub fn kept_response(
        &self,
        account: &str,
        id: &str,
    ) -> Result<Option<KeptResponse>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT items, body FROM responses WHERE account = ?1 AND id = ?2 AND at > ?3",
                )?
                .query_row(
                    params![account, id, clock::now().micros().saturating_sub(KEPT_MICROS)],
                    |row| {
                        let (items, body) = (row.get(0)?, row.get(1)?);
                        Ok(KeptResponse { id: id.to_owned(), items, body })
                    },
                )
                .optional()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema/004_responses.sql")).unwrap();
        connection
    }

    fn insert(connection: &Connection, account: &str, id: &str, at: i64, bytes: i64) {
        connection
            .execute(
                "INSERT INTO responses (account, id, at, bytes, items, body)
                 VALUES (?1, ?2, ?3, ?4, '', '')",
                params![account, id, at, bytes],
            )
            .unwrap();
    }

    fn ids(connection: &Connection, account: &str) -> Vec<String> {
        let mut statement =
            connection.prepare("SELECT id FROM responses WHERE account = ?1 ORDER BY at").unwrap();
        statement.query_map([account], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn the_oldest_responses_of_an_account_make_room() {
        let connection = table();
        let now = KEPT_MICROS * 2;
        insert(&connection, "a", "expired", now - KEPT_MICROS, 1);
        insert(&connection, "a", "large", now - 3, MOST_BYTES);
        insert(&connection, "a", "small", now - 2, 10);
        insert(&connection, "b", "others", now - 3, MOST_BYTES);
        bound(&connection, "a", now).unwrap();
        assert_eq!(ids(&connection, "a"), ["small"]);
        assert_eq!(ids(&connection, "b"), ["others"]);
        for place in 0..MOST + 5 {
            insert(&connection, "c", &format!("r{place}"), now + place, 1);
        }
        bound(&connection, "c", now + MOST).unwrap();
        let left = ids(&connection, "c");
        assert_eq!((left.len() as i64, left[0].as_str()), (MOST, "r5"));
    }
}
