//! Reaches a running gateway through its admin plane: its database has one writer, which is not us.

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::Value;
use tollgate::config::Snapshot;
use tollgate::upstream::request_local;

/// Asks the running gateway. A refusal is an error with the gateway's own words.
pub(super) fn ask(snapshot: &Snapshot, method: Method, path: &str, body: &Value) -> Result<Value> {
    let admin = snapshot.server.admin.as_ref().context(
        "the gateway is running and has no admin plane to ask: stop it, or set server.admin_listen",
    )?;
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let (status, _, answer) = request_local(admin.listen, admin.key.expose(), method, path, body)?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    if !status.is_success() {
        bail!("{}", answer["detail"].as_str().unwrap_or("the gateway refused"));
    }
    Ok(answer)
}
