//! Which targets are tried for one call, in which order, and why: a pure choice over what the call
//! would cost at each, how each has been doing, the route's rule, the time and a random number.

use tollgate_accounting::Money;

use super::health::{NotReady, View};
use super::reason::{Exclusion, Reason};

/// The longest plan: a call that was refused so often is told so.
const MOST_PLACES: usize = 8;

/// The rule a route's targets are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least expensive for this call first.
    Cheapest,
    /// Soonest to have answered first, of two taken by chance.
    Fastest,
    /// By chance, in proportion to the weights.
    Weighted,
    /// As written.
    Ordered,
    /// By cost and time together, each as a multiple of the least there is, in these proportions.
    Blend {
        /// How much cost counts.
        cost: u32,
        /// How much time counts.
        latency: u32,
    },
}

impl Order {
    /// The name, as in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Order::Cheapest => "cheapest",
            Order::Fastest => "fastest",
            Order::Weighted => "weighted",
            Order::Ordered => "ordered",
            Order::Blend { .. } => "blend",
        }
    }
}

/// How a route chooses.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The order.
    pub order: Order,
    /// A target is left out where the call is expected to cost more.
    pub max_cost: Option<Money>,
    /// A target is left out where the call is expected to take longer: to its first token if it is a
    /// stream, else in all. In microseconds.
    pub max_latency_us: Option<u64>,
}

impl Rules {
    /// A rule without ceilings.
    pub const fn of(order: Order) -> Rules {
        Rules { order, max_cost: None, max_latency_us: None }
    }
}

/// What the call would be at one target.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Why the target cannot serve this call at all, if it cannot.
    pub unfit: Option<Exclusion>,
    /// What the call is expected to cost there; none where that is not known.
    pub cost: Option<Money>,
    /// What a prefix in the provider's cache saves; the cost is without it already.
    pub saves: Option<Money>,
    /// Output tokens that are likely.
    pub output_tokens: u64,
    /// Its share under [`Order::Weighted`].
    pub weight: u32,
    /// How it is now.
    pub view: View,
}

/// The targets to be tried, best first, and those that are not.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order they are tried.
    pub places: Vec<Place>,
    /// As they stand in the route.
    pub left_out: Vec<LeftOut>,
}

/// A target's place in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its index in the route.
    pub target: usize,
    /// Why it stands there.
    pub reason: Reason,
}

/// A target that is not in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its index in the route.
    pub target: usize,
    /// Why.
    pub why: Exclusion,
}

impl Plan {
    /// When the first of the targets that were left out for a time can be asked; none where there is
    /// no such target.
    pub fn ready_at(&self) -> Option<NotReady> {
        let times = self.left_out.iter().filter_map(|out| match &out.why {
            Exclusion::NotReady(not) => Some(*not),
            _ => None,
        });
        times.min_by_key(|not| not.until)
    }
}

/// Plans a call. `chance` is a random number.
pub fn plan(rules: &Rules, offers: &[Offer], stream: bool, chance: u64) -> Plan {
    let mut plan = Plan::default();
    let mut fit: Vec<usize> = Vec::with_capacity(offers.len());
    for (target, offer) in offers.iter().enumerate() {
        match exclusion(rules, offer, stream) {
            Some(why) => plan.left_out.push(LeftOut { target, why }),
            None => fit.push(target),
        }
    }
    let choice = Choice { offers, chance };
    plan.places = choice.ordered(rules.order, fit);
    plan.places.truncate(MOST_PLACES);
    plan
}

fn exclusion(rules: &Rules, offer: &Offer, stream: bool) -> Option<Exclusion> {
    if let Some(why) = &offer.unfit {
        return Some(why.clone());
    }
    if let (Some(cost), Some(most)) = (offer.cost, rules.max_cost)
        && cost > most
    {
        return Some(Exclusion::Cost { expected: cost, most });
    }
    if let Some(not) = offer.view.unready {
        return Some(Exclusion::NotReady(not));
    }
    let most_us = rules.max_latency_us?;
    let view = &offer.view;
    let expected_us = if stream { view.first_us } else { view.predicted_us(offer.output_tokens) };
    (expected_us > most_us).then_some(Exclusion::Latency { expected_us, most_us })
}

struct Choice<'o> {
    offers: &'o [Offer],
    chance: u64,
}

impl Choice<'_> {
    // Stable sorts: equals stay as written.
    fn ordered(mut self, order: Order, mut fit: Vec<usize>) -> Vec<Place> {
        match order {
            Order::Ordered => places(&fit, |_| Reason::Written),
            Order::Cheapest => {
                // A target whose cost is not known is tried last.
                fit.sort_by_key(|at| self.cost(*at).map_or((true, Money::ZERO), |c| (false, c)));
                places(&fit, |at| match self.cost(at) {
                    Some(cost) => Reason::Cost { expected: cost, saves: self.saves(at) },
                    None => Reason::Unknown,
                })
            }
            Order::Weighted => {
                let drawn = self.drawn(fit);
                let reason = |at: usize| Reason::Share(self.offers.get(at).map_or(0, |o| o.weight));
                self.warm_first(places(&drawn, reason), |_| true)
            }
            Order::Fastest => {
                fit.sort_by_key(|at| self.load(*at));
                self.better_of_two(&mut fit);
                let best = fit.first().map_or(0, |at| self.time(*at));
                let near = |at| self.time(at) <= best.saturating_add(best / 4);
                self.warm_first(places(&fit, |at| Reason::Time(self.time(at))), near)
            }
            Order::Blend { cost, latency } => {
                let costs = fit.iter().filter_map(|at| self.cost(*at)).map(Money::nanos);
                let least_cost = costs.min().unwrap_or(0).max(1);
                let times = fit.iter().map(|at| self.time(*at)).filter(|us| *us > 0);
                let least_us = times.min().unwrap_or(0).max(1);
                let score = |at: usize| {
                    let nanos = self.cost(at).map_or(i64::MAX, Money::nanos).max(least_cost);
                    let us = self.time(at).max(least_us);
                    u128::from(cost) * multiple(nanos.unsigned_abs(), least_cost.unsigned_abs())
                        + u128::from(latency) * multiple(us, least_us)
                };
                fit.sort_by_cached_key(|at| score(*at));
                places(&fit, |at| Reason::Blend {
                    cost: self.cost(at).unwrap_or(Money::ZERO),
                    us: self.time(at),
                })
            }
        }
    }

    fn cost(&self, at: usize) -> Option<Money> {
        self.offers.get(at)?.cost
    }

    fn saves(&self, at: usize) -> Option<Money> {
        self.offers.get(at)?.saves.filter(|saved| *saved > Money::ZERO)
    }

    fn time(&self, at: usize) -> u64 {
        self.offers.get(at).map_or(0, |offer| offer.view.predicted_us(offer.output_tokens))
    }

    /// The time, times the calls that share it.
    fn load(&self, at: usize) -> u128 {
        let in_flight = self.offers.get(at).map_or(0, |offer| offer.view.in_flight);
        u128::from(self.time(at)) * (u128::from(in_flight) + 1)
    }

    /// Puts the better of two targets taken by chance first ("the power of two choices", Mitzenmacher
    /// 2001): all callers together do not run to the one that was best a moment ago. The others stay
    /// in their order, best first.
    fn better_of_two(&mut self, sorted: &mut [usize]) {
        let len = sorted.len() as u64;
        if len < 3 {
            return;
        }
        let one = self.draw() % len;
        let other = (one + 1 + self.draw() % (len - 1)) % len;
        // They are sorted, so the better one is the earlier one.
        let better = usize::try_from(one.min(other)).unwrap_or(0);
        if let Some(sorted) = sorted.get_mut(..=better) {
            sorted.rotate_right(1);
        }
    }

    fn drawn(&mut self, mut rest: Vec<usize>) -> Vec<usize> {
        let offers = self.offers;
        let weight = |at: &usize| offers.get(*at).map_or(0, |offer| u64::from(offer.weight));
        let mut drawn = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let sum: u64 = rest.iter().map(weight).sum();
            let mut left = if sum == 0 { 0 } else { self.draw() % sum };
            let chosen = rest.iter().position(|at| {
                let found = left < weight(at);
                left = left.saturating_sub(weight(at));
                found
            });
            drawn.push(rest.remove(chosen.unwrap_or(0)));
        }
        drawn
    }

    /// A target whose cache holds this call's prefix goes first where that saves a quarter of what the
    /// call would cost there without, and `near` agrees.
    fn warm_first(&self, mut places: Vec<Place>, near: impl Fn(usize) -> bool) -> Vec<Place> {
        let worth = |at: usize| {
            let (saves, cost) = (self.saves(at)?, self.cost(at)?);
            let quarter = saves.checked_add(cost).ok()?.nanos() / 4;
            (saves.nanos() >= quarter && near(at)).then_some(saves)
        };
        let warm = places.iter().enumerate().filter_map(|(n, p)| Some((n, worth(p.target)?)));
        if let Some((place, saves)) = warm.max_by_key(|(_, saves)| *saves) {
            if let Some(before) = places.get_mut(..=place) {
                before.rotate_right(1);
            }
            if let Some(first) = places.first_mut() {
                first.reason = Reason::Warm(saves);
            }
        }
        places
    }

    /// A step of SplitMix64 (Steele, Lea and Flood 2014), so that each draw is its own.
    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

fn places(order: &[usize], reason: impl Fn(usize) -> Reason) -> Vec<Place> {
    order.iter().map(|at| Place { target: *at, reason: reason(*at) }).collect()
}

/// In thousandths of the least.
fn multiple(value: u64, least: u64) -> u128 {
    u128::from(value) * 1_000 / u128::from(least.max(1))
}

#[cfg(test)]
mod tests;
