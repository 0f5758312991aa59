//! From a model's name to an ordered plan of targets. A pure choice: prices, health and chance are
//! handed in, nothing is asked.

mod budget;
mod health;
mod outputs;
mod plan;
mod reason;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tollgate_accounting::{PriceCard, PriceList, Timestamp};
use tollgate_tokenizer::Family;

pub use budget::RetryBudget;
pub use health::{
    Breaker, Fault, Health, KeyReport, Leaves, Need, NotReady, Permit, Report, Unready, View,
};
pub use outputs::likely_outputs;
pub use plan::{LeftOut, Offer, Order, Place, Plan, Rules, plan};
pub use reason::{Exclusion, Reason};

/// A model at a provider, with everything about it that a call needs to know.
#[derive(Clone, Debug)]
pub struct Target {
    /// Index of the provider in the services' table.
    pub provider: usize,
    /// The provider's name.
    pub provider_name: Arc<str>,
    /// The model as the provider calls it.
    pub model: Arc<str>,
    /// Its prices; where it has none, the call is refused.
    pub prices: Option<Arc<PriceList>>,
    /// How its text is counted.
    pub family: Family,
    /// The model whose chat rules it is counted by: its own, but for the demo's.
    pub counted_as: Arc<str>,
    /// The most it writes, where that is known.
    pub max_output_tokens: Option<u64>,
    /// What else it can do.
    pub abilities: Abilities,
    /// Its share under [`Order::Weighted`].
    pub weight: u32,
    /// How many keys its provider has.
    pub keys: usize,
    /// What it and its provider are tagged with.
    pub tags: Arc<[Arc<str>]>,
    /// How it has been doing.
    pub health: Arc<Health>,
}

impl Target {
    /// What a call costs that asks for no service tier.
    pub fn card(&self, at: Timestamp) -> Option<&PriceCard> {
        self.prices.as_ref()?.standard(at).map(|card| &**card)
    }

    /// `provider/model`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.provider_name, self.model)
    }
}

/// What a model can do, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Abilities {
    /// The most tokens of a prompt.
    pub input_tokens: Option<u64>,
    /// Whether it calls tools.
    pub tools: Option<bool>,
    /// Whether it reads pictures.
    pub images: Option<bool>,
    /// Whether it hears.
    pub audio: Option<bool>,
}

/// What a model's name stands for.
#[derive(Clone, Debug)]
pub struct Route {
    /// How its targets are chosen for a call.
    pub rules: Rules,
    /// Never empty.
    pub targets: Vec<Target>,
    /// Where a call goes whose prompt is too long for the targets.
    pub on_context_length: Vec<Target>,
    /// Where a call goes that a target's content policy refuses.
    pub on_content_policy: Vec<Target>,
    /// The operator's cap on a choice's output tokens.
    pub max_output_tokens: Option<u64>,
    /// Attempts beyond the first that its calls may still make.
    pub budget: Arc<RetryBudget>,
    /// How it comes to its end, if it does.
    pub end: Option<Arc<End>>,
    /// After how long without an answer the next target is asked as well.
    pub hedge_after: Option<Duration>,
}

/// How a name comes to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// From when its clients are told to leave it.
    pub deprecated: Option<Timestamp>,
    /// From when it is refused.
    pub sunset: Option<Timestamp>,
    /// The name to ask for instead.
    pub successor: Option<String>,
}

impl Route {
    /// A route without ceilings, caps and fallbacks.
    pub fn new(order: Order, targets: Vec<Target>) -> Route {
        Route {
            rules: Rules::of(order),
            targets,
            on_context_length: Vec::new(),
            on_content_policy: Vec::new(),
            max_output_tokens: None,
            budget: Arc::default(),
            end: None,
            hedge_after: None,
        }
    }

    /// Its end, if that has come.
    pub fn ended(&self, now: Timestamp) -> Option<&End> {
        self.end.as_deref().filter(|end| end.sunset.is_some_and(|sunset| sunset <= now))
    }

    /// Whether a call has more than one place to go.
    pub fn has_choice(&self) -> bool {
        self.targets.len() + self.on_context_length.len() + self.on_content_policy.len() > 1
    }
}

/// Why a name stands for nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// Nothing is called that; these names are near.
    Unknown {
        /// The nearest names, nearest first.
        nearest: Vec<String>,
    },
    /// Several providers serve it, so it must be asked for as `provider/model`.
    Ambiguous {
        /// The full names.
        full: Vec<String>,
    },
}

/// All names that can be asked for.
#[derive(Default)]
pub struct Routes {
    named: BTreeMap<String, Arc<Route>>,
    /// A bare model name to the full names that serve it.
    bare: HashMap<String, Vec<String>>,
    /// Makes a route of a full name that no list has, where its provider would take it all the same:
    /// dated and tuned models, of which there is no end.
    unlisted: Option<Box<Unlisted>>,
    /// Routes made that way.
    made: Mutex<HashMap<String, Arc<Route>>>,
}

/// Makes a route of a name such as `openai/gpt-4o-2024-08-06`.
pub type Unlisted = dyn Fn(&str) -> Option<Route> + Send + Sync;

/// Routes of unlisted names that are kept. Beyond it they are made anew for each call.
const MOST_MADE: usize = 4096;

impl Routes {
    /// Adds an alias, or a full name `provider/model`.
    pub fn insert(&mut self, name: String, route: Route) {
        self.named.insert(name, Arc::new(route));
    }

    /// Lets `model` be asked for by its bare name as well, where only one provider serves it.
    pub fn insert_bare(&mut self, model: &str, full: String) {
        self.bare.entry(model.to_owned()).or_default().push(full);
    }

    /// How full names that are not listed become routes.
    pub fn set_unlisted(&mut self, make: Box<Unlisted>) {
        self.unlisted = Some(make);
    }

    /// What the name stands for.
    pub fn find(&self, name: &str) -> Result<Arc<Route>, NoRoute> {
        if let Some(route) = self.named.get(name) {
            return Ok(route.clone());
        }
        let found = match self.bare.get(name).map(Vec::as_slice) {
            Some([only]) => self.named.get(only).cloned(),
            Some(full) => return Err(NoRoute::Ambiguous { full: full.to_vec() }),
            None => self.make(name),
        };
        found.ok_or_else(|| self.unknown(name))
    }

    fn make(&self, name: &str) -> Option<Arc<Route>> {
        let make = self.unlisted.as_ref()?;
        if let Some(route) = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Some(route.clone());
        }
        let route = Arc::new(make(name)?);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() < MOST_MADE {
            made.insert(name.to_owned(), route.clone());
        }
        Some(route)
    }

    /// All names, aliases first among equals, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Route)> {
        self.named.iter().map(|(name, route)| (name.as_str(), &**route))
    }

    fn unknown(&self, name: &str) -> NoRoute {
        let mut near: Vec<(usize, &str)> = self
            .named
            .keys()
            .map(|known| {
                let model = known.rsplit('/').next().unwrap_or(known);
                (distance(name, known).min(distance(name, model)), known.as_str())
            })
            .filter(|(distance, _)| *distance <= name.len().max(3) / 3)
            .collect();
        near.sort_unstable();
        NoRoute::Unknown { nearest: near.into_iter().take(3).map(|(_, n)| n.to_owned()).collect() }
    }
}

/// Edits (insert, delete, change) from one name to the other; Levenshtein 1966. Long names are not
/// compared: nobody mistypes those by hand.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route::new(Order::Ordered, Vec::new())
    }

    #[test]
    fn a_bare_name_stands_for_a_model_that_one_provider_serves() {
        let mut routes = Routes::default();
        for full in ["a/x", "b/x", "a/y"] {
            routes.insert(full.into(), route());
            routes.insert_bare(&full[2..], full.into());
        }
        assert!(routes.find("y").is_ok());
        assert!(routes.find("b/x").is_ok());
        let both = NoRoute::Ambiguous { full: vec!["a/x".into(), "b/x".into()] };
        assert_eq!(routes.find("x").unwrap_err(), both);
    }

    #[test]
    fn a_name_that_no_list_has_is_made_once_if_it_can_be() {
        let mut routes = Routes::default();
        routes.set_unlisted(Box::new(|name| name.starts_with("a/").then(route)));
        let first = routes.find("a/dated-2024").unwrap();
        assert!(Arc::ptr_eq(&first, &routes.find("a/dated-2024").unwrap()));
        assert!(routes.find("b/dated-2024").is_err());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let mut routes = Routes::default();
        for name in ["openai/gpt-4o", "openai/gpt-4o-mini", "openai/o3", "fast"] {
            routes.insert(name.into(), route());
        }
        let Err(NoRoute::Unknown { nearest }) = routes.find("gpt4o") else { panic!() };
        assert_eq!(nearest, ["openai/gpt-4o"]);
        let Err(NoRoute::Unknown { nearest }) = routes.find("zzzzzzzzz") else { panic!() };
        assert!(nearest.is_empty());
    }
}
