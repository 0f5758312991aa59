//! The rules by which a price list says which names a price is for.

use serde::Deserialize;

/// A rule over a model's name. Case does not matter.
#[derive(Debug, Deserialize, Clone)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rule {
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(Pattern),
    Or(Vec<Rule>),
    And(Vec<Rule>),
}

/// The few regular expressions in use: literals, `\d`, `\d{n}` and the two anchors.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
    from_start: bool,
    to_end: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Byte(u8),
    Digit,
}

impl Rule {
    /// Whether the rule takes the name, which is in lower case.
    pub(super) fn takes(&self, name: &str) -> bool {
        match self {
            Rule::Equals(text) => name == text,
            Rule::StartsWith(text) => name.starts_with(text.as_str()),
            Rule::EndsWith(text) => name.ends_with(text.as_str()),
            Rule::Contains(text) => name.contains(text.as_str()),
            Rule::Regex(pattern) => pattern.takes(name),
            Rule::Or(rules) => rules.iter().any(|rule| rule.takes(name)),
            Rule::And(rules) => rules.iter().all(|rule| rule.takes(name)),
        }
    }

    /// The rule with its texts in lower case.
    pub(super) fn lowered(self) -> Rule {
        let all = |rules: Vec<Rule>| rules.into_iter().map(Rule::lowered).collect();
        match self {
            Rule::Equals(text) => Rule::Equals(text.to_lowercase()),
            Rule::StartsWith(text) => Rule::StartsWith(text.to_lowercase()),
            Rule::EndsWith(text) => Rule::EndsWith(text.to_lowercase()),
            Rule::Contains(text) => Rule::Contains(text.to_lowercase()),
            Rule::Regex(pattern) => Rule::Regex(pattern),
            Rule::Or(rules) => Rule::Or(all(rules)),
            Rule::And(rules) => Rule::And(all(rules)),
        }
    }

    /// The names the rule takes by equality alone, and whether there are others.
    pub(super) fn names(&self) -> (Vec<&str>, bool) {
        match self {
            Rule::Equals(text) => (vec![text], false),
            Rule::Or(rules) => {
                let (mut names, mut others) = (Vec::new(), false);
                for rule in rules {
                    let (more, other) = rule.names();
                    names.extend(more);
                    others |= other;
                }
                (names, others)
            }
            _ => (Vec::new(), true),
        }
    }
}

impl Pattern {
    fn takes(&self, name: &str) -> bool {
        let name = name.as_bytes();
        let fits = |at: usize| {
            let rest = &name[at..];
            let enough = if self.to_end {
                rest.len() == self.pieces.len()
            } else {
                rest.len() >= self.pieces.len()
            };
            enough
                && self.pieces.iter().zip(rest).all(|(piece, byte)| match piece {
                    Piece::Byte(b) => b == byte,
                    Piece::Digit => byte.is_ascii_digit(),
                })
        };
        let starts = if self.from_start { 0..=0 } else { 0..=name.len() };
        starts.into_iter().any(fits)
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let unknown = || format!("the expression `{text}` is not among those understood");
        let inner = text.strip_prefix('^').unwrap_or(&text);
        let from_start = inner.len() < text.len();
        let body = inner.strip_suffix('$').unwrap_or(inner);
        let to_end = body.len() < inner.len();
        let mut pieces = Vec::new();
        let mut rest = body.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => match rest.next().ok_or_else(unknown)? {
                    'd' => pieces.push(Piece::Digit),
                    c if c.is_ascii_punctuation() => pieces.push(Piece::Byte(c as u8)),
                    _ => return Err(unknown()),
                },
                '{' if pieces.last() == Some(&Piece::Digit) => {
                    let (count, after) = rest.as_str().split_once('}').ok_or_else(unknown)?;
                    let count: usize = count.parse().map_err(|_| unknown())?;
                    pieces.extend(std::iter::repeat_n(Piece::Digit, count.clamp(1, 64) - 1));
                    rest = after.chars();
                }
                c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | ':' | '@') => {
                    pieces.push(Piece::Byte(c as u8));
                }
                _ => return Err(unknown()),
            }
        }
        Ok(Pattern { pieces, from_start, to_end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expressions_in_use_are_understood_and_others_refused() {
        let pattern = |text: &str| Pattern::try_from(text.to_owned());
        let dated = pattern(r"^gpt-5\.6-\d{4}-\d{2}$").unwrap();
        assert!(dated.takes("gpt-5.6-2026-01"));
        for name in ["gpt-5x6-2026-01", "a-gpt-5.6-2026-01", "gpt-5.6-2026-011", "gpt-5.6-202-01"] {
            assert!(!dated.takes(name), "{name}");
        }
        let open = pattern(r"^gemini-3\.5-flash-\d").unwrap();
        assert!(open.takes("gemini-3.5-flash-8b") && !open.takes("gemini-3.5-flash-lite"));
        for bad in ["a+", "a|b", "(a)", ".", "[ab]", r"\w", r"\d{x}", "é"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }
}
