//! How urgent a call is: when there is too little for all, the less urgent wait or are refused first.

/// How urgent a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// It takes what others leave.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// It goes before others, and gets the last of what there is.
    High,
}

impl Priority {
    /// All, by their names in configurations and headers.
    pub const NAMED: [(&'static str, Priority); 3] =
        [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)];

    /// The priority of that name.
    pub fn named(name: &str) -> Option<Priority> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, priority)| *priority)
    }
}
