//! Forms in which clients send files (`multipart/form-data`, RFC 7578), read from bytes that are all here
//! and written anew, so that what a provider reads is what was read here.

use memchr::memmem;

use crate::unified::{BadRequest, Encoded};

/// The most parts of a form, and bytes of what stands around one.
const MOST_PARTS: usize = 64;
const MOST_HEAD: usize = 4_096;

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) name: &'a str,
    /// What a file is called.
    pub(crate) file: Option<&'a str>,
    /// Its content type, where it says.
    pub(crate) kind: Option<&'a str>,
    pub(crate) content: &'a [u8],
}

impl<'a> Part<'a> {
    /// Why a field is refused.
    pub(crate) fn refused(&self, why: &str) -> BadRequest {
        let Part { name, .. } = self;
        let value = self.text().unwrap_or_default();
        BadRequest::field(*name, format!("`{name}` of {value:?} is not supported here: {why}"))
    }

    /// A field that is text.
    pub(crate) fn text(&self) -> Result<&'a str, BadRequest> {
        let why = || BadRequest::field(self.name, format!("`{}` is not text", self.name));
        std::str::from_utf8(self.content).map_err(|_| why())
    }

    /// A field that is true or false.
    pub(crate) fn flag(&self) -> Result<bool, BadRequest> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.refused("it is true or false")),
        }
    }
}

/// Reads a form no field of which stands in it twice, but for lists, whose names say so.
pub(crate) fn fields(body: &[u8]) -> Result<Vec<Part<'_>>, BadRequest> {
    let parts = parts(body)?;
    for (at, Part { name, .. }) in parts.iter().enumerate() {
        let again = parts.iter().skip(at + 1).any(|other| other.name == *name);
        if again && !name.ends_with("[]") {
            return Err(BadRequest::field(*name, format!("`{name}` is given twice")));
        }
    }
    Ok(parts)
}

/// Reads a form. Its boundary is its first line.
pub(crate) fn parts(body: &[u8]) -> Result<Vec<Part<'_>>, BadRequest> {
    let bad = |why: &str| BadRequest::whole(format!("the form {why}"));
    let line = memmem::find(body, b"\r\n").filter(|end| (3..=74).contains(end));
    let line = line.ok_or_else(|| bad("does not begin with its boundary"))?;
    let (boundary, mut rest) = body.split_at(line);
    if !boundary.starts_with(b"--") {
        return Err(bad("does not begin with its boundary"));
    }
    let delimiter = [b"\r\n", boundary].concat();
    let finder = memmem::Finder::new(&delimiter);
    let mut parts = Vec::new();
    // `rest` stands just behind a boundary.
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        if parts.len() >= MOST_PARTS {
            return Err(bad("has too many fields"));
        }
        let end = finder.find(part).ok_or_else(|| bad("breaks off"))?;
        let (part, after) = part.split_at(end);
        parts.push(read(part).ok_or_else(|| bad("has a field that cannot be read"))?);
        rest = after.get(delimiter.len()..).unwrap_or_default();
    }
    if rest.starts_with(b"--") { Ok(parts) } else { Err(bad("breaks off")) }
}

fn read(part: &[u8]) -> Option<Part<'_>> {
    let end = memmem::find(part, b"\r\n\r\n").filter(|end| *end <= MOST_HEAD)?;
    let (head, content) = (std::str::from_utf8(part.get(..end)?).ok()?, part.get(end + 4..)?);
    let (mut disposition, mut kind) = (None, None);
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => disposition = Some(value.trim()),
            "content-type" => kind = Some(value.trim()),
            _ => {}
        }
    }
    let disposition = disposition?.strip_prefix("form-data")?;
    let (name, file) = (parameter(disposition, "name")?, parameter(disposition, "filename"));
    Some(Part { name, file, kind, content })
}

/// `; name="file"`.
fn parameter<'a>(disposition: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = disposition;
    loop {
        rest = rest.trim_start().strip_prefix(';')?.trim_start();
        let (key, value) = rest.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

/// Writes a form; gives its content type too. Equal fields make equal bytes.
pub(crate) fn write(parts: &[Part<'_>]) -> (String, Vec<u8>) {
    let stands = |boundary: &str| {
        let finder = memmem::Finder::new(boundary);
        parts.iter().any(|part| finder.find(part.content).is_some())
    };
    let mut at = 0_u64;
    let mut boundary = "tollgate-form".to_owned();
    while stands(&boundary) {
        at += 1;
        boundary = format!("tollgate-form-{at}");
    }
    let size: usize = parts.iter().map(|part| part.content.len() + 256).sum();
    let mut out = Vec::with_capacity(size + 64);
    for Part { name, file, kind, content } in parts {
        let mut head = format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"");
        if let Some(file) = file {
            head.push_str(&format!("; filename=\"{file}\""));
        }
        if let Some(kind) = kind {
            head.push_str(&format!("\r\ncontent-type: {kind}"));
        }
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(content);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), out)
}

/// A form with other values in these fields, and without those, as a request.
pub(crate) fn posted(
    body: &[u8],
    path: &str,
    fields: &[(&str, &str)],
    without: &[&str],
) -> Result<Encoded, BadRequest> {
    let mut parts = parts(body)?;
    let set = |name| fields.iter().any(|(field, _)| *field == name);
    parts.retain(|part| !set(part.name) && !without.contains(&part.name));
    parts.extend(fields.iter().map(|(name, value)| Part {
        name,
        file: None,
        kind: None,
        content: value.as_bytes(),
    }));
    let (kind, body) = write(&parts);
    let headers = vec![("content-type", kind)];
    Ok(Encoded { method: "POST", path: path.to_owned(), headers, body, dropped: Vec::new() })
}

/// The form written anew.
///
/// # Errors
/// Where it is none.
pub fn canonical(body: &[u8]) -> Result<Vec<u8>, BadRequest> {
    Ok(write(&parts(body)?).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] =
        b"--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
        --x\r\nContent-Disposition: form-data; filename=\"a;b.wav\"; name=file\r\n\
        Content-Type: audio/wav\r\n\r\n\x00\r\n--y\r\ntollgate-form\xff\r\n--x--\r\n";

    #[test]
    fn a_form_is_read_and_written_with_a_boundary_that_stands_in_none_of_its_fields() {
        let read = parts(FORM).unwrap();
        let content = b"\x00\r\n--y\r\ntollgate-form\xff";
        let (file, kind) = (Some("a;b.wav"), Some("audio/wav"));
        assert_eq!(read[1], Part { name: "file", file, kind, content });
        assert_eq!((read[0].name, read[0].text().unwrap()), ("model", "whisper-1"));
        assert!(read[1].text().is_err());
        let (kind, written) = write(&read);
        assert_eq!(kind, "multipart/form-data; boundary=tollgate-form-1");
        assert_eq!(parts(&written).unwrap(), read);
        assert_eq!(canonical(&written).unwrap(), written);
    }

    #[test]
    fn what_is_no_whole_form_is_refused() {
        for end in 0..FORM.len() - 2 {
            assert!(parts(&FORM[..end]).is_err(), "{end}");
        }
        for bad in ["{}", "x\r\n", "--x\r\n\r\n\r\n--x--", "--x\r\nA: b\r\n\r\nc\r\n--x--"] {
            assert!(parts(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
