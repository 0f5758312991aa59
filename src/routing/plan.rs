//! The order in which a route's targets are tried for one call.

use super::{Health, Quote, Route};

/// The rule a route's targets are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least expensive for this call first.
    Cheapest,
    /// Soonest to answer lately first.
    Fastest,
    /// By chance, in proportion to the weights.
    Weighted,
    /// As written.
    Ordered,
}

impl Order {
    /// The name, as in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Order::Cheapest => "cheapest",
            Order::Fastest => "fastest",
            Order::Weighted => "weighted",
            Order::Ordered => "ordered",
        }
    }
}

/// Orders the targets for a call: indices into `route.targets`. Targets that asked to be left alone
/// come last: they are still better than no answer.
///
/// `quotes` holds what the call would cost at each, `chance` is a random number.
pub fn order(route: &Route, quotes: &[Quote], now_micros: u64, mut chance: u64) -> Vec<usize> {
    let targets = &route.targets;
    let mut plan: Vec<usize> = (0..targets.len()).collect();
    let health_of = |at: &usize| targets.get(*at).map(|t| &*t.health);
    match route.order {
        Order::Ordered => {}
        // Stable sorts: equals stay as written. A target without a price is tried last.
        Order::Cheapest => plan.sort_by_key(|at| {
            let quote = quotes.get(*at).copied().flatten();
            (quote.is_none(), quote)
        }),
        Order::Fastest => plan.sort_by_key(|at| health_of(at).map_or(0, Health::first_byte_us)),
        Order::Weighted => {
            let mut rest = std::mem::take(&mut plan);
            while !rest.is_empty() {
                let weight = |at: &usize| targets.get(*at).map_or(0, |t| u64::from(t.weight));
                let sum: u64 = rest.iter().map(weight).sum();
                let mut left = if sum == 0 { 0 } else { chance % sum };
                let chosen = rest.iter().position(|at| {
                    let found = left < weight(at);
                    left = left.saturating_sub(weight(at));
                    found
                });
                plan.push(rest.remove(chosen.unwrap_or(0)));
                // A step of SplitMix64, so that each draw is its own.
                chance = chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
                chance = (chance ^ (chance >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            }
        }
    }
    plan.sort_by_key(|at| health_of(at).is_some_and(|h| h.rests(now_micros)));
    plan
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_accounting::Money;

    use super::*;
    use crate::routing::Target;

    fn route(order: Order, weights: &[u32]) -> Route {
        let target = |weight: &u32| Target {
            provider: 0,
            provider_name: "p".into(),
            model: "m".into(),
            prices: None,
            family: tollgate_tokenizer::family("gpt-4o"),
            counted_as: "gpt-4o".into(),
            max_output_tokens: None,
            weight: *weight,
            health: Arc::default(),
        };
        let targets = weights.iter().map(target).collect();
        Route { order, targets, max_output_tokens: None }
    }

    #[test]
    fn each_rule_orders_as_it_says() {
        let quotes = [30, 10, 20].map(|n| Some(Money::from_nanos(n)));
        let cases = [
            (Order::Ordered, vec![0, 1, 2]),
            (Order::Cheapest, vec![1, 2, 0]),
            (Order::Fastest, vec![0, 2, 1]),
        ];
        for (rule, expected) in cases {
            let route = route(rule, &[1, 1, 1]);
            for (target, micros) in route.targets.iter().zip([5, 900, 70]) {
                target.health.answered(micros);
            }
            assert_eq!(order(&route, &quotes, 0, 7), expected, "{rule:?}");
        }
    }

    #[test]
    fn an_unpriced_target_is_the_last_of_the_cheapest() {
        let quotes = [None, Some(Money::from_nanos(9))];
        assert_eq!(order(&route(Order::Cheapest, &[1, 1]), &quotes, 0, 0), [1, 0]);
    }

    #[test]
    fn weights_are_the_shares_of_first_places() {
        let route = route(Order::Weighted, &[1, 3]);
        let mut chance = 1_u64;
        let mut firsts = [0_u32; 2];
        for _ in 0..4000 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            firsts[order(&route, &[], 0, chance >> 33)[0]] += 1;
        }
        assert!((900..1100).contains(&firsts[0]), "{firsts:?}");
    }

    #[test]
    fn a_target_that_asked_for_rest_comes_last() {
        let route = route(Order::Ordered, &[1, 1]);
        route.targets[0].health.rest_until(100);
        assert_eq!(order(&route, &[], 99, 0), [1, 0]);
        assert_eq!(order(&route, &[], 100, 0), [0, 1]);
    }
}
