//! The Unicode classes the patterns speak of, pinned to the version the references use.

/// What a pattern can tell apart about a code point. The build script knows this order.
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

static BLOCKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.1"));
static CLASSES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.2"));

/// The class of the code point that starts at a byte of a text, and where the next one starts.
#[inline(always)]
pub(crate) fn at(text: &str, at: usize) -> Option<(Class, usize)> {
    let bytes = text.as_bytes();
    let first = *bytes.get(at)?;
    let follow = |offset: usize| u32::from(bytes.get(at + offset).copied().unwrap_or(0) & 0x3f);
    let lead = u32::from(first);
    let (point, length) = match first {
        0..0x80 => (lead, 1),
        0x80..0xe0 => ((lead & 0x1f) << 6 | follow(1), 2),
        0xe0..0xf0 => ((lead & 0xf) << 12 | follow(1) << 6 | follow(2), 3),
        _ => ((lead & 7) << 18 | follow(1) << 12 | follow(2) << 6 | follow(3), 4),
    };
    Some((of_point(point), at + length))
}

/// The class of a code point.
#[inline]
pub(crate) fn of(point: char) -> Class {
    of_point(u32::from(point))
}

/// Whether a code point is `[\p{P}\p{S}]`.
#[inline]
pub(crate) fn is_symbol(point: char) -> bool {
    byte_of(u32::from(point)) == SYMBOL
}

/// What the table has for a symbol: [`Class::Other`] with a mark.
const SYMBOL: u8 = 8;

#[inline(always)]
fn of_point(point: u32) -> Class {
    const CLASS: [Class; 8] = [
        Class::Other,
        Class::Upper,
        Class::Lower,
        Class::Uncased,
        Class::Mark,
        Class::Number,
        Class::Space,
        Class::Newline,
    ];
    CLASS[usize::from(byte_of(point) & 7)]
}

#[inline(always)]
fn byte_of(point: u32) -> u8 {
    let point = point as usize;
    let block = BLOCKS.get(point >> 8).copied().unwrap_or(0);
    CLASSES.get(usize::from(block) << 8 | (point & 0xff)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::{Class as Set, HirKind};

    use super::*;

    #[test]
    fn every_code_point_has_the_class_that_the_references_patterns_give_it() {
        let mut expected = vec![Class::Other; 0x11_0000];
        let mut symbols = vec![false; 0x11_0000];
        for (pattern, class) in [
            (r"[\p{Lu}\p{Lt}]", Class::Upper),
            (r"\p{Ll}", Class::Lower),
            (r"[\p{Lm}\p{Lo}]", Class::Uncased),
            (r"\p{M}", Class::Mark),
            (r"\p{N}", Class::Number),
            (r"\s", Class::Space),
            (r"[\r\n]", Class::Newline),
            (r"[\p{P}\p{S}]", Class::Other),
        ] {
            let parsed = regex_syntax::Parser::new().parse(pattern).unwrap();
            let HirKind::Class(Set::Unicode(set)) = parsed.into_kind() else { panic!("{pattern}") };
            for range in set.ranges() {
                let range = range.start() as usize..=range.end() as usize;
                symbols[range.clone()].fill(class == Class::Other);
                expected[range].fill(class);
            }
        }
        for point in '\0'..=char::MAX {
            assert_eq!(of(point), expected[point as usize], "{point:?}");
            assert_eq!(is_symbol(point), symbols[point as usize], "{point:?}");
            let text = format!("a{point}b");
            assert_eq!(at(&text, 1), Some((of(point), text.len() - 1)), "{point:?}");
        }
        assert_eq!(at("a", 1), None);
    }
}
