//! Service tiers: the same model, sooner or later, at another price.

use std::fmt;

/// How urgently a provider processes a call. Prices differ by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceTier {
    /// What is had by asking for nothing.
    #[default]
    Standard,
    /// Within a day, as part of a batch.
    Batch,
    /// When there is room.
    Flex,
    /// Before others.
    Priority,
}

impl ServiceTier {
    /// All of them.
    pub const ALL: [ServiceTier; 4] =
        [ServiceTier::Standard, ServiceTier::Batch, ServiceTier::Flex, ServiceTier::Priority];

    /// The name, as in a configuration and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            ServiceTier::Standard => "standard",
            ServiceTier::Batch => "batch",
            ServiceTier::Flex => "flex",
            ServiceTier::Priority => "priority",
        }
    }

    /// The tier that a provider means by a name, in a request or a reply: OpenAI's `default`,
    /// Groq's `on_demand`, Gemini's `STANDARD`. `auto` is none: it leaves the choice open.
    pub fn reported(name: &str) -> Option<ServiceTier> {
        if ["default", "on_demand", "standard_only"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
            return Some(ServiceTier::Standard);
        }
        ServiceTier::ALL.into_iter().find(|tier| name.eq_ignore_ascii_case(tier.name()))
    }
}

impl fmt::Display for ServiceTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_names_are_understood_and_auto_is_none() {
        let table = [
            ("default", Some(ServiceTier::Standard)),
            ("STANDARD", Some(ServiceTier::Standard)),
            ("on_demand", Some(ServiceTier::Standard)),
            ("flex", Some(ServiceTier::Flex)),
            ("Priority", Some(ServiceTier::Priority)),
            ("batch", Some(ServiceTier::Batch)),
            ("auto", None),
            ("scale", None),
            ("", None),
        ];
        for (name, tier) in table {
            assert_eq!(ServiceTier::reported(name), tier, "{name}");
        }
        assert!(ServiceTier::ALL.iter().all(|t| ServiceTier::reported(t.name()) == Some(*t)));
    }
}
