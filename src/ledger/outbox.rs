//! The outbox: what is to be told to the outside, written in the transaction of what it tells of, and
//! taken out once it arrived. A message keeps its id and its bytes for ever.

use rusqlite::{Connection, Row, params};
use serde_json::{Value, json};
use tollgate_accounting::{Metric, Money, Reached, Timestamp};

use super::entry::CallId;
use super::report::Reader;
use super::{Ledger, Refused, StoreError};

/// Something to be told.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What kind of thing: `budget.threshold`.
    pub kind: &'static str,
    /// What exactly; a second one about the same is not kept.
    pub about: String,
    /// When it came to be.
    pub at: Timestamp,
    /// What there is to tell.
    pub data: Value,
}

/// A message of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id, the same at every attempt: by it a receiver knows what it has already.
    pub id: String,
    /// What it is about.
    pub about: String,
    /// What kind of thing.
    pub kind: String,
    /// When it came to be.
    pub at: Timestamp,
    /// What is sent.
    pub body: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; none once it is delivered, or given up.
    pub next_at: Option<Timestamp>,
    /// When it arrived.
    pub delivered_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// What became of an attempt to deliver a message.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// It arrived.
    Done,
    /// It did not, and is tried again at an instant, or not at all.
    Failed(String, Option<Timestamp>),
}

impl Alert {
    /// What is sent: kind and time, and what there is to tell.
    pub fn body(&self) -> String {
        let Alert { kind, about: _, at, data } = self;
        json!({ "type": kind, "timestamp": at.to_string(), "data": data }).to_string()
    }

    fn of(reached: &Reached, at: Timestamp) -> Alert {
        let Reached { account, limit, limit_key, metric, capacity, posted, percent, period } =
            reached;
        let start = period.start.micros();
        let kind = "budget.threshold";
        Alert {
            kind,
            about: format!("{kind} {percent} {start} {account} {limit_key}"),
            at,
            data: json!({
                "account": &**account,
                "limit": &**limit,
                "metric": metric.name(),
                "capacity": amount(*metric, *capacity),
                "posted": amount(*metric, *posted),
                "percent": percent,
                "period_starts_at": period.start.to_string(),
            }),
        }
    }
}

/// An amount as it is told: money is a decimal string of dollars.
fn amount(metric: Metric, value: i64) -> Value {
    match metric {
        Metric::Cost => Money::from_nanos(value).to_string().into(),
        _ => value.into(),
    }
}

impl Ledger {
    /// Tells of budgets that reach these parts of their amount, in hundredths, from now on.
    pub fn watch(&self, percents: &[u32]) {
        self.lock().book.watch(percents);
    }

    /// Keeps what is to be told, once each.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn tell(&self, alerts: Vec<Alert>) -> Result<(), Refused> {
        if alerts.is_empty() {
            return Ok(());
        }
        self.write(None, move |transaction| alerts.iter().try_for_each(|one| put(transaction, one)))
    }

    /// Writes down what became of an attempt.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub fn told(&self, id: &str, at: Timestamp, delivery: Delivery) -> Result<(), Refused> {
        let id = id.to_owned();
        self.write(None, move |transaction| {
            let (delivered, next, error) = match &delivery {
                Delivery::Done => (Some(at.micros()), None, None),
                Delivery::Failed(why, next) => (None, next.map(Timestamp::micros), Some(why)),
            };
            let sql = "UPDATE outbox SET attempts = attempts + 1, delivered_at = ?2, next_at = ?3,
                           error = ?4 WHERE id = ?1";
            transaction.prepare_cached(sql)?.execute(params![id, delivered, next, error]).map(drop)
        })
    }
}

/// Keeps budgets that reached a part of their amount, within the transaction of the rows that did it.
pub(super) fn put_reached(
    transaction: &Connection,
    reached: &[Reached],
    at: Timestamp,
) -> rusqlite::Result<()> {
    reached.iter().try_for_each(|one| put(transaction, &Alert::of(one, at)))
}

fn put(transaction: &Connection, alert: &Alert) -> rusqlite::Result<()> {
    let id = format!("msg_{:032x}", CallId::new().0);
    let at = alert.at.micros();
    let sql = "INSERT OR IGNORE INTO outbox (id, about, kind, at, body, next_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?4)";
    let mut statement = transaction.prepare_cached(sql)?;
    statement.execute(params![id, alert.about, alert.kind, at, alert.body()]).map(drop)
}

const COLUMNS: &str = "id, about, kind, at, body, attempts, next_at, delivered_at, error";

impl Reader {
    /// Messages that are to be sent by now, the longest waiting first.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn due(&self, now: Timestamp, most: u32) -> Result<Vec<Message>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM outbox WHERE next_at <= ?1 ORDER BY next_at LIMIT ?2");
        self.messages(&sql, now.micros(), most)
    }

    /// The newest messages that came to be before an instant, newest first.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn told(&self, before: Timestamp, most: u32) -> Result<Vec<Message>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outbox WHERE at < ?1 ORDER BY at DESC, id DESC LIMIT ?2"
        );
        self.messages(&sql, before.micros(), most)
    }

    fn messages(&self, sql: &str, at: i64, most: u32) -> Result<Vec<Message>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![at, most], message)?;
            rows.collect()
        })
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let instant = |at: usize| {
        Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_micros))
    };
    Ok(Message {
        id: row.get(0)?,
        about: row.get(1)?,
        kind: row.get(2)?,
        at: Timestamp::from_micros(row.get(3)?),
        body: row.get(4)?,
        attempts: row.get(5)?,
        next_at: instant(6)?,
        delivered_at: instant(7)?,
        error: row.get(8)?,
    })
}
