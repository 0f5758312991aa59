//! The lines of a batch's file: read one at a time, checked as a whole before any is made.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::calls::{Calls, Endpoint};

/// What a line may have around its body.
const AROUND: usize = 16 * 1024;
/// The longest name of a line.
const MOST_NAME: usize = 512;
/// Problems that are told of one file.
const MOST_PROBLEMS: usize = 100;
/// Names of models whose answer is remembered while a file is checked.
const MOST_MODELS: usize = 256;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its place among the requests, from 1; blank lines don't count.
    pub(super) number: u32,
    /// Its place in the file, from 1.
    pub(super) place: u64,
    /// What stands there.
    pub(super) text: Vec<u8>,
}

impl Line {
    /// What its client calls it.
    pub(super) fn name(&self) -> String {
        let request: Option<Request<'_>> = serde_json::from_slice(&self.text).ok();
        request.and_then(|request| request.custom_id).unwrap_or_default()
    }
}

/// A request as a line has it.
#[derive(Deserialize)]
pub(super) struct Request<'l> {
    pub(super) custom_id: Option<String>,
    method: Option<String>,
    url: Option<String>,
    #[serde(borrow)]
    pub(super) body: Option<&'l RawValue>,
}

/// Reads a file's lines from the beginning.
#[derive(Debug)]
pub(super) struct Lines {
    from: BufReader<std::fs::File>,
    most: usize,
    number: u32,
    place: u64,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Line(Line),
    /// A line that is longer than a request may be; its place.
    TooLong(u64),
    End,
}

impl Lines {
    /// A file whose bodies have at most so many bytes.
    pub(super) fn open(path: &Path, most_body: usize) -> std::io::Result<Lines> {
        let from = BufReader::with_capacity(64 * 1024, std::fs::File::open(path)?);
        Ok(Lines { from, most: most_body.saturating_add(AROUND), number: 0, place: 0 })
    }

    pub(super) fn next(&mut self) -> std::io::Result<Next> {
        loop {
            let mut text = Vec::new();
            let most = u64::try_from(self.most).unwrap_or(u64::MAX);
            let read = self.from.by_ref().take(most).read_until(b'\n', &mut text)?;
            if read == 0 {
                return Ok(Next::End);
            }
            self.place += 1;
            if read >= self.most && text.last() != Some(&b'\n') {
                self.from.skip_until(b'\n')?;
                return Ok(Next::TooLong(self.place));
            }
            if self.place == 1 && text.starts_with(b"\xef\xbb\xbf") {
                text.drain(..3);
            }
            if !text.trim_ascii().is_empty() {
                self.number += 1;
                return Ok(Next::Line(Line { number: self.number, place: self.place, text }));
            }
        }
    }
}

/// A file that makes sense.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) total: u64,
    /// The model, where all lines ask for the same.
    pub(super) model: Option<String>,
}

/// Checks a file's lines; or says what is wrong with them, as OpenAI's `errors.data`.
pub(super) fn check(
    mut lines: Lines,
    most: usize,
    endpoint: Endpoint,
    key: &str,
    calls: &dyn Calls,
) -> std::io::Result<Result<Checked, Vec<Value>>> {
    let mut problems = Vec::new();
    let mut names = HashSet::new();
    let mut models = HashMap::new();
    let mut total = 0;
    while problems.len() < MOST_PROBLEMS {
        let line = match lines.next()? {
            Next::End => break,
            Next::TooLong(place) => {
                let message = format!("a line has at most {} bytes", lines.most);
                problems.push(problem(place, ("line_too_long", "", message)));
                continue;
            }
            Next::Line(line) => line,
        };
        total += 1;
        if total > most as u64 {
            let message = format!("a batch has at most {most} requests");
            problems.push(problem(line.place, ("too_many_tasks", "", message)));
            break;
        }
        let checked = request(&line.text, endpoint).and_then(|(name, model)| {
            // A digest each, so that a file of long names is no load.
            if !names.insert(blake3::hash(name.as_bytes())) {
                let message = format!("the custom_id {name:?} is another line's already");
                return Err(("duplicate_custom_id", "custom_id", message));
            }
            if !models.contains_key(&model) {
                calls.check(key, &model).map_err(|(code, words)| (code, "body.model", words))?;
                if models.len() < MOST_MODELS {
                    models.insert(model, ());
                }
            }
            Ok(())
        });
        if let Err(wrong) = checked {
            problems.push(problem(line.place, wrong));
        }
    }
    if total == 0 && problems.is_empty() {
        problems.push(json!({
            "code": "empty_batch", "line": null, "param": null, "message": "the file has no requests",
        }));
    }
    if !problems.is_empty() {
        return Ok(Err(problems));
    }
    let mut models = models.into_keys();
    let model = models.next().filter(|_| models.next().is_none());
    Ok(Ok(Checked { total, model }))
}

/// What is told of a file whose contents are gone.
pub(super) fn missing() -> Vec<Value> {
    let message = "the contents of the file are gone: send it again";
    vec![
        json!({ "code": "file_not_found", "line": null, "param": "input_file_id", "message": message }),
    ]
}

type Wrong = (&'static str, &'static str, String);

/// A line's name and its model, if it is a request to that endpoint.
fn request(text: &[u8], endpoint: Endpoint) -> Result<(String, String), Wrong> {
    let request: Request<'_> = serde_json::from_slice(text).map_err(|error| {
        ("invalid_json_line", "", format!("this line is no request in JSON: {error}"))
    })?;
    let name = request.custom_id.filter(|name| !name.is_empty()).ok_or_else(|| {
        ("missing_custom_id", "custom_id", "this line has no custom_id".to_owned())
    })?;
    if name.len() > MOST_NAME {
        let message = format!("a custom_id has at most {MOST_NAME} bytes");
        return Err(("invalid_custom_id", "custom_id", message));
    }
    if request.method.as_deref() != Some("POST") {
        return Err(("invalid_method", "method", "method is POST".to_owned()));
    }
    let path = endpoint.path();
    match request.url.as_deref() {
        Some(url) if url == path => {}
        Some(url) if Endpoint::named(url).is_some() => {
            let message = format!("url is {url:?}, and the batch is for {path}");
            return Err(("url_mismatch", "url", message));
        }
        url => {
            let message = format!("{:?} is no endpoint of batches", url.unwrap_or(""));
            return Err(("invalid_url", "url", message));
        }
    }
    #[derive(Deserialize)]
    struct Asked {
        model: String,
        stream: Option<bool>,
    }
    let body = request.body.map_or("null", RawValue::get);
    let asked: Asked = serde_json::from_str(body).map_err(|error| {
        ("invalid_request", "body", format!("body is no request that names a model: {error}"))
    })?;
    if asked.stream == Some(true) {
        let message = "the answer to a line of a batch is whole: leave out stream".to_owned();
        return Err(("invalid_request", "body.stream", message));
    }
    Ok((name, asked.model))
}

fn problem(place: u64, (code, param, message): Wrong) -> Value {
    let param = Some(param).filter(|param| !param.is_empty());
    json!({ "code": code, "line": place, "param": param, "message": message })
}
