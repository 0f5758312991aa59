//! A call that is sent again with its idempotency key: answered from what was kept, never charged twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use tollgate_accounting::PriceCard;

use super::shared::{Boarding, Joined, Lead, Reader, Shared};
use super::{CallError, Inbound, Operation, Origin, Relay, Services};
use crate::cache::Canon;
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
            // The rest are of calls without keys.
            Ok(Joined::Over | Joined::Answer(_) | Joined::Failed(_)) => {}
            Ok(Joined::TooLate) | Err(_) => return Err(in_flight),
        }
    }
}

/// A digest of the request that doesn't depend on white space or the order of its members.
fn digest(dialect: &str, body: &[u8]) -> [u8; 32] {
    let mut canon = Canon::new();
    canon.text(dialect);
    canon.body(body);
    canon.finish()
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
    pub(super) fn answered(self, kind: &'static str, body: Bytes) {
        self.key.answered(kind, body);
    }

    /// An answer that is still to come, for the client and all who join.
    pub(super) fn share(self, of: (CallId, Origin, Arc<PriceCard>), relay: Relay) -> Reader {
        let Booked { key, first: First(lead) } = self;
        let keep = move |reply| key.answered("text/event-stream", reply);
        Shared::start(of, relay, lead, Box::new(keep))
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
    fn the_digest_has_the_dialect_and_not_the_spelling() {
        let one = digest("chat", br#"{"a":1,"b":[true,"x"]}"#);
        assert_eq!(one, digest("chat", br#" { "b" : [ true, "x" ], "a" : 1 } "#));
        assert_ne!(one, digest("messages", br#"{"a":1,"b":[true,"x"]}"#));
        assert_ne!(one, digest("chat", br#"{"a":1,"b":[true,"y"]}"#));
    }

    #[test]
    fn a_key_is_short_and_visible() {
        assert!(well_formed_key("a-1_Z").is_some());
        for bad in ["", "a b", "é", "a\u{7f}", &"k".repeat(256)] {
            assert!(well_formed_key(bad).is_none(), "{bad:?}");
        }
    }
}
