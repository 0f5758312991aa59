//! Picoschema, dotprompt's short form of JSON Schema: <https://google.github.io/dotprompt/reference/picoschema/>.

use serde_json::{Map, Value, json};

use super::Told;
use super::node::{Data, Node};

const SCALARS: [&str; 6] = ["string", "null", "number", "integer", "boolean", "any"];

/// The JSON Schema of a schema's node: as it is where it is one already, else read as Picoschema.
pub(super) fn schema(node: &Node, field: &str, told: &mut Told<'_>) -> Option<Value> {
    let kind = node.get("type").and_then(Node::text);
    if kind.is_some_and(|kind| SCALARS.contains(&kind) || kind == "object" || kind == "array") {
        return Some(node.value());
    }
    if node.get("properties").is_some_and(|properties| properties.table().is_some()) {
        let mut value = node.value();
        value["type"] = "object".into();
        return Some(value);
    }
    short(node, field, told)
}

fn short(node: &Node, field: &str, told: &mut Told<'_>) -> Option<Value> {
    match &node.data {
        Data::Scalar(Value::String(text)) => scalar(text, node.line, field, told),
        Data::Table(_) => object(node, field, told),
        Data::Scalar(_) | Data::List(_) => {
            told.error(node.line, field, "a schema is a type's name or a table of members");
            None
        }
    }
}

/// `string, what it is for`.
fn scalar(text: &str, line: usize, field: &str, told: &mut Told<'_>) -> Option<Value> {
    let (kind, about) = text.split_once(',').unwrap_or((text, ""));
    let (kind, about) = (kind.trim(), about.trim());
    if !SCALARS.contains(&kind) {
        let why = format!(
            "there is no type {kind:?}: it is one of {}; a schema registered under a name stands \
             in no file",
            SCALARS.join(", ")
        );
        told.error(line, field, why);
        return None;
    }
    let mut schema = Map::new();
    if kind != "any" {
        schema.insert("type".to_owned(), kind.into());
    }
    described(&mut schema, about);
    Some(Value::Object(schema))
}

fn described(schema: &mut Map<String, Value>, about: &str) {
    if !about.is_empty() {
        schema.insert("description".to_owned(), about.into());
    }
}

fn object(node: &Node, field: &str, told: &mut Told<'_>) -> Option<Value> {
    let (mut properties, mut required, mut other) = (Map::new(), Vec::new(), Value::from(false));
    for member in node.table().into_iter().flatten() {
        let below = format!("{field}.{}", member.name);
        if member.name == "(*)" {
            other = short(&member.node, &below, told)?;
            continue;
        }
        let (name, kind) = match member.name.split_once('(') {
            Some((name, kind)) => (name, kind.strip_suffix(')')),
            None => (member.name.as_str(), None),
        };
        let optional = name.ends_with('?');
        let name = name.trim_end_matches('?');
        let schema = match kind {
            None => short(&member.node, &below, told)?,
            Some(kind) => of_kind(kind, &member.node, &below, told)?,
        };
        if !optional {
            required.push(name.to_owned());
        }
        properties.insert(name.to_owned(), if optional { nullable(schema) } else { schema });
    }
    let mut schema = crate::prompts::schema::object(properties, &required);
    schema["additionalProperties"] = other;
    Some(schema)
}

/// `tags(array, what they are for): string`.
fn of_kind(kind: &str, node: &Node, field: &str, told: &mut Told<'_>) -> Option<Value> {
    let (kind, about) = kind.split_once(',').unwrap_or((kind, ""));
    let mut schema = match kind.trim() {
        "array" => json!({ "type": "array", "items": short(node, field, told)? }),
        "object" => object(node, field, told)?,
        "enum" if node.list().is_some() => json!({ "enum": node.value() }),
        kind => {
            told.error(node.line, field, format!("{kind:?} is no array, object or enum"));
            return None;
        }
    };
    if let Value::Object(schema) = &mut schema {
        described(schema, about.trim());
    }
    Some(schema)
}

/// An optional member may be null, too, where it has one type.
fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema["type"].as_str() {
        schema["type"] = json!([kind, "null"]);
    }
    schema
}
