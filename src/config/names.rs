//! Which names a client can ask for under a configuration, to judge targets, lists and filters by.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_accounting::Timestamp;
use tollgate_providers::catalogue::Catalogue;

use super::{
    models::Placed,
    problem::nearest,
    reader::Field,
    snapshot::{Prices, Provider, covers},
};

/// What all providers serve, and what of it has a price.
pub(super) struct Served<'s> {
    models: BTreeMap<&'s str, BTreeSet<String>>,
    prices: &'s Prices,
    providers: &'s BTreeMap<String, Provider>,
    catalogue: &'static Catalogue<'static>,
}

impl<'s> Served<'s> {
    pub(super) fn new(
        providers: &'s BTreeMap<String, Provider>,
        prices: &'s Prices,
        catalogue: &'static Catalogue<'static>,
    ) -> Served<'s> {
        let models =
            |provider: &'s Provider| (provider.name.as_str(), provider.served(prices, catalogue));
        let models = providers.values().map(models).collect();
        Served { models, prices, providers, catalogue }
    }

    /// The names of all providers.
    pub(super) fn providers(&self) -> impl Iterator<Item = &str> {
        self.models.keys().copied()
    }

    /// Whether there is such a provider.
    pub(super) fn knows(&self, provider: &str) -> bool {
        self.models.contains_key(provider)
    }

    /// What is asked of a mistyped model: whether the nearest that the provider serves was meant.
    pub(super) fn nearest(&self, provider: &str, model: &str) -> Option<String> {
        let models = self.models.get(provider)?.iter().map(String::as_str);
        nearest(model, models).map(|model| format!("did you mean `{model}`?"))
    }

    /// What is asked of a mistyped provider.
    pub(super) fn nearest_provider(&self, provider: &str) -> Option<String> {
        nearest(provider, self.providers()).map(|name| format!("did you mean `{name}`?"))
    }

    /// Whether a provider serves nothing by name.
    pub(super) fn nothing_at(&self, provider: &str) -> bool {
        let models = self.models.get(provider);
        !self.is_broken(provider) && models.is_some_and(BTreeSet::is_empty)
    }

    /// Whether the provider has an error already, so that what it serves is not judged.
    fn is_broken(&self, provider: &str) -> bool {
        self.providers.get(provider).is_none_or(|provider| provider.kind.is_empty())
    }

    /// Whether the file lists what the provider serves, and the model is not there.
    pub(super) fn lacks(&self, provider: &str, model: &str) -> bool {
        let lists =
            self.providers.get(provider).is_some_and(|provider| !provider.models.is_empty());
        lists && !self.has(provider, model)
    }

    /// Whether it is known that the provider serves the model.
    pub(super) fn has(&self, provider: &str, model: &str) -> bool {
        self.models.get(provider).is_some_and(|models| models.contains(model))
    }

    /// Whether the model has a price, in the file or in the catalogue.
    pub(super) fn has_price(&self, provider: &str, model: &str) -> bool {
        let kind = self.providers.get(provider).map_or("", |provider| provider.kind);
        self.is_broken(provider)
            || self.prices.has(provider, model)
            || self.catalogue.card(kind, model, Timestamp::MAX).is_some()
    }

    /// Every model as `provider/model` and by its bare name.
    fn names(&self) -> impl Iterator<Item = String> {
        self.models.iter().flat_map(|(provider, models)| {
            models.iter().flat_map(move |model| [format!("{provider}/{model}"), model.clone()])
        })
    }
}

impl Provider {
    /// What can be asked of it by name: what the file lists, what it prices, and what the catalogue
    /// knows where the file lists nothing.
    pub fn served(&self, prices: &Prices, catalogue: &Catalogue<'_>) -> BTreeSet<String> {
        let priced = prices.iter().filter(|(name, ..)| *name == self.name);
        let priced = priced.map(|(_, model, _)| model.to_owned());
        let known = self.models.is_empty().then(|| catalogue.models(self.kind));
        let known = known.into_iter().flatten().map(|model| model.id.to_owned());
        self.models.iter().cloned().chain(priced).chain(known).collect()
    }
}

/// The names that mean something.
pub(super) struct Names {
    known: BTreeSet<String>,
    has_prompts: bool,
    /// What providers are tagged with.
    tags: BTreeSet<String>,
}

impl Names {
    pub(super) fn new(served: &Served<'_>, aliases: &[Placed<'_>], has_prompts: bool) -> Names {
        let tags = served.providers.values().flat_map(|provider| provider.tags.iter().cloned());
        let targets = aliases.iter().flat_map(|placed| placed.alias.all_targets());
        let tags = tags.chain(targets.flat_map(|target| target.tags.iter().cloned())).collect();
        let aliases = aliases.iter().map(|placed| placed.alias.name.clone());
        let known = served.names().chain(aliases).collect();
        Names { known, has_prompts, tags }
    }

    /// Reports a tag that no provider has.
    pub(super) fn must_tag(&self, field: &Field<'_>, tag: &str) {
        if !self.tags.contains(tag) {
            let message = format!("no provider or target is tagged `{tag}`");
            field.unknown_name::<()>(&message, self.tags.iter().map(String::as_str), tag);
        }
    }

    /// Warns of a name or pattern that no call can have.
    pub(super) fn warn_unless_known(&self, field: &Field<'_>, pattern: &str) {
        if self.known.contains(pattern) || self.known.iter().any(|name| covers(pattern, name)) {
            return;
        }
        let known = self.known.iter().map(String::as_str);
        let help = nearest(pattern, known).map(|name| format!("did you mean `{name}`?"));
        field.warn("can never match: there is no such alias or model", help);
    }

    /// Whether a name is known, or may be: a provider serves more than lists have.
    pub(super) fn may_be(&self, name: &str) -> bool {
        self.known.contains(name) || name.contains('/')
    }

    /// Warns of a prompt's name where there are no prompts.
    pub(super) fn warn_unless_prompts(&self, field: &Field<'_>) {
        if !self.has_prompts {
            field.warn("can never match: there is no [prompts]", None);
        }
    }
}
