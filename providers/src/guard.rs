//! What is refused before anything is parsed: bytes that are no UTF-8, nesting without bound, and
//! objects whose outline is not JSON. One pass, which also finds where each top-level value lies.

use memchr::memchr2;
use smallvec::SmallVec;

use crate::unified::{BadRequest, Span};

/// The bounds a request must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How deep arrays and objects may nest.
    pub max_depth: usize,
    /// The largest cap on output tokens that may be asked for.
    pub max_output_tokens: u64,
    /// The most choices that may be asked for.
    pub max_choices: u32,
    /// The most inputs that may be embedded at once.
    pub max_inputs: usize,
    /// The most fields an object may have at the top level.
    pub max_fields: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            max_depth: 64,
            max_output_tokens: 16_777_216,
            max_choices: 128,
            max_inputs: 2048,
            max_fields: 256,
        }
    }
}

/// A top-level member: its key as written between the quotes, and where its value lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    pub(crate) key: &'a str,
    pub(crate) escaped: bool,
    pub(crate) value: Span,
}

/// The outline of a JSON object.
#[derive(Debug)]
pub(crate) struct Outline<'a> {
    pub(crate) text: &'a str,
    /// Just behind the opening brace.
    pub(crate) insert_at: usize,
    pub(crate) members: SmallVec<[Member<'a>; 16]>,
}

/// Checks that a body is UTF-8, nests no deeper than allowed, and is one JSON object in outline.
/// The values inside are checked where they are read.
pub fn guard(body: &[u8], max_depth: usize) -> Result<(), BadRequest> {
    outline(body, max_depth, usize::MAX).map(|_| ())
}

/// [`guard`], keeping what it found. Each member's value is only known to be balanced: whoever reads
/// it must parse it whole.
pub(crate) fn outline(
    body: &[u8],
    max_depth: usize,
    max_fields: usize,
) -> Result<Outline<'_>, BadRequest> {
    let text = std::str::from_utf8(body).map_err(|e| {
        BadRequest::whole(format!("the body is not UTF-8 at byte {}", e.valid_up_to()))
    })?;
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, max_depth };
    scan.skip_space();
    scan.expect(b'{')?;
    let insert_at = scan.at;
    let mut members = SmallVec::new();
    scan.skip_space();
    if scan.peek() == Some(b'}') {
        scan.at += 1;
    } else {
        loop {
            scan.skip_space();
            let (key, escaped) = scan.string()?;
            scan.skip_space();
            scan.expect(b':')?;
            scan.skip_space();
            let value = scan.value()?;
            if members.len() == max_fields {
                return Err(BadRequest::whole(format!(
                    "the body has more than {max_fields} fields"
                )));
            }
            members.push(Member { key: &text[key], escaped, value });
            scan.skip_space();
            match scan.next() {
                Some(b',') => {}
                Some(b'}') => break,
                _ => return Err(scan.invalid("expected `,` or `}`")),
            }
        }
    }
    scan.skip_space();
    if scan.at < scan.bytes.len() {
        return Err(scan.invalid("expected nothing behind the object"));
    }
    Ok(Outline { text, insert_at, members })
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), BadRequest> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.invalid(&format!("expected `{}`", char::from(byte))))
        }
    }

    fn invalid(&self, what: &str) -> BadRequest {
        let at = self.at.min(self.bytes.len());
        BadRequest::whole(format!("the body is not a JSON object: {what} at byte {at}"))
    }

    /// Passes a string; gives the span between its quotes and whether it holds an escape.
    fn string(&mut self) -> Result<(Span, bool), BadRequest> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                self.at = self.bytes.len();
                return Err(self.invalid("a string does not end"));
            };
            self.at += found + 1;
            if rest[found] == b'"' {
                return Ok((start..self.at - 1, escaped));
            }
            escaped = true;
            // Whatever is escaped, a quote above all, does not end the string.
            self.at += 1;
        }
    }

    /// Passes a value: a string, something balanced, or a run of the bytes of a literal.
    fn value(&mut self) -> Result<Span, BadRequest> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'{' | b'[') => self.balanced()?,
            _ => {
                while self.peek().is_some_and(|b| {
                    !matches!(b, b',' | b'}' | b']' | b'"' | b' ' | b'\t' | b'\n' | b'\r')
                }) {
                    self.at += 1;
                }
            }
        }
        if start == self.at { Err(self.invalid("expected a value")) } else { Ok(start..self.at) }
    }

    fn balanced(&mut self) -> Result<(), BadRequest> {
        // The object around this value is the first level.
        let mut depth = 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    if depth > self.max_depth {
                        let message = format!("the body nests deeper than {}", self.max_depth);
                        return Err(BadRequest::whole(message));
                    }
                }
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.invalid("unexpected end")),
            }
            self.at += 1;
            if depth == 1 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(body: &str) -> Vec<(&str, &str)> {
        let outline = outline(body.as_bytes(), 64, 256).unwrap();
        outline.members.iter().map(|m| (m.key, &body[m.value.clone()])).collect()
    }

    #[test]
    fn finds_each_value_where_it_lies() {
        let body = r#" { "a" : [1, {"b":"]}\""}] ,"c":"x\"y", "d":-1.5e3 ,"e":null} "#;
        let expected =
            [("a", r#"[1, {"b":"]}\""}]"#), ("c", r#""x\"y""#), ("d", "-1.5e3"), ("e", "null")];
        assert_eq!(members(body), expected);
        assert!(members("{}").is_empty());
        assert!(members(" { } ").is_empty());
    }

    #[test]
    fn refuses_what_is_no_object_in_outline() {
        let bad = [
            "",
            " ",
            "[]",
            "1",
            "null",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{,}",
            "{a:1}",
            "{\"a\" 1}",
            "{\"a\":1} x",
            "{\"a\":1}{}",
            "{\"a\":\"x}",
            "{\"a\":[1}",
            "{\"a\":}",
            "\u{feff}{}",
            "{\"a\":1 2}",
            "{\"a\":\"\\",
            "{\"a\":[\"\\",
        ];
        for body in bad {
            // `[1}` is balanced to the outline; it is refused where the value is read.
            if body == "{\"a\":[1}" {
                continue;
            }
            assert!(guard(body.as_bytes(), 64).is_err(), "{body}");
        }
        let e = guard(b"{\"a\":\"\xff\"}", 64).unwrap_err();
        assert!(e.message.contains("UTF-8 at byte 6"), "{e}");
    }

    #[test]
    fn nesting_is_bounded_whatever_the_depth() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(guard(nested(63).as_bytes(), 64).is_ok());
        assert!(guard(nested(64).as_bytes(), 64).is_err());
        assert!(guard(nested(100_000).as_bytes(), 64).is_err());
        assert!(guard("[".repeat(100_000).as_bytes(), 64).is_err());
        assert!(guard(format!("{{\"a\":\"{}\"}}", "[".repeat(1000)).as_bytes(), 64).is_ok());
    }

    #[test]
    fn fields_are_bounded() {
        let body = format!(
            "{{{}}}",
            (0..300).map(|i| format!("\"k{i}\":0")).collect::<Vec<_>>().join(",")
        );
        assert!(outline(body.as_bytes(), 64, 256).is_err());
        assert!(outline(body.as_bytes(), 64, 300).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_input_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = guard(&body, 8);
        }

        #[test]
        fn json_like_input_agrees_with_serde(body in "[\\[\\]{}\",:a0 \\\\n.-]{0,24}") {
            let ours = outline(body.as_bytes(), 64, 256).is_ok_and(|o| {
                o.members.iter().all(|m| {
                    serde_json::from_str::<serde::de::IgnoredAny>(&body[m.value.clone()]).is_ok()
                        && serde_json::from_str::<String>(&format!("\"{}\"", m.key)).is_ok()
                })
            });
            let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&body).is_ok();
            prop_assert_eq!(ours, theirs);
        }
    }
}
