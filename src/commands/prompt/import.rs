//! `prompt import`: another maker's file as a template of ours.

use std::io::Write;

use anyhow::{Context, Result};
use serde_json::json;
use tollgate::cli::{Exit, Output, PromptImportArgs, PromptMaker};
use tollgate::prompts::{Imported, Maker, import};

pub(super) fn run(args: &PromptImportArgs, output: &mut Output) -> Result<Exit> {
    let file = args.file.display().to_string();
    let maker = match args.from {
        Some(PromptMaker::Dotprompt) => Maker::Dotprompt,
        Some(PromptMaker::Prompty) => Maker::Prompty,
        Some(PromptMaker::Langfuse) => Maker::Langfuse,
        None => Maker::of(&file).with_context(|| {
            format!(
                "{file} ends in none of .prompt, .prompty and .json: say whose it is with --from"
            )
        })?,
    };
    let text = crate::commands::input(Some(&args.file))?;
    let Imported { text, warnings } = match import(maker, &file, &text, args.model.as_deref()) {
        Ok(imported) => imported,
        Err(problems) => {
            for problem in &problems {
                output.error(&problem.to_string())?;
            }
            return Ok(Exit::Found);
        }
    };
    for warning in &warnings {
        output.remark(&format!("not carried: {warning}"))?;
    }
    match &args.output {
        Some(path) => {
            let made = std::fs::File::create_new(path)
                .and_then(|mut made| made.write_all(text.as_bytes()));
            made.with_context(|| format!("cannot write {}", path.display()))?;
        }
        None if output.json() => {
            let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            output.line(&json!({ "source": text, "warnings": warnings }).to_string())?;
        }
        None => output.answer(&text)?,
    }
    Ok(Exit::Good)
}
