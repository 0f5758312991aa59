//! Idempotency keys: a client that repeats a call with its key gets the first answer again, and one
//! charge. A key is bound to its call in the transaction that holds the call's money, so no crash
//! comes between; an answer is kept for a day.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use tollgate_accounting::Timestamp;

use super::Ledger;
use super::entry::CallId;
use super::report::Reader;
use super::store::StoreError;
use super::writer::{Event, Job};
use crate::clock;

/// How long an answer is kept.
const KEPT_MICROS: i64 = 24 * 3600 * 1_000_000;

/// A client's key for one call: whose, for what, and a digest of what it asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keyed {
    /// Whose key it is, and for which operation.
    pub name: KeyName,
    /// Of the request's canonical body.
    pub digest: [u8; 32],
}

/// A key's scope: the same text of another account or operation is another key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyName {
    /// The account.
    pub account: Arc<str>,
    /// The operation.
    pub endpoint: Arc<str>,
    /// As the client sent it.
    pub key: Arc<str>,
}

impl KeyName {
    /// The key of a line of a batch. It has a space in it, so that no client can send it.
    pub fn of_line(batch: &str, number: u32) -> Arc<str> {
        format!("{batch} {number}").into()
    }

    /// Whether it is the key of a line of a batch: it is free again when its batch says so.
    pub fn is_of_line(&self) -> bool {
        self.batch().is_some()
    }

    /// The batch whose line has this key.
    pub(super) fn batch(&self) -> Option<&str> {
        self.key.split_once(' ').map(|(batch, _)| batch)
    }
}

/// What is known of a key that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// For another request.
    Differently,
    /// For this one, which is not answered yet.
    InFlight(CallId),
    /// For this one, and its answer is kept.
    Answered(CallId),
    /// For this one, which was in flight when the gateway died: it is charged, its answer is lost.
    Lost(CallId),
}

/// A kept answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptReply {
    /// The call that it answered.
    pub id: CallId,
    /// Its content type.
    pub content_type: String,
    /// Its body, a stream's frames end to end.
    pub body: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Answered,
    Lost,
}

struct Known {
    digest: [u8; 32],
    id: CallId,
    at: Timestamp,
    state: State,
}

/// All keys of the last day.
#[derive(Default)]
pub(super) struct Keys(HashMap<KeyName, Known>);

impl Keys {
    pub(super) fn used(&self, keyed: &Keyed) -> Option<Used> {
        let known = self.0.get(&keyed.name)?;
        Some(match known.state {
            _ if known.digest != keyed.digest => Used::Differently,
            State::InFlight => Used::InFlight(known.id),
            State::Answered => Used::Answered(known.id),
            State::Lost => Used::Lost(known.id),
        })
    }

    /// The call that was made with a key.
    pub(super) fn call(&self, name: &KeyName) -> Option<CallId> {
        self.0.get(name).map(|known| known.id)
    }

    pub(super) fn begin(&mut self, keyed: &Keyed, id: CallId, at: Timestamp) {
        let known = Known { digest: keyed.digest, id, at, state: State::InFlight };
        self.0.insert(keyed.name.clone(), known);
    }

    /// The keys of the file. One without an answer was in flight when the last run died.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Keys> {
        let mut statement = connection
            .prepare("SELECT account, endpoint, key, digest, id, at, body IS NULL FROM replies")?;
        let mut rows = statement.query([])?;
        let mut keys = HashMap::new();
        while let Some(row) = rows.next()? {
            let account = row.get::<_, String>(0)?.into();
            let endpoint = row.get::<_, String>(1)?.into();
            let key = row.get::<_, String>(2)?.into();
            let lost: bool = row.get(6)?;
            let known = Known {
                digest: row.get(3)?,
                id: CallId(u128::from_be_bytes(row.get(4)?)),
                at: Timestamp::from_micros(row.get(5)?),
                state: if lost { State::Lost } else { State::Answered },
            };
            keys.insert(KeyName { account, endpoint, key }, known);
        }
        Ok(Keys(keys))
    }
}

/// Binds a key to its call, in the transaction of its hold.
pub(super) fn insert(
    connection: &Connection,
    keyed: &Keyed,
    id: CallId,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let Keyed { name: KeyName { account, endpoint, key }, digest } = keyed;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO replies (account, endpoint, key, digest, id, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![account, endpoint, key, digest, id.0.to_be_bytes(), at.micros()])
        .map(drop)
}

/// Frees a key. What the call of a line came to is counted with its batch, while it is known by the key.
pub(super) fn delete(connection: &Connection, name: &KeyName) -> rusqlite::Result<()> {
    if let Some(batch) = name.batch() {
        super::batches::add_usage(connection, batch, name)?;
    }
    let KeyName { account, endpoint, key } = name;
    connection
        .prepare_cached("DELETE FROM replies WHERE account = ?1 AND endpoint = ?2 AND key = ?3")?
        .execute(params![account, endpoint, key])
        .map(drop)
}

impl Ledger {
    /// Whether a call was made with that key, and its batch has not recorded what became of it.
    pub fn knows_key(&self, name: &KeyName) -> bool {
        self.lock().keys.0.contains_key(name)
    }

    /// Frees the key of a line whose call came to nothing and is to be made again.
    pub fn free_key(&self, name: &KeyName) {
        if self.knows_key(name) {
            self.unanswered(name);
        }
    }

    /// Keys that the file has let go.
    pub(super) fn forget_keys(&self, names: &[KeyName]) {
        let mut state = self.lock();
        for name in names {
            state.keys.0.remove(name);
        }
    }

    /// What is known of a key, if it was used before.
    pub fn used(&self, keyed: &Keyed) -> Option<Used> {
        self.lock().keys.used(keyed)
    }

    /// Forgets keys whose answers need not be kept any longer.
    pub fn forget_old_keys(&self) {
        let end = clock::now().micros() - KEPT_MICROS;
        let write = move |transaction: &rusqlite::Transaction<'_>| {
            transaction
                .execute(
                    "DELETE FROM replies
                     WHERE at <= ?1 AND body IS NOT NULL AND instr(key, ' ') = 0",
                    [end],
                )
                .map(drop)
        };
        // A full disk keeps them for longer.
        if self.write_later(Box::new(write)) {
            // A call in flight keeps its key, however long it takes.
            let kept =
                |known: &mut Known| known.at.micros() > end || known.state == State::InFlight;
            self.lock().keys.0.retain(|name, known| kept(known) || name.is_of_line());
        }
    }

    /// A call's answer is kept. Where there is no room for it, it is lost to a repeat, which is told so
    /// and not charged again.
    fn answered(&self, name: &KeyName, content_type: &'static str, body: Bytes) {
        let KeyName { account, endpoint, key } = name.clone();
        let write = move |transaction: &rusqlite::Transaction<'_>| {
            transaction
                .prepare_cached(
                    "UPDATE replies SET content_type = ?4, body = ?5
                     WHERE account = ?1 AND endpoint = ?2 AND key = ?3",
                )?
                .execute(params![account, endpoint, key, content_type, &body[..]])
                .map(drop)
        };
        let kept = self.write_later(Box::new(write));
        if let Some(known) = self.lock().keys.0.get_mut(name) {
            known.state = if kept { State::Answered } else { State::Lost };
        }
    }

    /// A call ended without an answer: its key is free again.
    fn unanswered(&self, name: &KeyName) {
        let freed = name.clone();
        let write = move |transaction: &rusqlite::Transaction<'_>| delete(transaction, &freed);
        let mut state = self.lock();
        state.keys.0.remove(name);
        // One for each call that was admitted with a key, so that they are bounded as calls are.
        state.queue.push(Event::Job(Job { entry: None, write: Box::new(write), done: None }));
        self.wake_writer(state);
    }
}

/// A key in use by a call in flight. Dropped without an answer, it is free again: a call that failed,
/// or whose client left, may be repeated. That of a batch's line stays, until the batch has recorded
/// what became of it.
pub struct KeyInUse {
    ledger: Ledger,
    name: KeyName,
    ended: bool,
}

impl KeyInUse {
    /// Takes charge of the key of an admitted call.
    pub fn new(ledger: Ledger, name: KeyName) -> KeyInUse {
        KeyInUse { ledger, name, ended: false }
    }

    /// Keeps the answer.
    pub fn answered(mut self, content_type: &'static str, body: Bytes) {
        self.ended = true;
        self.ledger.answered(&self.name, content_type, body);
    }
}

impl Drop for KeyInUse {
    fn drop(&mut self) {
        if !self.ended && !self.name.is_of_line() {
            self.ledger.unanswered(&self.name);
        }
    }
}

impl Reader {
    /// The kept answer of a key.
    pub fn kept_reply(&self, name: &KeyName) -> Result<Option<KeptReply>, StoreError> {
        let KeyName { account, endpoint, key } = name;
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, content_type, body FROM replies
                     WHERE account = ?1 AND endpoint = ?2 AND key = ?3 AND body IS NOT NULL",
                )?
                .query_row(params![account, endpoint, key], |row| {
                    Ok(KeptReply {
                        id: CallId(u128::from_be_bytes(row.get(0)?)),
                        content_type: row.get(1)?,
                        body: Bytes::from(row.get::<_, Vec<u8>>(2)?),
                    })
                })
                .optional()
        })
    }
}
