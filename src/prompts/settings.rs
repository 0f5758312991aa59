//! A template's front matter: the model, what it takes and gives, and the members of the request that
//! are the same for every call.

use std::time::Duration;

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::case::{self, Case};
use super::front::{Notes, json};
use super::schema::{self, Schema};
use crate::clock::parse_duration;

const KEYS: [&str; 9] = [
    "cache",
    "description",
    "inputs",
    "model",
    "output",
    "parameters",
    "tests",
    "tool_choice",
    "tools",
];
/// The request's cap on its output.
pub(super) const CAP: &str = "max_completion_tokens";
/// Parameters by their name here and in the request.
const PARAMETERS: [(&str, &str); 8] = [
    ("max_output_tokens", CAP),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("stop", "stop"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("reasoning_effort", "reasoning_effort"),
];

/// What a template says of keeping its replies; it never makes one be kept for longer than the
/// configuration does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None is kept, and none that is kept is given.
    Off,
    /// Each call is made, and its reply replaces what is kept, for those who ask for no other.
    Refresh,
    /// At most for so long.
    For(Duration),
}

/// What the front matter says.
pub(super) struct Settings {
    pub(super) description: Option<String>,
    pub(super) model: String,
    pub(super) cache: Option<Keep>,
    pub(super) inputs: Schema,
    pub(super) defaults: Map<String, Value>,
    pub(super) output: Option<Schema>,
    pub(super) fixed: Map<String, Value>,
    pub(super) tests: Vec<Case>,
}

impl Settings {
    /// Whether there is such an input.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.inputs.value["properties"].get(name).is_some()
    }
}

/// A value of the front matter, as JSON, and where it stands in the file.
pub(super) struct Placed {
    pub(super) value: Value,
    pub(super) at: usize,
}

struct Front<'f> {
    table: &'f DeTable<'f>,
    at: usize,
}

/// Reads the front matter, which begins at a byte of the file.
pub(super) fn read(front: &str, at: usize, notes: &mut Notes<'_>) -> Option<Settings> {
    let (table, broken) = DeTable::parse_recoverable(front);
    for error in &broken {
        let place = at + error.span().map_or(0, |span| span.start);
        notes.at(place, format!("not TOML: {}", error.message()));
    }
    if !broken.is_empty() {
        return None;
    }
    let front = Front { table: table.get_ref(), at };
    for (key, _) in front.table.iter().filter(|(key, _)| !KEYS.contains(&key.get_ref().as_ref())) {
        let message = format!("unknown key `{}`; known here: {}", key.get_ref(), KEYS.join(", "));
        notes.at(at + key.span().start, message);
    }
    let description = front.text("description", notes);
    let model = front.text("model", notes);
    if model.is_none() {
        notes.at(at, "`model` is missing: the model or alias that answers");
    }
    let cache = cache(&front, notes);
    let (inputs, defaults) = inputs(&front, notes);
    let output = output(&front, notes);
    let mut fixed = Map::new();
    fixed.insert("model".to_owned(), model.clone().unwrap_or_default().into());
    parameters(&front, &mut fixed, notes);
    tools(&front, &mut fixed, notes);
    if let Some(schema) = &output {
        let format = json!({ "name": "output", "schema": schema.value });
        let format = json!({ "type": "json_schema", "json_schema": format });
        fixed.insert("response_format".to_owned(), format);
    }
    let tests = front.list("tests", notes);
    let tests = tests.iter().filter_map(|test| case::read(test, notes)).collect();
    Some(Settings {
        description,
        model: model?,
        cache,
        inputs: inputs?,
        defaults,
        output,
        fixed,
        tests,
    })
}

impl Front<'_> {
    fn get(&self, key: &str, notes: &mut Notes<'_>) -> Option<Placed> {
        let value = self.table.get(key)?;
        self.placed(value, notes)
    }

    fn placed(&self, value: &Spanned<DeValue<'_>>, notes: &mut Notes<'_>) -> Option<Placed> {
        let at = self.at + value.span().start;
        match json(value.get_ref()) {
            Ok(value) => Some(Placed { value, at }),
            Err(why) => {
                notes.at(at, why);
                None
            }
        }
    }

    fn text(&self, key: &str, notes: &mut Notes<'_>) -> Option<String> {
        let Placed { value, at } = self.get(key, notes)?;
        match value {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            _ => {
                notes.at(at, format!("`{key}` is a text that is not empty"));
                None
            }
        }
    }

    /// The members of a table, each with its place.
    fn members(&self, key: &str, notes: &mut Notes<'_>) -> Vec<(String, Placed)> {
        let Some(value) = self.table.get(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            notes.at(self.at + value.span().start, format!("`{key}` is a table"));
            return Vec::new();
        };
        let mut members: Vec<_> = table.iter().collect();
        members.sort_by_key(|(key, _)| key.span().start);
        let member = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            // A table's own place is its first header's; the name stands where it is written.
            let placed = self.placed(value, notes)?;
            let key: &Spanned<toml::de::DeString<'_>> = key;
            Some((key.get_ref().to_string(), Placed { at: self.at + key.span().start, ..placed }))
        };
        members.into_iter().filter_map(member).collect()
    }

    fn list(&self, key: &str, notes: &mut Notes<'_>) -> Vec<Placed> {
        let Some(value) = self.table.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            notes.at(
                self.at + value.span().start,
                format!("`{key}` is a list of tables: [[{key}]]"),
            );
            return Vec::new();
        };
        items.iter().filter_map(|item| self.placed(item, notes)).collect()
    }
}

fn cache(front: &Front<'_>, notes: &mut Notes<'_>) -> Option<Keep> {
    let Placed { value, at } = front.get("cache", notes)?;
    let said = match value.as_str() {
        Some("off") => Some(Keep::Off),
        Some("refresh") => Some(Keep::Refresh),
        Some(text) => parse_duration(text).filter(|ttl| !ttl.is_zero()).map(Keep::For),
        None => None,
    };
    if said.is_none() {
        notes.at(at, "`cache` is \"off\", \"refresh\" or how long replies are kept: \"10m\"");
    }
    said
}

/// Each input is a JSON Schema of its own. `default` gives it a value, `required = false` lets it be
/// absent.
fn inputs(front: &Front<'_>, notes: &mut Notes<'_>) -> (Option<Schema>, Map<String, Value>) {
    let (mut properties, mut required, mut defaults) = (Map::new(), Vec::new(), Map::new());
    for (name, Placed { value, at }) in front.members("inputs", notes) {
        let Value::Object(mut schema) = value else {
            notes.at(at, format!("input {name} is a table: its JSON Schema"));
            continue;
        };
        let needed = match schema.remove("required") {
            None => true,
            Some(Value::Bool(needed)) => needed,
            // Of an object's own members, as JSON Schema has it.
            Some(list) => {
                schema.insert("required".to_owned(), list);
                true
            }
        };
        let default = schema.get("default").cloned();
        match (Schema::new(Value::Object(schema.clone())), &default) {
            (Err(why), _) => notes.at(at, format!("input {name}: {why}")),
            (Ok(one), Some(default)) => {
                if let Err(wrong) = one.check(default) {
                    notes.at(at, format!("input {name}: its default does not keep to it: {wrong}"));
                }
            }
            (Ok(_), None) => {}
        }
        match default {
            Some(default) => drop(defaults.insert(name.clone(), default)),
            None if needed => required.push(name.clone()),
            None => {}
        }
        properties.insert(name, Value::Object(schema));
    }
    (Schema::new(schema::object(properties, &required)).ok(), defaults)
}

fn output(front: &Front<'_>, notes: &mut Notes<'_>) -> Option<Schema> {
    let Placed { value, at } = front.get("output", notes)?;
    if value["type"] != "object" {
        notes.at(at, "`output` is the JSON Schema of an object: type = \"object\"");
        return None;
    }
    Schema::new(value).map_err(|why| notes.at(at, format!("output: {why}"))).ok()
}

fn parameters(front: &Front<'_>, fixed: &mut Map<String, Value>, notes: &mut Notes<'_>) {
    for (name, Placed { value, at }) in front.members("parameters", notes) {
        match PARAMETERS.iter().find(|(known, _)| *known == name) {
            Some((_, member)) => drop(fixed.insert((*member).to_owned(), value)),
            None => {
                let known: Vec<&str> = PARAMETERS.iter().map(|(known, _)| *known).collect();
                notes.at(
                    at,
                    format!("unknown parameter `{name}`; known here: {}", known.join(", ")),
                );
            }
        }
    }
}

fn tools(front: &Front<'_>, fixed: &mut Map<String, Value>, notes: &mut Notes<'_>) {
    let mut tools = Vec::new();
    for Placed { value, at } in front.list("tools", notes) {
        match value["name"].as_str() {
            Some(_) => tools.push(json!({ "type": "function", "function": value })),
            None => notes.at(at, "a tool has a `name`, a `description` and `parameters`"),
        }
    }
    if !tools.is_empty() {
        fixed.insert("tools".to_owned(), Value::Array(tools));
    }
    if let Some(choice) = front.text("tool_choice", notes) {
        let choice = match choice.as_str() {
            "auto" | "none" | "required" => Value::from(choice),
            name => json!({ "type": "function", "function": { "name": name } }),
        };
        fixed.insert("tool_choice".to_owned(), choice);
    }
}
