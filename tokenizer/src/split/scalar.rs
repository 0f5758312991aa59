//! The patterns written out one character at a time: the plain form that the fast scanners are
//! tested against.

use super::{Pattern, Piece, Rules, deepseek, joints};
use crate::classes::{self, Class};

/// The piece of `text` that starts at byte `at`.
pub(crate) fn next(pattern: Pattern, text: &str, at: usize) -> Piece {
    let mut look = Look { text, met_end: false };
    let end = match pattern {
        Pattern::O200k => cased(&mut look, at, const { &Pattern::O200k.rules() }),
        Pattern::Cl100k => plain(&mut look, at, const { &Pattern::Cl100k.rules() }),
        Pattern::Tekken => cased(&mut look, at, const { &Pattern::Tekken.rules() }),
        Pattern::Llama3 => plain(&mut look, at, const { &Pattern::Llama3.rules() }),
        Pattern::Qwen2 => plain(&mut look, at, const { &Pattern::Qwen2.rules() }),
        Pattern::Qwen35 => plain(&mut look, at, const { &Pattern::Qwen35.rules() }),
        Pattern::DeepSeek => deepseek::next(&mut look, at),
        Pattern::Joined(joints) => joints::next(&mut look, at, joints),
    };
    Piece { end, open: look.met_end }
}

/// A view of the text that remembers whether anyone asked for what lies behind its end.
pub(super) struct Look<'a> {
    pub(super) text: &'a str,
    pub(super) met_end: bool,
}

impl Look<'_> {
    pub(super) fn at(&mut self, at: usize) -> Option<(Class, usize)> {
        let found = classes::at(self.text, at);
        self.met_end |= found.is_none();
        found
    }

    pub(super) fn point(&mut self, at: usize) -> Option<char> {
        let point = self.text.get(at..).and_then(|rest| rest.chars().next());
        self.met_end |= point.is_none();
        point
    }

    /// The end of the longest run of `wanted` from `at`.
    pub(super) fn run(&mut self, mut at: usize, wanted: impl Fn(Class) -> bool) -> usize {
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

    /// ` ?[^\s\p{L}\p{N}]+` at `at`, if it matches; without marks where those are of words.
    fn punctuation(&mut self, at: usize, rules: &Rules) -> Option<usize> {
        let wanted = |class| class == Class::Other || rules.punctuation(class);
        let start = if self.point(at) == Some(' ') { at + 1 } else { at };
        let end = self.run(start, wanted);
        (end > start).then_some(end)
    }

    /// `\p{N}{1,3}` at `at`, or up to another number of digits, if it matches.
    pub(super) fn number(&mut self, at: usize, most: usize) -> Option<usize> {
        let mut end = at;
        for _ in 0..most {
            match self.at(end) {
                Some((Class::Number, after)) => end = after,
                _ => break,
            }
        }
        (end > at).then_some(end)
    }

    /// A run of whitespace from `at`: its end, the end of its last newline, its last character.
    pub(super) fn whitespace(&mut self, at: usize) -> (usize, Option<usize>, usize) {
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

/// The patterns whose words have upper-case letters only at their start.
#[inline(always)]
fn cased(look: &mut Look<'_>, at: usize, rules: &Rules) -> usize {
    let Some((first, after)) = look.at(at) else { return at };
    let word = match first {
        Class::Newline | Class::Number => None,
        Class::Upper | Class::Lower | Class::Uncased => cased_word(look, at),
        // A mark may be the character before the word or its first letter; the pattern tries
        // them in this order, each with both alternatives' first form before the second.
        Class::Mark => word_ending_lower(look, after).or_else(|| cased_word(look, at)),
        Class::Other | Class::Space => cased_word(look, after),
    };
    match word {
        Some(end) if rules.suffix => look.contraction(end),
        Some(end) => end,
        None => no_word(look, at, rules),
    }
}

/// What is no word: digits, punctuation, whitespace.
#[inline(always)]
fn no_word(look: &mut Look<'_>, at: usize, rules: &Rules) -> usize {
    if let Some(end) = look.number(at, rules.digits) {
        return end;
    }
    if let Some(end) = look.punctuation(at, rules) {
        return tail(look, end, rules.slash);
    }
    let (end, newline, last) = look.whitespace(at);
    let is_last = end == look.text.len();
    match newline {
        _ if is_last && rules.whole_end => end,
        Some(newline) => newline,
        None if is_last || last == at => end,
        None => last,
    }
}

/// `[\r\n/]*` or `[\r\n]*` from `at`.
pub(super) fn tail(look: &mut Look<'_>, mut at: usize, slash: bool) -> usize {
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

/// The patterns whose words are letters of any case.
#[inline(always)]
fn plain(look: &mut Look<'_>, at: usize, rules: &Rules) -> usize {
    let contraction = look.contraction(at);
    if contraction > at {
        return contraction;
    }
    let Some((first, after)) = look.at(at) else { return at };
    let start = match first {
        Class::Newline | Class::Number => None,
        first if rules.letter(first) => Some(at),
        _ => Some(after),
    };
    if let Some(start) = start {
        let end = look.run(start, |class| rules.letter(class));
        if end > start {
            return end;
        }
    }
    no_word(look, at, rules)
}
