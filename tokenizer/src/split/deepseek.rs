//! DeepSeek's pattern since V3, which is three, one after the other: digits by threes; Chinese
//! characters and kana; and within what is left between those, words, punctuation and whitespace.
//! The ends of what is left are ends of text to the third.

use super::scalar::{Look, tail};
use crate::classes::{self, Class};

/// What the patterns tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    /// `[一-龥぀-ゟ゠-ヿ]`.
    Cjk,
    /// `[\p{L}\p{M}]` that is no `Cjk`.
    Letter,
    /// `[\p{P}\p{S}]` that is no `Cjk`.
    Symbol,
    Space,
    Newline,
    /// What no alternative begins with: controls, formats, unassigned.
    Gap,
}

/// The kind of a character.
pub(crate) fn kind(point: char) -> Kind {
    match classes::of(point) {
        Class::Number => Kind::Number,
        _ if matches!(point, '一'..='龥' | '\u{3040}'..='\u{30ff}') => Kind::Cjk,
        Class::Space => Kind::Space,
        Class::Newline => Kind::Newline,
        Class::Upper | Class::Lower | Class::Uncased | Class::Mark => Kind::Letter,
        Class::Other if classes::is_symbol(point) => Kind::Symbol,
        Class::Other => Kind::Gap,
    }
}

/// The end of the piece at `at`.
pub(super) fn next(look: &mut Look<'_>, at: usize) -> usize {
    let Some((first, after)) = kind_at(look, at) else { return at };
    match first {
        Kind::Number => look.number(at, 3).unwrap_or(after),
        Kind::Cjk => run(look, after, Kind::Cjk),
        Kind::Letter => run(look, after, Kind::Letter),
        Kind::Symbol => {
            let is_ascii = look.text.as_bytes().get(at).is_some_and(u8::is_ascii_punctuation);
            if is_ascii && look.point(after).is_some_and(|point| point.is_ascii_alphabetic()) {
                return ascii_letters(look, after);
            }
            symbols(look, after)
        }
        Kind::Newline => white(look, at),
        Kind::Space => match kind_at(look, after) {
            Some((Kind::Letter, end)) => run(look, end, Kind::Letter),
            Some((Kind::Symbol, end)) if look.text.as_bytes().get(at) == Some(&b' ') => {
                symbols(look, end)
            }
            _ => white(look, at),
        },
        Kind::Gap => gap(look, at, after),
    }
}

fn kind_at(look: &mut Look<'_>, at: usize) -> Option<(Kind, usize)> {
    look.point(at).map(|point| (kind(point), at + point.len_utf8()))
}

fn run(look: &mut Look<'_>, mut at: usize, wanted: Kind) -> usize {
    while let Some((_, after)) = kind_at(look, at).filter(|(kind, _)| *kind == wanted) {
        at = after;
    }
    at
}

fn ascii_letters(look: &mut Look<'_>, mut at: usize) -> usize {
    while look.point(at).is_some_and(|point| point.is_ascii_alphabetic()) {
        at += 1;
    }
    at
}

fn symbols(look: &mut Look<'_>, at: usize) -> usize {
    let end = run(look, at, Kind::Symbol);
    tail(look, end, false)
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+`, where a digit or a Chinese character is the end of the text.
fn white(look: &mut Look<'_>, at: usize) -> usize {
    let (end, newline, last) = look.whitespace(at);
    let at_end = matches!(kind_at(look, end), None | Some((Kind::Number | Kind::Cjk, _)));
    match newline {
        Some(newline) => newline,
        None if at_end || last == at => end,
        None => last,
    }
}

/// A stretch that no alternative matches, up to its last character if that is before a word.
fn gap(look: &mut Look<'_>, at: usize, after: usize) -> usize {
    let (mut last, mut end) = (at, after);
    loop {
        match kind_at(look, end) {
            Some((Kind::Gap, after)) => (last, end) = (end, after),
            Some((Kind::Letter, after)) if last == at => return run(look, after, Kind::Letter),
            Some((Kind::Letter, _)) => return last,
            _ => return end,
        }
    }
}
