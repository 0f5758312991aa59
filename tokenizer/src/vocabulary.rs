//! The vocabularies: which byte strings are tokens, and their ranks.

use std::collections::HashMap;
use std::sync::LazyLock;

pub(crate) struct Vocabulary {
    ranks: HashMap<&'static [u8], u32>,
}

impl Vocabulary {
    fn parse(mut rest: &'static [u8]) -> Self {
        let mut ranks = HashMap::new();
        let mut rank = 0;
        while let [length, _split, tail @ ..] = rest {
            let (token, after) = tail.split_at(usize::from(*length));
            ranks.insert(token, rank);
            rank += 1;
            rest = after;
        }
        Self { ranks }
    }

    pub(crate) fn rank(&self, token: &[u8]) -> Option<u32> {
        self.ranks.get(token).copied()
    }
}

pub(crate) fn o200k() -> &'static Vocabulary {
    static TABLE: LazyLock<Vocabulary> =
        LazyLock::new(|| Vocabulary::parse(include_bytes!("../data/o200k_base.vocab")));
    &TABLE
}

pub(crate) fn cl100k() -> &'static Vocabulary {
    static TABLE: LazyLock<Vocabulary> =
        LazyLock::new(|| Vocabulary::parse(include_bytes!("../data/cl100k_base.vocab")));
    &TABLE
}
