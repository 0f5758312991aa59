//! One template, checked: what it takes, what it says, and the request that comes of both.
//!
//! Each part is a template of its own and its result is one message of the role that the file names,
//! so whatever an input holds, it stays inside that message.

use std::io::{self, Write};

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::{Map, Value, json};

use super::Problem;
use super::case::Case;
use super::front::{self, Notes, Part};
use super::schema::{Mismatch, Schema};
use super::settings::{self, CAP, Keep, Settings};

/// Steps of the template engine for one part.
const FUEL: u64 = 100_000;
/// Bytes that all parts together may render to.
const LARGEST: usize = 4 * 1024 * 1024;
/// Nested blocks and expressions of a template.
const DEEPEST: usize = 64;

/// A checked template.
#[derive(Debug)]
pub struct Template {
    /// What it is for.
    pub description: Option<String>,
    /// The model or alias that answers.
    pub model: String,
    /// What it says of keeping its replies.
    pub cache: Option<Keep>,
    /// Its tests.
    pub tests: Vec<Case>,
    inputs: Schema,
    defaults: Map<String, Value>,
    output: Option<Schema>,
    /// Members of the request's body, the same for every call.
    fixed: Map<String, Value>,
    parts: Vec<Part>,
    /// The parts, compiled, named by their place.
    engine: Environment<'static>,
}

/// A template with its inputs in place.
#[derive(Debug)]
pub struct Rendered {
    body: Map<String, Value>,
}

/// Why inputs give no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The inputs are not those that the template takes.
    #[error("inputs: {0}")]
    Inputs(#[from] Mismatch),
    /// The template fails on these inputs.
    #[error("line {line} of the template: {why}")]
    Template {
        /// The line in the file.
        line: usize,
        /// Why.
        why: String,
    },
}

impl Template {
    /// Checks a file's text; everything wrong with it comes at once.
    pub fn parse(file: &str, text: &str) -> Result<Template, Vec<Problem>> {
        let mut notes = Notes::new(file, text);
        let template = read(text, &mut notes);
        if let Some(template) = &template {
            template.rehearse(&mut notes);
        }
        let found = notes.into_found();
        match template {
            Some(template) if found.is_empty() => Ok(template),
            _ => Err(found),
        }
    }

    /// JSON Schema of its inputs.
    pub fn inputs(&self) -> &Value {
        &self.inputs.value
    }

    /// JSON Schema of its output; without one it answers in prose.
    pub fn output(&self) -> Option<&Value> {
        self.output.as_ref().map(|schema| &schema.value)
    }

    /// Its parts as written: who speaks, and the text.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.parts.iter().map(|part| (part.speaker.name(), part.text.as_str()))
    }

    /// The required input that a bare message stands for: the only text that has no value yet.
    pub fn open_text(&self, given: &Map<String, Value>) -> Option<&str> {
        let required = self.inputs.value["required"].as_array()?;
        let mut open =
            required.iter().filter_map(Value::as_str).filter(|name| !given.contains_key(*name));
        let only = open.next().filter(|_| open.next().is_none())?;
        (self.inputs.value["properties"][only]["type"] == "string").then_some(only)
    }

    /// Reads an input that was written as text, as metadata is: what is declared as text stays as it
    /// is, anything else is JSON.
    pub fn typed(&self, name: &str, text: &str) -> Value {
        let kind = &self.inputs.value["properties"][name]["type"];
        let word = || Value::String(text.to_owned());
        if *kind == "string" {
            word()
        } else {
            serde_json::from_str(text).unwrap_or_else(|_| word())
        }
    }

    /// Puts inputs in place.
    pub fn render(&self, inputs: Map<String, Value>) -> Result<Rendered, RenderError> {
        let inputs = Value::Object(inputs);
        self.inputs.check(&inputs)?;
        let Value::Object(mut inputs) = inputs else { return Err(Mismatch(Vec::new()).into()) };
        for (name, value) in &self.defaults {
            inputs.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let context: minijinja::Value = serde_json::from_value(Value::Object(inputs))
            .map_err(|error| Mismatch(vec![error.to_string()]))?;
        let mut room = LARGEST;
        let mut messages = Vec::with_capacity(self.parts.len());
        for (place, part) in self.parts.iter().enumerate() {
            let text = self.say(place, part, &context, &mut room)?;
            messages.push(json!({ "role": part.speaker.name(), "content": text }));
        }
        let mut body = self.fixed.clone();
        body.insert("messages".to_owned(), Value::Array(messages));
        Ok(Rendered { body })
    }

    /// Whether a reply keeps to the output schema; its value if it does.
    pub fn read_output(&self, text: &str) -> Result<Value, Mismatch> {
        let Some(schema) = &self.output else { return Ok(Value::String(text.to_owned())) };
        let value: Value = serde_json::from_str(unfenced(text))
            .map_err(|error| Mismatch(vec![format!("the reply is not JSON: {error}")]))?;
        schema.check(&value).map(|()| value)
    }

    /// Renders with the inputs of every test, for some mistakes show only then.
    fn rehearse(&self, notes: &mut Notes<'_>) {
        for test in &self.tests {
            let failed = |why: &dyn std::fmt::Display| format!("test {:?}: {why}", test.name);
            match self.render(test.inputs.clone()) {
                Ok(_) => {}
                Err(RenderError::Template { line, why }) => notes.line(line, failed(&why)),
                Err(error) => notes.line(test.line, failed(&error)),
            }
        }
    }

    fn say(
        &self,
        place: usize,
        part: &Part,
        context: &minijinja::Value,
        room: &mut usize,
    ) -> Result<String, RenderError> {
        let failed = |error: &minijinja::Error| RenderError::Template {
            line: part.line + error.line().unwrap_or(1) - 1,
            why: why(error),
        };
        let template = self.engine.get_template(&place.to_string()).map_err(|e| failed(&e))?;
        let mut out = Bounded { text: Vec::new(), room };
        let done = template.render_captured_to(context.clone(), &mut out).map(drop);
        done.map_err(|error| failed(&error))?;
        String::from_utf8(out.text)
            .map_err(|_| RenderError::Template { line: part.line, why: "not UTF-8".to_owned() })
    }
}

impl Rendered {
    /// The body of an OpenAI chat request.
    ///
    /// `cap` is the caller's own on the output: the smaller of it and the template's holds.
    pub fn body(&self, stream: bool, include_usage: bool, cap: Option<u64>) -> Vec<u8> {
        let mut body = self.body.clone();
        if let Some(cap) = cap {
            let own = body.get(CAP).and_then(Value::as_u64);
            body.insert(CAP.to_owned(), own.map_or(cap, |own| own.min(cap)).into());
        }
        if stream {
            body.insert("stream".to_owned(), true.into());
        }
        if stream && include_usage {
            body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        }
        Value::Object(body).to_string().into_bytes()
    }

    /// Asks another model than the template's own.
    pub fn ask(&mut self, model: &str) {
        self.body.insert("model".to_owned(), model.into());
    }

    /// The request that asks for a better reply: the same one, with the reply and what is wrong.
    pub fn repair(&self, reply: &str, wrong: &Mismatch) -> Rendered {
        let mut body = self.body.clone();
        if let Some(Value::Array(messages)) = body.get_mut("messages") {
            messages.push(json!({ "role": "assistant", "content": reply }));
            let words = format!(
                "That does not keep to the schema: {wrong}. Answer again, with the corrected JSON and nothing else."
            );
            messages.push(json!({ "role": "user", "content": words }));
        }
        Rendered { body }
    }
}

fn read(text: &str, notes: &mut Notes<'_>) -> Option<Template> {
    let cut = front::cut(text, notes)?;
    let settings = settings::read(cut.front, cut.front_at, notes)?;
    let engine = compile(&cut.parts, &settings, notes);
    let Settings { description, model, cache, inputs, defaults, output, fixed, tests } = settings;
    Some(Template {
        description,
        model,
        cache,
        tests,
        inputs,
        defaults,
        output,
        fixed,
        parts: cut.parts,
        engine,
    })
}

/// Compiles the parts. A name that is no input is an error here rather than in a call.
fn compile(parts: &[Part], settings: &Settings, notes: &mut Notes<'_>) -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(DEEPEST);
    let globals: Vec<String> = engine.globals().map(|(name, _)| name.to_owned()).collect();
    for (place, part) in parts.iter().enumerate() {
        if let Err(error) = engine.add_template_owned(place.to_string(), part.text.clone()) {
            notes.line(part.line + error.line().unwrap_or(1) - 1, why(&error));
            continue;
        }
        let Ok(template) = engine.get_template(&place.to_string()) else { continue };
        let mut unknown: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        unknown.retain(|name| !settings.takes(name) && !globals.contains(name));
        unknown.sort();
        for name in unknown {
            let uses =
                |line: &str| line.contains(&name) && (line.contains("{{") || line.contains("{%"));
            let above = part.text.lines().position(uses).unwrap_or(0);
            notes.line(
                part.line + above,
                format!("{name} is used, but no [inputs.{name}] says what it is"),
            );
        }
    }
    engine
}

fn why(error: &minijinja::Error) -> String {
    let kind = error.kind().to_string();
    error.detail().map_or(kind.clone(), |detail| format!("{kind}: {detail}"))
}

/// Models like to wrap JSON in a fence of Markdown.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inside.and_then(|inside| inside.strip_suffix("```")).map_or(text, str::trim)
}

/// A text that may grow to a bound and no further.
struct Bounded<'r> {
    text: Vec<u8>,
    room: &'r mut usize,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.room = self.room.checked_sub(bytes.len()).ok_or_else(|| {
            io::Error::other(format!("the rendered prompt is larger than {LARGEST} bytes"))
        })?;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
