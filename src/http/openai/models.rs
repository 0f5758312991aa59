//! `GET /v1/models` and `GET /v1/models/{id}`: the names this caller may ask for.

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use tollgate_providers::Dialect;

use crate::clock;
use crate::http::{Failed, Front, caller, json};
use crate::routing::Route;
use crate::tenants::Caller;

const DIALECT: Dialect = Dialect::OpenAiChat;

#[derive(Serialize)]
struct Model {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: String,
}

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Model>,
}

pub(in crate::http) async fn list(State(front): State<Front>, headers: HeaderMap) -> Response {
    let caller = match caller::authenticate(&front, &headers) {
        Ok(caller) => caller,
        Err(denied) => return Failed::from(denied).response(DIALECT, None),
    };
    let runtime = front.worker.services.runtime.load();
    let now = clock::now();
    let served = runtime.routes.iter().filter(|(_, route)| route.ended(now).is_none());
    let mine = served.filter(|(name, _)| caller.models.allows(name));
    let data = mine.map(|(name, route)| model(name, route)).collect();
    json(&List { object: "list", data })
}

pub(in crate::http) async fn one(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let found = caller::authenticate(&front, &headers)
        .map_err(Failed::from)
        .and_then(|caller| find(&front, &caller, &id));
    match found {
        Ok(model) => json(&model),
        Err(failed) => failed.response(DIALECT, None),
    }
}

fn find(front: &Front, caller: &Caller, id: &str) -> Result<Model, Failed> {
    let runtime = front.worker.services.runtime.load();
    let route = runtime.routes.find(id).ok().filter(|_| caller.models.allows(id));
    route.map(|route| model(id, &route)).ok_or_else(|| {
        Failed::from(crate::call::CallError::NoModel { model: id.to_owned(), nearest: Vec::new() })
    })
}

fn model(id: &str, route: &Route) -> Model {
    let owners: Vec<&str> = route.targets.iter().map(|t| &*t.provider_name).collect();
    let owned_by = match owners.as_slice() {
        [only] => (*only).to_owned(),
        _ => "tollgate".to_owned(),
    };
    // OpenAI's object has a time of creation; a name of the configuration has none.
    Model { id: id.to_owned(), object: "model", created: 0, owned_by }
}
