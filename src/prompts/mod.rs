//! Prompt templates: files that are checked as a whole, versions that never change, and names that
//! stand for one of them. Rendering gives the body of a chat request; nothing is sent from here.

mod case;
mod folder;
mod front;
mod import;
mod library;
mod schema;
mod settings;
mod shares;
mod template;

pub use case::{Case, Outcome};
pub use folder::{File, read_folder};
pub use import::{Imported, Maker, import};
pub use library::{Label, Library, NoPrompt, Shelf, Stored, Version, is_label};
pub use schema::Mismatch;
pub use settings::Keep;
pub use shares::{Owned, Shares};
pub use template::{RenderError, Rendered, Template};

/// Something wrong with a template's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The text of that line.
    pub excerpt: String,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem { file, line, excerpt: _, message } = self;
        if *line == 0 {
            write!(f, "{file}: {message}")
        } else {
            write!(f, "{file}:{line}: {message}")
        }
    }
}

/// Whether a text can name a template: a word in small letters, digits, `-` and `_`.
pub fn is_name(text: &str) -> bool {
    let inner = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    };
    (1..=64).contains(&text.len())
        && text.bytes().all(inner)
        && text.starts_with(|first: char| first.is_ascii_lowercase())
}
