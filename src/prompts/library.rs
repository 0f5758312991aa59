//! Which version a name stands for. Versions never change; names and labels move, all at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::{Shares, Template};

/// The label that a bare name means where the folder has no file of it.
const PRODUCTION: &str = "production";

/// One version: a text under a number, for ever.
#[derive(Debug)]
pub struct Version {
    /// The template's name.
    pub name: Arc<str>,
    /// Its number, from 1.
    pub number: u32,
    /// blake3 of its text: what makes it this version.
    pub digest: [u8; 32],
    /// The text.
    pub text: String,
    /// The same, checked.
    pub template: Template,
    /// `name@number`, as rows and reports have it.
    pub tag: Arc<str>,
}

/// A version as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The template's name.
    pub name: String,
    /// Its number, from 1.
    pub number: u32,
    /// blake3 of its text.
    pub digest: [u8; 32],
    /// The text.
    pub text: String,
}

/// A name for one version, which can be moved to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The template's name.
    pub name: String,
    /// The label.
    pub label: String,
    /// The version it stands for.
    pub number: u32,
    /// Another version, and how many calls in a hundred go to it instead.
    pub trial: Option<(u32, u32)>,
}

/// All versions, and what names stand for at one instant.
#[derive(Clone, Debug, Default)]
pub struct Library {
    versions: BTreeMap<(Arc<str>, u32), Arc<Version>>,
    /// What the folder has now.
    current: BTreeMap<String, u32>,
    labels: BTreeMap<(String, String), Stand>,
    shares: Arc<Shares>,
}

/// What a label stands for.
#[derive(Clone, Copy, Debug)]
struct Stand {
    number: u32,
    trial: Option<(u32, u32)>,
}

/// In how many parts calls are divided between two versions.
const WHOLE: u32 = 100;

/// No version is called that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPrompt {
    /// As asked for.
    pub asked: String,
}

impl Library {
    /// Puts versions and labels in order. `current` is the version of each file of the folder. A kept
    /// text that this build can no longer read is left out; `unreadable` is told.
    pub fn new(
        stored: Vec<Stored>,
        current: BTreeMap<String, u32>,
        labels: Vec<Label>,
        mut unreadable: impl FnMut(&Stored),
    ) -> Library {
        let mut versions = BTreeMap::new();
        for stored in stored {
            let Ok(template) = Template::parse(&stored.name, &stored.text) else {
                unreadable(&stored);
                continue;
            };
            let Stored { name, number, digest, text } = stored;
            let tag = format!("{name}@{number}").into();
            let name: Arc<str> = name.into();
            let version = Version { name: name.clone(), number, digest, text, template, tag };
            versions.insert((name, number), Arc::new(version));
        }
        let label = |Label { name, label, number, trial }| ((name, label), Stand { number, trial });
        let labels = labels.into_iter().map(label).collect();
        Library { versions, current, labels, shares: Arc::default() }
    }

    /// `summarize`, `summarize@3` or `summarize@production`: of a label, the version it stands for.
    pub fn find(&self, asked: &str) -> Result<&Arc<Version>, NoPrompt> {
        self.pick(asked, WHOLE)
    }

    /// The same for one call: of a label that tries another version, that one for as many draws from
    /// 0 to 99 as it has of a hundred calls.
    pub fn pick(&self, asked: &str, draw: u32) -> Result<&Arc<Version>, NoPrompt> {
        let (name, which) = asked.split_once('@').map_or((asked, None), |(n, w)| (n, Some(w)));
        let labelled = |label: &str| {
            let Stand { number, trial } = *self.labels.get(&(name.to_owned(), label.to_owned()))?;
            let tried = trial.filter(|(_, percent)| draw < *percent);
            Some(tried.map_or(number, |(trial, _)| trial))
        };
        let number = match which {
            None => self.current.get(name).copied().or_else(|| labelled(PRODUCTION)),
            Some(which) => which.parse().ok().or_else(|| labelled(which)),
        };
        let found = number.and_then(|number| self.versions.get(&(name.into(), number)));
        found.ok_or_else(|| NoPrompt { asked: asked.to_owned() })
    }

    /// What bare names stand for.
    pub fn served(&self) -> impl Iterator<Item = &Arc<Version>> {
        let mut names: Vec<&str> = self.versions.keys().map(|(name, _)| &**name).collect();
        names.dedup();
        names.into_iter().filter_map(|name| self.find(name).ok())
    }

    /// Every version of a name, oldest first.
    pub fn versions(&self, name: &str) -> impl Iterator<Item = &Arc<Version>> {
        let name: Arc<str> = name.into();
        self.versions.range((name.clone(), 0)..=(name, u32::MAX)).map(|(_, version)| version)
    }

    /// The labels that stand for one version.
    pub fn labels(&self, version: &Version) -> Vec<&str> {
        let mine = self.labels_of(version).filter(|(_, stand)| stand.number == version.number);
        mine.map(|(label, _)| label).collect()
    }

    /// The labels that try one version, and for how many calls in a hundred.
    pub fn trials(&self, version: &Version) -> Vec<(&str, u32)> {
        let of = |(label, stand): (_, &Stand)| {
            let (trial, percent) = stand.trial?;
            (trial == version.number).then_some((label, percent))
        };
        self.labels_of(version).filter_map(of).collect()
    }

    fn labels_of(&self, version: &Version) -> impl Iterator<Item = (&str, &Stand)> {
        let name = version.name.clone();
        let mine = self.labels.iter().filter(move |((of, _), _)| **of == *name);
        mine.map(|((_, label), stand)| (label.as_str(), stand))
    }

    /// Who may use which of them.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// What the folder has now, by name.
    pub fn current(&self) -> &BTreeMap<String, u32> {
        &self.current
    }
}

/// Whether a text can be a label: a word that is no number.
pub fn is_label(text: &str) -> bool {
    super::is_name(text)
}

/// The library in force, for everybody who asks; replaced as a whole.
#[derive(Debug, Default)]
pub struct Shelf {
    library: ArcSwap<Library>,
    /// One change at a time: texts and shares change on their own.
    turn: Mutex<()>,
}

impl Shelf {
    /// The library of this moment.
    pub fn library(&self) -> Arc<Library> {
        self.library.load_full()
    }

    /// Puts other texts and labels in their place.
    pub fn replace(&self, library: Library) {
        let _one = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shares = self.library.load().shares.clone();
        self.library.store(Arc::new(Library { shares, ..library }));
    }

    /// Says who may use which of them.
    pub fn share(&self, shares: Shares) {
        let _one = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let library = Library::clone(&self.library.load());
        self.library.store(Arc::new(Library { shares: Arc::new(shares), ..library }));
    }
}
