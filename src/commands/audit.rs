//! `tollgate audit`.

use anyhow::Result;
use tollgate::cli::{Exit, Global, Json, Output};
use tollgate::ledger;

use super::configuration;

pub(super) fn run(global: &Global, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let progress = output.progress(0, "auditing");
    let audited = ledger::audit(&snapshot.storage.path, |done, all| progress.at(done, all))?;
    drop(progress);
    match audited {
        Ok(audited) => {
            if output.json() {
                let text = Json::object([
                    ("ok", Json::Bool(true)),
                    ("entries", audited.entries.into()),
                    ("accounts", audited.accounts.into()),
                    ("open_holds", audited.open_holds.into()),
                    ("charged_usd", audited.charged.to_string().as_str().into()),
                    ("owed_usd", audited.owed.to_string().as_str().into()),
                    ("absorbed_usd", audited.absorbed.to_string().as_str().into()),
                    ("markup_usd", audited.markup.to_string().as_str().into()),
                ]);
                output.line(&text.render())?;
            } else {
                output.line(&format!(
                    "good: {} rows and {} accounts agree; charged ${}, owed ${}, absorbed ${}, markup ${}; {} calls in flight",
                    audited.entries,
                    audited.accounts,
                    audited.charged,
                    audited.owed,
                    audited.absorbed,
                    audited.markup,
                    audited.open_holds,
                ))?;
            }
            Ok(Exit::Good)
        }
        Err(found) => {
            let found = found.to_string();
            if output.json() {
                let text =
                    Json::object([("ok", Json::Bool(false)), ("error", found.as_str().into())]);
                output.line(&text.render())?;
            } else {
                output.line(&format!("the ledger does not agree with itself: {found}"))?;
            }
            Ok(Exit::Found)
        }
    }
}
