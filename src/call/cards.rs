//! The price cards that may apply to a call at one target.

use std::sync::Arc;

use tollgate_accounting::{PriceCard, PriceList, ServiceTier, Timestamp};

use super::operation::Operation;

/// What a call may be charged by at one target.
pub(super) struct Cards {
    /// Everything it costs there.
    pub(super) prices: Arc<PriceList>,
    /// When the call came in, which decides the prices.
    pub(super) at: Timestamp,
    /// What is charged in the service tier it asks for.
    pub(super) card: Arc<PriceCard>,
    /// The other cards that may apply: a provider may process it in another tier.
    pub(super) others: Vec<Arc<PriceCard>>,
}

impl Cards {
    pub(super) fn of(
        prices: &Arc<PriceList>,
        tier: Option<ServiceTier>,
        at: Timestamp,
    ) -> Option<Cards> {
        let mut cards = prices.may_apply(tier, at).into_iter();
        Some(Cards { prices: prices.clone(), at, card: cards.next()?, others: cards.collect() })
    }

    /// What is charged where the provider makes it in a batch of its own.
    pub(super) fn batch(prices: &Arc<PriceList>, at: Timestamp) -> Option<Cards> {
        let card = prices.at(ServiceTier::Batch, at)?.clone();
        Some(Cards { prices: prices.clone(), at, card, others: Vec::new() })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<PriceCard>> {
        std::iter::once(&self.card).chain(&self.others)
    }

    /// Whether all that such a call may use has a price.
    pub(super) fn price_all(&self, operation: &Operation<'_>, output: u64) -> bool {
        let listed =
            |card: &PriceCard, class| card.tiers.iter().all(|tier| tier.rates.get(class).is_some());
        let own = |card: &PriceCard| operation.own_price().is_none_or(|class| listed(card, class));
        let bound =
            |card: &PriceCard| card.bound_within(operation.classes(), 1, output.min(1)).is_ok();
        self.all().all(|card| own(card) && bound(card))
    }

    /// The card that is charged for as long as the provider does not say which applies.
    pub(super) fn dearest(&self, input_tokens: u64) -> Arc<PriceCard> {
        let tokens = input_tokens.max(1);
        let cost = |card: &&Arc<PriceCard>| card.bound(tokens, tokens).ok();
        self.all().max_by_key(cost).unwrap_or(&self.card).clone()
    }
}
