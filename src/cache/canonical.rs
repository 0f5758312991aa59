//! Digests of values: every one goes in with its kind and length before it, so that no two different
//! values are the same bytes. JSON is digested by its meaning: neither white space nor the order of an
//! object's members counts, and numbers are taken as they are written.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// JSON nested deeper than this is taken as it is written, white space and all.
const DEEPEST: usize = 32;

/// A digest that is being made.
#[derive(Default)]
pub struct Canon(blake3::Hasher);

impl Canon {
    /// Begins one.
    pub fn new() -> Canon {
        Canon::default()
    }

    /// The digest.
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.bytes(b's', text.as_bytes());
    }

    /// A text that may be missing.
    pub fn maybe(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.tag(b'0', 0),
        }
    }

    /// A number.
    pub fn number(&mut self, number: u64) {
        self.tag(b'u', number);
    }

    /// A number that may be missing.
    pub fn maybe_number(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.number(number),
            None => self.tag(b'0', 0),
        }
    }

    /// A yes or no that may be missing.
    pub fn maybe_flag(&mut self, flag: Option<bool>) {
        match flag {
            Some(flag) => self.tag(b'b', u64::from(flag)),
            None => self.tag(b'0', 0),
        }
    }

    /// The head of a list of so many values.
    pub fn list(&mut self, length: usize) {
        self.tag(b'a', length as u64);
    }

    /// A JSON value that may be missing.
    pub fn maybe_json(&mut self, value: Option<&RawValue>) {
        match value {
            Some(value) => self.json(value),
            None => self.tag(b'0', 0),
        }
    }

    /// A JSON value.
    pub fn json(&mut self, value: &RawValue) {
        self.value(value.get(), 0);
    }

    /// A body that should be JSON; one that is not is taken as its bytes.
    pub fn body(&mut self, body: &[u8]) {
        match serde_json::from_slice::<&RawValue>(body) {
            Ok(value) => self.json(value),
            Err(_) => self.bytes(b'x', body),
        }
    }

    /// Of a body that should be an object, the members that are objects or arrays, but for some.
    pub fn containers(&mut self, body: &[u8], but: impl Fn(&str, &RawValue) -> bool) {
        let Some(mut members) = std::str::from_utf8(body).ok().and_then(members) else {
            return self.bytes(b'x', body);
        };
        members.retain(|(name, value)| {
            matches!(value.get().as_bytes().first(), Some(b'{' | b'[')) && !but(name, value)
        });
        self.members(&members, 0);
    }

    fn value(&mut self, json: &str, depth: usize) {
        let json = json.trim_ascii();
        let written = match json.as_bytes().first() {
            _ if depth >= DEEPEST => true,
            Some(b'{') => self.object(json, depth).is_none(),
            Some(b'[') => self.array(json, depth).is_none(),
            Some(b'"') => match serde_json::from_str::<String>(json) {
                Ok(text) => {
                    self.text(&text);
                    false
                }
                Err(_) => true,
            },
            _ => true,
        };
        if written {
            self.bytes(b'j', json.as_bytes());
        }
    }

    fn array(&mut self, json: &str, depth: usize) -> Option<()> {
        let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        self.list(items.len());
        items.iter().for_each(|item| self.value(item.get(), depth + 1));
        Some(())
    }

    fn object(&mut self, json: &str, depth: usize) -> Option<()> {
        self.members(&members(json)?, depth);
        Some(())
    }

    fn members(&mut self, members: &[(String, &RawValue)], depth: usize) {
        self.tag(b'o', members.len() as u64);
        for (name, value) in members {
            self.text(name);
            self.value(value.get(), depth + 1);
        }
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.tag(kind, bytes.len() as u64);
        self.0.update(bytes);
    }

    fn tag(&mut self, kind: u8, number: u64) {
        let mut head = [kind; 9];
        head[1..].copy_from_slice(&number.to_le_bytes());
        self.0.update(&head);
    }
}

/// An object's members in the order of their names.
fn members(json: &str) -> Option<Vec<(String, &RawValue)>> {
    let mut members = serde_json::Deserializer::from_str(json).deserialize_map(Members).ok()?;
    // Stable: of two members of one name, the later one stays the later.
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(members)
}

/// Reads an object's members as they are written.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(body: &str) -> [u8; 32] {
        let mut canon = Canon::new();
        canon.body(body.as_bytes());
        canon.finish()
    }

    #[test]
    fn the_digest_is_of_the_meaning_not_of_the_spelling() {
        let one = digest(r#"{"a":1,"b":[true,"xé"]}"#);
        assert_eq!(one, digest(" { \"b\" : [ true, \"x\\u00e9\" ],\n \"a\" : 1 } "));
        for other in [
            r#"{"a":1,"b":[true,"yé"]}"#,
            r#"{"a":2,"b":[true,"xé"]}"#,
            r#"{"a":1,"b":["xé",true]}"#,
            r#"{"a":"1","b":[true,"xé"]}"#,
            r#"{"a":1,"b":[true,"xé"],"c":null}"#,
            r#"{"a":1,"b":[[true],"xé"]}"#,
        ] {
            assert_ne!(one, digest(other), "{other}");
        }
    }

    #[test]
    fn numbers_that_no_float_tells_apart_are_told_apart() {
        assert_ne!(digest("18446744073709551617"), digest("18446744073709551616"));
        assert_ne!(digest("0.1"), digest("0.10000000000000000001"));
    }

    #[test]
    fn deep_nesting_is_bounded() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_ne!(digest(&deep), digest("[]"));
    }
}
