//! A small reader of JSON that borrows from its text and keeps the order of an object's keys,
//! which is the order a provider shows them to its model in.

use std::borrow::Cow;

/// A value. Numbers keep the form they were written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// What is nested deeper than this is refused.
const DEEPEST: usize = 128;

/// Reads a whole text; `None` if it isn't JSON.
pub(crate) fn parse(text: &str) -> Option<Value<'_>> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.white();
    (reader.at == text.len()).then_some(value)
}

impl<'a> Value<'a> {
    /// The value of a key, if this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn entries(&self) -> &[(Cow<'a, str>, Self)] {
        if let Self::Object(entries) = self { entries } else { &[] }
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Self::Array(items) = self { items } else { &[] }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn white(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Skips whitespace, then `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        self.white();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        if depth > DEEPEST {
            return None;
        }
        self.white();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        let follows = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        follows.then_some(value)
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        (self.at > start).then(|| Value::Number(&self.text[start..self.at]))
    }

    fn array(&mut self, depth: usize) -> Option<Value<'a>> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(b']') {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Some(Value::Array(items));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value<'a>> {
        self.at += 1;
        let mut entries = Vec::new();
        if self.take(b'}') {
            return Some(Value::Object(entries));
        }
        loop {
            self.white();
            let key = self.string()?;
            if !self.take(b':') {
                return None;
            }
            entries.push((key, self.value(depth + 1)?));
            if self.take(b'}') {
                return Some(Value::Object(entries));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        let mut read = Cow::Borrowed("");
        let mut start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    read += &self.text[start..self.at];
                    self.at += 1;
                    return Some(read);
                }
                b'\\' => {
                    read += &self.text[start..self.at];
                    self.at += 1;
                    let point = self.escape()?;
                    read.to_mut().push(point);
                    start = self.at;
                }
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let escape = self.peek()?;
        self.at += 1;
        Some(match escape {
            b'"' | b'\\' | b'/' => escape.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_digits()?;
                let second = if first >> 10 == 0x36 && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    Some(self.four_digits()?)
                } else {
                    None
                };
                // A lone surrogate can't be kept.
                char::decode_utf16([Some(first), second].into_iter().flatten())
                    .next()?
                    .unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn four_digits(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        u16::from_str_radix(digits, 16).ok()
    }
}

/// Appends the value in its shortest form.
pub(crate) fn write(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(number),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.push(if at == 0 { '[' } else { ',' });
                write(item, out);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(entries) => {
            for (at, (key, value)) in entries.iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                write_text(key, out);
                out.push(':');
                write(value, out);
            }
            out.push_str(if entries.is_empty() { "{}" } else { "}" });
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for point in text.chars() {
        match point {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            point => out.push(point),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_in_its_shortest_form() {
        for (text, expected) in [
            (r#" { "b" : [ 1 , -2.5e3 , true ] , "a" : { } } "#, r#"{"b":[1,-2.5e3,true],"a":{}}"#),
            (r#""\u0041\n\ud83d\ude00\ud800x""#, "\"A\\n😀\u{fffd}x\""),
            ("[]", "[]"),
            ("null", "null"),
        ] {
            let mut out = String::new();
            write(&parse(text).unwrap(), &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "[1,]", "{\"a\" 1}", "\"\\x\"", "\"abc", "tru", "1 2", "é", &deep] {
            assert_eq!(parse(text), None, "{text:.20}");
        }
    }
}
