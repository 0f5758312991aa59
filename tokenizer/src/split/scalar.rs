//! The patterns written out one character at a time: the plain form that the fast scanners are
//! tested against.

use super::{Pattern, Piece};
use crate::classes::{self, Class};

/// The piece of `text` that starts at byte `at`.
pub(crate) fn next(pattern: Pattern, text: &str, at: usize) -> Piece {
    let mut look = Look { text, met_end: false };
    let end = match pattern {
        Pattern::O200k => o200k(&mut look, at),
        Pattern::Cl100k => cl100k(&mut look, at),
    };
    Piece { end, open: look.met_end }
}

/// A view of the text that remembers whether anyone asked for what lies behind its end.
struct Look<'a> {
    text: &'a str,
    met_end: bool,
}

impl Look<'_> {
    fn at(&mut self, at: usize) -> Option<(Class, usize)> {
        let found = classes::at(self.text, at);
        self.met_end |= found.is_none();
        found
    }

    fn point(&mut self, at: usize) -> Option<char> {
        let point = self.text.get(at..).and_then(|rest| rest.chars().next());
        self.met_end |= point.is_none();
        point
    }

    /// The end of the longest run of `wanted` from `at`.
    fn run(&mut self, mut at: usize, wanted: impl Fn(Class) -> bool) -> usize {
        while let Some((class, after)) = self.at(at) {
            if !wanted(class) {
                break;
            }
            at = after;
        }
        at
    }

    /// The end of `(?i:'s|'t|'re|'ve|'m|'ll|'d)?` at `at`. U+017F folds to `s`.
    fn contraction(&mut self, at: usize) -> usize {
        if self.point(at) != Some('\'') {
            return at;
        }
        let second = match self.point(at + 1) {
            Some('s' | 'S' | 't' | 'T' | 'm' | 'M' | 'd' | 'D') => return at + 2,
            Some('\u{17f}') => return at + 3,
            Some('r' | 'R' | 'v' | 'V') => 'e',
            Some('l' | 'L') => 'l',
            _ => return at,
        };
        match self.point(at + 2) {
            Some(point) if point.eq_ignore_ascii_case(&second) => at + 3,
            _ => at,
        }
    }

    /// ` ?[^\s\p{L}\p{N}]+` at `at`, if it matches.
    fn punctuation(&mut self, at: usize) -> Option<usize> {
        let wanted = |class| matches!(class, Class::Other | Class::Mark);
        let start = if self.point(at) == Some(' ') { at + 1 } else { at };
        let end = self.run(start, wanted);
        (end > start).then_some(end)
    }

    /// `\p{N}{1,3}` at `at`, if it matches.
    fn number(&mut self, at: usize) -> Option<usize> {
        let mut end = at;
        for _ in 0..3 {
            match self.at(end) {
                Some((Class::Number, after)) => end = after,
                _ => break,
            }
        }
        (end > at).then_some(end)
    }

    /// A run of whitespace from `at`: its end, the end of its last newline, its last character.
    fn whitespace(&mut self, at: usize) -> (usize, Option<usize>, usize) {
        let (mut end, mut newline, mut last) = (at, None, at);
        while let Some((class @ (Class::Space | Class::Newline), after)) = self.at(end) {
            if class == Class::Newline {
                newline = Some(after);
            }
            (last, end) = (end, after);
        }
        (end, newline, last)
    }
}

fn o200k(look: &mut Look<'_>, at: usize) -> usize {
    let Some((first, after)) = look.at(at) else { return at };
    let word = match first {
        Class::Newline | Class::Number => None,
        Class::Upper | Class::Lower | Class::Uncased => cased_word(look, at),
        // A mark may be the character before the word or its first letter; the pattern tries
        // them in this order, each with both alternatives' first form before the second.
        Class::Mark => word_ending_lower(look, after).or_else(|| cased_word(look, at)),
        Class::Other | Class::Space => cased_word(look, after),
    };
    if let Some(end) = word {
        return look.contraction(end);
    }
    if let Some(end) = look.number(at) {
        return end;
    }
    if let Some(end) = look.punctuation(at) {
        return tail(look, end, true);
    }
    let (end, newline, last) = look.whitespace(at);
    match newline {
        Some(newline) => newline,
        None if end == look.text.len() || last == at => end,
        None => last,
    }
}

/// `[\r\n/]*` or `[\r\n]*` from `at`.
fn tail(look: &mut Look<'_>, mut at: usize, slash: bool) -> usize {
    while let Some(point) = look.point(at) {
        match point {
            '\r' | '\n' => at += 1,
            '/' if slash => at += 1,
            _ => break,
        }
    }
    at
}

fn is_upper_run(class: Class) -> bool {
    matches!(class, Class::Upper | Class::Uncased | Class::Mark)
}

fn is_lower_run(class: Class) -> bool {
    matches!(class, Class::Lower | Class::Uncased | Class::Mark)
}

/// `[upper]*[lower]+` at `at`: where the upper run isn't followed by a lower letter, it gives
/// back characters until one that is in both classes can be the lower run.
fn word_ending_lower(look: &mut Look<'_>, at: usize) -> Option<usize> {
    let (mut end, mut both) = (at, None);
    while let Some((class, after)) = look.at(end) {
        match class {
            Class::Lower => return Some(look.run(end, is_lower_run)),
            Class::Uncased | Class::Mark => both = Some(after),
            Class::Upper => {}
            _ => break,
        }
        end = after;
    }
    both
}

/// `[upper]*[lower]+` or else `[upper]+[lower]*` at `at`.
fn cased_word(look: &mut Look<'_>, at: usize) -> Option<usize> {
    word_ending_lower(look, at).or_else(|| {
        let end = look.run(at, is_upper_run);
        (end > at).then_some(end)
    })
}

fn cl100k(look: &mut Look<'_>, at: usize) -> usize {
    let contraction = look.contraction(at);
    if contraction > at {
        return contraction;
    }
    let Some((first, after)) = look.at(at) else { return at };
    let letter = |class| matches!(class, Class::Upper | Class::Lower | Class::Uncased);
    let start = match first {
        Class::Newline | Class::Number => None,
        Class::Upper | Class::Lower | Class::Uncased => Some(at),
        Class::Mark | Class::Other | Class::Space => Some(after),
    };
    if let Some(start) = start {
        let end = look.run(start, letter);
        if end > start {
            return end;
        }
    }
    if let Some(end) = look.number(at) {
        return end;
    }
    if let Some(end) = look.punctuation(at) {
        return tail(look, end, false);
    }
    let (end, newline, last) = look.whitespace(at);
    match newline {
        _ if end == look.text.len() => end,
        Some(newline) => newline,
        None if last == at => end,
        None => last,
    }
}
