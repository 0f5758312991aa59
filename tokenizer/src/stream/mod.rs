//! Counts a text that arrives in deltas.
//!
//! A piece is settled once its end was decided without looking behind what has arrived. Only the
//! text after the last settled piece is kept, and counted again with each delta; where that text
//! grows long, because one piece goes on and on, [`run`] takes it over and keeps no text at all.

mod append;
mod loaded;
mod run;

use crate::bpe::{Scratch, with_scratch};
use crate::count::{self, Counter};
use crate::encoding::Encoding;
#[cfg(feature = "json")]
use crate::loaded::Front;
use crate::split::masks::BLOCK;
use run::Run;

/// The exact count of everything pushed so far, however it was cut into deltas. It holds a few
/// hundred bytes, and a few thousand while one piece goes on for long.
#[derive(Clone, Debug)]
pub struct StreamCounter {
    core: Core,
    #[cfg(feature = "json")]
    front: Option<Box<Front>>,
    total: u64,
}

impl StreamCounter {
    pub(crate) fn new(encoding: Encoding) -> Self {
        #[cfg(feature = "json")]
        let front = match encoding {
            Encoding::Loaded(loaded) => Some(Box::new(Front::new(loaded))),
            _ => None,
        };
        Self {
            core: Core::new(encoding),
            #[cfg(feature = "json")]
            front,
            total: 0,
        }
    }

    /// Appends `delta` and returns the count of all the text so far.
    pub fn push(&mut self, delta: &str) -> u64 {
        if !delta.is_empty() {
            self.total = with_scratch(|scratch| {
                #[cfg(feature = "json")]
                if let Some(front) = &mut self.front {
                    return front.push(&mut self.core, delta, scratch);
                }
                self.core.advance(delta, scratch)
            });
        }
        self.total
    }

    /// The count of all the text so far.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }
}

/// Counts text that is cut by the encoding's pattern and by nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    encoding: Encoding,
    settled: u64,
    tail: String,
    run: Option<Box<Run>>,
}

/// A tail that is longer than this is taken over by a run, if it is one.
pub(crate) const LONG: usize = 96;

impl Core {
    pub(crate) const fn new(encoding: Encoding) -> Self {
        Self { encoding, settled: 0, tail: String::new(), run: None }
    }

    /// Appends text and returns the count of all of it.
    pub(crate) fn advance(&mut self, delta: &str, scratch: &mut Scratch) -> u64 {
        let mut rest = delta.chars();
        while let Some(run) = &mut self.run {
            let Some(point) = rest.next() else { return self.settled + run.count(self.encoding) };
            if let Some(closed) = run.feed(self.encoding, scratch, point) {
                self.settled += closed.settled;
                self.tail = closed.left;
                self.run = None;
            }
        }
        self.tail.push_str(rest.as_str());
        let (pattern, vocabulary) = (self.encoding.pattern(), self.encoding.vocabulary());
        if self.tail.len() < BLOCK
            && let Some((settled, end, pending)) =
                count::tail(pattern, vocabulary, &self.tail, scratch)
        {
            self.settled += settled;
            if end > 0 {
                self.tail.drain(..end);
            }
            return self.settled + pending;
        }
        let mut counter = Counter::unlimited();
        let open = count::walk_settled(pattern, vocabulary, &self.tail, scratch, &mut counter);
        self.settled += counter.total;
        self.tail.drain(..open);
        if self.tail.len() > LONG
            && let Some(run) = self.run_of_tail(scratch)
        {
            let count = run.count(self.encoding);
            self.run = Some(Box::new(run));
            self.tail.clear();
            return self.settled + count;
        }
        let mut pending = Counter::unlimited();
        count::walk_with(pattern, vocabulary, &self.tail, scratch, &mut pending);
        self.settled + pending.total
    }

    /// The tail as a run, if it is one to its end.
    fn run_of_tail(&self, scratch: &mut Scratch) -> Option<Run> {
        let mut run = Run::start(self.encoding, &self.tail)?;
        let open = |point| run.feed(self.encoding, scratch, point).is_none();
        self.tail.chars().all(open).then_some(run)
    }
}
