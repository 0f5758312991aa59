//! What was read of another maker's file, and our file of it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::Told;
use super::node::Node;
use crate::prompts::front::Speaker;

/// A template to be written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) description: Option<String>,
    pub(super) model: Option<String>,
    pub(super) parameters: Vec<(&'static str, Value)>,
    pub(super) inputs: Vec<Input>,
    pub(super) output: Option<Value>,
    pub(super) tools: Vec<Value>,
    pub(super) tool_choice: Option<String>,
    /// Inputs to try it with.
    pub(super) sample: Option<Value>,
    pub(super) parts: Vec<Said>,
}

/// An input: its JSON Schema, and whether it may be left out.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) schema: Value,
    pub(super) optional: bool,
    /// Where the other file speaks of it.
    pub(super) line: usize,
}

/// What one says, as a template of ours.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) speaker: Speaker,
    pub(super) text: String,
    /// Where it begins in the other file.
    pub(super) line: usize,
}

/// Our file, and where its parts begin.
pub(super) struct Written {
    pub(super) text: String,
    starts: Vec<usize>,
}

/// Parameters by the names that others have for them.
const PARAMETERS: [(&str, &[&str]); 8] = [
    ("max_output_tokens", &["max_tokens", "maxOutputTokens", "max_completion_tokens"]),
    ("temperature", &[]),
    ("top_p", &["topP"]),
    ("stop", &["stopSequences", "stop_sequences"]),
    ("seed", &[]),
    ("presence_penalty", &["presencePenalty"]),
    ("frequency_penalty", &["frequencyPenalty"]),
    ("reasoning_effort", &["reasoningEffort"]),
];

/// Our name of a parameter.
pub(super) fn parameter(name: &str) -> Option<&'static str> {
    PARAMETERS
        .iter()
        .find(|(own, others)| *own == name || others.contains(&name))
        .map(|(own, _)| *own)
}

impl Draft {
    /// Whether there is such an input.
    pub(super) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// Takes the inputs from an object's schema.
    pub(super) fn take_inputs(&mut self, schema: &Value, node: &Node, told: &mut Told<'_>) {
        let required = schema["required"].as_array();
        let needed = |name: &str| required.is_some_and(|r| r.iter().any(|n| n == name));
        if schema["additionalProperties"].is_object() {
            told.error(node.line, "input.schema", "inputs of any name are not taken: name them");
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let line = node
                .table()
                .into_iter()
                .flatten()
                .find(|member| member.name.split(['?', '(']).next() == Some(name))
                .map_or(node.line, |member| member.node.line);
            let (name, schema) = (name.clone(), schema.clone());
            let optional = !needed(&name);
            self.inputs.push(Input { name, schema, optional, line });
        }
    }

    /// Gives inputs the values that they have when they are left out.
    pub(super) fn take_defaults(&mut self, defaults: &Node, field: &str, told: &mut Told<'_>) {
        let Some(members) = defaults.table() else {
            return told.error(defaults.line, field, "is a table of inputs");
        };
        for member in members {
            let (value, line) = (member.node.value(), member.node.line);
            let field = format!("{field}.{}", member.name);
            if value.is_null() {
                told.error(line, &field, "null is no value of an input here: leave it out");
                continue;
            }
            match self.inputs.iter_mut().find(|input| input.name == member.name) {
                Some(Input { schema: Value::Object(schema), .. }) => {
                    schema.insert("default".to_owned(), value);
                }
                Some(_) => told.error(line, &field, "its schema takes no default"),
                None => {
                    let mut schema = of_value(&value);
                    schema.insert("default".to_owned(), value);
                    let schema = Value::Object(schema);
                    let name = member.name.clone();
                    self.inputs.push(Input { name, schema, optional: true, line });
                }
            }
        }
    }

    /// The template's file.
    pub(super) fn write(&self, told: &mut Told<'_>) -> Written {
        let mut text = "+++\n".to_owned();
        let top = [
            ("description", &self.description),
            ("model", &self.model),
            ("tool_choice", &self.tool_choice),
        ];
        for (name, value) in top {
            let said = value.as_deref().filter(|value| !value.trim().is_empty());
            said.into_iter().for_each(|value| line(&mut text, name, &value.into(), 1, told));
        }
        if !self.parameters.is_empty() {
            text.push_str("\n[parameters]\n");
            for (name, value) in &self.parameters {
                line(&mut text, name, value, 1, told);
            }
        }
        for input in &self.inputs {
            let Input { name, schema, optional, line } = input;
            let mut schema = schema.as_object().cloned().unwrap_or_default();
            if *optional && !schema.contains_key("default") {
                if schema.contains_key("required") {
                    // `required` beside the schema says whether the input itself may be left out.
                    let whole = Value::Object(std::mem::take(&mut schema));
                    schema.insert("allOf".to_owned(), json!([whole]));
                }
                schema.insert("required".to_owned(), false.into());
            }
            table(&mut text, &format!("[inputs.{}]", key(name)), &schema, *line, told);
        }
        if let Some(Value::Object(output)) = &self.output {
            table(&mut text, "[output]", output, 1, told);
        }
        for tool in self.tools.iter().filter_map(Value::as_object) {
            table(&mut text, "[[tools]]", tool, 1, told);
        }
        if let Some(sample) = &self.sample {
            let test = Map::from_iter([
                ("name".to_owned(), "the sample".into()),
                ("inputs".to_owned(), sample.clone()),
            ]);
            table(&mut text, "[[tests]]", &test, 1, told);
        }
        text.push_str("+++\n");
        let mut starts = Vec::new();
        for (place, said) in self.parts.iter().enumerate() {
            if place > 0 {
                text.push('\n');
            }
            let _ = writeln!(text, "--- {}", said.speaker.name());
            starts.push(text.lines().count() + 1);
            text.push_str(said.text.trim());
            text.push('\n');
        }
        Written { text, starts }
    }

    /// The line of the other file that a line of ours was made of; 0 where none was.
    pub(super) fn line_of(&self, written: &Written, line: usize) -> usize {
        let started = written.starts.iter().filter(|start| **start <= line).count();
        let part = started.checked_sub(1).and_then(|place| self.parts.get(place));
        part.map_or(0, |part| part.line)
    }
}

/// The schema that a value suggests.
pub(super) fn of_value(value: &Value) -> Map<String, Value> {
    let kind = match value {
        Value::Null => return Map::new(),
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Map::from_iter([("type".to_owned(), kind.into())])
}

/// Text as the template says it again: what begins something here stands in quotes.
pub(super) fn literal(text: &str, at_line_start: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (place, line) in text.split_inclusive('\n').enumerate() {
        let marked = (place > 0 || at_line_start)
            && line.strip_prefix("--- ").is_some_and(|word| {
                !word.trim().is_empty() && word.trim_end().bytes().all(|b| b.is_ascii_lowercase())
            });
        let rest = if marked { line.strip_prefix("---").unwrap_or(line) } else { line };
        if marked {
            out.push_str("{{ \"---\" }}");
        }
        let rest = rest.replace("{{", "\u{0}").replace("{%", "{{ \"{%\" }}");
        out.push_str(&rest.replace("{#", "{{ \"{#\" }}").replace('\u{0}', "{{ \"{{\" }}"));
    }
    out
}

fn table(
    text: &mut String,
    head: &str,
    members: &Map<String, Value>,
    at: usize,
    told: &mut Told<'_>,
) {
    let _ = writeln!(text, "\n{head}");
    for (name, value) in members {
        line(text, name, value, at, told);
    }
}

fn line(text: &mut String, name: &str, value: &Value, at: usize, told: &mut Told<'_>) {
    match toml(value) {
        Some(value) => {
            let _ = writeln!(text, "{} = {value}", key(name));
        }
        None => told.error(at, name, "a null inside it cannot be written"),
    }
}

fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

/// JSON's escapes are TOML's, but for a delete character, which JSON leaves as it is.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A value in TOML on one line; it has no null.
fn toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Option<Vec<_>>>()?.join(", "))
        }
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                Some(format!("{} = {}", key(name), toml(value)?))
            };
            let members: Vec<String> = members.iter().map(member).collect::<Option<_>>()?;
            format!("{{ {} }}", members.join(", "))
        }
    })
}
