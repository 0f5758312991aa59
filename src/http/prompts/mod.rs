//! Prompts as endpoints: listed, described, run; and as models that any SDK can ask for. Every run
//! goes through `call::serve` like any other call.

pub(super) mod admin;
mod document;
mod run;
pub(super) mod shared;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use serde_json::{Map, Value, json};
use tollgate_providers::unified::{Block, ChatRequest, Message, Role};
use tollgate_providers::{Dialect, responses};

use super::{Failed, Front, caller, json};
use crate::call::Prompted;
use crate::ledger::CallId;
use crate::prompts::{Library, Rendered, Version};
use crate::tenants::Caller;

pub(super) use document::openapi;
pub(super) use run::create;

const DIALECT: Dialect = Dialect::OpenAiChat;
/// A model of this kind is a template: `prompt/summarize`.
const MODEL: &str = "prompt/";

/// `GET /v1/prompts`: those whose model the caller may ask for.
pub(super) async fn list(State(front): State<Front>, headers: HeaderMap) -> Response {
    let caller = match caller::authenticate(&front, &headers) {
        Ok(caller) => caller,
        Err(denied) => return Failed::from(denied).response(DIALECT, None),
    };
    let library = front.worker.services.prompts.library();
    let data: Vec<Value> = served(&library, &caller).map(|one| describe(&library, one)).collect();
    json(&json!({ "object": "list", "data": data }))
}

/// `GET /v1/prompts/{name}`, which may name a version or a label: `summarize@3`.
pub(super) async fn one(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Response {
    let library = front.worker.services.prompts.library();
    let found = caller::authenticate(&front, &headers)
        .map_err(Failed::from)
        .and_then(|caller| find(&library, &caller, &name));
    match found {
        Ok(version) => json(&describe(&library, version)),
        Err(failed) => failed.response(DIALECT, None),
    }
}

/// What the caller may run by its bare name.
fn served<'l>(library: &'l Library, caller: &Caller) -> impl Iterator<Item = &'l Arc<Version>> {
    library.served().filter(|version| may_use(library, caller, version))
}

/// Whether the caller may ask for the template's model, and the template is its own, shared with it, or
/// everybody's.
fn may_use(library: &Library, caller: &Caller, version: &Version) -> bool {
    caller.models.allows(&version.template.model)
        && library.shares().allow(&version.name, &caller.account)
}

/// A template that the caller may not use is as unknown as one that never was.
fn find<'l>(library: &'l Library, caller: &Caller, name: &str) -> Result<&'l Arc<Version>, Failed> {
    allowed(library, caller, name, library.find(name).ok())
}

/// The version for one call, where a label divides its calls between two.
fn pick<'l>(library: &'l Library, caller: &Caller, name: &str) -> Result<&'l Arc<Version>, Failed> {
    // The last digits of a fresh id are random.
    let draw = u32::try_from(CallId::new().0 % 100).unwrap_or(0);
    allowed(library, caller, name, library.pick(name, draw).ok())
}

fn allowed<'l>(
    library: &'l Library,
    caller: &Caller,
    name: &str,
    found: Option<&'l Arc<Version>>,
) -> Result<&'l Arc<Version>, Failed> {
    found.filter(|version| may_use(library, caller, version)).ok_or_else(|| {
        let names: Vec<&str> = served(library, caller).map(|version| &*version.name).collect();
        Failed::no_prompt(name, &names)
    })
}

fn describe(library: &Library, version: &Version) -> Value {
    let template = &version.template;
    json!({
        "object": "prompt",
        "name": &*version.name,
        "version": version.number,
        "digest": blake3::Hash::from(version.digest).to_hex().as_str(),
        "labels": library.labels(version),
        "versions": library.versions(&version.name).map(|v| v.number).collect::<Vec<_>>(),
        "description": template.description,
        "model": template.model,
        "inputs": template.inputs(),
        "output": template.output(),
    })
}

fn prompted(version: &Version, dialect: Dialect) -> Prompted {
    let (name, tag) = (version.name.clone(), version.tag.clone());
    let keep = version.template.cache;
    Prompted { name, tag, dialect, echo: String::new(), keep }
}

/// The template that a model's name asks for.
pub(super) fn named(model: &str) -> Option<&str> {
    model.strip_prefix(MODEL)
}

/// A chat request that asks for a template: its inputs are the metadata of their names, and the user's
/// message is the one required text that has no value yet.
pub(super) fn from_chat(
    front: &Front,
    caller: &Caller,
    name: &str,
    request: &ChatRequest<'_>,
    dialect: Dialect,
) -> Result<(Rendered, Prompted), Failed> {
    let library = front.worker.services.prompts.library();
    let version = pick(&library, caller, name)?;
    let template = &version.template;
    let mut inputs = Map::new();
    let metadata: Option<Map<String, Value>> =
        request.metadata.and_then(|raw| serde_json::from_str(raw.get()).ok());
    for (name, value) in metadata.into_iter().flatten() {
        if template.inputs()["properties"].get(&name).is_some() {
            let value = match value {
                Value::String(text) => template.typed(&name, &text),
                other => other,
            };
            inputs.insert(name, value);
        }
    }
    if !request.tools.is_empty() {
        return Err(only_text());
    }
    rendered(version, inputs, &request.messages, dialect)
}

/// A request that names a template as OpenAI's `prompt` objects did; the model may be another one.
pub(super) fn from_prompt(
    front: &Front,
    caller: &Caller,
    prompt: &responses::Prompt<'_>,
    dialect: Dialect,
) -> Result<(Rendered, Prompted), Failed> {
    let library = front.worker.services.prompts.library();
    let version = find(&library, caller, &prompt.name).map_err(|failed| failed.param("prompt"))?;
    let template = &version.template;
    let typed = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.clone(), |text| template.typed(name, text));
        (name.clone(), value)
    };
    let inputs = prompt.variables.iter().map(typed).collect();
    let (mut rendered, prompted) = rendered(version, inputs, &prompt.said, dialect)?;
    if let Some(model) = &prompt.model {
        rendered.ask(model);
    }
    Ok((rendered, prompted))
}

/// The template with its inputs, and with what is said in the place of the one that has no value yet.
fn rendered(
    version: &Version,
    mut inputs: Map<String, Value>,
    messages: &[Message<'_>],
    dialect: Dialect,
) -> Result<(Rendered, Prompted), Failed> {
    let template = &version.template;
    let said = said(messages)?;
    if !said.is_empty() {
        let Some(open) = template.open_text(&inputs) else {
            let message = format!(
                "the message has no place: {} takes its inputs as metadata, and a message only \
                 where one required text is left",
                version.tag
            );
            return Err(Failed::parameter("messages", message));
        };
        inputs.insert(open.to_owned(), said.into());
    }
    Ok((template.render(inputs)?, prompted(version, dialect)))
}

/// What the only message says, if there is one; a template brings the rest of the conversation itself.
fn said(messages: &[Message<'_>]) -> Result<String, Failed> {
    let mut said = String::new();
    match messages {
        [] => Ok(said),
        [only] if only.role == Role::User => {
            for block in &only.blocks {
                let Block::Text { text, .. } = block else { return Err(only_text()) };
                said.push_str(text);
            }
            Ok(said)
        }
        _ => Err(only_text()),
    }
}

fn only_text() -> Failed {
    let message = "a prompt takes one message, the user's, and of text only";
    Failed::parameter("messages", message)
}
