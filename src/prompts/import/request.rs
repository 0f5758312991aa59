//! Members of an OpenAI request that Prompty's parameters and Langfuse's config carry.

use serde_json::Value;

use super::Told;
use super::draft::{Draft, parameter};
use super::node::Node;

/// Takes a member; false where there is no such one.
pub(super) fn take(
    name: &str,
    node: &Node,
    field: &str,
    draft: &mut Draft,
    told: &mut Told<'_>,
) -> bool {
    match name {
        "tools" => node.list().into_iter().flatten().for_each(|tool| {
            match tool.get("function").filter(|f| f.get("name").is_some()) {
                Some(function) => draft.tools.push(function.value()),
                None => told.error(tool.line, field, "is a list of functions"),
            }
        }),
        // Prompty's specification spells it with an s.
        "tool_choice" | "tools_choice" => {
            let named = node.get("function").and_then(|function| function.get("name"));
            match named.unwrap_or(node).text() {
                Some(choice) => draft.tool_choice = Some(choice.to_owned()),
                None => told.error(node.line, field, "is auto, none, required or a function"),
            }
        }
        "response_format" => format(node, field, draft, told),
        name => match parameter(name) {
            Some(own) => draft.parameters.push((own, node.value())),
            None => return false,
        },
    }
    true
}

fn format(node: &Node, field: &str, draft: &mut Draft, told: &mut Told<'_>) {
    let schema = node.get("json_schema").and_then(|named| named.get("schema"));
    match (node.get("type").and_then(Node::text), schema) {
        (Some("text"), _) => {}
        (Some("json_schema"), Some(schema)) => draft.output = Some(schema.value()),
        (Some("json_object"), _) => match &draft.output {
            Some(_) => {}
            None => {
                told.error(node.line, field, "json needs its schema here: describe the outputs")
            }
        },
        _ => told.error(node.line, field, "is text or a json_schema with its schema"),
    }
}

/// An answer's schema of what is said of its members.
pub(super) fn members(node: &Node) -> Value {
    let properties: serde_json::Map<_, _> = node
        .table()
        .into_iter()
        .flatten()
        .map(|member| (member.name.clone(), member.node.value()))
        .collect();
    let names: Vec<String> = properties.keys().cloned().collect();
    crate::prompts::schema::object(properties, &names)
}
