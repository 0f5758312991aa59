//! What it takes to plan one call over many targets: how each has been doing, what the call would cost
//! there, and the order; beside a mere sort of the targets by their list prices.
//!
//! ```text
//! cargo bench -p tollgate --bench planner
//! ```
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "figures are for people")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use tollgate::routing::{Health, Need, Offer, Order, Rules, likely_outputs, plan};
use tollgate_accounting::{
    Class, OutputSizes, PriceCard, Rates, Rounding, Tier, Timestamp, UnitPrice, Usage,
};
use tollgate_providers::{RateLimit, RateLimits};

const CALLS: u64 = 20_000;
const ROUNDS: usize = 5;
const INPUT: u64 = 1_200;

fn main() {
    println!("{:<12} {:>8} {:>12} {:>10}", "rule", "targets", "ns a call", "of a sort");
    for count in [3, 20] {
        let targets: Vec<Target> = (0..count).map(Target::new).collect();
        let sort = best(|| by_list_price(&targets));
        println!("{:<12} {count:>8} {sort:>12} {:>10}", "(sort)", "1");
        for order in [
            Order::Ordered,
            Order::Weighted,
            Order::Cheapest,
            Order::Fastest,
            Order::Blend { cost: 1, latency: 1 },
        ] {
            let nanos = best(|| planned(&targets, &Rules::of(order)));
            println!("{:<12} {count:>8} {nanos:>12} {:>10}", order.name(), nanos / sort);
        }
    }
}

/// A target as it is after some calls: timed, with limits that its answers told.
struct Target {
    health: Arc<Health>,
    card: PriceCard,
    sizes: OutputSizes,
}

impl Target {
    fn new(number: u64) -> Target {
        let health = Arc::new(Health::new(2));
        let mut sizes = OutputSizes::new();
        let level = |limit| {
            Some(RateLimit { limit: Some(limit), remaining: limit - 1, resets_in_us: Some(900) })
        };
        let told = RateLimits {
            requests: level(10_000),
            input_tokens: level(2_000_000),
            output_tokens: level(400_000),
            ..RateLimits::default()
        };
        for call in 0..100 {
            let at = 1_000_000 * (call + 1);
            let permit = health.enter(Need::default(), at).unwrap();
            permit.accepted(true, at + 200_000 + 1_000 * number);
            permit.finished(100, at + 700_000 + 10_000 * number);
            permit.limits(&told, at + 200_000);
            sizes.observe(50 + 7 * call);
        }
        let price = |dollars: u64| UnitPrice::per_million(&dollars.to_string()).unwrap();
        let dear = 1 + number * 7 % 20;
        let rates = Rates::new()
            .with(Class::Input, price(dear))
            .with(Class::CacheRead, price(1))
            .with(Class::Output, price(5 * dear));
        let card = PriceCard {
            version: format!("v{number}"),
            source: "made up".to_owned(),
            effective_from: Timestamp::from_micros(0),
            tiers: vec![Tier { above_input_tokens: 0, rates }],
            per_request: None,
        };
        Target { health, card, sizes }
    }

    /// `cached` of the input are in the target's cache.
    fn offer(&self, output: u64, cached: u64, now: u64) -> Offer {
        let view = self
            .health
            .view(Need { input_tokens: INPUT, output_tokens: output, ..Need::default() }, now);
        let cost = |cached| {
            let usage = Usage::new()
                .with(Class::Input, INPUT - cached)
                .with(Class::CacheRead, cached)
                .with(Class::Output, output);
            self.card.cost(&usage, Rounding::HalfEven).ok()
        };
        let plain = cost(0);
        let cost = if cached == 0 { plain } else { cost(cached) };
        let saves = plain.zip(cost).and_then(|(plain, cost)| plain.checked_sub(cost).ok());
        Offer { cost, saves, output_tokens: output, weight: 1, view, ..Offer::default() }
    }
}

/// Everything between a counted prompt and the plan.
fn planned(targets: &[Target], rules: &Rules) {
    let chance = black_box(0x9E37_79B9);
    let known: Vec<_> = targets
        .iter()
        .map(|target| Some((target.sizes.mean()?, target.sizes.observations())))
        .collect();
    let outputs = likely_outputs(&known, 256, chance);
    let now = black_box(102_000_000);
    // One of them has worked on the beginning of the call before.
    let offer = |(number, (target, output)): (usize, (&Target, u64))| {
        target.offer(output, if number == 1 { INPUT / 2 } else { 0 }, now)
    };
    let offers: Vec<Offer> = targets.iter().zip(outputs).enumerate().map(offer).collect();
    assert_eq!(plan(rules, &offers, true, chance).places.len(), targets.len().min(8));
}

fn by_list_price(targets: &[Target]) {
    let mut order: Vec<usize> = (0..targets.len()).collect();
    let sum = |at: &usize| {
        let rates = targets.get(*at).and_then(|target| target.card.tiers.first());
        rates.map(|tier| (tier.rates.get(Class::Input), tier.rates.get(Class::Output)))
    };
    order.sort_by_key(|at| sum(black_box(at)));
    black_box(order);
}

/// The least nanoseconds a call over some rounds: what the code costs when nothing disturbs it.
fn best(mut call: impl FnMut()) -> u64 {
    let mut round = || {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX) / CALLS
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or(0).max(1)
}
