//! `tollgate serve`.

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use tollgate::app::Gateway;
use tollgate::cli::{Exit, Global, Output};
use tollgate::telemetry;

use super::{configuration, source};

pub(super) fn run(global: &Global, output: &mut Output) -> Result<Exit> {
    telemetry::log(std::env::var("TOLLGATE_LOG").ok().as_deref());
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    for warning in &snapshot.warnings {
        tracing::warn!(path = warning.path, "{}", warning.message);
    }
    let gateway = Gateway::open(snapshot, source(global.config())).context("cannot start")?;
    let mut told = Ok(());
    gateway.serve(CancellationToken::new(), |_, data, admin| {
        told = output.line(&format!("data plane: http://{data}"));
        if let (Ok(()), Some(admin)) = (&told, admin) {
            told = output.line(&format!("admin: http://{admin}"));
        }
    })?;
    told?;
    Ok(Exit::Good)
}
