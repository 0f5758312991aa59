//! What a gateway that keeps responses must know of them: which one a request continues, the items
//! that went into it and came out of it, and what of a request its response repeats.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::digits;
use crate::dialect::fields::members;
use crate::dialect::json::Object;
use crate::guard::{Bounds, outline};
use crate::unified::{BadRequest, Text};

/// What a request says of responses that are kept.
#[derive(Debug)]
pub struct Continued<'a> {
    /// The response it continues.
    pub previous: Option<Text<'a>>,
    /// Whether its own response is to be kept.
    pub store: bool,
    /// The model, where it names one.
    pub model: Option<Text<'a>>,
    /// Whether it names a stored prompt, to be read by [`super::prompt`].
    pub prompted: bool,
    input: Option<&'a str>,
    insert_at: usize,
    empty: bool,
    body: &'a [u8],
}

/// Reads what a request says of responses that are kept.
pub fn read<'a>(body: &'a [u8], bounds: &Bounds) -> Result<Continued<'a>, BadRequest> {
    let (mut previous, mut store, mut model, mut prompted, mut input) =
        (None, true, None, false, None);
    let spans = members(body, bounds, |field| {
        match field.name.as_str() {
            "previous_response_id" => previous = field.optional()?,
            "store" => store = field.optional()?.unwrap_or(true),
            "model" => model = field.optional()?,
            "prompt" => prompted = !field.is_null(),
            "input" if !field.is_null() => {
                field.raw()?;
                input = Some(field.json);
            }
            _ => {}
        }
        Ok(())
    })?;
    let (insert_at, empty) = (spans.insert_at, spans.empty);
    Ok(Continued { previous, store, model, prompted, input, insert_at, empty, body })
}

impl Continued<'_> {
    /// The request's own items, as the inside of an array.
    pub fn items(&self) -> String {
        match self.input {
            Some(text) if text.starts_with('"') => {
                format!("{{\"type\":\"message\",\"role\":\"user\",\"content\":{text}}}")
            }
            Some(list) => inside(list).to_owned(),
            None => String::new(),
        }
    }

    /// The body with other items in place of its own.
    pub fn with_items(&self, items: &str) -> Vec<u8> {
        let text = std::str::from_utf8(self.body).unwrap_or_default();
        let list = format!("[{items}]");
        match self.input {
            Some(input) => {
                let at = (input.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
                [&text[..at], &list, &text[at + input.len()..]].concat().into_bytes()
            }
            None => {
                let (head, tail) = text.split_at(self.insert_at);
                let comma = if self.empty { "" } else { "," };
                [head, "\"input\":", &list, comma, tail].concat().into_bytes()
            }
        }
    }
}

/// What a kept response adds to the conversation: its input and its output, as the inside of an array.
pub fn conversation(items: &str, response: &str) -> String {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, default)]
        output: Option<&'a RawValue>,
    }
    let wire: Option<Wire<'_>> = serde_json::from_str(response).ok();
    let output = wire.and_then(|w| w.output).map_or("", |raw| inside(raw.get()));
    joined(items, output)
}

/// Two insides of arrays as one.
pub fn joined(first: &str, second: &str) -> String {
    let comma = if first.trim().is_empty() || second.trim().is_empty() { "" } else { "," };
    [first, comma, second].concat()
}

fn inside(list: &str) -> &str {
    list.trim().strip_prefix('[').and_then(|l| l.strip_suffix(']')).unwrap_or_default()
}

/// The items that went into a response, as its list of them shows them: each with an id and a type,
/// texts as parts.
pub fn input_items(response_id: &str, items: &str) -> Vec<Value> {
    let list: Vec<Value> = serde_json::from_str(&format!("[{items}]")).unwrap_or_default();
    let one = |(place, mut item): (usize, Value)| {
        if let Value::Object(members) = &mut item {
            members
                .entry("id")
                .or_insert_with(|| format!("in_{}_{place}", digits(response_id)).into());
            members.entry("type").or_insert_with(|| "message".into());
            let is_answer = members.get("role").is_some_and(|role| role == "assistant");
            let kind = if is_answer { "output_text" } else { "input_text" };
            if let Some(content) = members.get_mut("content")
                && let Value::String(text) = content
            {
                *content = json!([{ "type": kind, "text": text }]);
            }
        }
        item
    };
    list.into_iter().enumerate().map(one).collect()
}

/// Members that a response repeats of its request, and what stands where the request has none.
const ECHOED: [(&str, &str); 18] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", "{\"effort\":null,\"summary\":null}"),
    ("safety_identifier", "null"),
    ("store", "true"),
    ("temperature", "null"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// What of a request its response repeats.
pub(crate) fn echo(body: &[u8]) -> String {
    let Ok(outline) = outline(body, usize::MAX, usize::MAX) else { return String::new() };
    let mut out = Vec::with_capacity(512);
    let mut object = Object::open(&mut out);
    for (name, usual) in ECHOED {
        let found = outline.members.iter().find(|m| !m.escaped && m.key == name);
        let value = found.map(|m| &outline.text[m.value.clone()]).filter(|v| *v != "null");
        object.raw(name, value.unwrap_or(usual));
    }
    object.close();
    let text = String::from_utf8(out).unwrap_or_default();
    text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or_default().to_owned()
}
