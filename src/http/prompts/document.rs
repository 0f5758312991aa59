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
    for version in served(&library, &caller) {
        paths
            .insert(format!("/v1/prompts/{}", version.name), json!({ "post": operation(version) }));
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
            "schemas": { "Error": error(), "Usage": usage() },
        },
    }))
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
        content["text/event-stream"] = json!({ "schema": { "type": "string" } });
    }
    let id: String = version.name.replace('-', "_");
    json!({
        "operationId": format!("run_{id}"),
        "summary": template.description.clone().unwrap_or_else(|| version.name.to_string()),
        "tags": ["prompts"],
        "x-prompt": &*version.tag,
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": request } },
        },
        "responses": {
            "200": { "description": "The answer", "content": content },
            "default": {
                "description": "A refusal or a failure",
                "content": {
                    "application/json": { "schema": { "$ref": "#/components/schemas/Error" } },
                },
            },
        },
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
