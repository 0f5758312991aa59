//! `[prompts]`: the folder of templates, read and checked with the rest, so that a reload takes all of
//! them or none.

use super::{
    names::Names,
    problem::{Place, Problem, Severity},
    reader::{Reader, Section},
    snapshot::Prompts,
};
use crate::prompts::{self, read_folder};

/// Reads the table and the folder it names.
pub(super) fn prompts(root: &Section<'_>) -> Option<Prompts> {
    let table = root.section("prompts")?;
    let field = table.require("dir", "the folder of the template files");
    let dir = field.as_ref().and_then(|field| field.text()).map(|dir| root.reader.resolve(dir));
    table.done();
    let (field, dir) = (field?, dir?);
    if !dir.is_dir() {
        return field.error(&format!("there is no folder {}", dir.display()));
    }
    match read_folder(&dir) {
        Ok(files) => Some(Prompts { dir, files }),
        Err(found) => {
            found.into_iter().for_each(|problem| root.reader.add(of_file(problem)));
            None
        }
    }
}

/// Warns of templates that ask for a model that nobody serves.
pub(super) fn models(prompts: &Prompts, names: &Names, reader: &Reader<'_>) {
    for file in prompts.files.iter().filter(|file| !names.may_be(&file.template.model)) {
        let name = prompts.dir.join(format!("{}.md", file.name)).display().to_string();
        let message = format!("there is no alias or model {:?}", file.template.model);
        reader.add(Problem::of_file(Severity::Warning, &name, message));
    }
}

fn of_file(problem: prompts::Problem) -> Problem {
    let prompts::Problem { file, line, excerpt, message } = problem;
    let width = excerpt.chars().count().max(1);
    let place = (line > 0).then_some(Place { line, column: 1, width, excerpt });
    Problem { place, ..Problem::of_file(Severity::Error, &file, message) }
}
