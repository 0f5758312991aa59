//! What a call used, in disjoint classes: a token is counted in exactly one of them, so a cost is
//! a plain sum. Missing is not zero.

/// A billable class. The names are disjoint: `Input` excludes cached, audio and image tokens,
/// `Output` excludes reasoning, audio and image tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Text the model read anew.
    Input,
    /// Input taken from the provider's prompt cache.
    CacheRead,
    /// Input written to the cache with the provider's default lifetime (5 or 30 minutes).
    CacheWrite,
    /// Input written to the cache with the long lifetime (1 or 12 hours).
    CacheWriteLong,
    /// Audio the model heard.
    AudioInput,
    /// Images the model saw, where the provider counts them apart from text.
    ImageInput,
    /// Text the model wrote.
    Output,
    /// Tokens the model thought and did not show.
    Reasoning,
    /// Audio the model spoke.
    AudioOutput,
    /// Images the model drew.
    ImageOutput,
    /// Searches run by the provider. A count of searches, in neither token total.
    WebSearch,
}

/// How a count came to be known. It travels with the count to every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    /// The provider said so.
    Reported,
    /// An exact count of text we know.
    Tokenized,
    /// Neither: a bound or a guess by a written rule.
    Estimated,
}

/// Counts per class; a class that nobody reported is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Usage {
    counts: [Option<u64>; Class::ALL.len()],
}

impl Class {
    /// Every class, in the order of its number.
    pub const ALL: [Class; 11] = [
        Class::Input,
        Class::CacheRead,
        Class::CacheWrite,
        Class::CacheWriteLong,
        Class::AudioInput,
        Class::ImageInput,
        Class::Output,
        Class::Reasoning,
        Class::AudioOutput,
        Class::ImageOutput,
        Class::WebSearch,
    ];

    /// The name in reports and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Input => "input",
            Class::CacheRead => "cache_read",
            Class::CacheWrite => "cache_write",
            Class::CacheWriteLong => "cache_write_long",
            Class::AudioInput => "audio_input",
            Class::ImageInput => "image_input",
            Class::Output => "output",
            Class::Reasoning => "reasoning",
            Class::AudioOutput => "audio_output",
            Class::ImageOutput => "image_output",
            Class::WebSearch => "web_search",
        }
    }

    /// The class of that name.
    pub fn from_name(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Counts towards the input total.
    pub const fn is_input(self) -> bool {
        (self as u8) < (Class::Output as u8)
    }

    /// Counts towards the output total.
    pub const fn is_output(self) -> bool {
        !self.is_input() && !matches!(self, Class::WebSearch)
    }
}

impl Provenance {
    /// The name in reports and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Provenance::Reported => "reported",
            Provenance::Tokenized => "tokenized",
            Provenance::Estimated => "estimated",
        }
    }

    /// The provenance of that name.
    pub fn from_name(name: &str) -> Option<Provenance> {
        [Provenance::Reported, Provenance::Tokenized, Provenance::Estimated]
            .into_iter()
            .find(|provenance| provenance.name() == name)
    }
}

impl Usage {
    /// Nothing reported yet.
    pub const fn new() -> Usage {
        Usage { counts: [None; Class::ALL.len()] }
    }

    /// The count of a class, if it was reported.
    pub const fn get(&self, class: Class) -> Option<u64> {
        self.counts[class as usize]
    }

    /// Records the count of a class; zero is a count.
    pub const fn set(&mut self, class: Class, count: u64) {
        self.counts[class as usize] = Some(count);
    }

    /// The same usage with the count of one class recorded.
    #[must_use]
    pub const fn with(mut self, class: Class, count: u64) -> Usage {
        self.set(class, count);
        self
    }

    /// Takes the larger count of each class, because providers report running totals.
    /// `Some(0)` beats `None`: an explicit zero is not missing.
    pub fn merge_max(&mut self, other: &Usage) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine = (*mine).max(theirs);
        }
    }

    /// Input tokens of all classes. `None` says that the number isn't known: nothing was reported
    /// on that side, or the sum doesn't fit.
    pub fn input_total(&self) -> Option<u64> {
        self.total(Class::is_input)
    }

    /// Output tokens of all classes, reasoning included. `None` as for the input.
    pub fn output_total(&self) -> Option<u64> {
        self.total(Class::is_output)
    }

    /// No class was reported.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(Option::is_none)
    }

    /// The reported classes with their counts, in the order of [`Class::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Class, u64)> + '_ {
        Class::ALL.into_iter().filter_map(|class| Some((class, self.get(class)?)))
    }

    fn total(&self, side: fn(Class) -> bool) -> Option<u64> {
        let mut sides = self.iter().filter(|(class, _)| side(*class)).map(|(_, count)| count);
        let first = sides.next()?;
        sides.try_fold(first, u64::checked_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_on_one_side_and_has_a_name_of_its_own() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index);
            assert_eq!(Class::from_name(class.name()), Some(class));
            let sides = usize::from(class.is_input()) + usize::from(class.is_output());
            assert_eq!(sides, usize::from(class != Class::WebSearch), "{class:?}");
        }
        assert!(Class::ImageInput.is_input() && Class::Output.is_output());
        assert_eq!(Class::from_name("tokens"), None);
        for provenance in [Provenance::Reported, Provenance::Tokenized, Provenance::Estimated] {
            assert_eq!(Provenance::from_name(provenance.name()), Some(provenance));
        }
        assert_eq!(Provenance::from_name(""), None);
    }

    #[test]
    fn missing_is_not_zero() {
        let none = Usage::new();
        assert!(none.is_empty());
        assert_eq!((none.input_total(), none.output_total()), (None, None));
        let zero = none.with(Class::Output, 0);
        assert!(!zero.is_empty());
        assert_eq!((zero.input_total(), zero.output_total()), (None, Some(0)));
        assert_eq!(zero.get(Class::Output), Some(0));
    }

    #[test]
    fn totals_take_every_class_of_their_side_once_and_no_searches() {
        let mut usage = Usage::new();
        for (index, class) in Class::ALL.into_iter().enumerate() {
            usage.set(class, 1 << index);
        }
        assert_eq!(usage.input_total(), Some(0b00_0011_1111));
        assert_eq!(usage.output_total(), Some(0b11_1100_0000));
        assert_eq!(usage.iter().count(), Class::ALL.len());
        let huge = Usage::new().with(Class::Input, u64::MAX).with(Class::CacheRead, 1);
        assert_eq!(huge.input_total(), None);
    }

    #[test]
    fn merging_takes_the_maximum_per_class_because_deltas_are_cumulative() {
        let mut usage = Usage::new().with(Class::Input, 10).with(Class::Output, 1);
        usage.merge_max(&Usage::new().with(Class::Output, 7).with(Class::CacheRead, 0));
        usage.merge_max(&Usage::new().with(Class::Output, 5));
        let expected =
            Usage::new().with(Class::Input, 10).with(Class::Output, 7).with(Class::CacheRead, 0);
        assert_eq!(usage, expected);
    }
}
