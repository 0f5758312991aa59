//! Models with their limits and capabilities, and what they cost since when: data with a source and a
//! date, read exactly.

mod batches;
mod import;
mod models;
mod names;
mod prices;
pub(crate) mod refusals;
mod rule;
mod tiers;

use std::sync::OnceLock;

use serde::Deserialize;
use tollgate_accounting::{PriceCard, PriceList, Timestamp};

pub use batches::{BatchLimits, batch_limits};
pub use import::{Imports, Maker, reduce};
pub use models::{Modalities, ModelInfo};

/// Everything known about models and prices.
#[derive(Debug, Default)]
pub struct Catalogue<'d> {
    /// In the order they are asked.
    models: Vec<models::Models<'d>>,
    /// In the order they are asked: the first that knows a price is believed.
    prices: Vec<prices::Prices<'d>>,
    /// So many of `prices`, from the first on, were imported.
    imported: usize,
    /// Imported models whose prices go before lists that are no newer.
    newer: Option<models::Models<'d>>,
    tiers: tiers::Tiers<'d>,
}

/// Why a file of the catalogue cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueError {
    /// Which file.
    pub file: &'static str,
    /// What is wrong.
    pub message: String,
}

#[derive(Deserialize)]
struct Sources<'d> {
    genai_prices: &'d str,
    models_dev: &'d str,
    service_tiers: &'d str,
    demo: &'d str,
}

impl Catalogue<'static> {
    /// The catalogue that is built in.
    pub fn builtin() -> &'static Catalogue<'static> {
        static BUILTIN: OnceLock<Catalogue<'static>> = OnceLock::new();
        // What is built in is read by a test, so there is no error to be had; were there one, every
        // price would be unknown, and an unknown price is never free.
        BUILTIN.get_or_init(|| read_builtin().unwrap_or_default())
    }
}

fn read_builtin() -> Result<Catalogue<'static>, CatalogueError> {
    let mut catalogue = Catalogue::default();
    add_builtin(&mut catalogue)?;
    Ok(catalogue)
}

/// When what is built in was retrieved.
fn sources() -> Result<Sources<'static>, CatalogueError> {
    serde_json::from_str(include_str!("../../data/sources.json"))
        .map_err(|e| CatalogueError { file: "sources.json", message: e.to_string() })
}

/// Adds what is built in, to be asked behind what is there.
fn add_builtin(catalogue: &mut Catalogue<'_>) -> Result<(), CatalogueError> {
    let dates = sources()?;
    catalogue.add_prices("demo", dates.demo, include_str!("../../data/demo-prices.json"))?;
    let genai = include_str!("../../data/genai-prices-v2.json");
    catalogue.add_prices("genai-prices", dates.genai_prices, genai)?;
    catalogue.add_models(dates.models_dev, include_str!("../../data/models-dev.json"))?;
    catalogue.add_tiers(dates.service_tiers, include_str!("../../data/service-tiers.json"))
}

fn read_models<'d>(date: &'d str, json: &'d str) -> Result<models::Models<'d>, CatalogueError> {
    models::Models::read(date, json)
        .map_err(|e| CatalogueError { file: "models", message: e.to_string() })
}

impl<'d> Catalogue<'d> {
    /// Adds a price list in the form of genai-prices' `data.json`, to be asked behind those added before.
    pub fn add_prices(
        &mut self,
        source: &'d str,
        date: &'d str,
        json: &'d str,
    ) -> Result<(), CatalogueError> {
        let prices = prices::Prices::read(source, date, json)
            .map_err(|e| CatalogueError { file: "prices", message: e.to_string() })?;
        self.prices.push(prices);
        Ok(())
    }

    /// Adds models in the reduced form of models.dev's `api.json`, to be asked behind those added before.
    pub fn add_models(&mut self, date: &'d str, json: &'d str) -> Result<(), CatalogueError> {
        self.models.push(read_models(date, json)?);
        Ok(())
    }

    /// Takes what other service tiers than the standard one cost, in place of what was known before.
    pub fn add_tiers(&mut self, date: &'d str, json: &'d str) -> Result<(), CatalogueError> {
        self.tiers = tiers::Tiers::read(date, json)
            .map_err(|e| CatalogueError { file: "service tiers", message: e.to_string() })?;
        Ok(())
    }

    /// Everything known of what a model costs at a provider: since when, at what hours, in which
    /// service tier. Nothing where it is not known, which is not the same as nothing to pay.
    pub fn list(&self, provider: &str, model: &str) -> Option<PriceList> {
        let (name, named) = (names::in_prices(provider), names::in_models(provider));
        let mut prices = self.prices.iter().enumerate();
        let priced = prices.find_map(|(at, p)| Some((at, p.date(), p.list(name, model)?)));
        let list = match priced {
            Some((at, date, list)) => {
                let goes_before = |newer: &&models::Models<'_>| {
                    newer.date() > date || newer.date() == date && at >= self.imported
                };
                let newer = self.newer.as_ref().filter(goes_before);
                newer.and_then(|newer| newer.before(named, model, &list)).unwrap_or(list)
            }
            None => {
                let mut models = self.all_models();
                PriceList::of(models.find_map(|models| models.card(named, model))?.into())
            }
        };
        let id = self.prices.iter().find_map(|p| p.id(name, model));
        Some(id.map_or_else(|| list.clone(), |id| self.tiers.add(name, id, list.clone())))
    }

    fn all_models(&self) -> impl Iterator<Item = &models::Models<'d>> {
        self.newer.iter().chain(&self.models)
    }

    /// What a call that asks for no tier costs at that instant.
    pub fn card(&self, provider: &str, model: &str, at: Timestamp) -> Option<PriceCard> {
        self.list(provider, model)?.standard(at).map(|card| PriceCard::clone(card))
    }

    /// What is known of a model at a provider.
    pub fn model(&self, provider: &str, model: &str) -> Option<ModelInfo<'d>> {
        let name = names::in_models(provider);
        let listed = self.all_models().find_map(|models| models.get(name, model));
        let window =
            self.prices.iter().find_map(|p| p.context_window(names::in_prices(provider), model));
        match (listed, window) {
            (Some(info), window) => {
                Some(ModelInfo { context_window: info.context_window.or(window), ..info })
            }
            (None, Some(window)) => {
                let id =
                    self.prices.iter().find_map(|p| p.id(names::in_prices(provider), model))?;
                Some(ModelInfo { context_window: Some(window), ..ModelInfo::bare(id) })
            }
            (None, None) => {
                let id =
                    self.prices.iter().find_map(|p| p.id(names::in_prices(provider), model))?;
                Some(ModelInfo::bare(id))
            }
        }
    }

    /// The models known at a provider, by name.
    pub fn models(&self, provider: &str) -> Vec<ModelInfo<'d>> {
        let mut all: Vec<ModelInfo<'d>> = Vec::new();
        for info in self.all_models().flat_map(|models| models.of(names::in_models(provider))) {
            if !all.iter().any(|known| known.id == info.id) {
                all.push(info);
            }
        }
        for prices in &self.prices {
            for (id, window) in prices.of(names::in_prices(provider)) {
                if !all.iter().any(|info| info.id == id) {
                    all.push(ModelInfo { context_window: window, ..ModelInfo::bare(id) });
                }
            }
        }
        all.sort_by(|a, b| a.id.cmp(b.id));
        all
    }

    /// The providers known; those that are of a kind of ours go by its name.
    pub fn providers(&self) -> Vec<&'d str> {
        let mut all: Vec<&str> = self.all_models().flat_map(models::Models::providers).collect();
        all.extend(self.prices.iter().flat_map(prices::Prices::providers));
        all.iter_mut().for_each(|name| *name = names::ours(name));
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests;
