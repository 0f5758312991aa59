//! What other service tiers cost than the standard one: rates of their own, or half of the standard
//! rates.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use tollgate_accounting::{
    Class, Listed, PriceCard, PriceList, Rates, ServiceTier, Tier, Timestamp, UnitPrice,
};

use super::prices::unit;

/// Providers by their name in the price lists.
#[derive(Debug, Default)]
pub(super) struct Tiers<'d> {
    date: &'d str,
    providers: HashMap<&'d str, Provider<'d>>,
}

#[derive(Debug, Deserialize)]
struct Provider<'d> {
    /// Dollars per million tokens, by model.
    #[serde(borrow)]
    priority: HashMap<&'d str, Own<'d>>,
    /// Models whose calls cost half in a tier; `*` is all of them.
    #[serde(borrow)]
    half: BTreeMap<&'d str, Vec<&'d str>>,
}

#[derive(Debug, Deserialize)]
struct Own<'d> {
    input: &'d str,
    cache_read: &'d str,
    output: &'d str,
}

impl<'d> Tiers<'d> {
    /// Reads the file, every price and tier of it.
    pub(super) fn read(date: &'d str, json: &'d str) -> Result<Self, serde_json::Error> {
        let providers: HashMap<&'d str, Provider<'d>> = serde_json::from_str(json)?;
        let bad = |what: &str| <serde_json::Error as serde::de::Error>::custom(what);
        for provider in providers.values() {
            let known = |name: &&&str| ServiceTier::reported(name).is_none();
            if let Some(name) = provider.half.keys().find(known) {
                return Err(bad(&format!("no service tier is called {name}")));
            }
            if provider.priority.values().any(|own| own.rates().is_none()) {
                return Err(bad("a price that is none"));
            }
        }
        Ok(Tiers { date, providers })
    }

    /// The list with what is known of the other tiers. `id` is the model's name in the price lists.
    pub(super) fn add(&self, provider: &str, id: &str, list: PriceList) -> PriceList {
        let Some(found) = self.providers.get(provider) else { return list };
        let mut all: Vec<Listed> = list.iter().cloned().collect();
        for (name, models) in &found.half {
            let Some(tier) = ServiceTier::reported(name) else { continue };
            if models.contains(&id) || models.contains(&"*") {
                all.extend(list.iter().filter_map(|one| half(one, tier)));
            }
        }
        if let Some(rates) = found.priority.get(id).and_then(Own::rates) {
            let card = PriceCard {
                version: format!("service-tiers/{}/{provider}/{id}@priority", self.date),
                source: format!("the provider's price list as of {}", self.date),
                effective_from: Timestamp::from_micros(0),
                tiers: vec![Tier { above_input_tokens: 0, rates }],
                per_request: None,
            };
            let (tier, from) = (ServiceTier::Priority, Timestamp::MIN);
            all.push(Listed { tier, from, hours: None, card: card.into() });
        }
        PriceList::new(all)
    }
}

impl Own<'_> {
    fn rates(&self) -> Option<Rates> {
        let rates = Rates::new()
            .with(Class::Input, unit(self.input, 6)?)
            .with(Class::CacheRead, unit(self.cache_read, 6)?)
            .with(Class::Output, unit(self.output, 6)?);
        Some(rates)
    }
}

/// Half of every token's rate, rounded up to a pico-dollar; searches and fees stay as they are.
fn half(one: &Listed, tier: ServiceTier) -> Option<Listed> {
    if one.tier != ServiceTier::Standard {
        return None;
    }
    let halved = |rates: &Rates| {
        Class::ALL.into_iter().fold(*rates, |halved, class| match rates.get(class) {
            Some(price) if class != Class::WebSearch => {
                halved.with(class, UnitPrice::from_pico(price.pico().div_ceil(2)))
            }
            _ => halved,
        })
    };
    let tiers =
        one.card.tiers.iter().map(|tier| Tier { rates: halved(&tier.rates), ..tier.clone() });
    let card = PriceCard {
        version: format!("{}@{tier}", one.card.version),
        source: format!("half of {}", one.card.source),
        tiers: tiers.collect(),
        ..PriceCard::clone(&one.card)
    };
    Some(Listed { tier, card: card.into(), ..one.clone() })
}
