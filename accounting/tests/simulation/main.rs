//! The book under one seed: a random world is run against an independent, deliberately simple
//! model, and after every operation both must say the same.
//!
//! `TOLLGATE_SIMULATION_OPS` sets how many operations are done (default: ten million);
//! `TOLLGATE_SEED` replays the world that failed, whose seed is printed.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#![expect(clippy::print_stderr, reason = "a failure prints the seed that replays it")]

mod calendar;
mod checks;
mod dice;
mod model;
mod steps;
mod world;

use dice::Dice;
use world::{Tally, World};

/// A new world after so many operations: most mistakes need few, and fresh trees find more.
const OPS_A_WORLD: u64 = 20_000;

const MUST_HAPPEN: [&str; 25] = [
    "held",
    "held again",
    "refused: overflow",
    "refused: duplicate",
    "refused: never",
    "refused: soft",
    "refused: token bucket",
    "refused: leaky bucket",
    "refused: fixed window",
    "refused: sliding window",
    "refused: sliding log",
    "refused: calendar",
    "refused: in flight",
    "extended",
    "extension refused",
    "settled",
    "settled with overrun",
    "settled again",
    "released",
    "late",
    "late with overrun",
    "unknown",
    "expired",
    "crashed",
    "forgotten",
];

/// Prints where the simulation failed.
struct Replay {
    seed: u64,
    done: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed at operation {}; replay with TOLLGATE_SEED={}", self.done, self.seed);
        }
    }
}

#[test]
fn the_book_agrees_with_a_simple_model_at_every_step() {
    let mut tally = Tally::default();
    if let Some(seed) = number("TOLLGATE_SEED") {
        return run_world(seed, OPS_A_WORLD, &mut tally);
    }
    let ops = number("TOLLGATE_SIMULATION_OPS").unwrap_or(10_000_000);
    let mut seeds = Dice::new(0x70_11_6A_7E);
    let mut left = ops;
    while left > 0 {
        let now = left.min(OPS_A_WORLD);
        run_world(seeds.next(), now, &mut tally);
        left -= now;
    }
    for what in MUST_HAPPEN {
        assert!(tally.0.contains_key(what), "never happened: {what}; only {:?}", tally.0);
    }
}

/// Half of the crashes lose nothing, the others all that was done since the last commit.
fn run_world(seed: u64, ops: u64, tally: &mut Tally) {
    let mut replay = Replay { seed, done: 0 };
    let mut world = World::new(seed);
    while replay.done < ops {
        for _ in 0..1 + world.dice.below(400) {
            world.step();
            replay.done += 1;
        }
        world.tidy();
        if world.dice.once_in(4) {
            let snapshot = world.snapshot();
            if world.dice.once_in(2) {
                for _ in 0..1 + world.dice.below(40) {
                    world.step();
                    replay.done += 1;
                }
            }
            world.crash(snapshot);
            world.tally.count("crashed");
            world.audit();
        }
    }
    world.audit();
    for (what, count) in world.tally.0 {
        *tally.0.entry(what).or_default() += count;
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.replace('_', "").parse().expect("a number"))
}
