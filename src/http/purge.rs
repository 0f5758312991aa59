//! `DELETE /admin/cache`: forgets kept replies.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::admin::{Admin, Problem};
use super::query;

/// Forgets replies of `?account=` (and all below it), of `?model=`, of both, or all there are.
pub(super) async fn purge(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (mut account, mut model) = (None, None);
    for (name, value) in query::pairs(query.as_deref().unwrap_or("")) {
        match name.as_str() {
            "account" => account = Some(value),
            "model" => model = Some(value),
            // A slip of the pen must not forget everything.
            _ => {
                let detail = format!("{name} is not known here: account and model are");
                return Err(Problem(StatusCode::BAD_REQUEST, detail));
            }
        }
    }
    let Some(cache) = admin.cache.get() else {
        return Err(Problem(StatusCode::NOT_FOUND, "no [cache] is configured".to_owned()));
    };
    cache.purge(account.as_deref(), model.as_deref());
    Ok(StatusCode::NO_CONTENT.into_response())
}
