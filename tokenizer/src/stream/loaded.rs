//! The runs of the patterns that only loaded vocabularies have.

use super::run::{Adding, Closed, Kind, Run};
use crate::split::deepseek::{self, Kind as Piece};
use crate::split::joints::Joints;

impl Run {
    pub(super) fn feed_joined(&mut self, add: &mut Adding<'_>, joints: Joints) -> Option<Closed> {
        let point = add.point;
        if !self.whole.is_empty() && !joints.joins(self.last.0, point) {
            return self.close(self.whole.count(), point.to_string());
        }
        self.last.0 = point;
        add.to(&mut self.whole);
        None
    }

    pub(super) fn start_deepseek(one: char, two: char) -> Option<Self> {
        let (first, second) = (deepseek::kind(one), deepseek::kind(two));
        let white = |kind| matches!(kind, Piece::Space | Piece::Newline);
        Some(Self::of(match (first, second) {
            (Piece::Number, _) => return None,
            (Piece::Cjk, _) => Kind::Cjk,
            (Piece::Letter, _) | (Piece::Space | Piece::Gap, Piece::Letter) => Kind::Letters3,
            (Piece::Symbol, _) if one.is_ascii() && two.is_ascii_alphabetic() => Kind::AsciiLetters,
            (Piece::Symbol, _) => Kind::Symbols,
            (Piece::Space, Piece::Symbol) if one == ' ' => Kind::Symbols,
            (Piece::Gap, _) => Kind::Gap,
            (_, second) if white(second) => Kind::Whitespace,
            _ => return None,
        }))
    }

    pub(super) fn feed_deepseek(&mut self, add: &mut Adding<'_>) -> Option<Closed> {
        let point = add.point;
        let first = self.whole.is_empty();
        match (self.kind, deepseek::kind(point)) {
            (Kind::Cjk, Piece::Cjk)
            | (Kind::Letters3, Piece::Letter)
            | (Kind::Symbols, Piece::Symbol)
            | (Kind::Newlines, Piece::Newline) => add.to(&mut self.whole),
            (Kind::Letters3 | Kind::AsciiLetters | Kind::Symbols, _) if first => {
                add.to(&mut self.whole);
            }
            (Kind::AsciiLetters, _) if point.is_ascii_alphabetic() => add.to(&mut self.whole),
            (Kind::Symbols, Piece::Newline) => {
                self.kind = Kind::Newlines;
                add.to(&mut self.whole);
            }
            (Kind::Whitespace, Piece::Space) => self.space(add),
            (Kind::Whitespace, Piece::Newline) => {
                add.to(&mut self.whole);
                self.before_rest = self.whole.count();
                self.rest.clear();
            }
            // What comes is the end of the text to whitespace.
            (Kind::Whitespace, Piece::Number | Piece::Cjk) => {
                return self.close(self.before_rest + self.rest.count(), point.to_string());
            }
            (Kind::Whitespace, _) => return self.close_whitespace(point),
            (Kind::Gap, Piece::Gap) => {
                self.last = (point, self.whole.count());
                add.to(&mut self.whole);
            }
            (Kind::Gap, Piece::Letter) => {
                let (last, count) = self.last;
                return self.close(count, [last, point].iter().collect());
            }
            _ => return self.close(self.whole.count(), point.to_string()),
        }
        None
    }
}
