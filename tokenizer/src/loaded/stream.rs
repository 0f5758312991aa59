//! Streams of a loaded vocabulary: what comes before the text is cut, done to text that arrives in
//! deltas. Text that may yet become an added token, or be composed with what comes, is held back
//! and counted anew with each delta; there is little of it.

use unicode_normalization_alignments::IsNormalized;
use unicode_normalization_alignments::char::canonical_combining_class;

use super::normal::Normal;
use super::{Loaded, Tokenizer};
use crate::bpe::Scratch;
use crate::encoding::Encoding;
use crate::stream::Core;

/// What was held back of a stream, and what is behind it.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    loaded: Loaded,
    held: String,
    segment: Segment,
}

/// The text since the last added token.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    /// What came before it.
    before: u64,
    /// What it comes to so far.
    count: u64,
    started: bool,
}

/// Marks without end to one letter are composed this many bytes at a time.
const MOST_HELD: usize = 4096;

impl Front {
    pub(crate) fn new(loaded: Loaded) -> Self {
        Self { loaded, held: String::new(), segment: Segment::default() }
    }

    /// Appends to the stream that `core` counts, and returns the count of all of it.
    pub(crate) fn push(&mut self, core: &mut Core, delta: &str, scratch: &mut Scratch) -> u64 {
        self.held.push_str(delta);
        let mut held = std::mem::take(&mut self.held);
        let done = self.take(core, &held, false, scratch);
        held.drain(..done);
        if !held.is_empty() {
            let (mut core, mut ahead) = (core.clone(), self.clone());
            ahead.take(&mut core, &held, true, scratch);
            self.held = held;
            return ahead.segment.total();
        }
        self.held = held;
        self.segment.total()
    }

    /// Takes the text that is certain, or all of it, and returns how much that was.
    fn take(&mut self, core: &mut Core, text: &str, all: bool, scratch: &mut Scratch) -> usize {
        let (mut from, mut at) = (0, 0);
        let tokenizer = self.loaded.0;
        let mut open = None;
        while let Some(found) = tokenizer.finder.find(text, at) {
            if found.open && !all {
                open = Some(found.start);
                break;
            }
            at = found.end.max(found.start + 1);
            if found.id.is_some() {
                let before = text.get(from..found.start).unwrap_or_default();
                self.text(core, before, scratch);
                *core = Core::new(Encoding::Loaded(self.loaded));
                let before = self.segment.total() + 1;
                self.segment = Segment { before, ..Segment::default() };
                from = found.end;
            }
        }
        let rest = text.get(from..open.unwrap_or(text.len())).unwrap_or_default();
        let certain = if all || open.is_some() { rest.len() } else { tokenizer.certain(rest) };
        self.text(core, rest.get(..certain).unwrap_or_default(), scratch);
        from + certain
    }

    fn text(&mut self, core: &mut Core, text: &str, scratch: &mut Scratch) {
        if text.is_empty() {
            return;
        }
        let normal = match self.loaded.0.normal {
            // Only a segment's start gets one.
            Normal::MarkedWithFirst if self.segment.started => Normal::Marked,
            normal => normal,
        };
        self.segment.started = true;
        self.segment.count = core.advance(&normal.apply(text), scratch);
    }
}

impl Segment {
    const fn total(&self) -> u64 {
        self.before + self.count
    }
}

impl Tokenizer {
    /// How much of a text is composed as it is whatever comes behind it: what is before the last
    /// character that composes with nothing before it.
    fn certain(&self, text: &str) -> usize {
        if self.normal != Normal::Composed || text.len() > MOST_HELD {
            return text.len();
        }
        let starts = |point: char| {
            canonical_combining_class(point) == 0
                && unicode_normalization_alignments::is_nfc_quick(std::iter::once(point))
                    == IsNormalized::Yes
        };
        text.char_indices().rev().find(|(_, point)| starts(*point)).map_or(0, |(at, _)| at)
    }
}
