//! What an administrator decided while the gateway ran, as rows: plans, raises, requests for more,
//! and the runs that accounts minted. What they mean is decided by `control`; here they are kept, each
//! change with the entry that tells of it, in one transaction.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tollgate_accounting::Timestamp;

use super::report::{Filter, GroupBy, Question, ReportRow};
use super::rollup::QUARTER;
use super::sharing::{self, PromptOwnerRow, SubscriptionRow};
use super::{Change, KeyRow, Ledger, Reader, Refused, StoreError, directory};

/// The most rows of a list that is shown.
const SHOWN: u32 = 1000;

/// Everything the file adds to the configuration's accounts.
#[derive(Clone, Debug, Default)]
pub struct Administered {
    /// All credentials, revoked ones too.
    pub keys: Vec<KeyRow>,
    /// Limits added while running, as (account, text).
    pub limits: Vec<(String, String)>,
    /// Accounts on another plan than the configuration says, as (account, plan).
    pub plans: Vec<(String, String)>,
    /// Raises that have not ended.
    pub raises: Vec<RaiseRow>,
    /// Runs that were not stopped and whose end lies ahead.
    pub runs: Vec<RunRow>,
    /// Prompts that belong to an account.
    pub owners: Vec<PromptOwnerRow>,
    /// Subscriptions to them that wait for an answer or hold.
    pub subscriptions: Vec<SubscriptionRow>,
}

/// A limit that is higher for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaiseRow {
    /// Its name, `raise_...`.
    pub id: String,
    /// The account.
    pub account: String,
    /// The limit as it is while the raise holds.
    pub text: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when; for ever, if never.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub ended_at: Option<Timestamp>,
}

/// An account's request for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Its name, `breq_...`.
    pub id: String,
    /// The account.
    pub account: String,
    /// The credential it was filed with.
    pub key: String,
    /// The limit as it is wished.
    pub text: String,
    /// Why.
    pub reason: String,
    /// Until when it is wished.
    pub wanted_to: Option<Timestamp>,
    /// When it was filed.
    pub filed_at: Timestamp,
    /// What became of it.
    pub state: RequestState,
    /// When that was decided.
    pub decided_at: Option<Timestamp>,
    /// The administrator's words.
    pub note: Option<String>,
    /// The raise it became.
    pub raise: Option<String>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// Nothing yet.
    Open,
    /// A raise.
    Accepted,
    /// Nothing.
    Refused,
}

impl RequestState {
    /// The name in the file and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            RequestState::Open => "open",
            RequestState::Accepted => "accepted",
            RequestState::Refused => "refused",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<RequestState> {
        [RequestState::Open, RequestState::Accepted, RequestState::Refused]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A child of an account, with a budget and an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its name, `run_...`; the last segment of its path.
    pub id: String,
    /// Keyed blake3 of its key.
    pub digest: [u8; 32],
    /// The key's last characters.
    pub hint: String,
    /// The tenant that minted it.
    pub account: String,
    /// The path it was minted under: the account's, or that of a credential with limits of its own.
    pub parent: String,
    /// The credential it was minted with.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// Its limits, one a line.
    pub limits: String,
    /// When it was minted.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was stopped.
    pub stopped_at: Option<Timestamp>,
}

impl RunRow {
    /// Its place in the account tree.
    pub fn path(&self) -> String {
        format!("{}/{}", self.parent, self.id)
    }
}

impl Administered {
    pub(super) fn load(connection: &Connection, now: Timestamp) -> rusqlite::Result<Administered> {
        let mut plans = connection.prepare("SELECT account, plan FROM account_plans ORDER BY 1")?;
        let plans = plans.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut raises = connection.prepare(&format!(
            "SELECT {RAISE} FROM raises WHERE ended_at IS NULL AND coalesce(expires_at > ?1, 1)
             ORDER BY created_at, id"
        ))?;
        let mut runs = connection.prepare(&format!(
            "SELECT {RUN} FROM runs WHERE expires_at > ?1 AND stopped_at IS NULL ORDER BY id"
        ))?;
        Ok(Administered {
            keys: directory::keys(connection)?,
            limits: directory::extra_limits(connection)?,
            plans: plans.collect::<Result<_, _>>()?,
            raises: raises.query_map([now.micros()], raise)?.collect::<Result<_, _>>()?,
            runs: runs.query_map([now.micros()], run)?.collect::<Result<_, _>>()?,
            owners: sharing::owners(connection)?,
            subscriptions: sharing::live(connection)?,
        })
    }
}

const RAISE: &str = "id, account, text, created_at, expires_at, ended_at";
const REQUEST: &str = "id, account, key, text, reason, wanted_to, filed_at, state, decided_at, \
    note, became";
const RUN: &str = "id, digest, hint, account, parent, key, name, limits, created_at, expires_at, \
    stopped_at";

impl Reader {
    /// Everything the file adds to the configuration's accounts, as of `now`.
    pub fn administered(&self, now: Timestamp) -> Result<Administered, StoreError> {
        self.read(|connection| Administered::load(connection, now))
    }

    /// Raises whose time is over, and that were not ended yet.
    pub fn raises_over(&self, now: Timestamp) -> Result<Vec<RaiseRow>, StoreError> {
        self.read(|connection| {
            let sql =
                format!("SELECT {RAISE} FROM raises WHERE ended_at IS NULL AND expires_at <= ?1");
            connection.prepare_cached(&sql)?.query_map([now.micros()], raise)?.collect()
        })
    }

    /// The latest raises, ended ones too.
    pub fn raises(&self) -> Result<Vec<RaiseRow>, StoreError> {
        self.rows(
            &format!("SELECT {RAISE} FROM raises ORDER BY created_at DESC LIMIT {SHOWN}"),
            raise,
        )
    }

    /// The latest requests for more.
    pub fn budget_requests(&self) -> Result<Vec<RequestRow>, StoreError> {
        let newest = format!("ORDER BY filed_at DESC LIMIT {SHOWN}");
        self.rows(&format!("SELECT {REQUEST} FROM budget_requests {newest}"), request)
    }

    /// A run, over or not.
    pub fn run(&self, id: &str) -> Result<Option<RunRow>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {RUN} FROM runs WHERE id = ?1");
            connection.prepare_cached(&sql)?.query_row([id], run).optional()
        })
    }

    /// The latest runs of an account and of those below it.
    pub fn runs(&self, account: &str) -> Result<Vec<RunRow>, StoreError> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {RUN} FROM runs
                 WHERE account = ?1 OR (account >= ?1 || '/' AND account < ?1 || '0')
                 ORDER BY created_at DESC LIMIT {SHOWN}"
            );
            connection.prepare_cached(&sql)?.query_map([account], run)?.collect()
        })
    }

    /// What a run came to so far, from the roll-ups.
    pub fn run_spent(&self, of: &RunRow) -> Result<ReportRow, StoreError> {
        // Its key is its own, so that nothing of the quarter in which it began is another's.
        let began = of.created_at.micros().div_euclid(QUARTER).saturating_mul(QUARTER);
        let filter = Filter {
            account: Some(of.parent.clone()),
            from: Some(Timestamp::from_micros(began)),
            only: vec![(GroupBy::Key, vec![of.id.clone()])],
            ..Filter::default()
        };
        let rows = self.report(&Question::new(filter, Vec::new()).untimed())?;
        Ok(rows.into_iter().next().unwrap_or_else(ReportRow::empty))
    }

    fn rows<T>(
        &self,
        sql: &str,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(|connection| connection.prepare_cached(sql)?.query_map([], read)?.collect())
    }
}

impl Ledger {
    /// Puts an account on a plan, or back on the configuration's.
    pub fn put_plan(&self, change: Change, plan: Option<String>) -> Result<(), Refused> {
        let (account, at) = (change.account.clone(), change.at.micros());
        self.write(Some(change), move |transaction| {
            let sql = "INSERT INTO account_plans (account, plan, since) VALUES (?1, ?2, ?3)
                 ON CONFLICT (account) DO UPDATE SET plan = excluded.plan, since = excluded.since";
            match &plan {
                Some(plan) => transaction.execute(sql, params![account, plan, at]).map(drop),
                None => transaction
                    .execute("DELETE FROM account_plans WHERE account = ?1", [&account])
                    .map(drop),
            }
        })
    }

    /// Writes a raise, or its end.
    pub fn put_raise(&self, change: Change, row: RaiseRow) -> Result<(), Refused> {
        self.write(Some(change), move |transaction| insert_raise(transaction, &row))
    }

    /// Writes a request, or what became of it, with the raise it became.
    pub fn put_budget_request(
        &self,
        change: Change,
        row: RequestRow,
        raise: Option<RaiseRow>,
    ) -> Result<(), Refused> {
        self.write(Some(change), move |transaction| {
            raise.iter().try_for_each(|raise| insert_raise(transaction, raise))?;
            insert_request(transaction, &row)
        })
    }

    /// Writes a run, or that it was stopped.
    pub fn put_run(&self, change: Change, row: RunRow) -> Result<(), Refused> {
        self.write(Some(change), move |transaction| insert_run(transaction, &row))
    }
}

fn insert_raise(transaction: &Transaction<'_>, row: &RaiseRow) -> rusqlite::Result<()> {
    let RaiseRow { id, account, text, created_at, expires_at, ended_at } = row;
    transaction
        .execute(
            &format!(
                "INSERT INTO raises ({RAISE}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at"
            ),
            params![
                id,
                account,
                text,
                created_at.micros(),
                expires_at.map(Timestamp::micros),
                ended_at.map(Timestamp::micros),
            ],
        )
        .map(drop)
}

fn insert_request(transaction: &Transaction<'_>, row: &RequestRow) -> rusqlite::Result<()> {
    let RequestRow { id, account, key, text, reason, wanted_to, filed_at, state, .. } = row;
    let RequestRow { decided_at, note, raise, .. } = row;
    transaction
        .execute(
            &format!(
                "INSERT INTO budget_requests ({REQUEST})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (id) DO UPDATE SET state = excluded.state, note = excluded.note,
                     decided_at = excluded.decided_at, became = excluded.became"
            ),
            params![
                id,
                account,
                key,
                text,
                reason,
                wanted_to.map(Timestamp::micros),
                filed_at.micros(),
                state.name(),
                decided_at.map(Timestamp::micros),
                note,
                raise,
            ],
        )
        .map(drop)
}

fn insert_run(transaction: &Transaction<'_>, row: &RunRow) -> rusqlite::Result<()> {
    let RunRow { id, digest, hint, account, parent, key, name, limits, .. } = row;
    transaction
        .execute(
            &format!(
                "INSERT INTO runs ({RUN}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (id) DO UPDATE SET stopped_at = excluded.stopped_at"
            ),
            params![
                id,
                digest,
                hint,
                account,
                parent,
                key,
                name,
                limits,
                row.created_at.micros(),
                row.expires_at.micros(),
                row.stopped_at.map(Timestamp::micros),
            ],
        )
        .map(drop)
}

fn instant(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(Timestamp::from_micros)
}

fn raise(row: &Row<'_>) -> rusqlite::Result<RaiseRow> {
    Ok(RaiseRow {
        id: row.get(0)?,
        account: row.get(1)?,
        text: row.get(2)?,
        created_at: Timestamp::from_micros(row.get(3)?),
        expires_at: instant(row.get(4)?),
        ended_at: instant(row.get(5)?),
    })
}

fn request(row: &Row<'_>) -> rusqlite::Result<RequestRow> {
    let state: String = row.get(7)?;
    Ok(RequestRow {
        id: row.get(0)?,
        account: row.get(1)?,
        key: row.get(2)?,
        text: row.get(3)?,
        reason: row.get(4)?,
        wanted_to: instant(row.get(5)?),
        filed_at: Timestamp::from_micros(row.get(6)?),
        state: RequestState::from_name(&state).ok_or(rusqlite::Error::InvalidQuery)?,
        decided_at: instant(row.get(8)?),
        note: row.get(9)?,
        raise: row.get(10)?,
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: row.get(0)?,
        digest: row.get(1)?,
        hint: row.get(2)?,
        account: row.get(3)?,
        parent: row.get(4)?,
        key: row.get(5)?,
        name: row.get(6)?,
        limits: row.get(7)?,
        created_at: Timestamp::from_micros(row.get(8)?),
        expires_at: Timestamp::from_micros(row.get(9)?),
        stopped_at: instant(row.get(10)?),
    })
}
