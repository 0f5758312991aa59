//! An entry: one immutable row of the ledger, and the bytes its place in the chain is computed over.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use rusqlite::{Row, Statement};
use tollgate_accounting::{Class, Markup, Money, Provenance, Timestamp, Usage};

use super::cursor::Cursor;

/// The identity of one call: a UUIDv7 (RFC 9562), so ids are in the order of their time. It names the
/// hold, every entry of the call, and, as `req_<32 hex digits>`, the request towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u128);

impl CallId {
    /// A fresh id for a call that arrives now.
    pub fn new() -> CallId {
        CallId(uuid::Uuid::now_v7().as_u128())
    }

    /// Reads `req_<32 hex digits>`, with or without the prefix.
    pub fn parse(text: &str) -> Option<CallId> {
        let digits = text.strip_prefix("req_").unwrap_or(text);
        let shape = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        shape.then(|| u128::from_str_radix(digits, 16).ok().map(CallId)).flatten()
    }
}

impl Default for CallId {
    fn default() -> CallId {
        CallId::new()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{:032x}", self.0)
    }
}

/// A number of tokens and how it came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Tokens.
    pub tokens: u64,
    /// How they were learned.
    pub provenance: Provenance,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The attempt that decided the call; it carries the tenant's charge and counts one request.
    Call,
    /// An earlier attempt of the same call that was given up.
    Attempt,
    /// A call found open at start and settled from its journal.
    Recovery,
    /// A correction of what earlier rows say.
    Adjustment,
    /// No call: something about an account was decided, see [`Change`](super::Change).
    Change,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The whole reply was received.
    Completed,
    /// The stream was cut because nothing was left to hold.
    Cut,
    /// The client left before the reply was whole.
    ClientGone,
    /// The provider answered with an error.
    Failed,
    /// The reply broke off, or ended without its end.
    Truncated,
    /// The provider did not answer: no connection, or no first byte in time.
    Unreachable,
    /// Another attempt of the same call answered first.
    Outrun,
    /// Its deadline passed, or it was stopped, while nobody was reading it.
    Expired,
    /// The answer was given before, and kept.
    Cached,
    /// The answer was made for an identical call in flight.
    Joined,
    /// The process died while the call was in flight.
    Recovered,
}

/// How a call that the gateway's own cache may answer stood to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Its answer was kept.
    Hit,
    /// Its answer was being made for an identical call.
    Joined,
    /// It had to be made.
    Miss,
}

macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name in the ledger and in reports.
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }
            /// The variant of that name.
            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($name => Some($type::$variant),)+ _ => None }
            }
        }
    };
}
pub(super) use named;

named!(Kind { Call = "call", Attempt = "attempt", Recovery = "recovery", Adjustment = "adjustment", Change = "change" });
named!(Outcome {
    Completed = "completed",
    Cut = "cut",
    ClientGone = "client_gone",
    Failed = "failed",
    Truncated = "truncated",
    Unreachable = "unreachable",
    Outrun = "outrun",
    Expired = "expired",
    Cached = "cached",
    Joined = "joined",
    Recovered = "recovered",
});

named!(Lookup { Hit = "hit", Joined = "joined", Miss = "miss" });

/// One row. Column names of `schema/` are these field names; money in nano-dollars.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The call.
    pub id: CallId,
    /// Place of the attempt within the call, from 1.
    pub attempt: u32,
    /// What the row is about.
    pub kind: Kind,
    /// When it was settled.
    pub at: Timestamp,
    /// When the call came in.
    pub received_at: Timestamp,
    /// The tenant's path.
    pub account: Arc<str>,
    /// The credential's id.
    pub key: Arc<str>,
    /// The operation, e.g. `chat.completions`.
    pub endpoint: Cow<'static, str>,
    /// The model as the client asked for it.
    pub asked_model: Arc<str>,
    /// The provider asked.
    pub provider: Arc<str>,
    /// The provider's model.
    pub model: Arc<str>,
    /// The prompt template, with its version.
    pub prompt: Option<Arc<str>>,
    /// The caller's tags, as canonical `a=1,b=2`.
    pub tags: Option<Arc<str>>,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// The provider's status code, where it answered.
    pub status: Option<u16>,
    /// Why, in words for people; never a body or a key.
    pub error: Option<Arc<str>>,
    /// Requests that count against limits: 1 on the deciding row, else 0.
    pub requests: u64,
    /// What was generated, by class.
    pub usage: Usage,
    /// How the input classes are known.
    pub input_provenance: Option<Provenance>,
    /// How the output classes are known.
    pub output_provenance: Option<Provenance>,
    /// Our own count of the input, made before the call.
    pub counted_input: u64,
    /// Output tokens that reached the client, by our count.
    pub delivered_output: u64,
    /// Input tokens posted against the tenant's limits.
    pub posted_input: u64,
    /// Output tokens posted against the tenant's limits.
    pub posted_output: u64,
    /// The service tier the provider says it was processed in.
    pub tier: Option<Arc<str>>,
    /// Why this target had the attempt, where there was a choice; in words for people.
    pub why: Option<Arc<str>>,
    /// What the provider says it charges, where it says so: beside `owed`, never in place of it.
    pub reported_cost: Option<Money>,
    /// The markup it was charged with, where there was any.
    pub terms: Option<Markup>,
    /// Version of the price card.
    pub card: Arc<str>,
    /// What the tenant pays.
    pub charged: Money,
    /// What we believe we owe the provider: the card's cost of `usage`.
    pub owed: Money,
    /// Part of the charge that is the operator's.
    pub markup: Money,
    /// Part of what is owed that no tenant pays.
    pub absorbed: Money,
    /// What the call would have cost had a cache not answered (memo).
    pub saved: Money,
    /// What was held when it was settled.
    pub held: Money,
    /// How the call stood to the cache; none where that could not answer it, and where nobody knows.
    pub cache: Option<Lookup>,
    /// From receipt to the provider's first byte.
    pub first_byte_us: Option<i64>,
    /// From receipt to settlement.
    pub total_us: i64,
}

/// The columns of `entries` between `seq` and `hash`, in the order of `bind` and `read`.
pub(super) const COLUMNS: &str = "id, attempt, kind, at, received_at, account, key, endpoint, \
    asked_model, provider, model, prompt, tags, stream, outcome, status, error, requests, \
    input, cache_read, cache_write, cache_write_long, audio_input, image_input, output, reasoning, \
    audio_output, image_output, web_search, input_provenance, output_provenance, counted_input, \
    delivered_output, posted_input, posted_output, card, charged, owed, markup, absorbed, saved, \
    held, first_byte_us, total_us, tier, terms, why, reported_cost, cache";

/// The chain's start: the hash before the first row.
pub(super) const GENESIS: [u8; 32] = [0; 32];

/// Where the values of a row go, one after the other: into a statement, or into the chain.
trait Sink {
    type Error;
    fn integer(&mut self, value: Option<i64>) -> Result<(), Self::Error>;
    fn text(&mut self, value: Option<&str>) -> Result<(), Self::Error>;
    fn blob(&mut self, value: &[u8]) -> Result<(), Self::Error>;
    /// A value of a column that older rows did not have.
    fn later(&mut self, name: &'static str, value: Option<&str>) -> Result<(), Self::Error>;
    /// The same of a column of numbers.
    fn later_integer(&mut self, name: &'static str, value: Option<i64>) -> Result<(), Self::Error>;
}

impl Entry {
    /// Binds the row to an insert whose parameters are `COLUMNS`, then the hash.
    pub(super) fn bind(
        &self,
        statement: &mut Statement<'_>,
        hash: &[u8; 32],
    ) -> rusqlite::Result<()> {
        let mut sink = Binder { statement, next: 1 };
        self.pour(&mut sink)?;
        sink.blob(hash)
    }

    /// The hash that chains this row to the one before it.
    ///
    /// Every value is written with its kind and length, so no two different rows give the same bytes.
    pub(super) fn chain(&self, previous: &[u8; 32], scratch: &mut Vec<u8>) -> [u8; 32] {
        scratch.clear();
        scratch.extend_from_slice(previous);
        match self.pour(&mut Chain(scratch)) {
            Ok(()) => {}
            Err(never) => match never {},
        }
        *blake3::hash(scratch).as_bytes()
    }

    fn pour<S: Sink>(&self, to: &mut S) -> Result<(), S::Error> {
        // Exhaustive on purpose: a new field must be given its column and its place in the chain.
        let Entry {
            id,
            attempt,
            kind,
            at,
            received_at,
            account,
            key,
            endpoint,
            asked_model,
            provider,
            model,
            prompt,
            tags,
            stream,
            outcome,
            status,
            error,
            requests,
            usage,
            input_provenance,
            output_provenance,
            counted_input,
            delivered_output,
            posted_input,
            posted_output,
            tier,
            why,
            reported_cost,
            terms,
            card,
            charged,
            owed,
            markup,
            absorbed,
            saved,
            held,
            cache,
            first_byte_us,
            total_us,
        } = self;
        to.blob(&id.0.to_be_bytes())?;
        to.integer(Some(i64::from(*attempt)))?;
        to.text(Some(kind.name()))?;
        to.integer(Some(at.micros()))?;
        to.integer(Some(received_at.micros()))?;
        to.text(Some(account))?;
        to.text(Some(key))?;
        to.text(Some(endpoint))?;
        to.text(Some(asked_model))?;
        to.text(Some(provider))?;
        to.text(Some(model))?;
        to.text(prompt.as_deref())?;
        to.text(tags.as_deref())?;
        to.integer(Some(i64::from(*stream)))?;
        to.text(Some(outcome.name()))?;
        to.integer(status.map(i64::from))?;
        to.text(error.as_deref())?;
        to.integer(Some(column(*requests)))?;
        for class in Class::ALL {
            to.integer(usage.get(class).map(column))?;
        }
        to.text(input_provenance.map(Provenance::name))?;
        to.text(output_provenance.map(Provenance::name))?;
        to.integer(Some(column(*counted_input)))?;
        to.integer(Some(column(*delivered_output)))?;
        to.integer(Some(column(*posted_input)))?;
        to.integer(Some(column(*posted_output)))?;
        to.text(Some(card))?;
        for money in [charged, owed, markup, absorbed, saved, held] {
            to.integer(Some(money.nanos()))?;
        }
        to.integer(*first_byte_us)?;
        to.integer(Some(*total_us))?;
        to.later("tier", tier.as_deref())?;
        let terms = terms.map(|m| format!("{}/{}", m.share(), m.fee().nanos()));
        to.later("terms", terms.as_deref())?;
        to.later("why", why.as_deref())?;
        to.later_integer("reported_cost", reported_cost.map(Money::nanos))?;
        to.later("cache", cache.map(Lookup::name))
    }

    /// Reads a row selected as `COLUMNS`, starting at column `from`.
    pub(super) fn read(row: &Row<'_>, from: usize) -> rusqlite::Result<Entry> {
        let mut c = Cursor::at(row, from);
        let entry = Entry {
            id: CallId(u128::from_be_bytes(c.value()?)),
            attempt: c.value()?,
            kind: c.named(Kind::from_name)?,
            at: Timestamp::from_micros(c.value()?),
            received_at: Timestamp::from_micros(c.value()?),
            account: c.text()?,
            key: c.text()?,
            endpoint: Cow::Owned(c.value()?),
            asked_model: c.text()?,
            provider: c.text()?,
            model: c.text()?,
            prompt: c.optional()?,
            tags: c.optional()?,
            stream: c.value()?,
            outcome: c.named(Outcome::from_name)?,
            status: c.value()?,
            error: c.optional()?,
            requests: c.tokens()?,
            usage: c.usage()?,
            input_provenance: c.provenance()?,
            output_provenance: c.provenance()?,
            counted_input: c.tokens()?,
            delivered_output: c.tokens()?,
            posted_input: c.tokens()?,
            posted_output: c.tokens()?,
            tier: None,
            why: None,
            reported_cost: None,
            terms: None,
            card: c.text()?,
            charged: c.money()?,
            owed: c.money()?,
            markup: c.money()?,
            absorbed: c.money()?,
            saved: c.money()?,
            held: c.money()?,
            cache: None,
            first_byte_us: c.value()?,
            total_us: c.value()?,
        };
        let tier = c.optional()?;
        let terms = c.terms()?;
        let why = c.optional()?;
        let reported_cost = c.value::<Option<i64>>()?.map(Money::from_nanos);
        let cache = c.value::<Option<String>>()?.and_then(|name| Lookup::from_name(&name));
        Ok(Entry { tier, terms, why, reported_cost, cache, ..entry })
    }
}

/// A count as SQLite keeps it. Counts are bounded far below 2^63 where they enter (`settlement`), so
/// the bound here is never met; it keeps the conversion total.
fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

struct Binder<'a, 'c> {
    statement: &'a mut Statement<'c>,
    next: usize,
}

impl Binder<'_, '_> {
    fn put(&mut self, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
        self.statement.raw_bind_parameter(self.next, value)?;
        self.next += 1;
        Ok(())
    }
}

impl Sink for Binder<'_, '_> {
    type Error = rusqlite::Error;
    fn integer(&mut self, value: Option<i64>) -> rusqlite::Result<()> {
        self.put(value)
    }
    fn text(&mut self, value: Option<&str>) -> rusqlite::Result<()> {
        self.put(value)
    }
    fn blob(&mut self, value: &[u8]) -> rusqlite::Result<()> {
        self.put(value)
    }
    fn later(&mut self, _: &'static str, value: Option<&str>) -> rusqlite::Result<()> {
        self.put(value)
    }
    fn later_integer(&mut self, _: &'static str, value: Option<i64>) -> rusqlite::Result<()> {
        self.put(value)
    }
}

struct Chain<'a>(&'a mut Vec<u8>);

impl Chain<'_> {
    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }
}

impl Sink for Chain<'_> {
    type Error = std::convert::Infallible;
    fn integer(&mut self, value: Option<i64>) -> Result<(), Self::Error> {
        match value {
            Some(value) => self.tagged(b'i', &value.to_le_bytes()),
            None => self.tagged(b'n', &[]),
        }
        Ok(())
    }
    fn text(&mut self, value: Option<&str>) -> Result<(), Self::Error> {
        match value {
            Some(value) => self.tagged(b't', value.as_bytes()),
            None => self.tagged(b'n', &[]),
        }
        Ok(())
    }
    fn blob(&mut self, value: &[u8]) -> Result<(), Self::Error> {
        self.tagged(b'b', value);
        Ok(())
    }
    /// With its name, and only where there is a value: rows from before the column keep their hash.
    fn later(&mut self, name: &'static str, value: Option<&str>) -> Result<(), Self::Error> {
        if let Some(value) = value {
            self.tagged(b'c', name.as_bytes());
            self.text(Some(value))?;
        }
        Ok(())
    }
    fn later_integer(&mut self, name: &'static str, value: Option<i64>) -> Result<(), Self::Error> {
        if value.is_some() {
            self.tagged(b'c', name.as_bytes());
            self.integer(value)?;
        }
        Ok(())
    }
}
