//! `/admin/prompts`: every version and label, publishing a text, moving a label.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control::PromptError;
use crate::http::admin::{Admin, Problem, blocking, ok, read};

/// The largest body of a text to publish.
pub(in crate::http) const MOST_BODY: usize = 512 * 1024;

impl From<PromptError> for Problem {
    fn from(error: PromptError) -> Problem {
        let status = match error {
            PromptError::Name(_) | PromptError::Text(_) | PromptError::Percent(_) => {
                StatusCode::BAD_REQUEST
            }
            PromptError::Unknown(_) => StatusCode::NOT_FOUND,
            PromptError::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
            PromptError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem(status, error.to_string())
    }
}

pub(in crate::http) async fn list(State(admin): State<Admin>) -> Response {
    let library = admin.publisher.library();
    let mut data = Vec::new();
    for served in library.served() {
        let each = library.versions(&served.name);
        let owned = library.shares().of(&served.name);
        data.extend(each.map(|version| {
            json!({
                "name": &*version.name,
                "version": version.number,
                "labels": library.labels(version),
                "trials": library.trials(version).into_iter().collect::<BTreeMap<_, _>>(),
                "current": version.number == served.number,
                "model": version.template.model,
                "description": version.template.description,
                "owner": owned.map(|owned| &owned.account),
                "offered": owned.map(|owned| owned.offered),
                "subscribers": owned.map(|owned| &owned.subscribers),
            })
        }));
    }
    ok(&json!({ "data": data }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
    source: String,
    label: Option<String>,
    percent: Option<u32>,
}

pub(in crate::http) async fn publish(
    State(admin): State<Admin>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Wish { name, source, label, percent } = read(&body)?;
    let mut answer = json!({ "name": name, "label": label, "percent": percent });
    let source = source.replace("\r\n", "\n");
    let publish = move || admin.publisher.publish(&name, &source, label.as_deref(), percent);
    answer["version"] = Value::from(blocking(publish).await?);
    Ok((StatusCode::CREATED, ok(&answer)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelWish {
    name: String,
    label: String,
    version: u32,
    percent: Option<u32>,
}

pub(in crate::http) async fn label(
    State(admin): State<Admin>,
    body: Bytes,
) -> Result<Response, Problem> {
    let LabelWish { name, label, version, percent } = read(&body)?;
    let answer = json!({ "name": name, "label": label, "version": version, "percent": percent });
    blocking(move || admin.publisher.label(&name, &label, version, percent)).await?;
    Ok(ok(&answer))
}
