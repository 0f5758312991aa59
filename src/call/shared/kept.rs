//! The frames of a reply that several read, from the first on, and how far each reader is. Bounded:
//! of a reply larger than that, what the slowest reader lacks is let go of.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tollgate_accounting::Money;

/// The largest reply that is kept whole. Of a larger one nobody can join any more, and a reader that
/// is so far behind the others is broken off.
const LARGEST: usize = 4 * 1024 * 1024;

/// The frames so far and how far each reader is.
#[derive(Default)]
pub(super) struct Kept {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The number of the first frame that is kept.
    first: usize,
    /// Whether all frames are kept.
    pub(super) whole: bool,
    pub(super) ended: bool,
    /// What the call was charged, if it came to its own end.
    pub(super) charged: Option<Money>,
    readers: BTreeMap<u64, usize>,
    numbers: u64,
}

/// Bytes for the client that asked first, and for others where those differ.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) first: Bytes,
    pub(super) others: Option<Bytes>,
}

impl From<Bytes> for Frame {
    fn from(first: Bytes) -> Frame {
        Frame { first, others: None }
    }
}

pub(super) enum Place {
    At(Frame),
    Ahead,
    End,
    Lost,
}

impl Kept {
    /// Nothing yet, and all that comes is kept.
    pub(super) fn new() -> Kept {
        Kept { whole: true, ..Kept::default() }
    }

    pub(super) fn read(&mut self) -> u64 {
        self.numbers += 1;
        self.readers.insert(self.numbers, 0);
        self.numbers
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.readers.remove(&number);
        self.trim();
    }

    pub(super) fn is_behind(&self, number: u64) -> bool {
        self.ended || self.has_more(number)
    }

    pub(super) fn has_more(&self, number: u64) -> bool {
        let at = self.readers.get(&number).copied().unwrap_or(0);
        at < self.first + self.frames.len()
    }

    pub(super) fn take(&mut self, number: u64) -> Place {
        let Some(at) = self.readers.get_mut(&number) else { return Place::End };
        let Some(index) = at.checked_sub(self.first) else {
            self.readers.remove(&number);
            return Place::Lost;
        };
        let Some(frame) = self.frames.get(index).cloned() else {
            return if self.ended { Place::End } else { Place::Ahead };
        };
        *at += 1;
        self.trim();
        Place::At(frame)
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.first.len();
        self.frames.push_back(frame);
        self.whole &= self.bytes <= LARGEST;
        self.trim();
    }

    /// All frames end to end, if all are kept.
    pub(super) fn end(&mut self) -> Option<Bytes> {
        self.ended = true;
        self.whole.then(|| {
            let mut all = Vec::with_capacity(self.bytes);
            self.frames.iter().for_each(|frame| all.extend_from_slice(&frame.first));
            Bytes::from(all)
        })
    }

    /// Of a reply that is too large to keep, lets go of what every reader has read, and of more where
    /// one is far behind; but never of the frame that came last.
    fn trim(&mut self) {
        if self.whole {
            return;
        }
        let slowest = self.readers.values().copied().min().unwrap_or(usize::MAX);
        while self.first < slowest || (self.bytes > LARGEST && self.frames.len() > 1) {
            let Some(frame) = self.frames.pop_front() else { return };
            self.bytes -= frame.first.len();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Bytes::copy_from_slice(text.as_bytes()).into()
    }

    fn read_all(kept: &mut Kept, number: u64) -> (String, bool) {
        let mut text = String::new();
        loop {
            match kept.take(number) {
                Place::At(frame) => text.push_str(std::str::from_utf8(&frame.first).unwrap()),
                Place::Ahead | Place::End => return (text, true),
                Place::Lost => return (text, false),
            }
        }
    }

    #[test]
    fn whoever_joins_later_reads_from_the_first_frame_on() {
        let mut kept = Kept::new();
        let first = kept.read();
        kept.push(frame("a"));
        assert_eq!(read_all(&mut kept, first), ("a".to_owned(), true));
        kept.push(frame("b"));
        let second = kept.read();
        assert!(kept.is_behind(second));
        assert_eq!(read_all(&mut kept, second), ("ab".to_owned(), true));
        assert_eq!(kept.end().as_deref(), Some(&b"ab"[..]));
        assert_eq!(read_all(&mut kept, first), ("b".to_owned(), true));
    }

    #[test]
    fn a_reply_too_large_to_keep_is_passed_on_and_not_kept() {
        let mut kept = Kept::new();
        let reader = kept.read();
        let large = "x".repeat(LARGEST / 4);
        for _ in 0..40 {
            kept.push(frame(&large));
            assert_eq!(read_all(&mut kept, reader).0.len(), large.len());
            assert!(kept.bytes <= LARGEST + large.len());
        }
        assert!(!kept.whole);
        assert_eq!(kept.end(), None);
    }

    #[test]
    fn a_reader_far_behind_is_broken_off_and_holds_no_memory() {
        let mut kept = Kept::new();
        let (_slow, quick) = (kept.read(), kept.read());
        let large = "x".repeat(LARGEST / 4);
        for _ in 0..40 {
            kept.push(frame(&large));
            assert!(read_all(&mut kept, quick).1);
            assert!(kept.bytes <= LARGEST + large.len());
        }
        assert!(!read_all(&mut kept, 1).1);
        assert!(matches!(kept.take(1), Place::End), "told once");
    }
}
