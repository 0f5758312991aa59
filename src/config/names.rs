//! Which names a client can ask for under a configuration, to judge lists and filters by.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    models::Placed,
    problem::nearest,
    reader::Field,
    snapshot::{Provider, covers},
};

/// The names that mean something.
pub(super) struct Names<'s> {
    providers: &'s BTreeMap<String, Provider>,
    aliases: BTreeSet<&'s str>,
    has_prompts: bool,
}

impl<'s> Names<'s> {
    pub(super) fn new(
        providers: &'s BTreeMap<String, Provider>,
        aliases: &'s [Placed<'_>],
        has_prompts: bool,
    ) -> Names<'s> {
        let aliases = aliases.iter().map(|placed| placed.alias.name.as_str()).collect();
        Names { providers, aliases, has_prompts }
    }

    /// Warns of a name or pattern that no call can have.
    pub(super) fn warn_unless_known(&self, field: &Field<'_>, pattern: &str) {
        if self.can_match(pattern) {
            return;
        }
        let listed = self.listed();
        let known = self.aliases.iter().copied().chain(listed.iter().map(String::as_str));
        let help = nearest(pattern, known).map(|name| format!("did you mean `{name}`?"));
        field.warn("can never match: there is no such alias or model", help);
    }

    /// Warns of a prompt's name where there are no prompts.
    pub(super) fn warn_unless_prompts(&self, field: &Field<'_>) {
        if !self.has_prompts {
            field.warn("can never match: there is no [prompts]", None);
        }
    }

    fn can_match(&self, pattern: &str) -> bool {
        let patterns_meet = |name: &str| covers(pattern, name);
        self.aliases.iter().any(|alias| patterns_meet(alias))
            || self.listed().iter().any(|name| patterns_meet(name))
            || self.providers.values().any(|provider| {
                provider.models.is_empty() && {
                    let prefix = format!("{}/", provider.name);
                    // What it serves is not listed, so anything below it may exist.
                    patterns_meet(&prefix) || pattern.starts_with(&prefix) || !pattern.contains('/')
                }
            })
    }

    /// Every model that a provider lists, as `provider/model` and by its bare name.
    fn listed(&self) -> Vec<String> {
        let both = |provider: &Provider| {
            let full = provider.models.iter().map(|model| format!("{}/{model}", provider.name));
            full.chain(provider.models.iter().cloned()).collect::<Vec<_>>()
        };
        self.providers.values().flat_map(both).collect()
    }
}
