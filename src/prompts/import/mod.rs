//! Templates of other makers, written as ours: dotprompt, Prompty and Langfuse.
//!
//! One rule decides what happens to what has no place here: where it would change what is asked or
//! what is answered, it is an error with its field and line; where it only describes the file, it is a
//! warning.

mod dotprompt;
mod draft;
mod handlebars;
mod langfuse;
mod node;
mod path;
mod picoschema;
mod prompty;
mod request;

use super::front::{Notes, Speaker};
use super::{Problem, Template};

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// `.prompt`: <https://google.github.io/dotprompt/reference/>.
    Dotprompt,
    /// `.prompty`: <https://github.com/microsoft/prompty/blob/main/Prompty.yaml>.
    Prompty,
    /// JSON as Langfuse's API gives it: <https://langfuse.com/docs/prompt-management/data-model>.
    Langfuse,
}

impl Maker {
    /// By the file's ending.
    pub fn of(file: &str) -> Option<Maker> {
        let ending = file.rsplit_once('.')?.1;
        match ending {
            "prompt" => Some(Maker::Dotprompt),
            "prompty" => Some(Maker::Prompty),
            "json" => Some(Maker::Langfuse),
            _ => None,
        }
    }
}

/// A file as one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The text of the template's file.
    pub text: String,
    /// What describes the other file and has no place here.
    pub warnings: Vec<Problem>,
}

/// Writes another maker's file as a template that [`Template::parse`] takes. `model` stands in the
/// place of the file's own.
///
/// # Errors
/// Everything that cannot be carried, each with its field and line.
pub fn import(
    maker: Maker,
    file: &str,
    text: &str,
    model: Option<&str>,
) -> Result<Imported, Vec<Problem>> {
    let text = text.replace("\r\n", "\n");
    let mut told = Told { errors: Notes::new(file, &text), warnings: Notes::new(file, &text) };
    let mut draft = match maker {
        Maker::Dotprompt => dotprompt::read(&text, &mut told),
        Maker::Prompty => prompty::read(&text, &mut told),
        Maker::Langfuse => langfuse::read(&text, &mut told),
    };
    if let Some(model) = model {
        draft.model = Some(model.to_owned());
    }
    if draft.model.is_none() {
        told.error(1, "model", "is not named: say which with --model");
    }
    let written = draft.write(&mut told);
    let Told { mut errors, warnings } = told;
    let found = errors.is_empty();
    if found && let Err(problems) = Template::parse(file, &written.text) {
        for problem in problems {
            let line = draft.line_of(&written, problem.line);
            errors.line(line, format!("is no template here: {}", problem.message));
        }
    }
    let errors = errors.into_found();
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Imported { text: written.text, warnings: warnings.into_found() })
}

/// What is said of a file.
struct Told<'t> {
    errors: Notes<'t>,
    warnings: Notes<'t>,
}

impl Told<'_> {
    fn error(&mut self, line: usize, field: &str, why: impl std::fmt::Display) {
        self.errors.line(line, format!("{field}: {why}"));
    }

    fn warn(&mut self, line: usize, field: &str, why: impl std::fmt::Display) {
        self.warnings.line(line, format!("{field}: {why}"));
    }
}

/// The speaker of a role that others have.
fn speaker(role: &str) -> Option<Speaker> {
    match role {
        "system" | "developer" => Some(Speaker::System),
        "user" => Some(Speaker::User),
        "assistant" | "model" => Some(Speaker::Assistant),
        _ => None,
    }
}

/// Cuts YAML front matter between two lines of `---` from the body; the line each begins on.
fn cut(text: &str) -> Option<(&str, usize, &str, usize)> {
    let mut at = 0;
    let mut open = None;
    for (place, line) in text.split_inclusive('\n').enumerate() {
        let (start, end) = (at, at + line.len());
        at = end;
        match (line.trim_end() == "---", open) {
            (true, None) => open = Some((end, place + 2)),
            (true, Some((from, first))) => {
                return Some((text.get(from..start)?, first, text.get(end..)?, place + 2));
            }
            (false, None) if !line.trim().is_empty() => return None,
            (false, _) => {}
        }
    }
    None
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
