//! The versions of prompt templates: what the folder has becomes a version the first time it is seen,
//! what an operator publishes as well, and labels are moved. Committed first, in force at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ADMIN, change};
use crate::clock;
use crate::ledger::{Change, Ledger, PromptLabelRow, PromptRow, Reader, Refused, StoreError};
use crate::prompts::{File, Label, Library, Problem, Shelf, Stored, Template, is_label, is_name};

/// Why a change of prompts was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A name or label that cannot be one.
    #[error(
        "{0:?} is no name: it takes small letters, digits, `-` and `_`, and begins with a letter"
    )]
    Name(String),
    /// The text is no template.
    #[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
    Text(Vec<Problem>),
    /// A part of the calls that is none.
    #[error("{0} is not from 1 to 99 of a hundred calls")]
    Percent(u32),
    /// There is no such version.
    #[error("there is no prompt {0:?}")]
    Unknown(String),
    /// The ledger takes no writes now.
    #[error("the ledger takes no writes now")]
    Ledger(Refused),
    /// The ledger's file cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refused> for PromptError {
    fn from(refused: Refused) -> PromptError {
        PromptError::Ledger(refused)
    }
}

/// The operator's hand on prompts.
pub struct Publisher {
    ledger: Ledger,
    reader: Arc<Reader>,
    shelf: Arc<Shelf>,
    /// What the folder has. Also the lock under which changes are made one at a time.
    current: Mutex<BTreeMap<String, u32>>,
}

impl Publisher {
    /// Nothing is served until `load`.
    pub fn new(ledger: Ledger, reader: Arc<Reader>, shelf: Arc<Shelf>) -> Publisher {
        Publisher { ledger, reader, shelf, current: Mutex::default() }
    }

    /// What is served now.
    pub fn library(&self) -> Arc<Library> {
        self.shelf.library()
    }

    /// Makes the folder's files the current versions; a text that was never seen becomes one.
    pub fn load(&self, files: &[File]) -> Result<(), PromptError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut versions, _) = self.reader.prompts()?;
        let (mut next, mut new) = (BTreeMap::new(), Vec::new());
        for File { name, text, .. } in files {
            next.insert(name.clone(), number(&mut versions, &mut new, name, text));
        }
        for row in new {
            let change = told(published(&row));
            self.ledger.put_prompts(change, vec![row], Vec::new())?;
        }
        self.replace(&next)?;
        *current = next;
        Ok(())
    }

    /// Publishes a text, or takes the version that it is already, and lets a label stand for it, or try
    /// it for so many calls in a hundred. Returns its number.
    pub fn publish(
        &self,
        name: &str,
        text: &str,
        label: Option<&str>,
        percent: Option<u32>,
    ) -> Result<u32, PromptError> {
        if !is_name(name) {
            return Err(PromptError::Name(name.to_owned()));
        }
        Template::parse(name, text).map_err(PromptError::Text)?;
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut versions, labels) = self.reader.prompts()?;
        let mut new = Vec::new();
        let number = number(&mut versions, &mut new, name, text);
        let label = label.map(|label| label_row(&labels, name, label, number, percent));
        let label = label.transpose()?;
        let words: Vec<String> = new.iter().map(published).chain(label.iter().map(moved)).collect();
        if !words.is_empty() {
            let change = told(words.join("; "));
            self.ledger.put_prompts(change, new, label.into_iter().collect())?;
            self.replace(&current)?;
        }
        Ok(number)
    }

    /// Lets a label stand for a version, from one call to the next; or try it for so many calls in a
    /// hundred, while it stands for what it did.
    pub fn label(
        &self,
        name: &str,
        label: &str,
        number: u32,
        percent: Option<u32>,
    ) -> Result<(), PromptError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = format!("{name}@{number}");
        self.shelf.library().find(&asked).map_err(|none| PromptError::Unknown(none.asked))?;
        let row = label_row(&self.reader.prompts()?.1, name, label, number, percent)?;
        self.ledger.put_prompts(told(moved(&row)), Vec::new(), vec![row])?;
        self.replace(&current)
    }

    fn replace(&self, current: &BTreeMap<String, u32>) -> Result<(), PromptError> {
        let (versions, labels) = self.reader.prompts()?;
        self.shelf.replace(library(versions, labels, current.clone()));
        Ok(())
    }
}

/// A decision about prompts, which are the gateway's: of no account.
fn told(words: String) -> Change {
    change("", ADMIN, "prompt", words)
}

/// The digest is told too, so that the chain vouches for the text.
fn published(row: &PromptRow) -> String {
    let digest: String = row.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("prompt {}@{} was published: blake3 {digest}", row.name, row.number)
}

fn moved(row: &PromptLabelRow) -> String {
    let PromptLabelRow { name, label, number, trial } = row;
    let tries = trial.map_or(String::new(), |(trial, percent)| {
        format!(", and for version {trial} in {percent} of a hundred calls")
    });
    format!("prompt {name}@{label} stands for version {number} now{tries}")
}

/// The library that rows make. A text that this build cannot read any more is left out, and said so.
pub fn library(
    versions: Vec<PromptRow>,
    labels: Vec<PromptLabelRow>,
    current: BTreeMap<String, u32>,
) -> Library {
    let stored = |row: PromptRow| {
        let PromptRow { name, number, digest, source, published_at: _ } = row;
        Stored { name, number, digest, text: source }
    };
    let label =
        |PromptLabelRow { name, label, number, trial }| Label { name, label, number, trial };
    let (stored, labels) = (versions.into_iter().map(stored), labels.into_iter().map(label));
    Library::new(stored.collect(), current, labels.collect(), |stored| {
        tracing::warn!(
            prompt = stored.name,
            version = stored.number,
            "a kept prompt cannot be read"
        );
    })
}

/// The number of a text: the one it has, or the next, which is then new.
pub fn number(
    versions: &mut Vec<PromptRow>,
    new: &mut Vec<PromptRow>,
    name: &str,
    text: &str,
) -> u32 {
    let digest = *blake3::hash(text.as_bytes()).as_bytes();
    let mine = || versions.iter().filter(|row| row.name == name);
    if let Some(row) = mine().find(|row| row.digest == digest) {
        return row.number;
    }
    let number = mine().map(|row| row.number).max().unwrap_or(0).saturating_add(1);
    let (name, source) = (name.to_owned(), text.to_owned());
    let row = PromptRow { name, number, digest, source, published_at: clock::now() };
    versions.push(row.clone());
    new.push(row);
    number
}

fn label_row(
    labels: &[PromptLabelRow],
    name: &str,
    label: &str,
    number: u32,
    percent: Option<u32>,
) -> Result<PromptLabelRow, PromptError> {
    if !is_label(label) {
        return Err(PromptError::Name(label.to_owned()));
    }
    let row = |number, trial| {
        let (name, label) = (name.to_owned(), label.to_owned());
        Ok(PromptLabelRow { name, label, number, trial })
    };
    match percent {
        None => row(number, None),
        Some(percent @ 1..=99) => {
            let stands = labels.iter().find(|row| row.name == name && row.label == label);
            let stands = stands.ok_or_else(|| PromptError::Unknown(format!("{name}@{label}")))?;
            row(stands.number, Some((number, percent)))
        }
        Some(other) => Err(PromptError::Percent(other)),
    }
}
