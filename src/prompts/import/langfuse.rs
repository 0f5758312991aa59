//! Langfuse's prompt as its API gives it, of text or of chat, with `{{name}}` for what is put in.
//! <https://langfuse.com/docs/prompt-management/data-model>, <https://api.reference.langfuse.com/#tag/prompts>.

use serde_json::json;

use super::draft::{Draft, Input, Said, literal};
use super::node::{Member, Node, json as read_json};
use super::path::is_word;
use super::{Told, request, speaker};
use crate::prompts::front::Speaker;

pub(super) fn read(text: &str, told: &mut Told<'_>) -> Draft {
    let mut draft = Draft::default();
    let node = match read_json(text) {
        Ok(node) => node,
        Err(broken) => {
            told.errors.line(broken.line, broken.why);
            return draft;
        }
    };
    let Some(members) = node.table() else {
        told.error(node.line, "prompt", "a prompt is an object");
        return draft;
    };
    for Member { name, node } in members {
        match name.as_str() {
            "prompt" => {}
            "type" if matches!(node.text(), Some("text" | "chat")) => {}
            "type" => told.error(node.line, name, "is text or chat"),
            "config" => config(node, &mut draft, told),
            "name" | "version" | "labels" | "tags" | "commitMessage" | "id" | "createdAt"
            | "updatedAt" | "createdBy" | "projectId" | "isActive" | "resolutionGraph" => {
                if !node.is_null() {
                    told.warn(node.line, name, "describes the prompt at Langfuse");
                }
            }
            name => told.error(node.line, name, "is no field of Langfuse's prompts"),
        }
    }
    let Some(prompt) = node.get("prompt") else {
        told.error(node.line, "prompt", "is missing");
        return draft;
    };
    match (prompt.text(), prompt.list()) {
        (Some(text), _) => say(Speaker::User, text, prompt, "prompt", &mut draft, told),
        (None, Some(messages)) => {
            for (place, said) in messages.iter().enumerate() {
                message(said, &format!("prompt[{place}]"), &mut draft, told);
            }
        }
        (None, None) => told.error(prompt.line, "prompt", "is a text or a list of messages"),
    }
    draft
}

/// Langfuse gives the config to the code that asks for it; what requests have by that name is carried.
fn config(node: &Node, draft: &mut Draft, told: &mut Told<'_>) {
    for Member { name, node } in node.table().into_iter().flatten() {
        let field = format!("config.{name}");
        if name == "model" {
            draft.model = node.text().map(str::to_owned);
        } else if !request::take(name, node, &field, draft, told) {
            told.warn(node.line, &field, "is read by code of its own");
        }
    }
}

fn message(node: &Node, field: &str, draft: &mut Draft, told: &mut Told<'_>) {
    let text = |name| node.get(name).and_then(Node::text);
    match text("type") {
        None | Some("message" | "chatmessage") => {}
        Some("placeholder") => {
            let why = "a placeholder for messages: a template has all its messages";
            return told.error(node.line, field, why);
        }
        Some(_) => return told.error(node.line, field, "is a message or a placeholder"),
    }
    let role = text("role").unwrap_or_default();
    match (speaker(role), text("content")) {
        (Some(speaker), Some(content)) => say(speaker, content, node, field, draft, told),
        (None, _) => told.error(node.line, field, format!("nobody speaks as {role:?} here")),
        (Some(_), None) => told.error(node.line, field, "has its content as a text"),
    }
}

/// What is said, with its variables as inputs.
fn say(
    speaker: Speaker,
    text: &str,
    node: &Node,
    field: &str,
    draft: &mut Draft,
    told: &mut Told<'_>,
) {
    let (mut out, mut rest) = (String::new(), text);
    if text.contains("@@@langfusePrompt:") {
        told.error(node.line, field, "names another prompt: put its text in its place");
    }
    while let Some((before, tag)) = rest.split_once("{{") {
        let at_line_start = out.is_empty() || out.ends_with('\n');
        out.push_str(&literal(before, at_line_start));
        let name = tag.split_once("}}").map(|(name, tail)| (name.trim(), tail));
        let Some((name, tail)) = name.filter(|(name, _)| is_word(name)) else {
            let begun: String = tag.chars().take(24).collect();
            let why = format!("{{{{{begun}: what stands between braces is a variable's name");
            return told.error(node.line, field, why);
        };
        out.push_str(&format!("{{{{ {name} }}}}"));
        rest = tail;
        if draft.input(name).is_none() {
            let (name, schema) = (name.to_owned(), json!({ "type": "string" }));
            draft.inputs.push(Input { name, schema, optional: false, line: node.line });
        }
    }
    let at_line_start = out.is_empty() || out.ends_with('\n');
    out.push_str(&literal(rest, at_line_start));
    draft.parts.push(Said { speaker, text: out, line: node.line });
}
