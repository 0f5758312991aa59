//! Models with their limits and capabilities, in the reduced form of models.dev.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::{
    Class, Listed, PriceCard, PriceList, Rates, ServiceTier, Tier, Timestamp,
};

use super::prices::{day, unit};

/// What is known of a model. What is not known is `None`, not `false` or zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelInfo<'d> {
    /// Its name at the provider.
    pub id: &'d str,
    /// The tokens of prompt and answer together.
    pub context_window: Option<u64>,
    /// The most tokens of a prompt, where that is less than the context.
    pub max_input_tokens: Option<u64>,
    /// The most tokens of an answer.
    pub max_output_tokens: Option<u64>,
    /// What it reads.
    pub input: Option<Modalities>,
    /// What it writes.
    pub output: Option<Modalities>,
    /// Whether it thinks before it answers.
    pub reasoning: Option<bool>,
    /// Whether it calls tools.
    pub tool_call: Option<bool>,
    /// Whether it keeps to a schema.
    pub structured_output: Option<bool>,
    /// Whether it takes a temperature. Some models refuse one.
    pub temperature: Option<bool>,
    /// Whether its provider has announced its end.
    pub deprecated: bool,
    /// When it came out, as its source writes it.
    pub released: Option<&'d str>,
}

/// A set of modalities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modalities {
    /// Text.
    pub text: bool,
    /// Pictures.
    pub image: bool,
    /// Sound.
    pub audio: bool,
    /// Video.
    pub video: bool,
    /// Documents.
    pub pdf: bool,
}

impl<'d> ModelInfo<'d> {
    /// A model of which only the name is known.
    pub(super) fn bare(id: &'d str) -> Self {
        ModelInfo {
            id,
            context_window: None,
            max_input_tokens: None,
            max_output_tokens: None,
            input: None,
            output: None,
            reasoning: None,
            tool_call: None,
            structured_output: None,
            temperature: None,
            deprecated: false,
            released: None,
        }
    }
}

/// All models of all providers.
#[derive(Debug, Default)]
pub(super) struct Models<'d> {
    date: &'d str,
    providers: HashMap<&'d str, BTreeMap<&'d str, Row<'d>>>,
}

#[derive(Deserialize)]
struct Wire<'d> {
    #[serde(borrow)]
    providers: HashMap<&'d str, BTreeMap<&'d str, Row<'d>>>,
}

/// Context, input, output, flags, input modalities, output modalities, release, cost.
#[derive(Debug, Deserialize)]
struct Row<'d>(
    Option<u64>,
    Option<u64>,
    Option<u64>,
    #[serde(borrow)] &'d str,
    &'d str,
    &'d str,
    &'d str,
    #[serde(borrow)] Option<&'d RawValue>,
);

#[derive(Deserialize)]
struct Cost<'d> {
    #[serde(borrow, default)]
    input: Option<&'d RawValue>,
    #[serde(borrow, default)]
    output: Option<&'d RawValue>,
    #[serde(borrow, default)]
    cache_read: Option<&'d RawValue>,
    #[serde(borrow, default)]
    cache_write: Option<&'d RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'d RawValue>,
    #[serde(borrow, default)]
    input_audio: Option<&'d RawValue>,
    #[serde(borrow, default)]
    output_audio: Option<&'d RawValue>,
    #[serde(borrow, default)]
    tiers: Option<Vec<&'d RawValue>>,
    #[serde(default)]
    tier: Option<Size>,
}

#[derive(Deserialize)]
struct Size {
    #[serde(default)]
    size: Option<u64>,
}

impl<'d> Models<'d> {
    pub(super) fn read(date: &'d str, json: &'d str) -> Result<Self, serde_json::Error> {
        let wire: Wire<'d> = serde_json::from_str(json)?;
        Ok(Models { date, providers: wire.providers })
    }

    /// When it was retrieved.
    pub(super) fn date(&self) -> &'d str {
        self.date
    }

    pub(super) fn get(&self, provider: &str, model: &str) -> Option<ModelInfo<'d>> {
        let (id, row) = self.providers.get(provider)?.get_key_value(model)?;
        Some(row.info(id))
    }

    pub(super) fn of(&self, provider: &str) -> Vec<ModelInfo<'d>> {
        let rows = self.providers.get(provider).into_iter().flatten();
        rows.map(|(id, row)| row.info(id)).collect()
    }

    pub(super) fn providers(&self) -> Vec<&'d str> {
        self.providers.keys().copied().collect()
    }

    /// The list price. This source writes zero both for free and for unknown, so nothing is taken to
    /// be free on its word.
    pub(super) fn card(&self, provider: &str, model: &str) -> Option<PriceCard> {
        let (name, models) = self.providers.get_key_value(provider)?;
        let (id, row) = models.get_key_value(model)?;
        let cost: Cost<'d> = serde_json::from_str(row.7?.get()).ok()?;
        let base = cost.rates()?;
        base.get(Class::Input)?;
        let mut tiers = vec![Tier { above_input_tokens: 0, rates: base }];
        for raw in cost.tiers.into_iter().flatten() {
            let tier: Cost<'d> = serde_json::from_str(raw.get()).ok()?;
            let above_input_tokens = tier.tier.as_ref()?.size?;
            let mut rates = base;
            Class::ALL.into_iter().try_for_each(|class| {
                if let Some(price) = tier.rates()?.get(class) {
                    rates.set(class, price);
                }
                Some(())
            })?;
            tiers.push(Tier { above_input_tokens, rates });
        }
        tiers.sort_by_key(|tier| tier.above_input_tokens);
        let card = PriceCard {
            version: format!("models.dev/{}/{name}/{id}/0", self.date),
            source: format!("models.dev of {}", self.date),
            effective_from: Timestamp::from_micros(0),
            tiers,
            per_request: None,
        };
        card.check().is_ok().then_some(card)
    }
}

impl Models<'_> {
    /// A list with the price that holds from the day of retrieval on: what is dated later there still
    /// comes, and what came before is as it was. Classes that this source does not list cost what they
    /// did, since they would fall to what a plainer class costs.
    pub(super) fn before(
        &self,
        provider: &str,
        model: &str,
        list: &PriceList,
    ) -> Option<PriceList> {
        let mut card = self.card(provider, model)?;
        let from = day(self.date)?;
        let (mut all, later): (Vec<Listed>, Vec<Listed>) =
            list.iter().cloned().partition(|one| one.from <= from);
        let plain = |one: &&Listed| one.tier == ServiceTier::Standard && one.hours.is_none();
        if let Some(one) = all.iter().rev().find(plain) {
            complete(&mut card, &one.card);
        }
        card.effective_from = from;
        all.push(Listed { tier: ServiceTier::Standard, from, hours: None, card: card.into() });
        Some(PriceList::new([all, later].concat()))
    }
}

fn complete(card: &mut PriceCard, before: &PriceCard) {
    let own = card.clone();
    card.per_request = card.per_request.or(before.per_request);
    for tier in &mut card.tiers {
        let reached = |had: &&Tier| had.above_input_tokens <= tier.above_input_tokens;
        let Some(had) = before.tiers.iter().rev().find(reached) else { continue };
        for class in Class::ALL {
            if let (None, Some(price)) = (tier.rates.get(class), had.rates.get(class)) {
                tier.rates.set(class, price);
            }
        }
    }
    if *card != own {
        card.version = format!("{}+{}", card.version, before.version);
        card.source = format!("{}, the rest {}", card.source, before.source);
    }
}

impl Cost<'_> {
    fn rates(&self) -> Option<Rates> {
        let mut rates = Rates::new();
        for (class, raw) in [
            (Class::Input, self.input),
            (Class::Output, self.output),
            (Class::CacheRead, self.cache_read),
            (Class::CacheWrite, self.cache_write),
            (Class::Reasoning, self.reasoning),
            (Class::AudioInput, self.input_audio),
            (Class::AudioOutput, self.output_audio),
        ] {
            let Some(raw) = raw else { continue };
            let price = unit(raw.get(), 6)?;
            if price.pico() > 0 {
                rates.set(class, price);
            }
        }
        Some(rates)
    }
}

impl<'d> Row<'d> {
    fn info(&self, id: &'d str) -> ModelInfo<'d> {
        let Row(context, input, output, flags, takes, gives, released, _) = self;
        let known = |n: &Option<u64>| n.filter(|n| *n > 0);
        // The source lists what a model can; what it leaves out, it cannot.
        let can = |flag: char| Some(flags.contains(flag));
        ModelInfo {
            id,
            context_window: known(context),
            max_input_tokens: known(input),
            max_output_tokens: known(output),
            input: modalities(takes),
            output: modalities(gives),
            reasoning: can('r'),
            tool_call: can('t'),
            structured_output: flags.contains('s').then_some(true),
            temperature: if flags.contains('N') {
                Some(false)
            } else {
                flags.contains('T').then_some(true)
            },
            deprecated: flags.contains('d'),
            released: Some(*released).filter(|date| !date.is_empty()),
        }
    }
}

fn modalities(letters: &str) -> Option<Modalities> {
    let has = |letter: char| letters.contains(letter);
    (!letters.is_empty()).then(|| Modalities {
        text: has('t'),
        image: has('i'),
        audio: has('a'),
        video: has('v'),
        pdf: has('p'),
    })
}
