//! Vocabularies that an operator names as a file: Hugging Face's `tokenizer.json`.
//!
//! A file is read once, arranged into the same tables as the built-in vocabularies have, and kept
//! for the life of the process, as those are; the same file again is the same tokenizer.

mod added;
mod error;
mod file;
mod merges;
mod normal;
mod stream;

use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use crate::arrange::tables::{self, Fit};
use crate::arrange::trie;
use crate::count::{self, Collector, Sink};
use crate::json;
use crate::split::Pattern;
use crate::split::joints::Joints;
use crate::stream::LONG;
use crate::vocabulary::{LONGEST, MARKS, More, Vocabulary};
use added::Finder;
pub use error::LoadError;
use file::File;
use merges::{Ranked, Raw};
use normal::Normal;
pub(crate) use stream::Front;

/// A tokenizer that was loaded from a file.
#[derive(Clone, Copy)]
pub struct Loaded(&'static Tokenizer);

struct Tokenizer {
    name: &'static str,
    digest: u128,
    pattern: Pattern,
    normal: Normal,
    finder: Finder,
    vocabulary: Vocabulary,
}

/// Every tokenizer that was loaded.
static ALL: Mutex<Vec<&'static Tokenizer>> = Mutex::new(Vec::new());

/// Marks that the built-in vocabularies have.
const BUILT_IN: u64 = 2;
/// Where the numbers of added tokens start.
const ADDED: u32 = 0x8000_0000;
/// Tokens of a vocabulary: what the tables have room for.
const MOST_TOKENS: usize = 0x4_0000;

impl Loaded {
    /// Reads a `tokenizer.json`. It takes a second or two for a large one; the same content again
    /// takes no more than reading it over.
    pub(crate) fn load(name: &str, content: &[u8]) -> Result<Self, LoadError> {
        let digest = digest(name, content);
        let find = |all: &[&'static Tokenizer]| {
            all.iter().find(|one| one.digest == digest).map(|one| Self(one))
        };
        // Held while loading, so that no file is loaded twice at a time.
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = find(&all) {
            return Ok(known);
        }
        let mark = BUILT_IN + all.len() as u64;
        if mark >= MARKS {
            return Err(LoadError::TooMany);
        }
        let text = std::str::from_utf8(content).map_err(|_| LoadError::Malformed("not UTF-8"))?;
        let root = json::parse(text).ok_or(LoadError::Malformed("not JSON"))?;
        let file = File::read(&root)?;
        let tokenizer = Tokenizer::build(name, digest, mark, &file)?;
        let kept: &'static Tokenizer = Box::leak(Box::new(tokenizer));
        all.push(kept);
        Ok(Self(kept))
    }

    pub(crate) const fn name(self) -> &'static str {
        self.0.name
    }

    pub(crate) const fn pattern(self) -> Pattern {
        self.0.pattern
    }

    pub(crate) const fn vocabulary(self) -> &'static Vocabulary {
        &self.0.vocabulary
    }

    /// Appends the file's own numbers of the text's tokens.
    pub(crate) fn encode(self, text: &str, out: &mut Vec<u32>) {
        let mut places = Vec::new();
        self.walk(text, &mut Collector(&mut places));
        let ids = self.0.vocabulary.more().map(|more| more.ids.as_slice()).unwrap_or_default();
        let number = |place: u32| match place.checked_sub(ADDED) {
            Some(id) => Some(id),
            None => ids.get(place as usize).copied(),
        };
        out.extend(places.into_iter().filter_map(number));
    }

    /// Walks the whole text: the added tokens, and what is between them. Tokens are places in the
    /// tables, and added ones their numbers above [`ADDED`].
    pub(crate) fn walk(self, text: &str, sink: &mut impl Sink) {
        let mut from = 0;
        let mut at = 0;
        while let Some(found) = self.0.finder.find(text, at) {
            at = found.end.max(found.start + 1);
            // Special tokens are text; and what may yet become a token isn't one.
            if let Some(id) = found.id {
                self.walk_between(text.get(from..found.start).unwrap_or_default(), sink);
                sink.tokens(&[id.saturating_add(ADDED)]);
                from = found.end;
            }
        }
        self.walk_between(text.get(from..).unwrap_or_default(), sink);
    }

    fn walk_between(self, text: &str, sink: &mut impl Sink) {
        if !text.is_empty() {
            count::walk(self.0.pattern, &self.0.vocabulary, &self.0.normal.apply(text), sink);
        }
    }
}

impl Tokenizer {
    fn build(name: &str, digest: u128, mark: u64, file: &File<'_>) -> Result<Self, LoadError> {
        let raw = Raw::new(file)?;
        let ranked = raw.rank()?;
        let joints = || {
            let tokens = ranked.tokens.iter();
            Joints::of(tokens.filter_map(|token| std::str::from_utf8(&token.bytes).ok()))
        };
        let pattern = file.pattern.unwrap_or_else(|| Pattern::Joined(joints()));
        let finder = Finder::new(&file.added)?;
        let has_ordinary = file.added.iter().any(|token| !token.is_special);
        let twice = file.added.iter().any(|token| token.is_normalized && !token.is_special);
        if twice && file.normal != Normal::Nothing
            || has_ordinary && file.normal == Normal::MarkedWithFirst
        {
            let part = "normalizer with added tokens";
            return Err(LoadError::unsupported(part, &format!("{:?}", file.normal)));
        }
        if file.ignore_merges && !ranked.unreached.is_empty() && pattern.rules().cased {
            let part = "token that its merges don't reach";
            return Err(LoadError::unsupported(part, "with words cut by their case"));
        }
        if file.normal == Normal::Composed && file.added.iter().any(|t| !t.text.is_ascii()) {
            return Err(LoadError::unsupported("normalizer with added tokens", "NFC"));
        }
        let vocabulary = arrange(mark, file.ignore_merges, ranked, &raw.bytes)?;
        let name = Box::leak(name.to_owned().into_boxed_str());
        Ok(Self { name, digest, pattern, normal: file.normal, finder, vocabulary })
    }
}

/// The tables, in the order of the ranks, with a number for whatever else can be a token.
fn arrange(
    mark: u64,
    ignore_merges: bool,
    ranked: Ranked,
    bytes: &[u32],
) -> Result<Vocabulary, LoadError> {
    let Ranked { tokens, initial, irregular, unreached } = ranked;
    let mut ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    let parts: Vec<(u32, u32)> = tokens.iter().map(|token| token.parts).collect();
    let mut texts: Vec<Vec<u8>> = tokens.into_iter().map(|token| token.bytes).collect();
    let too_long = |text: &&Vec<u8>| text.len() > LONGEST;
    if let Some(long) = texts.iter().chain(unreached.iter().map(|(text, _)| text)).find(too_long) {
        let long = format!("a token of {} bytes, more than {LONGEST}", long.len());
        return Err(LoadError::Vocabulary(long));
    }
    let trie = trie::build(&texts);
    let records = tables::records(&texts, &parts);
    let mut more = More { irregular, ..More::default() };
    if ignore_merges {
        for (text, id) in unreached {
            more.whole.insert(text.clone().into(), ids.len() as u32);
            ids.push(id);
            texts.push(text);
        }
    }
    // A stream follows a piece that goes on for long by its merges alone.
    if more.whole.keys().any(|text| text.len() > LONG || text.iter().all(u8::is_ascii_whitespace)) {
        let part = "token that its merges don't reach";
        return Err(LoadError::unsupported(part, "a long one, or one of whitespace"));
    }
    more.bytes = ids.len() as u32;
    ids.extend(bytes);
    if ids.len() > MOST_TOKENS {
        let many = format!("{} tokens, more than {MOST_TOKENS}", ids.len());
        return Err(LoadError::Vocabulary(many));
    }
    more.ids = ids;
    let unplaced = || LoadError::Vocabulary("its tokens find no places in the tables".to_owned());
    // Looser than the built-in tables, since a place must be found for any vocabulary, and soon.
    let fit = Fit { bits: (texts.len() / 2).max(2).ilog2() + 1, slack: 8 };
    let pieces = tables::pieces(&texts, fit).ok_or_else(unplaced)?;
    let pairs = tables::pairs(&records, fit).ok_or_else(unplaced)?;
    Ok(Vocabulary::new(mark, initial, more, fit, pieces, pairs, &records, &trie))
}

/// Whose name and content it is.
fn digest(name: &str, content: &[u8]) -> u128 {
    let half = |seed: u64| {
        let mut hasher = std::hash::DefaultHasher::new();
        (seed, name, content).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

impl PartialEq for Loaded {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Loaded {}

impl Hash for Loaded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Loaded").field(&self.0.name).finish()
    }
}
