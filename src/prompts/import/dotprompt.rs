//! dotprompt: front matter in YAML, Picoschema and a Handlebars body.
//! <https://google.github.io/dotprompt/reference/frontmatter/>.

use serde_json::{Value, json};

use super::draft::{Draft, parameter};
use super::node::{Member, Node, yaml};
use super::{Told, cut, handlebars, picoschema};

pub(super) fn read(text: &str, told: &mut Told<'_>) -> Draft {
    let mut draft = Draft::default();
    let (front, first, body, body_at) = cut(text).unwrap_or(("", 1, text, 1));
    let node = match yaml(front, first) {
        Ok(node) => node,
        Err(broken) => {
            told.errors.line(broken.line, broken.why);
            return draft;
        }
    };
    let Some(members) = node.table() else {
        told.error(node.line, "front matter", "is a table");
        return draft;
    };
    for Member { name, node } in members {
        member(name, node, &mut draft, told);
    }
    draft.parts = handlebars::parts(body, body_at, &draft, told);
    draft
}

fn member(name: &str, node: &Node, draft: &mut Draft, told: &mut Told<'_>) {
    match name {
        "description" => draft.description = node.text().map(str::to_owned),
        "model" => draft.model = node.text().map(str::to_owned),
        "config" => {
            for Member { name, node } in node.table().into_iter().flatten() {
                match parameter(name) {
                    Some(own) => draft.parameters.push((own, node.value())),
                    None => told.error(
                        node.line,
                        &format!("config.{name}"),
                        "no such parameter is sent",
                    ),
                }
            }
        }
        "input" => input(node, draft, told),
        "output" => output(node, draft, told),
        "tools" => {
            for tool in node.list().into_iter().flatten() {
                let why = "names a tool that its code registers: put it into toolDefs";
                told.error(tool.line, "tools", why);
            }
        }
        "toolDefs" => {
            node.list().into_iter().flatten().for_each(|tool| definition(tool, draft, told))
        }
        "name" | "variant" | "version" | "metadata" => {
            told.warn(node.line, name, "describes the file; a template has its file's name here");
        }
        name if name.contains('.') => {
            told.warn(node.line, name, "is another program's own");
        }
        name => told.error(node.line, name, "is no field of dotprompt's front matter"),
    }
}

fn input(node: &Node, draft: &mut Draft, told: &mut Told<'_>) {
    for Member { name, node } in node.table().into_iter().flatten() {
        match name.as_str() {
            "schema" => {
                let Some(schema) = picoschema::schema(node, "input.schema", told) else { continue };
                if schema["type"] == "object" {
                    draft.take_inputs(&schema, node, told);
                } else {
                    told.error(node.line, "input.schema", "is an object of named inputs");
                }
            }
            "default" => {}
            name => told.error(node.line, &format!("input.{name}"), "is no field of dotprompt's"),
        }
    }
    // Of inputs that the schema names, wherever it stands.
    if let Some(defaults) = node.get("default") {
        draft.take_defaults(defaults, "input.default", told);
    }
}

fn output(node: &Node, draft: &mut Draft, told: &mut Told<'_>) {
    let schema =
        node.get("schema").and_then(|schema| picoschema::schema(schema, "output.schema", told));
    for Member { name, node } in node.table().into_iter().flatten() {
        match (name.as_str(), node.text()) {
            ("schema", _) => {
                if schema.as_ref().is_some_and(|schema| schema["type"] != "object") {
                    told.error(
                        node.line,
                        "output.schema",
                        "is an object's: others are not asked for",
                    );
                }
            }
            ("format", Some("text")) => {
                if schema.is_some() {
                    told.error(node.line, "output.format", "text has no schema");
                }
            }
            ("format", Some("json")) => {
                if schema.is_none() {
                    told.error(node.line, "output.format", "json needs its schema here");
                }
            }
            ("format", _) => told.error(node.line, "output.format", "is text or json here"),
            (name, _) => {
                told.error(node.line, &format!("output.{name}"), "is no field of dotprompt's");
            }
        }
    }
    draft.output = schema;
}

fn definition(node: &Node, draft: &mut Draft, told: &mut Told<'_>) {
    let text = |name| node.get(name).and_then(Node::text);
    let Some(name) = text("name") else {
        return told.error(node.line, "toolDefs", "a tool has a name");
    };
    let mut tool = json!({ "name": name });
    if let Some(about) = text("description") {
        tool["description"] = about.into();
    }
    for Member { name, node } in node.table().into_iter().flatten() {
        match name.as_str() {
            "name" | "description" => {}
            "inputSchema" => {
                let schema = picoschema::schema(node, "toolDefs.inputSchema", told);
                tool["parameters"] = schema.unwrap_or(Value::Null);
            }
            "outputSchema" => {
                told.warn(node.line, "toolDefs.outputSchema", "is not told to models")
            }
            name => {
                told.error(node.line, &format!("toolDefs.{name}"), "is no field of dotprompt's")
            }
        }
    }
    draft.tools.push(tool);
}
