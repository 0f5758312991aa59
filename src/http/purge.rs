//! `/admin/cache`: what is kept, and to forget it.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::admin::{Admin, Problem};
use super::query;
use crate::cache::{Cache, Purge};

/// How much is kept, of how much, for whom, and how many clients wait for replies that others may join.
pub(super) async fn kept(State(admin): State<Admin>) -> Result<Response, Problem> {
    let cache = cache(&admin)?;
    let held = cache.held().into_iter().map(|(account, (bytes, entries))| {
        json!({ "account": &*account, "bytes": bytes, "entries": entries })
    });
    let accounts: Vec<_> = held.collect();
    let (bytes, entries) = (cache.bytes(), cache.entries());
    let most = cache.policy().bounds.max_bytes;
    let waiting = admin.together.clients();
    let disk = cache.disk().map(|disk| {
        let (bytes, entries) = disk.held();
        json!({ "bytes": bytes, "entries": entries })
    });
    let told = json!({
        "bytes": bytes, "entries": entries, "max_bytes": most, "waiting": waiting,
        "accounts": accounts, "disk": disk,
    });
    Ok(super::json(&told))
}

/// Forgets replies of `?account=` (and all below it), `?model=`, `?prompt=` (a name, or one version of
/// it), of what is all of these, or all there are.
pub(super) async fn purge(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut purge = Purge::default();
    for (name, value) in query::pairs(query.as_deref().unwrap_or("")) {
        match name.as_str() {
            "account" => purge.account = Some(value),
            "model" => purge.model = Some(value),
            "prompt" => purge.prompt = Some(value),
            // A slip of the pen must not forget everything.
            _ => {
                let detail = format!("{name} is not known here: account, model and prompt are");
                return Err(Problem(StatusCode::BAD_REQUEST, detail));
            }
        }
    }
    let cache = cache(&admin)?;
    let purged = tokio::task::spawn_blocking(move || cache.purge(purge)).await;
    purged
        .map_err(|error| error.to_string())
        .and_then(|done| done.map_err(|e| e.to_string()))
        .map_err(|why| Problem(StatusCode::INTERNAL_SERVER_ERROR, format!("{why}; memory was")))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn cache(admin: &Admin) -> Result<Arc<Cache>, Problem> {
    let none = || Problem(StatusCode::NOT_FOUND, "no [cache] is configured".to_owned());
    admin.cache.get().ok_or_else(none)
}
