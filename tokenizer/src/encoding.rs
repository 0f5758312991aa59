//! The encodings that are built in, and the four verbs on them.

use crate::count::{self, Collector, Counter, Sink};
#[cfg(feature = "json")]
use crate::loaded::{LoadError, Loaded};
use crate::split::Pattern;
use crate::stream::StreamCounter;
use crate::vocabulary::{self, Vocabulary};

/// A built-in encoding: a pattern that cuts text into pieces, and a vocabulary that encodes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// GPT-4o, 4.1, 4.5, 5 and the o series.
    O200kBase,
    /// The open-weight gpt-oss models. Ordinary text is encoded as in [`Encoding::O200kBase`].
    O200kHarmony,
    /// GPT-4, GPT-3.5 and the embedding models.
    Cl100kBase,
    /// One that was loaded from a file.
    #[cfg(feature = "json")]
    Loaded(Loaded),
}

impl Encoding {
    /// Every built-in encoding.
    pub const ALL: [Self; 3] = [Self::O200kBase, Self::O200kHarmony, Self::Cl100kBase];

    /// The name the encoding is published under, or the name it was loaded under.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::O200kBase => "o200k_base",
            Self::O200kHarmony => "o200k_harmony",
            Self::Cl100kBase => "cl100k_base",
            #[cfg(feature = "json")]
            Self::Loaded(loaded) => loaded.name(),
        }
    }

    /// Reads a Hugging Face `tokenizer.json`, to be known as `name`. Byte-level and
    /// SentencePiece-like BPE of the known families is counted exactly; anything else is refused.
    /// What is loaded stays for the life of the process, which takes 14 different ones; the same
    /// file under the same name is the same encoding. A large file takes a second or two.
    ///
    /// # Errors
    /// What the file asks for that isn't built, or why it is no tokenizer.
    #[cfg(feature = "json")]
    pub fn load(name: &str, content: &[u8]) -> Result<Self, LoadError> {
        Loaded::load(name, content).map(Self::Loaded)
    }

    /// The encoding published under `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    /// How many tokens `text` comes to.
    #[must_use]
    pub fn count(self, text: &str) -> u64 {
        self.count_up_to(text, u64::MAX).unwrap_or(u64::MAX)
    }

    /// How many tokens `text` comes to, or `None` as soon as that is known to exceed `limit`.
    #[must_use]
    pub fn count_up_to(self, text: &str, limit: u64) -> Option<u64> {
        let mut counter = Counter { total: 0, limit };
        self.walk(text, &mut counter);
        (counter.total <= limit).then_some(counter.total)
    }

    /// Appends the token ids of `text` to `out`.
    pub fn encode(self, text: &str, out: &mut Vec<u32>) {
        #[cfg(feature = "json")]
        if let Self::Loaded(loaded) = self {
            return loaded.encode(text, out);
        }
        self.walk(text, &mut Collector(out));
    }

    fn walk(self, text: &str, sink: &mut impl Sink) {
        match self {
            #[cfg(feature = "json")]
            Self::Loaded(loaded) => loaded.walk(text, sink),
            _ => count::walk(self.pattern(), self.vocabulary(), text, sink),
        }
    }

    /// A counter to feed the text to in deltas.
    #[must_use]
    pub fn stream(self) -> StreamCounter {
        StreamCounter::new(self)
    }

    /// Touches every page of the tables, so that the first requests don't wait for the disk. It
    /// takes a millisecond or two, and nothing depends on it.
    pub fn warm_up(self) {
        std::hint::black_box(self.vocabulary().touch());
    }

    /// The bytes of the encoding's tables: what a built-in one adds to a binary.
    #[must_use]
    pub fn size(self) -> usize {
        self.vocabulary().size()
    }

    pub(crate) const fn pattern(self) -> Pattern {
        match self {
            Self::O200kBase | Self::O200kHarmony => Pattern::O200k,
            Self::Cl100kBase => Pattern::Cl100k,
            #[cfg(feature = "json")]
            Self::Loaded(loaded) => loaded.pattern(),
        }
    }

    pub(crate) fn vocabulary(self) -> &'static Vocabulary {
        match self {
            Self::O200kBase | Self::O200kHarmony => &vocabulary::O200K,
            Self::Cl100kBase => &vocabulary::CL100K,
            #[cfg(feature = "json")]
            Self::Loaded(loaded) => loaded.vocabulary(),
        }
    }
}
