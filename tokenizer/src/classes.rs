//! The Unicode classes the patterns speak of, pinned to the version the references use.

use std::sync::LazyLock;

/// What a pattern can tell apart about a code point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    /// Anything that no other class takes: punctuation, symbols, controls, unassigned.
    Other,
    /// `\p{Lu}`, `\p{Lt}`.
    Upper,
    /// `\p{Ll}`.
    Lower,
    /// `\p{Lm}`, `\p{Lo}`: letters without a case.
    Uncased,
    /// `\p{M}`.
    Mark,
    /// `\p{N}`.
    Number,
    /// `\s` without the two below.
    Space,
    /// `\r` and `\n`.
    Newline,
}

/// The class of a code point.
pub(crate) fn of(point: char) -> Class {
    static TABLE: LazyLock<Vec<Class>> = LazyLock::new(table);
    TABLE.get(point as usize).copied().unwrap_or(Class::Other)
}

fn table() -> Vec<Class> {
    let mut table = vec![Class::Other; 0x11_0000];
    for line in include_str!("../data/classes.ranges").lines() {
        let mut words = line.split(' ');
        let mut number = || words.next().and_then(|word| usize::from_str_radix(word, 16).ok());
        let (Some(first), Some(last)) = (number(), number()) else { continue };
        let class = match words.next() {
            Some("u") => Class::Upper,
            Some("l") => Class::Lower,
            Some("o") => Class::Uncased,
            Some("m") => Class::Mark,
            Some("n") => Class::Number,
            Some("s") => Class::Space,
            Some("r") => Class::Newline,
            _ => Class::Other,
        };
        if let Some(range) = table.get_mut(first..=last) {
            range.fill(class);
        }
    }
    table
}
