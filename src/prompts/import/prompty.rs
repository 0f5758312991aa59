//! Prompty: front matter in YAML, and sections of a role each in Jinja.
//! <https://github.com/microsoft/prompty/blob/main/Prompty.yaml>, <https://prompty.ai/docs/prompty-specification>.

use serde_json::{Map, Value, json};

use super::draft::{Draft, Input, Said, of_value};
use super::node::{Member, Node, yaml};
use super::{Told, cut, request, speaker};
use crate::prompts::front::Speaker;

pub(super) fn read(text: &str, told: &mut Told<'_>) -> Draft {
    let mut draft = Draft::default();
    let Some((front, first, body, body_at)) = cut(text) else {
        told.error(1, "front matter", "a .prompty file begins with it, between lines of ---");
        return draft;
    };
    let node = match yaml(front, first) {
        Ok(node) => node,
        Err(broken) => {
            told.errors.line(broken.line, broken.why);
            return draft;
        }
    };
    let mut samples = Map::new();
    if let Some(inputs) = node.get("inputs") {
        read_inputs(inputs, &mut draft, &mut samples, told);
    }
    for Member { name, node } in node.table().into_iter().flatten() {
        match name.as_str() {
            "description" => draft.description = node.text().map(str::to_owned),
            "model" => model(node, &mut draft, told),
            "inputs" => {}
            "outputs" => {}
            "sample" => sample(node, &mut draft, &mut samples, told),
            "template" if node.text() == Some("jinja2") => {}
            "template" => told.error(node.line, name, "is jinja2: no other engine is read"),
            "name" | "version" | "authors" | "tags" | "$schema" => {
                told.warn(
                    node.line,
                    name,
                    "describes the file; a template has its file's name here",
                );
            }
            name => told.error(node.line, name, "is no field of Prompty's front matter"),
        }
    }
    outputs(&node, &mut draft, told);
    let missing = draft.inputs.iter().find(|input| {
        !input.optional
            && input.schema.get("default").is_none()
            && !samples.contains_key(&input.name)
    });
    match missing {
        None if !samples.is_empty() => draft.sample = Some(Value::Object(samples)),
        Some(input) if !samples.is_empty() => {
            told.warn(input.line, "sample", format!("has no {}, so it is no test", input.name));
        }
        _ => {}
    }
    draft.parts = parts(body, body_at, told);
    draft
}

fn model(node: &Node, draft: &mut Draft, told: &mut Told<'_>) {
    let is_object =
        node.get("parameters").and_then(|p| p.get("response_format")?.get("type")?.text())
            == Some("json_object");
    for Member { name, node } in node.table().into_iter().flatten() {
        let field = format!("model.{name}");
        match (name.as_str(), node.text()) {
            ("api", Some("chat")) | ("response", Some("first")) => {}
            ("api", _) => told.error(node.line, &field, "is chat: templates ask nothing else"),
            ("response", _) => told.error(node.line, &field, "is first: the answer is the answer"),
            ("configuration", _) => configuration(node, draft, told),
            ("parameters", _) => {
                for Member { name, node } in node.table().into_iter().flatten() {
                    let field = format!("{field}.{name}");
                    // Its schema is that of the outputs, which are read for themselves.
                    if name == "response_format" && is_object {
                        continue;
                    }
                    if !request::take(name, node, &field, draft, told) {
                        told.error(node.line, &field, "no such parameter is sent");
                    }
                }
            }
            _ => told.error(node.line, &field, "is no field of Prompty's model"),
        }
    }
}

fn configuration(node: &Node, draft: &mut Draft, told: &mut Told<'_>) {
    for Member { name, node } in node.table().into_iter().flatten() {
        match (name.as_str(), node.text()) {
            ("name" | "azure_deployment", Some(model)) if !model.starts_with("${") => {
                draft.model = Some(model.to_owned());
            }
            (name, _) => {
                let field = format!("model.configuration.{name}");
                told.warn(node.line, &field, "where a model runs is the configuration's to say");
            }
        }
    }
}

fn read_inputs(
    node: &Node,
    draft: &mut Draft,
    samples: &mut Map<String, Value>,
    told: &mut Told<'_>,
) {
    let Some(members) = node.table() else {
        return told.error(node.line, "inputs", "is a table: the inputs by name");
    };
    for Member { name, node } in members {
        let (field, line) = (format!("inputs.{name}"), node.line);
        let Value::Object(mut schema) = (match node.text() {
            Some(kind) => json!({ "type": kind }),
            None => node.value(),
        }) else {
            told.error(line, &field, "is a table with the input's type");
            continue;
        };
        let needed =
            ["required", "is_required"].map(|name| schema.get(name).and_then(Value::as_bool));
        if needed.iter().any(Option::is_some) {
            schema.remove("required");
            schema.remove("is_required");
        }
        if let Some(value) = schema.remove("sample") {
            samples.insert(name.clone(), value);
        }
        let optional = needed.contains(&Some(false));
        let name = name.clone();
        draft.inputs.push(Input { name, schema: Value::Object(schema), optional, line });
    }
}

/// Inputs to try it with; those that nothing else names are inputs by that.
fn sample(node: &Node, draft: &mut Draft, samples: &mut Map<String, Value>, told: &mut Told<'_>) {
    let Some(members) = node.table() else {
        return told.warn(node.line, "sample", "is another file, which is not read");
    };
    for Member { name, node } in members {
        let (name, value, line) = (name.clone(), node.value(), node.line);
        if draft.input(&name).is_none() {
            let schema = Value::Object(of_value(&value));
            draft.inputs.push(Input { name: name.clone(), schema, optional: false, line });
        }
        samples.insert(name, value);
    }
}

/// Prompty asks for JSON by the response's format, and says of which members by the outputs.
fn outputs(node: &Node, draft: &mut Draft, told: &mut Told<'_>) {
    let format =
        node.get("model").and_then(|model| model.get("parameters")?.get("response_format"));
    let asked = format.and_then(|f| f.get("type")?.text()) == Some("json_object");
    match (node.get("outputs"), format.filter(|_| asked)) {
        (Some(outputs), Some(_)) => draft.output = Some(request::members(outputs)),
        (Some(outputs), None) => {
            told.warn(outputs.line, "outputs", "describes a text: no JSON is asked for");
        }
        (None, Some(format)) => {
            let why = "json needs its schema here: describe the outputs";
            told.error(format.line, "model.parameters.response_format", why);
        }
        (None, None) => {}
    }
}

/// Cuts a body at lines that name a role: `system:`, `# user:`.
fn parts(body: &str, first: usize, told: &mut Told<'_>) -> Vec<Said> {
    let mut parts = vec![Said { speaker: Speaker::System, text: String::new(), line: first }];
    for (line, text) in (first..).zip(body.split_inclusive('\n')) {
        let word = text.trim().trim_start_matches('#').trim();
        let role = word.strip_suffix(':').map(|role| role.trim().to_ascii_lowercase());
        let (role, attributes) = match &role {
            Some(role) => role.split_once('[').map_or((role.as_str(), false), |(r, _)| (r, true)),
            None => ("", false),
        };
        let known = ["system", "user", "assistant", "developer", "function", "tool"];
        if !known.contains(&role) {
            if text.contains("![") && text.contains("](") {
                told.error(line, "image", "a template is of text only here");
            }
            if let Some(said) = parts.last_mut() {
                // A mark of our own would begin another part.
                match text.strip_prefix("--- ") {
                    Some(rest) => said.text.push_str(&format!("{{{{ \"---\" }}}} {rest}")),
                    None => said.text.push_str(text),
                }
            }
            continue;
        }
        if attributes {
            told.error(line, role, "attributes of a role are not read");
        }
        match speaker(role) {
            Some(speaker) => parts.push(Said { speaker, text: String::new(), line: line + 1 }),
            None => told.error(line, role, "what a tool gave belongs to a call, not to a template"),
        }
    }
    parts.retain(|said| !said.text.trim().is_empty());
    parts
}
