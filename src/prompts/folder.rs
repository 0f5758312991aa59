//! The folder of templates: every `NAME.md` in it, read and checked; one that is wrong stops them all.

use std::io::Read;
use std::path::Path;

use super::{Problem, Template, is_name};

/// The most templates in a folder.
const MOST: usize = 1_000;
/// The largest file.
const LARGEST: u64 = 256 * 1024;

/// One template as its file has it.
#[derive(Debug)]
pub struct File {
    /// The file's name without its ending.
    pub name: String,
    /// The text, with line ends as `\n`.
    pub text: String,
    /// The same, checked.
    pub template: Template,
}

/// Reads all templates of a folder, in the order of their names.
pub fn read_folder(folder: &Path) -> Result<Vec<File>, Vec<Problem>> {
    let whole = |file: &Path, message: String| Problem {
        file: file.display().to_string(),
        line: 0,
        excerpt: String::new(),
        message,
    };
    let list = std::fs::read_dir(folder)
        .map_err(|e| vec![whole(folder, format!("cannot be read: {e}"))])?;
    let mut paths: Vec<_> = list.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    paths.sort();
    if paths.len() > MOST {
        return Err(vec![whole(folder, format!("has more than {MOST} templates"))]);
    }
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in &paths {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if name == "README" {
            continue;
        }
        if !is_name(&name) {
            let message = "a template's name is made of small letters, digits, `-` and `_`";
            problems.push(whole(path, message.to_owned()));
            continue;
        }
        match read(path) {
            Err(why) => problems.push(whole(path, why)),
            Ok(text) => match Template::parse(&path.display().to_string(), &text) {
                Ok(template) => files.push(File { name, text, template }),
                Err(found) => problems.extend(found),
            },
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    let length = read.map_err(|e| format!("cannot be read: {e}"))?;
    if length as u64 > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes"));
    }
    Ok(text.replace("\r\n", "\n"))
}
