//! A call that is sent again with its idempotency key: answered from what was kept, never charged twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::shared::{Boarding, Joined, Lead, Reader, Shared};
use super::{CallError, Inbound, Operation, Origin, Relay, Services};
use crate::clock;
use crate::ledger::{CallId, KeyInUse, KeyName, Keyed, Ledger, Used};
use crate::tenants::Caller;

/// The longest that a repeat waits for the first call's reply to begin.
const LONGEST: Duration = Duration::from_secs(600);

/// The client's key with a digest of what it asks for.
pub(super) fn keyed(
    caller: &Caller,
    inbound: &Inbound,
    operation: &Operation<'_>,
) -> Option<Keyed> {
    let key = inbound.key.clone()?;
    let (account, endpoint) = (caller.account.clone(), operation.endpoint().into());
    let name = KeyName { account, endpoint, key };
    // An answer is one of a dialect: the same body may mean something in two.
    let dialect = inbound.prompt.as_ref().map_or(operation.dialect(), |p| p.dialect);
    Some(Keyed { name, digest: digest(dialect.name(), operation.body()) })
}

/// How a call with a key is answered.
pub(super) enum Turn {
    /// It is made: no such call has an answer or is in flight.
    First(First),
    /// Its answer is kept.
    Answered(KeyName),
    /// It is being answered.
    Joined(Reader),
}

/// The first call with its key, or the first after one that failed. Repeats wait for it.
pub(super) struct First(Lead<Keyed>);

/// Lets a first call pass, and gives a repeat the answer of the first. Where the first has none, the
/// repeat takes its place.
pub(super) async fn turn(
    services: &Services,
    keyed: &Keyed,
    inbound: &Inbound,
) -> Result<Turn, CallError> {
    loop {
        let first = match services.repeats.board(keyed.clone(), inbound.id) {
            Boarding::Lead(lead) => {
                return match services.ledger.used(keyed) {
                    None => Ok(Turn::First(First(lead))),
                    Some(Used::Answered(_)) => Ok(Turn::Answered(keyed.name.clone())),
                    Some(used) => Err(CallError::KeyUsed(used)),
                };
            }
            Boarding::Follow(first) => first,
        };
        let in_flight = CallError::KeyUsed(Used::InFlight(first.id));
        let patience = inbound.deadline.map_or(LONGEST, |at| clock::until(at).min(LONGEST));
        match tokio::time::timeout(patience, first.joined()).await {
            Ok(Joined::Reply(reader)) => return Ok(Turn::Joined(reader)),
            Ok(Joined::Over) => {}
            Ok(Joined::TooLate) | Err(_) => return Err(in_flight),
        }
    }
}

/// A digest of the request that doesn't depend on white space or the order of its members.
fn digest(dialect: &str, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    canonical(&Value::String(dialect.to_owned()), &mut hasher);
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => canonical(&value, &mut hasher),
        // What was decoded is JSON; were it not, the bytes themselves would be told apart.
        Err(_) => drop(hasher.update(body)),
    }
    *hasher.finalize().as_bytes()
}

/// Feeds a value with its kind and length before it, so that no two different values are the same bytes.
fn canonical(value: &Value, to: &mut blake3::Hasher) {
    let mut tagged = |tag: u8, length: usize| {
        to.update(&[tag]);
        to.update(&(length as u64).to_le_bytes());
    };
    match value {
        Value::Null => tagged(b'n', 0),
        Value::Bool(value) => tagged(b'b', usize::from(*value)),
        Value::Number(number) => {
            let text = number.to_string();
            tagged(b'd', text.len());
            to.update(text.as_bytes());
        }
        Value::String(text) => {
            tagged(b's', text.len());
            to.update(text.as_bytes());
        }
        Value::Array(items) => {
            tagged(b'a', items.len());
            items.iter().for_each(|item| canonical(item, to));
        }
        Value::Object(members) => {
            tagged(b'o', members.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                canonical(&Value::String(name.clone()), to);
                canonical(value, to);
            }
        }
    }
}

/// A call's key from its admission on: kept answers and repeats that join go by it.
pub(super) struct Booked {
    // Freed before the next call with the key may lead.
    key: KeyInUse,
    first: First,
}

impl Booked {
    /// Takes charge of the key of an admitted call.
    pub(super) fn new(ledger: &Ledger, keyed: &Keyed, first: First) -> Booked {
        Booked { key: KeyInUse::new(ledger.clone(), keyed.name.clone()), first }
    }

    /// The whole answer.
    pub(super) fn answered(self, body: Bytes) {
        self.key.answered("application/json", body);
    }

    /// An answer that is still to come, for the client and all who join.
    pub(super) fn share(self, id: CallId, from: Origin, relay: Relay) -> Reader {
        let Booked { key, first: First(lead) } = self;
        let keep = move |reply| key.answered("text/event-stream", reply);
        Shared::start((id, from), relay, lead, Box::new(keep))
    }
}

/// The key as the client sent it, if it can be one.
pub fn well_formed_key(text: &str) -> Option<Arc<str>> {
    let fits = !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_the_meaning_not_of_the_spelling() {
        let one = digest("chat", br#"{"a":1,"b":[true,"x"]}"#);
        assert_eq!(one, digest("chat", br#" { "b" : [ true, "x" ], "a" : 1 } "#));
        for other in [
            r#"{"a":1,"b":[true,"y"]}"#,
            r#"{"a":2,"b":[true,"x"]}"#,
            r#"{"a":1,"b":["x",true]}"#,
            r#"{"a":"1","b":[true,"x"]}"#,
            r#"{"a":1,"b":[true,"x"],"c":null}"#,
            r#"{"a":1,"b":[[true],"x"]}"#,
        ] {
            assert_ne!(one, digest("chat", other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_key_is_short_and_visible() {
        assert!(well_formed_key("a-1_Z").is_some());
        for bad in ["", "a b", "é", "a\u{7f}", &"k".repeat(256)] {
            assert!(well_formed_key(bad).is_none(), "{bad:?}");
        }
    }
}
