//! Writing JSON by hand: the outlines are known, only strings and numbers vary.

use std::io::Write;

use serde::Serialize;

/// Appends a value. Writing to memory cannot fail, and strings, numbers and JSON text always serialise.
pub(crate) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let before = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

/// Appends a string with its quotes.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put(out, text);
}

/// Appends a number.
pub(crate) fn put_num(out: &mut Vec<u8>, n: u64) {
    // A Vec takes every write.
    let _ = write!(out, "{n}");
}

/// Writes the members of one object: commas and names.
pub(crate) struct Object<'o> {
    pub(crate) out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    /// Opens an object.
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, first: true }
    }

    /// Goes on with an object that has members already.
    pub(crate) fn within(out: &'o mut Vec<u8>) -> Self {
        Object { out, first: false }
    }

    /// Writes members that are JSON already, commas between them.
    pub(crate) fn members(&mut self, json: &str) -> &mut Self {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    /// Writes a name; the value is to be written next.
    pub(crate) fn key(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        put_str(self.out, name);
        self.out.push(b':');
        self.out
    }

    pub(crate) fn str(&mut self, name: &str, value: &str) -> &mut Self {
        put_str(self.key(name), value);
        self
    }

    pub(crate) fn num(&mut self, name: &str, value: u64) -> &mut Self {
        put_num(self.key(name), value);
        self
    }

    /// Writes a value that is JSON already, on one line: an end of a line would end a frame's data, and
    /// in JSON it can only stand where a space can.
    pub(crate) fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        let out = self.key(name);
        let before = out.len();
        out.extend_from_slice(json.as_bytes());
        for byte in out.iter_mut().skip(before).filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        self
    }

    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> &mut Self {
        put(self.key(name), value);
        self
    }

    /// Opens an object as a member; close it before going on with this one.
    pub(crate) fn object(&mut self, name: &str) -> Object<'_> {
        Object::open(self.key(name))
    }

    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}

/// Writes an array, each element by `write`.
pub(crate) fn array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Writes one event of a stream: an object that says its own type, as its frame does.
pub(crate) fn frame(out: &mut Vec<u8>, kind: &str, write: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let mut object = Object::open(out);
    object.str("type", kind);
    write(&mut object);
    object.close();
    out.extend_from_slice(b"\n\n");
}
