//! A file's data as a tree in which every value knows its line: YAML by the 1.2 core schema, and JSON.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// Values within values.
const DEEPEST: usize = 32;

/// A value and its line, from 1.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) data: Data,
}

#[derive(Debug)]
pub(super) enum Data {
    /// Null, a boolean, a number or a text.
    Scalar(Value),
    List(Vec<Node>),
    Table(Vec<Member>),
}

/// A member of a table, in the order of the file.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) node: Node,
}

/// Why a file is not data.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) why: String,
}

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar(Value::String(text)) => Some(text),
            Data::Scalar(_) | Data::List(_) | Data::Table(_) => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.data, Data::Scalar(Value::Null))
    }

    pub(super) fn list(&self) -> Option<&[Node]> {
        match &self.data {
            Data::List(items) => Some(items),
            Data::Scalar(_) | Data::Table(_) => None,
        }
    }

    pub(super) fn table(&self) -> Option<&[Member]> {
        match &self.data {
            Data::Table(members) => Some(members),
            Data::Scalar(_) | Data::List(_) => None,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.table()?.iter().find(|member| member.name == name).map(|member| &member.node)
    }

    /// Without its lines.
    pub(super) fn value(&self) -> Value {
        match &self.data {
            Data::Scalar(value) => value.clone(),
            Data::List(items) => items.iter().map(Node::value).collect(),
            Data::Table(members) => {
                let member = |member: &Member| (member.name.clone(), member.node.value());
                Value::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
        }
    }
}

/// Reads one document of YAML whose first line has that number. No anchors and no tags: what a value
/// is stands where it is written.
pub(super) fn yaml(text: &str, first: usize) -> Result<Node, Broken> {
    let mut events = Events { parser: Parser::new_from_str(text), first };
    loop {
        match events.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd, line) => {
                return Ok(Node { line, data: Data::Table(Vec::new()) });
            }
            (event, line) => {
                let node = events.node(event, line, 0)?;
                return match events.next()? {
                    (Event::DocumentEnd, _) => Ok(node),
                    (_, line) => Err(broken(line, "one document is expected")),
                };
            }
        }
    }
}

struct Events<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    first: usize,
}

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<(Event<'t>, usize), Broken> {
        let line = |line: usize| self.first + line.saturating_sub(1);
        match self.parser.next_event() {
            Some(Ok((event, Span { start, .. }))) => Ok((event, line(start.line()))),
            Some(Err(error)) => {
                Err(broken(line(error.marker().line()), format!("not YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, self.first)),
        }
    }

    fn node(&mut self, event: Event<'t>, line: usize, depth: usize) -> Result<Node, Broken> {
        if depth > DEEPEST {
            return Err(broken(line, format!("values are nested deeper than {DEEPEST}")));
        }
        let data = match event {
            Event::Scalar(text, style, 0, None) => Data::Scalar(match style {
                ScalarStyle::Plain => plain(&text).map_err(|why| broken(line, why))?,
                _ => Value::String(text.into_owned()),
            }),
            Event::SequenceStart(0, None) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Data::List(items),
                        (event, line) => items.push(self.node(event, line, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(0, None) => {
                let mut members: Vec<Member> = Vec::new();
                loop {
                    let (name, line) = match self.next()? {
                        (Event::MappingEnd, _) => break Data::Table(members),
                        (Event::Scalar(name, _, 0, None), line) => (name.into_owned(), line),
                        (_, line) => return Err(broken(line, "a key is a plain word")),
                    };
                    if members.iter().any(|member| member.name == name) {
                        return Err(broken(line, format!("`{name}` is said twice")));
                    }
                    let (event, at) = self.next()?;
                    let mut node = self.node(event, at, depth + 1)?;
                    node.line = line;
                    members.push(Member { name, node });
                }
            }
            _ => return Err(broken(line, "anchors, aliases and tags of YAML are not read")),
        };
        Ok(Node { line, data })
    }
}

/// An unquoted scalar: <https://yaml.org/spec/1.2.2/#103-core-schema>.
fn plain(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ if is_other_base(text) => return Err(format!("{text}: numbers are written as decimals")),
        _ => match decimal(text) {
            Some(number) => Value::Number(number),
            None => text.into(),
        },
    })
}

fn is_other_base(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['-', '+']);
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit());
    ["0x", "0o"].iter().any(|base| unsigned.strip_prefix(base).is_some_and(digits))
        || matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}

fn decimal(text: &str) -> Option<Number> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (base, power) = match rest.split_once(['e', 'E']) {
        Some((base, power)) => (base, Some(power)),
        None => (rest, None),
    };
    let (whole, part) = base.split_once('.').unwrap_or((base, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let whole = Some(whole.trim_start_matches('0')).filter(|w| !w.is_empty()).unwrap_or("0");
    let mut json = format!("{sign}{whole}");
    if base.contains('.') {
        json.push('.');
        json.push_str(if part.is_empty() { "0" } else { part });
    }
    if let Some(power) = power {
        json.push('e');
        json.push_str(power);
    }
    json.parse().ok()
}

/// Reads JSON.
pub(super) fn json(text: &str) -> Result<Node, Broken> {
    let raw: &RawValue = serde_json::from_str(text)
        .map_err(|error| broken(error.line(), format!("not JSON: {error}")))?;
    of_raw(text, raw, 0)
}

fn of_raw(text: &str, raw: &RawValue, depth: usize) -> Result<Node, Broken> {
    let written = raw.get();
    let at = written.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    if depth > DEEPEST {
        return Err(broken(line, format!("values are nested deeper than {DEEPEST}")));
    }
    let wrong = |error: serde_json::Error| broken(line, format!("not JSON: {error}"));
    let data = match written.as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(written).map_err(wrong)?;
            let items = items.into_iter().map(|item| of_raw(text, item, depth + 1));
            Data::List(items.collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> =
                serde_json::from_str(written).map_err(wrong)?;
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by_key(|(_, raw)| raw.get().as_ptr().addr());
            let member =
                |(name, raw)| Ok::<_, Broken>(Member { name, node: of_raw(text, raw, depth + 1)? });
            Data::Table(members.into_iter().map(member).collect::<Result<_, _>>()?)
        }
        _ => Data::Scalar(serde_json::from_str(written).map_err(wrong)?),
    };
    Ok(Node { line, data })
}

fn broken(line: usize, why: impl Into<String>) -> Broken {
    Broken { line, why: why.into() }
}
