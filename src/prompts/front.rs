//! A template's file as text: front matter in TOML between two lines of `+++`, then its parts, each
//! behind a line that says who speaks: `--- system`, `--- user`, `--- assistant`.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::de::DeValue;

use super::Problem;

const FENCE: &str = "+++";
const MARK: &str = "--- ";

/// Collects what is wrong with one file, each with its line.
pub(super) struct Notes<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<Problem>,
}

impl<'t> Notes<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Notes<'t> {
        Notes { file, text, found: Vec::new() }
    }

    /// Something wrong at a byte of the text.
    pub(super) fn at(&mut self, byte: usize, message: impl Into<String>) {
        self.line(self.line_of(byte), message);
    }

    /// The line of a byte of the text.
    pub(super) fn line_of(&self, byte: usize) -> usize {
        let before = self.text.as_bytes().get(..byte).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Something wrong on a line.
    pub(super) fn line(&mut self, line: usize, message: impl Into<String>) {
        let (file, message) = (self.file.to_owned(), message.into());
        let excerpt =
            line.checked_sub(1).and_then(|at| self.text.lines().nth(at)).unwrap_or_default();
        let excerpt = excerpt.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.found.push(Problem { file, line, excerpt, message });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_found(self) -> Vec<Problem> {
        self.found
    }
}

/// A template's file, cut but not understood.
pub(super) struct Cut<'t> {
    /// The front matter.
    pub(super) front: &'t str,
    /// Where it begins.
    pub(super) front_at: usize,
    pub(super) parts: Vec<Part>,
}

/// Who speaks in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    System,
    User,
    Assistant,
}

impl Speaker {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Speaker::System => "system",
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
        }
    }

    fn from_name(name: &str) -> Option<Speaker> {
        [Speaker::System, Speaker::User, Speaker::Assistant].into_iter().find(|s| s.name() == name)
    }
}

/// What one speaker says, as a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) speaker: Speaker,
    pub(super) text: String,
    /// The line its text begins on.
    pub(super) line: usize,
}

/// Cuts a file; what cannot be cut is noted.
pub(super) fn cut<'t>(text: &'t str, notes: &mut Notes<'_>) -> Option<Cut<'t>> {
    let lines = lines(text);
    let is_fence = |range: &Range<usize>| text.get(range.clone()).map(str::trim_end) == Some(FENCE);
    if !lines.first().is_some_and(is_fence) {
        notes.line(1, "a template begins with a line of `+++`, then its front matter in TOML");
        return None;
    }
    let Some(close) = lines.iter().skip(1).position(is_fence).map(|at| at + 1) else {
        notes.line(1, "the front matter is not closed by a second line of `+++`");
        return None;
    };
    let front_at = lines.get(1)?.start;
    let front = text.get(front_at..lines.get(close)?.start)?;
    let parts = parts(text, lines.get(close + 1..).unwrap_or_default(), close + 2, notes);
    Some(Cut { front, front_at, parts })
}

fn lines(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let line = |line: &str| {
        let range = at..at + line.len();
        at = range.end;
        range
    };
    text.split_inclusive('\n').map(line).collect()
}

/// The parts of a body whose first line has that number. A body without marks is what a user says.
fn parts(text: &str, lines: &[Range<usize>], first: usize, notes: &mut Notes<'_>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut begun = false;
    for (number, range) in (first..).zip(lines) {
        let line = text.get(range.clone()).unwrap_or_default();
        let word = line
            .trim_end()
            .strip_prefix(MARK)
            .filter(|w| w.bytes().all(|b| b.is_ascii_lowercase()));
        if let Some(word) = word {
            match Speaker::from_name(word) {
                Some(speaker) => {
                    if !begun && parts.iter().any(|part| !part.text.trim().is_empty()) {
                        notes.line(number, "text stands before the first `--- system`, `--- user` or `--- assistant`");
                    }
                    parts.retain(|_| begun);
                    begun = true;
                    parts.push(Part { speaker, text: String::new(), line: number + 1 });
                }
                None => notes.line(
                    number,
                    format!("nobody speaks as {word:?}: it is system, user or assistant"),
                ),
            }
        } else if let Some(part) = parts.last_mut() {
            part.text.push_str(line);
        } else {
            parts.push(Part { speaker: Speaker::User, text: line.to_owned(), line: number });
        }
    }
    parts.iter_mut().for_each(trim);
    order(&parts, first, notes);
    parts
}

/// Blank lines around a part belong to the file, not to what is said.
fn trim(part: &mut Part) {
    let blank = part.text.split_inclusive('\n').take_while(|line| line.trim().is_empty()).count();
    part.line += blank;
    part.text = part.text.trim().to_owned();
}

/// System parts come first, then user and assistant take turns, and the user has the last word.
fn order(parts: &[Part], first: usize, notes: &mut Notes<'_>) {
    match parts.last() {
        None => return notes.line(first, "the template says nothing"),
        Some(last) if last.speaker != Speaker::User => {
            notes.line(last.line, "the last part is the user's: it is what is answered");
        }
        Some(_) => {}
    }
    for part in parts.iter().filter(|part| part.text.is_empty()) {
        notes.line(part.line, format!("the {} part is empty", part.speaker.name()));
    }
    let spoken = parts.iter().skip_while(|part| part.speaker == Speaker::System);
    for (turn, part) in spoken.enumerate() {
        let expected = if turn % 2 == 0 { Speaker::User } else { Speaker::Assistant };
        if part.speaker != expected {
            let message = format!(
                "here speaks the {}: system parts come first, then user and assistant take turns",
                expected.name()
            );
            return notes.line(part.line, message);
        }
    }
}

/// A TOML value as JSON. What JSON has no word for is an error: `nan`, `inf`.
pub(super) fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(at) => Value::String(at.to_string()),
        DeValue::Integer(integer) => {
            let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
            Value::from(parsed.map_err(|_| format!("{} is out of range", integer.as_str()))?)
        }
        DeValue::Float(float) => {
            let text = float.as_str().trim_start_matches('+');
            let number: Result<Number, _> = text.parse();
            Value::Number(number.map_err(|_| format!("JSON has no number {text}"))?)
        }
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| json(item.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let member = |(key, value): (
                &toml::Spanned<toml::de::DeString<'_>>,
                &toml::Spanned<DeValue<'_>>,
            )| {
                Ok::<_, String>((key.get_ref().to_string(), json(value.get_ref())?))
            };
            Value::Object(table.iter().map(member).collect::<Result<Map<_, _>, _>>()?)
        }
    })
}
