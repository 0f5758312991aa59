//! The planner in a world whose outcome is known: what each rule costs, how long it takes and how often
//! it succeeds, beside round robin and beside "the lowest sum of list prices". The clock, the health
//! of the targets and the planner are the gateway's own; only the providers are made up.
//!
//! The results are the table in `docs/routing.md`: `TOLLGATE_WRITE_DOCS=1 cargo test --test policies`
//! writes it anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where by panicking")]

mod world;

use std::fmt::Write;
use std::sync::LazyLock;

use world::{Chooser, Outcome, Provider, Scenario, run};

use tollgate::routing::Order;

const CHOOSERS: [Chooser; 7] = [
    Chooser::Planner(Order::Cheapest),
    Chooser::Planner(Order::Fastest),
    Chooser::Planner(Order::Blend { cost: 1, latency: 1 }),
    Chooser::Planner(Order::Weighted),
    Chooser::Planner(Order::Ordered),
    Chooser::RoundRobin,
    Chooser::LowestListPrices,
];

/// Of the table, and how many runs with others the comparison of costs is over.
const SEED: u64 = 0x5EED;
const RUNS: u64 = 20;

/// Three providers of the same model: their prices differ in kind, and one writes three times as much.
fn prices() -> Scenario {
    let provider = |input, output, verbosity| Provider {
        input_nanos: input,
        output_nanos: output,
        verbosity,
        ..Provider::default()
    };
    Scenario {
        name: "prices",
        providers: [
            provider(500, 1_500, 300),
            provider(900, 2_400, 100),
            provider(100, 9_000, 100),
        ],
    }
}

/// One of three takes ten times as long to begin and to write.
fn one_slow() -> Scenario {
    let mut scenario = Scenario { name: "one slow", ..Scenario::default() };
    scenario.providers[1].first_us *= 10;
    scenario.providers[1].token_us *= 10;
    scenario
}

/// One of three fails half of its calls.
fn one_failing() -> Scenario {
    let mut scenario = Scenario { name: "one failing", ..Scenario::default() };
    scenario.providers[0].failing = |_, chance| chance < 0.5;
    scenario
}

/// All three fail for half a minute.
fn storm() -> Scenario {
    let mut scenario = Scenario { name: "storm", ..Scenario::default() };
    for provider in &mut scenario.providers {
        provider.failing = |now, _| (120_000_000..150_000_000).contains(&now);
    }
    scenario
}

/// Each takes so many requests a minute: together enough, the cheapest alone not.
fn limited() -> Scenario {
    let mut scenario = Scenario { name: "limited", ..Scenario::default() };
    for provider in &mut scenario.providers {
        provider.per_minute = Some(600);
    }
    scenario
}

fn outcomes(scenario: &Scenario) -> Vec<Outcome> {
    CHOOSERS.iter().map(|chooser| run(scenario, *chooser, SEED)).collect()
}

#[test]
fn cheapest_is_within_two_percent_of_one_who_knows_the_outcome() {
    let (cheapest, informed) = *OF_THE_ORACLES;
    assert!(cheapest < 1.02, "{cheapest}");
    // What is left is what nobody can know before the reply is written.
    assert!(cheapest < informed + 0.003, "{cheapest} {informed}");
    let all = outcomes(&prices());
    let (cheapest, round_robin, list) = (&all[0], &all[5], &all[6]);
    assert!(cheapest.cost < list.cost && cheapest.cost < round_robin.cost, "{all:?}");
}

/// What `cheapest` pays over all runs of "prices", as a multiple of what one pays who knows the
/// outcome; and the same of one who knows how much each target writes on average.
static OF_THE_ORACLES: LazyLock<(f64, f64)> = LazyLock::new(|| {
    let run = |n: u64| run(&prices(), Chooser::Planner(Order::Cheapest), n * 0x9E37_79B9);
    let all: Vec<Outcome> = (1..=RUNS).map(run).collect();
    let sum = |of: fn(&Outcome) -> f64| all.iter().map(of).sum::<f64>();
    let oracle = sum(|outcome| outcome.oracle);
    (sum(|outcome| outcome.cost) / oracle, sum(|outcome| outcome.informed) / oracle)
});

#[test]
fn fastest_halves_the_slow_tail_of_round_robin() {
    let all = outcomes(&one_slow());
    assert!(all[1].p99_us * 2 <= all[5].p99_us, "{all:?}");
}

#[test]
fn one_failing_target_of_three_is_not_noticed() {
    let all = outcomes(&one_failing());
    for outcome in &all[..5] {
        assert!(outcome.succeeded >= 0.999, "{outcome:?}");
    }
}

#[test]
fn a_storm_is_no_retry_storm() {
    for outcome in outcomes(&storm()).iter().take(5) {
        assert!(outcome.attempts_in_storm <= 1.2, "{outcome:?}");
    }
}

#[test]
fn limits_are_kept_clear_of() {
    let all = outcomes(&limited());
    for outcome in &all[..5] {
        assert!(outcome.succeeded >= 0.999, "{outcome:?}");
        assert_eq!(outcome.violated, 0, "a Retry-After was not kept: {outcome:?}");
        assert!(outcome.refused < 0.01, "{outcome:?}");
    }
}

#[test]
fn the_table_in_the_documentation_is_what_comes_out() {
    let mut table = String::from(
        "| scenario | rule | cost, of the oracle's | p50 ms | p99 ms | succeeded | attempts a call | refused for rate |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for scenario in [prices(), one_slow(), one_failing(), storm(), limited()] {
        for outcome in outcomes(&scenario) {
            let Outcome {
                name, cost, oracle, p50_us, p99_us, succeeded, attempts, refused, ..
            } = outcome;
            writeln!(
                table,
                "| {} | {name} | {:.3} | {} | {} | {:.2} % | {attempts:.2} | {:.1} % |",
                scenario.name,
                cost / oracle,
                p50_us / 1_000,
                p99_us / 1_000,
                succeeded * 100.0,
                refused * 100.0,
            )
            .unwrap();
        }
    }
    let (cheapest, informed) = *OF_THE_ORACLES;
    writeln!(
        table,
        "\nOver {RUNS} other runs of *prices*, `cheapest` pays {cheapest:.3} of what one pays who knows \
         the outcome;\none who knows how much each target writes on average would pay {informed:.3}."
    )
    .unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/routing.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- table -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let fresh = format!("{before}<!-- table -->\n{table}<!-- end -->{after}");
    if std::env::var_os("TOLLGATE_WRITE_DOCS").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let now = std::fs::read_to_string(path).unwrap();
    assert!(now == fresh, "the table is another now; TOLLGATE_WRITE_DOCS=1 writes it:\n{table}");
}
