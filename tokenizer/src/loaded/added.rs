//! Finds the tokens that are taken out of a text before it is cut: the leftmost, and of those the
//! longest, in one pass that looks a token's length ahead.

use std::collections::HashMap;

use super::error::LoadError;
use super::file::Added;

/// The added tokens, as a trie over bytes.
#[derive(Debug)]
pub(super) struct Finder {
    children: HashMap<(u32, u8), u32>,
    /// For each node, whether a token ends there: its number, or `None` for a special one.
    ends: Vec<Option<Option<u32>>>,
    starts: [bool; 256],
}

/// What is found at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    /// `None` for a special token, which is ordinary text.
    pub(super) id: Option<u32>,
    /// Whether a longer token, or any token at all, may be found here once more text comes.
    pub(super) open: bool,
}

impl Finder {
    pub(super) fn new(added: &[Added<'_>]) -> Result<Self, LoadError> {
        let mut finder = Self { children: HashMap::new(), ends: vec![None], starts: [false; 256] };
        check_passes(added)?;
        for token in added {
            let mut node = 0;
            for byte in token.text.bytes() {
                let next = u32::try_from(finder.ends.len()).unwrap_or(u32::MAX);
                node = *finder.children.entry((node, byte)).or_insert(next);
                if node == next {
                    finder.ends.push(None);
                }
            }
            if let Some(end) = finder.ends.get_mut(node as usize) {
                *end = Some((!token.is_special).then_some(token.id));
            }
        }
        // Where all are special, none changes anything.
        if added.iter().any(|token| !token.is_special) {
            for token in added {
                if let Some(first) = token.text.bytes().next() {
                    finder.starts[usize::from(first)] = true;
                }
            }
        }
        Ok(finder)
    }

    /// The first token, or place where one may yet come to be, from `at` on.
    pub(super) fn find(&self, text: &str, at: usize) -> Option<Found> {
        let bytes = text.as_bytes();
        let mut from = at;
        loop {
            let rest = bytes.get(from..)?;
            let start = from + rest.iter().position(|byte| self.starts[usize::from(*byte)])?;
            if let Some(found) = self.at(bytes, start) {
                return Some(found);
            }
            from = start + 1;
        }
    }

    fn at(&self, bytes: &[u8], start: usize) -> Option<Found> {
        let (mut node, mut at) = (0, start);
        let mut found = None;
        loop {
            let Some(byte) = bytes.get(at) else {
                let is_leaf = !(0..=255).any(|byte| self.children.contains_key(&(node, byte)));
                let none = Found { start, end: start, id: None, open: true };
                let found = found.unwrap_or(none);
                return Some(Found { open: !is_leaf, ..found });
            };
            let Some(next) = self.children.get(&(node, *byte)) else { return found };
            (node, at) = (*next, at + 1);
            if let Some(Some(id)) = self.ends.get(node as usize) {
                found = Some(Found { start, end: at, id: *id, open: false });
            }
        }
    }
}

/// Tokens that are found after the text was normalized are found after all others, where a search
/// for all at once finds the leftmost first; and special tokens, which are text, hide none. Where
/// tokens overlap so that this matters, they are refused.
fn check_passes(added: &[Added<'_>]) -> Result<(), LoadError> {
    let (second, first): (Vec<&Added<'_>>, Vec<_>) =
        added.iter().partition(|token| token.is_normalized);
    // Whether the one ends with what the other begins with.
    let across = |a: &str, b: &str| {
        b.char_indices().skip(1).any(|(at, _)| b.get(..at).is_some_and(|b| a.ends_with(b)))
    };
    for one in second.iter().filter(|token| !token.is_special) {
        for other in &first {
            let (a, b) = (one.text, other.text);
            let hides = other.is_special && (b.contains(a) || across(b, a));
            if a.contains(b) || across(a, b) || hides {
                let pair = format!("{a:?} and {b:?}");
                return Err(LoadError::unsupported("pair of added tokens", &pair));
            }
        }
    }
    Ok(())
}
