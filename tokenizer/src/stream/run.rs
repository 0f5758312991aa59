//! A piece that may go on without end - a word, punctuation, whitespace - followed character by
//! character without its text.

use super::append::Append;
use crate::bpe::Scratch;
use crate::classes::{self, Class};
use crate::encoding::Encoding;
use crate::split::Pattern;
use crate::vocabulary::Vocabulary;

/// An open piece, or two where the border between them can still move.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) kind: Kind,
    /// What was closed within the run.
    settled: u64,
    /// The run from its start.
    pub(super) whole: Append,
    /// The part of it behind the last place where it can be cut.
    pub(super) rest: Append,
    /// The count up to that place.
    pub(super) before_rest: u64,
    /// The last character of the rest, and the count of the rest without it.
    pub(super) last: (char, u64),
    /// Behind a word, the start of what may become a contraction.
    quote: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    /// What it came to.
    pub(super) settled: u64,
    /// The text that was fed but does not belong to it.
    pub(super) left: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word of `O200k` in which no lower-case letter has come: it would be cut behind the last
    /// letter without a case, until one does.
    Upper,
    /// A word of `O200k` behind that, which ends with the letters that may follow a lower one.
    Lower,
    /// A word of `Cl100k`.
    Letters,
    Punctuation,
    /// Behind punctuation, the newlines (and slashes) that belong to it.
    Newlines,
    /// Cut behind the last newline, and before the last character once text follows.
    Whitespace,
    /// What the vocabulary joins, of `Joined`.
    Joined,
    /// The words of `DeepSeek`, and its runs of Chinese characters.
    Letters3,
    Cjk,
    /// Behind one mark of punctuation, ASCII letters.
    AsciiLetters,
    /// Punctuation and symbols.
    Symbols,
    /// What nothing matches: cut before the last character if letters follow.
    Gap,
}

impl Run {
    /// The run that `text` starts with, if it is of a kind that can go on; nothing is fed yet.
    pub(super) fn start(encoding: Encoding, text: &str) -> Option<Self> {
        let mut points = text.chars();
        let (one, two) = (points.next()?, points.next()?);
        match encoding.pattern() {
            Pattern::Joined(_) => return Some(Self::of(Kind::Joined)),
            Pattern::DeepSeek => return Self::start_deepseek(one, two),
            _ => {}
        }
        let (first, second) = (classes::of(one), classes::of(two));
        let rules = encoding.pattern().rules();
        let letter = |class| rules.letter(class);
        let word = if rules.cased { Kind::Upper } else { Kind::Letters };
        let white = |class| matches!(class, Class::Space | Class::Newline);
        let kind = match (first, second) {
            (Class::Number, _) => return None,
            (first, _) if letter(first) => word,
            (Class::Other | Class::Mark | Class::Space, second) if letter(second) => word,
            (Class::Other | Class::Mark, _) => Kind::Punctuation,
            (Class::Space, Class::Other | Class::Mark) if text.starts_with(' ') => {
                Kind::Punctuation
            }
            (_, second) if white(second) => Kind::Whitespace,
            _ => return None,
        };
        Some(Self::of(kind))
    }

    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            settled: 0,
            whole: Append::new(),
            rest: Append::new(),
            before_rest: 0,
            last: ('\0', 0),
            quote: String::new(),
        }
    }

    /// What the run comes to if the text ends here.
    pub(super) fn count(&self, encoding: Encoding) -> u64 {
        let open = match self.kind {
            Kind::Upper => self.before_rest + self.rest.count(),
            Kind::Whitespace if !encoding.pattern().rules().whole_end => {
                self.before_rest + self.rest.count()
            }
            _ => self.whole.count(),
        };
        self.settled + open + encoding.count(&self.quote)
    }

    /// Takes one character; tells if that ended the run.
    pub(super) fn feed(
        &mut self,
        encoding: Encoding,
        scratch: &mut Scratch,
        point: char,
    ) -> Option<Closed> {
        let mut add = Adding { vocabulary: encoding.vocabulary(), scratch, point };
        match encoding.pattern() {
            Pattern::Joined(joints) => return self.feed_joined(&mut add, joints),
            Pattern::DeepSeek => return self.feed_deepseek(&mut add),
            _ => {}
        }
        if !self.quote.is_empty() {
            return self.feed_quote(&mut add);
        }
        let rules = encoding.pattern().rules();
        let first = self.whole.is_empty();
        match (self.kind, classes::of(point)) {
            (Kind::Upper, Class::Lower) => {
                self.kind = Kind::Lower;
                add.to(&mut self.whole);
            }
            (Kind::Upper, Class::Upper) => {
                add.to(&mut self.whole);
                add.to(&mut self.rest);
            }
            (Kind::Upper, Class::Uncased | Class::Mark) | (Kind::Whitespace, Class::Newline) => {
                add.to(&mut self.whole);
                self.before_rest = self.whole.count();
                self.rest.clear();
            }
            // The character before a word.
            (Kind::Upper, Class::Other | Class::Space) if first => {
                add.to(&mut self.whole);
                add.to(&mut self.rest);
            }
            (Kind::Upper, _) => return self.close_upper(point, rules.suffix),
            (Kind::Lower, Class::Lower | Class::Uncased | Class::Mark)
            | (Kind::Newlines, Class::Newline) => add.to(&mut self.whole),
            (Kind::Letters, class) if rules.letter(class) => add.to(&mut self.whole),
            (Kind::Punctuation, class) if rules.punctuation(class) => add.to(&mut self.whole),
            (Kind::Lower, _) => return self.close_word(point, rules.suffix),
            (Kind::Letters | Kind::Punctuation, Class::Other | Class::Mark | Class::Space)
                if first =>
            {
                add.to(&mut self.whole);
            }
            (Kind::Punctuation, Class::Newline) => {
                self.kind = Kind::Newlines;
                add.to(&mut self.whole);
            }
            (Kind::Newlines, _) if point == '/' && rules.slash => add.to(&mut self.whole),
            (Kind::Letters | Kind::Punctuation | Kind::Newlines, _) => {
                return self.close(self.whole.count(), point.to_string());
            }
            (Kind::Whitespace, Class::Space) => self.space(&mut add),
            (Kind::Whitespace, _) => return self.close_whitespace(point),
            // The others are not of these patterns.
            _ => return self.close(self.whole.count(), point.to_string()),
        }
        None
    }

    pub(super) fn close(&self, count: u64, left: String) -> Option<Closed> {
        Some(Closed { settled: self.settled + count, left })
    }

    pub(super) fn space(&mut self, add: &mut Adding<'_>) {
        self.last = (add.point, self.rest.count());
        add.to(&mut self.whole);
        add.to(&mut self.rest);
    }

    pub(super) fn close_whitespace(&self, point: char) -> Option<Closed> {
        if self.rest.is_empty() {
            return self.close(self.before_rest, point.to_string());
        }
        let (last, count) = self.last;
        self.close(self.before_rest + count, [last, point].iter().collect())
    }

    /// A word is cut behind its last letter without a case: the rest is a word of its own.
    fn close_upper(&mut self, point: char, suffix: bool) -> Option<Closed> {
        if !self.rest.is_empty() {
            self.settled += std::mem::take(&mut self.before_rest);
            std::mem::swap(&mut self.whole, &mut self.rest);
        }
        self.close_word(point, suffix)
    }

    fn close_word(&mut self, point: char, suffix: bool) -> Option<Closed> {
        if point != '\'' || !suffix {
            return self.close(self.whole.count(), point.to_string());
        }
        self.kind = Kind::Lower;
        self.quote.push(point);
        None
    }

    /// `'s`, `'re` and the like belong to the word before them.
    fn feed_quote(&mut self, add: &mut Adding<'_>) -> Option<Closed> {
        let before = self.whole.count();
        let mut quote = std::mem::take(&mut self.quote);
        quote.push(add.point);
        let mut points = quote.chars().skip(1).map(|point| point.to_ascii_lowercase());
        match (points.next(), points.next()) {
            (Some('s' | 't' | 'm' | 'd' | '\u{17f}'), _)
            | (Some('r' | 'v'), Some('e'))
            | (Some('l'), Some('l')) => {
                self.whole.push(add.vocabulary, add.scratch, &quote);
                self.close(self.whole.count(), String::new())
            }
            (Some('r' | 'v' | 'l'), None) => {
                self.quote = quote;
                None
            }
            _ => self.close(before, quote),
        }
    }
}

/// A character on its way into the run.
pub(super) struct Adding<'a> {
    vocabulary: &'a Vocabulary,
    scratch: &'a mut Scratch,
    pub(super) point: char,
}

impl Adding<'_> {
    pub(super) fn to(&mut self, append: &mut Append) {
        append.push(self.vocabulary, self.scratch, self.point.encode_utf8(&mut [0; 4]));
    }
}
