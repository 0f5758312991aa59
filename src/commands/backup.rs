//! `tollgate backup` and `tollgate restore`.

use anyhow::Result;
use tollgate::cli::{BackupArgs, Exit, Global, Json, Output, RestoreArgs};
use tollgate::ledger::{self, Audited, CopyPhase, Discrepancy};

use super::configuration;

pub(super) fn backup(global: &Global, args: &BackupArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let progress = output.progress(0, "copying");
    let copied = ledger::backup(&snapshot.storage.path, &args.file, |phase, done, all| {
        if phase == CopyPhase::Auditing {
            progress.say("auditing the copy");
        }
        progress.at(done, all);
    })?;
    drop(progress);
    tell(output, copied, "the ledger was not copied", &args.file.display().to_string())
}

pub(super) fn restore(global: &Global, args: &RestoreArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let progress = output.progress(0, "auditing the copy");
    let restored =
        ledger::restore(&snapshot.storage.path, &args.file, |_, done, all| progress.at(done, all))?;
    drop(progress);
    tell(output, restored, "nothing was restored", &snapshot.storage.path.display().to_string())
}

fn tell(
    output: &mut Output,
    result: Result<Audited, Discrepancy>,
    otherwise: &str,
    file: &str,
) -> Result<Exit> {
    let (exit, text, json) = match result {
        Ok(audited) => (
            Exit::Good,
            format!("good: {file} has {} rows, and they agree", audited.entries),
            Json::object([
                ("ok", Json::Bool(true)),
                ("file", file.into()),
                ("entries", audited.entries.into()),
            ]),
        ),
        Err(found) => {
            let text = format!("{otherwise}, for it does not agree with itself: {found}");
            let json = Json::object([("ok", Json::Bool(false)), ("error", text.as_str().into())]);
            (Exit::Found, text, json)
        }
    };
    output.line(&if output.json() { json.render() } else { text })?;
    Ok(exit)
}
