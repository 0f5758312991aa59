//! `tollgate check`.

use anyhow::Result;
use tollgate::cli::{CheckReport, Exit, Global, Output};
use tollgate::config;

pub(super) fn run(global: &Global, output: &mut Output) -> Result<Exit> {
    let (problems, exit) = match config::load(global.config(), &super::environment) {
        Ok(snapshot) => (snapshot.warnings, Exit::Good),
        Err(problems) => (problems, Exit::Found),
    };
    let file = global.config().display().to_string();
    output.check(&CheckReport { file: &file, problems: &problems })?;
    Ok(exit)
}
