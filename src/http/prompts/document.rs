//! `GET /v1/openapi.json`: the caller's prompts as an OpenAPI document, one typed operation each, so
//! that a client can be generated (OpenAPI 3.1, whose schemas are JSON Schema).

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::{DIALECT, served};
use crate::http::{Failed, Front, caller, json};
use crate::prompts::Version;

pub(in crate::http) async fn openapi(State(front): State<Front>, headers: HeaderMap) -> Response {
    let caller = match caller::authenticate(&front, &headers) {
        Ok(caller) => caller,
        Err(denied) => return Failed::from(denied).response(DIALECT, None),
    };
    let library = front.worker.services.prompts.library();
    let mut paths = Map::new();
    paths.insert("/v1/prompts".to_owned(), json!({ "get": list() }));
    for version in served(&library, &caller) {
        let each = json!({ "get": describe(version), "post": operation(version) });
        paths.insert(format!("/v1/prompts/{}", version.name), each);
    }
    json(&json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Prompts of {}", caller.account),
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "security": [{ "key": [] }],
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": error(), "Prompt": prompt(), "Usage": usage() },
        },
    }))
}

fn list() -> Value {
    let prompts = json!({ "type": "array", "items": { "$ref": "#/components/schemas/Prompt" } });
    let schema = json!({
        "type": "object",
        "properties": { "object": { "const": "list" }, "data": prompts },
        "required": ["object", "data"],
    });
    let content = json!({ "application/json": { "schema": schema } });
    json!({
        "operationId": "list_prompts",
        "summary": "Every prompt that may be run",
        "tags": ["prompts"],
        "responses": responses("The prompts", &content),
    })
}

fn describe(version: &Version) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Prompt" });
    let content = json!({ "application/json": { "schema": schema } });
    json!({
        "operationId": format!("describe_{}", identifier(version)),
        "summary": format!("What {} takes and gives", version.name),
        "tags": ["prompts"],
        "responses": responses("The prompt", &content),
    })
}

/// The name of a prompt as part of a name in code.
fn identifier(version: &Version) -> String {
    version.name.replace('-', "_")
}

/// An answer, and what there is in its stead.
fn responses(what: &str, content: &Value) -> Value {
    let error = json!({ "schema": { "$ref": "#/components/schemas/Error" } });
    json!({
        "200": { "description": what, "content": content },
        "default": {
            "description": "A refusal or a failure",
            "content": { "application/json": error },
        },
    })
}

fn operation(version: &Version) -> Value {
    let template = &version.template;
    let inputs = template.inputs();
    let needed = inputs["required"].as_array().is_some_and(|required| !required.is_empty());
    let mut properties = json!({ "inputs": inputs });
    if template.output().is_none() {
        let what = "answer with server-sent events of chat completion chunks";
        properties["stream"] = json!({ "type": "boolean", "default": false, "description": what });
    }
    let request = json!({
        "type": "object",
        "properties": properties,
        "required": if needed { vec!["inputs"] } else { Vec::new() },
        "additionalProperties": false,
    });
    let mut content = json!({ "application/json": { "schema": run(version) } });
    if template.output().is_none() {
        // OpenAPI 3.1 has no words for the events of a stream.
        content["text/event-stream"] = json!({});
    }
    json!({
        "operationId": format!("run_{}", identifier(version)),
        "summary": template.description.clone().unwrap_or_else(|| version.name.to_string()),
        "tags": ["prompts"],
        "x-prompt": &*version.tag,
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": request } },
        },
        "responses": responses("The answer", &content),
    })
}

/// A prompt as `GET` describes it.
fn prompt() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "properties": {
            "object": { "const": "prompt" },
            "name": text,
            "version": { "type": "integer", "minimum": 1 },
            "digest": { "type": "string", "description": "blake3 of its text" },
            "labels": { "type": "array", "items": text },
            "versions": { "type": "array", "items": { "type": "integer" } },
            "description": { "type": ["string", "null"] },
            "model": text,
            "inputs": { "type": "object", "description": "JSON Schema of the inputs" },
            "output": {
                "type": ["object", "null"],
                "description": "JSON Schema of the answer, where it is an object",
            },
        },
        "required": ["object", "name", "version", "digest", "labels", "versions", "model", "inputs"],
    })
}

/// What a run answers with.
fn run(version: &Version) -> Value {
    let text = json!({ "type": "string" });
    let output = version.template.output().cloned().unwrap_or_else(|| text.clone());
    json!({
        "type": "object",
        "properties": {
            "object": { "const": "prompt.run" },
            "id": text,
            "prompt": { "type": "string", "description": "name@version" },
            "output": output,
            "finish_reason": text,
            "usage": { "$ref": "#/components/schemas/Usage" },
            "cost_usd": { "type": "string", "description": "dollars as a decimal, over all calls" },
            "calls": { "type": "array", "items": text },
            "tool_calls": { "type": "array", "items": { "type": "object" } },
            "model": text,
            "provider": text,
        },
        "required": ["object", "id", "prompt", "output", "finish_reason", "cost_usd", "calls"],
    })
}

fn usage() -> Value {
    let count = json!({ "type": "integer" });
    json!({
        "type": ["object", "null"],
        "properties": {
            "prompt_tokens": count,
            "completion_tokens": count,
            "total_tokens": count,
        },
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": { "type": "string" },
                    "type": { "type": "string" },
                    "code": { "type": ["string", "null"] },
                    "param": { "type": ["string", "null"] },
                },
                "required": ["message", "type"],
            },
        },
        "required": ["error"],
    })
}
