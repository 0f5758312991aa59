//! A call that is sent again with its idempotency key: answered from what was kept, never charged twice.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::{CallError, Inbound, Operation};
use crate::ledger::{KeyInUse, KeyName, Keyed, Ledger, Used};
use crate::tenants::Caller;

/// The largest stream that is kept for a repeat. A larger one frees its key when it ends.
const LARGEST: usize = 4 * 1024 * 1024;

/// The client's key with a digest of what it asks for.
pub(super) fn keyed(
    caller: &Caller,
    inbound: &Inbound,
    operation: &Operation<'_>,
) -> Option<Keyed> {
    let key = inbound.key.clone()?;
    let (account, endpoint) = (caller.account.clone(), operation.endpoint());
    let name = KeyName { account, endpoint, key };
    Some(Keyed { name, digest: digest(operation.body()) })
}

/// Lets a first call pass; says which kept answer a repeat gets.
pub(super) fn check(ledger: &Ledger, keyed: Option<&Keyed>) -> Result<Option<KeyName>, CallError> {
    let Some(keyed) = keyed else { return Ok(None) };
    match ledger.used(keyed) {
        None => Ok(None),
        Some(Used::Answered(_)) => Ok(Some(keyed.name.clone())),
        Some(used) => Err(CallError::KeyUsed(used)),
    }
}

/// A digest of the request that doesn't depend on white space or the order of its members.
fn digest(body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
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

/// A streamed answer as it is kept on its way to the client.
pub(super) struct Keeping {
    key: KeyInUse,
    frames: Vec<u8>,
    whole: bool,
}

impl Keeping {
    pub(super) fn new(key: KeyInUse) -> Keeping {
        Keeping { key, frames: Vec::new(), whole: false }
    }

    /// Keeps what leaves.
    pub(super) fn frame(&mut self, bytes: &[u8]) {
        if self.frames.len() <= LARGEST {
            self.frames.extend_from_slice(bytes);
        }
    }

    /// The reply came to its end.
    pub(super) fn completed(&mut self) {
        self.whole = true;
    }

    /// The last frame has left: the answer is kept, if it is one that can be given again.
    pub(super) fn end(self) {
        if self.whole && self.frames.len() <= LARGEST {
            self.key.answered("text/event-stream", Bytes::from(self.frames));
        }
    }
}

/// Takes charge of the key of an admitted call.
pub(super) fn in_use(ledger: &Ledger, keyed: Option<&Keyed>) -> Option<KeyInUse> {
    keyed.map(|keyed| KeyInUse::new(ledger.clone(), keyed.name.clone()))
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
        let one = digest(br#"{"a":1,"b":[true,"x"]}"#);
        assert_eq!(one, digest(br#" { "b" : [ true, "x" ], "a" : 1 } "#));
        for other in [
            r#"{"a":1,"b":[true,"y"]}"#,
            r#"{"a":2,"b":[true,"x"]}"#,
            r#"{"a":1,"b":["x",true]}"#,
            r#"{"a":"1","b":[true,"x"]}"#,
            r#"{"a":1,"b":[true,"x"],"c":null}"#,
            r#"{"a":1,"b":[[true],"x"]}"#,
        ] {
            assert_ne!(one, digest(other.as_bytes()), "{other}");
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
