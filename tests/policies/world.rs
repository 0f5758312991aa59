//! Calls that arrive by chance, providers that answer, fail and refuse by rule, and a clock that jumps
//! from one event to the next. Everything follows from one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tollgate::routing::{
    Fault, Health, Need, NotReady, Offer, Order, Permit, RetryBudget, Rules, likely_outputs, plan,
};
use tollgate_accounting::{Money, OutputSizes};
use tollgate_providers::{RateLimit, RateLimits};

const CALLS: u64 = 6_000;
/// Twenty calls a second on average.
const BETWEEN_US: f64 = 50_000.0;
/// Costs are compared after the first half, in which it is learned how much each target writes.
const WARM_US: u64 = 150_000_000;
const MOST_ATTEMPTS: u32 = 8;
const STORM: std::ops::Range<u64> = 120_000_000..150_000_000;
const MINUTE_US: u64 = 60_000_000;

/// What accounts send: typical tokens in and out of a classification, a chat, a summary, an article.
/// As in the gateway, outputs are learned for each target and account.
const TASKS: [(f64, f64); 4] = [(700.0, 8.0), (400.0, 200.0), (5_000.0, 300.0), (300.0, 1_200.0)];

#[derive(Clone, Copy)]
pub(crate) struct Provider {
    /// Nano-dollars a token.
    pub(crate) input_nanos: i64,
    pub(crate) output_nanos: i64,
    /// Output tokens in percent of what others write.
    pub(crate) verbosity: u64,
    pub(crate) first_us: u64,
    pub(crate) token_us: u64,
    /// Whether a call at that time, with that chance, fails.
    pub(crate) failing: fn(u64, f64) -> bool,
    /// Requests a minute; a window of its own, as providers have.
    pub(crate) per_minute: Option<u64>,
}

impl Default for Provider {
    fn default() -> Provider {
        Provider {
            input_nanos: 500,
            output_nanos: 1_500,
            verbosity: 100,
            first_us: 300_000,
            token_us: 12_000,
            failing: |_, _| false,
            per_minute: None,
        }
    }
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) providers: [Provider; 3],
}

impl Default for Scenario {
    /// Three alike, but that each is a little dearer than the one before.
    fn default() -> Scenario {
        let provider = |percent: i64| Provider {
            input_nanos: 5 * percent,
            output_nanos: 15 * percent,
            ..Provider::default()
        };
        Scenario { name: "", providers: [provider(100), provider(120), provider(140)] }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Chooser {
    Planner(Order),
    /// One after the other, and the next on failure; knows nothing of how they are.
    RoundRobin,
    /// LiteLLM's "lowest cost": the least sum of the list prices of a token in and one out.
    LowestListPrices,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// Dollars of the calls that succeeded, and what the cheapest target would have come to for each.
    pub(crate) cost: f64,
    pub(crate) oracle: f64,
    /// Dollars of one who knows how much each target writes on average, and not what it will write.
    pub(crate) informed: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) succeeded: f64,
    pub(crate) attempts: f64,
    pub(crate) attempts_in_storm: f64,
    /// Attempts that were refused for their rate, of all.
    pub(crate) refused: f64,
    /// Attempts made while the target had asked to be left alone.
    pub(crate) violated: u64,
}

/// The mean of [`Dice::skewed`], of its scale: (sinh 0.45 / 0.45)^4.
const MEAN_SKEW: f64 = 1.1435;

/// xorshift64* (Vigna 2016).
struct Dice(u64);

/// The exponential of a number near 0. Sums and products are rounded alike by every processor, which a
/// library's function need not be: so the table in the documentation is the same everywhere.
fn exp(x: f64) -> f64 {
    let part = x / 16.0;
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + part / f64::from(n) * sum);
    (0..4).fold(series, |power, _| power * power)
}

/// The natural logarithm of a number in (0, 1], for the same reason made of sums and products.
fn ln(x: f64) -> f64 {
    let (mut rest, mut halvings) = (x, 0.0);
    while rest < 0.5 {
        rest *= 2.0;
        halvings += 1.0;
    }
    let ratio = (rest - 1.0) / (rest + 1.0);
    let square = ratio * ratio;
    let series = (0..20).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    2.0 * ratio * series - halvings * std::f64::consts::LN_2
}

#[test]
fn the_functions_of_sums_and_products_are_those_of_the_library() {
    for n in 1..=1_000 {
        let x = f64::from(n) / 1_000.0;
        assert!((ln(x) - x.ln()).abs() < 1e-12, "{x}");
        let y = 4.0 * x - 2.0;
        assert!((exp(y) / y.exp() - 1.0).abs() < 1e-12, "{y}");
    }
}

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number near the scale, seldom far above it: the product of a few chances.
    fn skewed(&mut self, scale: f64) -> f64 {
        let sum: f64 = (0..4).map(|_| self.unit() - 0.5).sum();
        scale * exp(0.9 * sum)
    }
}

struct Call {
    at: u64,
    task: usize,
    input: u64,
    /// What a target of plain verbosity writes.
    output: u64,
    order: Vec<usize>,
    next: usize,
    attempts: u32,
    /// Of the attempt in flight.
    permit: Option<Permit>,
    target: usize,
    fails: bool,
    /// When its first token comes.
    first_at: Option<u64>,
}

struct Target {
    provider: Provider,
    health: Arc<Health>,
    /// One for each task.
    sizes: [OutputSizes; TASKS.len()],
    /// The provider's own window: when it began, how many came.
    window: (u64, u64),
    /// Until when it asked to be left alone.
    asked_rest: u64,
}

impl Target {
    fn output(&self, plain: u64) -> u64 {
        (plain * self.provider.verbosity / 100).max(1)
    }

    fn cost(&self, input: u64, output: u64) -> i64 {
        let Provider { input_nanos, output_nanos, .. } = self.provider;
        input_nanos * i64::try_from(input).unwrap() + output_nanos * i64::try_from(output).unwrap()
    }

    fn offer(&self, likely: u64, input: u64, now: u64) -> (Offer, Need) {
        let need = Need { input_tokens: input, output_tokens: likely, ..Need::default() };
        let cost = Some(Money::from_nanos(self.cost(input, likely)));
        let view = self.health.view(need, now);
        (Offer { cost, output_tokens: likely, weight: 1, view, ..Offer::default() }, need)
    }
}

struct World {
    chooser: Chooser,
    dice: Dice,
    targets: Vec<Target>,
    budget: RetryBudget,
    calls: Vec<Call>,
    events: BinaryHeap<Reverse<(u64, usize)>>,
    turn: usize,
    times: Vec<u64>,
    cost: i64,
    oracle: i64,
    informed: i64,
    attempts: u64,
    in_storm: (u64, u64),
    refused: u64,
    violated: u64,
}

pub(crate) fn run(scenario: &Scenario, chooser: Chooser, seed: u64) -> Outcome {
    let target = |provider: &Provider| Target {
        provider: *provider,
        health: Arc::new(Health::new(1)),
        sizes: std::array::from_fn(|_| OutputSizes::new()),
        window: (0, 0),
        asked_rest: 0,
    };
    let mut world = World {
        chooser,
        dice: Dice(seed),
        targets: scenario.providers.iter().map(target).collect(),
        budget: RetryBudget::default(),
        calls: Vec::new(),
        events: BinaryHeap::new(),
        turn: 0,
        times: Vec::new(),
        cost: 0,
        oracle: 0,
        informed: 0,
        attempts: 0,
        in_storm: (0, 0),
        refused: 0,
        violated: 0,
    };
    world.arrivals();
    while let Some(Reverse((now, call))) = world.events.pop() {
        world.event(now, call);
    }
    world.outcome()
}

impl World {
    /// The output that is likely at each target.
    fn outputs(&self, task: usize, chance: u64) -> Vec<u64> {
        let mean = |target: &Target| {
            let sizes = &target.sizes[task];
            Some((sizes.mean()?, sizes.observations()))
        };
        let known: Vec<_> = self.targets.iter().map(mean).collect();
        likely_outputs(&known, 256, chance)
    }

    /// The same calls for every chooser.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, positive")]
    fn arrivals(&mut self) {
        let mut now = 1_000_000.0;
        for number in 0..CALLS {
            now += -BETWEEN_US * ln(1.0 - self.dice.unit());
            let task = (self.dice.next() % TASKS.len() as u64) as usize;
            let (input, output) = TASKS[task];
            let call = Call {
                at: now as u64,
                task,
                input: self.dice.skewed(input) as u64 + 10,
                output: self.dice.skewed(output) as u64 + 1,
                order: Vec::new(),
                next: 0,
                attempts: 0,
                permit: None,
                target: 0,
                fails: false,
                first_at: None,
            };
            self.events.push(Reverse((call.at, usize::try_from(number).unwrap())));
            self.calls.push(call);
        }
    }

    /// A call arrives, or the answer to its attempt does.
    fn event(&mut self, now: u64, at: usize) {
        if self.calls[at].attempts == 0 && self.calls[at].permit.is_none() {
            self.budget.call();
            if STORM.contains(&now) {
                self.in_storm.0 += 1;
            }
            let Call { task, input, .. } = self.calls[at];
            self.calls[at].order = self.order(now, task, input);
            self.attempt(now, at);
            return;
        }
        let call = &mut self.calls[at];
        if call.first_at.take_if(|first| *first == now).is_some() {
            if let Some(permit) = &call.permit {
                permit.accepted(true, now);
            }
            return;
        }
        let permit = call.permit.take();
        let target = &mut self.targets[call.target];
        if call.fails {
            if let Some(permit) = permit {
                permit.failed(Fault::Broken(None), now);
            }
            self.attempt(now, at);
            return;
        }
        let output = target.output(call.output);
        if let Some(permit) = permit {
            permit.finished(output, now);
        }
        target.sizes[call.task].observe(output);
        if call.attempts > 1 {
            self.budget.give_back();
        }
        if call.at > WARM_US {
            self.cost += target.cost(call.input, output);
            let (task, input, plain) = (call.task, call.input, call.output);
            let costs = self.targets.iter().map(|t| t.cost(input, t.output(plain)));
            self.oracle += costs.min().unwrap();
            self.informed += self.informed(task, input, plain);
        }
        self.times.push(now - self.calls[at].at);
    }

    /// What the call costs where it is cheapest by the true means.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small, positive")]
    fn informed(&self, task: usize, input: u64, plain: u64) -> i64 {
        let mean = (TASKS[task].1 * MEAN_SKEW) as u64;
        let expected = |target: &&Target| target.cost(input, target.output(mean));
        let best = self.targets.iter().min_by_key(expected).unwrap();
        best.cost(input, best.output(plain))
    }

    fn order(&mut self, now: u64, task: usize, input: u64) -> Vec<usize> {
        let chance = self.dice.next();
        match self.chooser {
            Chooser::Planner(order) => {
                let offers = self.targets.iter().zip(self.outputs(task, chance));
                let offers = offers.map(|(target, likely)| target.offer(likely, input, now).0);
                let offers: Vec<Offer> = offers.collect();
                let plan = plan(&Rules::of(order), &offers, true, chance);
                plan.places.iter().map(|place| place.target).collect()
            }
            Chooser::RoundRobin => {
                self.turn += 1;
                (0..self.targets.len()).map(|n| (self.turn + n) % self.targets.len()).collect()
            }
            Chooser::LowestListPrices => {
                let mut order: Vec<usize> = (0..self.targets.len()).collect();
                order.sort_by_key(|at| self.targets[*at].cost(1, 1));
                order
            }
        }
    }

    /// Tries the next of the call's targets, until one takes it or none is left.
    fn attempt(&mut self, now: u64, at: usize) {
        let planned = matches!(self.chooser, Chooser::Planner(_));
        loop {
            let call = &mut self.calls[at];
            let Some(target) = call.order.get(call.next).copied() else { return };
            call.next += 1;
            let first = call.attempts == 0;
            if call.attempts >= MOST_ATTEMPTS || (planned && !first && !self.budget.take()) {
                return;
            }
            let permit = if planned {
                let (task, input) = (call.task, call.input);
                let likely = self.outputs(task, 1)[target];
                let (_, need) = self.targets[target].offer(likely, input, now);
                let permit: Result<Permit, NotReady> = self.targets[target].health.enter(need, now);
                if permit.is_err() && !first {
                    self.budget.give_back();
                }
                let Ok(permit) = permit else { continue };
                Some(permit)
            } else {
                None
            };
            self.calls[at].attempts += 1;
            self.attempts += 1;
            if STORM.contains(&now) {
                self.in_storm.1 += 1;
            }
            if self.sent(now, at, target, permit) {
                return;
            }
        }
    }

    /// Whether the target takes the request; otherwise it refused at once for its rate.
    fn sent(&mut self, now: u64, at: usize, number: usize, permit: Option<Permit>) -> bool {
        let chance = self.dice.unit();
        let spread = self.dice.skewed(1.0);
        let target = &mut self.targets[number];
        if now < target.asked_rest {
            self.violated += 1;
        }
        if let Some(limit) = target.provider.per_minute {
            let (began, came) = &mut target.window;
            if now >= *began + MINUTE_US {
                (*began, *came) = (now, 0);
            }
            let resets = *began + MINUTE_US - now;
            if *came >= limit {
                self.refused += 1;
                target.asked_rest = target.asked_rest.max(now + resets);
                if let Some(permit) = permit {
                    permit.failed(Fault::Rate(Some(resets)), now);
                }
                return false;
            }
            *came += 1;
            if let Some(permit) = &permit {
                let told = RateLimit {
                    limit: Some(limit),
                    remaining: limit - *came,
                    resets_in_us: Some(resets),
                };
                permit.limits(&RateLimits { requests: Some(told), ..RateLimits::default() }, now);
            }
        }
        let fails = (target.provider.failing)(now, chance);
        let Provider { first_us, token_us, .. } = target.provider;
        let writing = token_us * target.output(self.calls[at].output);
        let first = scaled(first_us, spread);
        self.calls[at].first_at = (!fails).then_some(now + first);
        if !fails {
            self.events.push(Reverse((now + first, at)));
        }
        let call = &mut self.calls[at];
        (call.permit, call.target, call.fails) = (permit, number, fails);
        let took = if fails { first / 2 } else { first + scaled(writing, spread).max(1) };
        self.events.push(Reverse((now + took, at)));
        true
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn outcome(mut self) -> Outcome {
        self.times.sort_unstable();
        let percentile = |percent: usize| {
            self.times.get((self.times.len() * percent / 100).min(self.times.len() - 1)).copied()
        };
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let name = match self.chooser {
            Chooser::Planner(order) => order.name(),
            Chooser::RoundRobin => "(round robin)",
            Chooser::LowestListPrices => "(lowest list prices)",
        };
        Outcome {
            name,
            cost: self.cost as f64 / 1e9,
            oracle: self.oracle as f64 / 1e9,
            informed: self.informed as f64 / 1e9,
            p50_us: percentile(50).unwrap_or(0),
            p99_us: percentile(99).unwrap_or(0),
            succeeded: share(self.times.len() as u64, CALLS),
            attempts: share(self.attempts, CALLS),
            attempts_in_storm: share(self.in_storm.1, self.in_storm.0),
            refused: share(self.refused, self.attempts),
            violated: self.violated,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a span of seconds, positive"
)]
fn scaled(us: u64, by: f64) -> u64 {
    (us as f64 * by) as u64
}
